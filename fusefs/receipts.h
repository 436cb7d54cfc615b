// Receipts: what reading an open `add` gives back, a line for each entry appended through it:
//
//   1042 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d      index, leaf hash
//   lost 300                                  these many receipts found no room here
//
// They are a stream, whatever the positions at which they are read, with one exception. Programs
// that read lines from a file read ahead, and put back what they did not use by seeking to the end
// of the last line that they used: bash(1) does so for each `read`, head(1) for the next reader.
// So lines stay here until the program reads or writes again, and if it does that at the beginning
// of a line that it was just given, but the first, this line and those after it are given again. At
// the first one it goes on: a program that reads at one position always would get that line for
// ever.
//
// Holds at most kMaxReceipts that were not given. One thread at a time. Tested by
// tests/fusefs/receipts_test.cc, append_file_test.cc.

#ifndef FUSEFS_RECEIPTS_H_
#define FUSEFS_RECEIPTS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>

#include "logcore/tlog/hash.h"

namespace fusefs {

inline constexpr size_t kMaxReceipts = 4096;
// The position of a write that appends: where the program was before cannot be known.
inline constexpr uint64_t kNoPosition = ~uint64_t{0};

class Receipts {
 public:
  // Of entries `first_index` and following. Without `room` they are counted as lost.
  void Add(uint64_t first_index, std::span<const logcore::Hash> leaf_hashes, bool room = true);
  // In memory, bytes; and what it would be with `count` more that are not lost.
  size_t length() const { return LengthWith(0); }
  size_t LengthWith(size_t count) const {
    return std::max(kept_.size(), std::min(MostKept(), kept_.size() + count)) * sizeof(Receipt);
  }
  // Up to `length` bytes, by a read at `offset`; none are left when it gives fewer.
  std::string Read(uint64_t offset, size_t length);
  // The program reads or writes at `offset`: it has used what it was given before that.
  void GoOn(uint64_t offset);
  // Whether there is nothing that was not given.
  bool empty() const { return kept_.size() == given_lines_; }

 private:
  struct Receipt {
    uint64_t lost = 0;  // If not 0, it stands for these many, and has neither index nor hash.
    uint64_t index = 0;
    logcore::Hash leaf_hash;
  };
  static std::string LineOf(const Receipt& receipt);
  size_t MostKept() const { return kMaxReceipts + given_lines_; }
  bool IsBegun(size_t line) const {
    return line < given_lines_ || (line == given_lines_ && given_part_ > 0) ||
           (line == 0 && used_part_ > 0);
  }

  std::deque<Receipt> kept_;
  size_t used_part_ = 0;  // bytes of the first line that are used
  // What the last read has given: whole lines, which were the first, and a part of the next.
  uint64_t given_at_ = 0;
  size_t given_lines_ = 0;
  size_t given_part_ = 0;
};

}  // namespace fusefs

#endif  // FUSEFS_RECEIPTS_H_
