// Receipts: what reading an open `add` gives back, a line for each entry appended through it:
//
//   1042 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d      index, leaf hash
//   lost 300                                  these many receipts found no room here
//
// Holds at most kMaxReceipts. One thread at a time. Tested by tests/fusefs/append_file_test.cc.

#ifndef FUSEFS_RECEIPTS_H_
#define FUSEFS_RECEIPTS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>

#include "logcore/hash.h"

namespace fusefs {

inline constexpr size_t kMaxReceipts = 4096;

class Receipts {
 public:
  // Of entries `first_index` and following. Without `room` they are counted as lost.
  void Add(uint64_t first_index, std::span<const logcore::Hash> leaf_hashes, bool room = true);
  // In memory, bytes; and what it would be with `count` more that are not lost.
  size_t length() const { return LengthWith(0); }
  size_t LengthWith(size_t count) const {
    return std::max(kept_.size(), std::min(kMaxReceipts, kept_.size() + count)) * sizeof(Receipt);
  }
  // Up to `length` bytes, and takes them away; none are left when it gives fewer.
  std::string Read(size_t length);
  bool empty() const { return kept_.empty() && line_.empty(); }

 private:
  struct Receipt {
    uint64_t lost = 0;  // If not 0, it stands for these many, and has neither index nor hash.
    uint64_t index = 0;
    logcore::Hash leaf_hash;
  };
  std::string NextLine();

  std::deque<Receipt> kept_;
  std::string line_;  // the rest of one that was read in part
};

}  // namespace fusefs

#endif  // FUSEFS_RECEIPTS_H_
