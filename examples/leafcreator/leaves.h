// Leaves: makes entries that tell where they came from, "INSTANCE WRITER NUMBER TEXT". INSTANCE
// tells programs apart. The numbers of each writer begin at 0 and have no gaps, in the order of the
// log: whoever reads it can tell whether a leaf is missing. TEXT is random, of letters, digits, -
// and _. A leaf too short for its numbers has as much of them as fits.
//
// One thread. Tested by tests/mount/leafcreator_test.py.

#ifndef LEAFCREATOR_LEAVES_H_
#define LEAFCREATOR_LEAVES_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

namespace leafcreator {

class Leaves {
 public:
  // `length` is at most logcore::kMaxEntryLength.
  Leaves(uint64_t instance, size_t length);
  // Appends leaf `number` of a writer to frames (logcore/tlog/entry_bundle.h).
  void AppendFrame(uint64_t writer, uint64_t number, std::string* frames);

 private:
  const std::string instance_;
  const size_t length_;
  std::mt19937_64 random_;
  std::string text_;  // Each leaf takes a piece of it, from anywhere.
  std::string leaf_;
};

}  // namespace leafcreator

#endif  // LEAFCREATOR_LEAVES_H_
