// Openings: numbers for the nodes of `add`. Each opening of the file is a node of its own, as the
// kernel lets only one writer at a time append to a node. The kernel finds out the node whenever
// the name is looked up; told the number that it knows already it is content, told another one it
// asks again. So the newest number is given once more when all who opened it have closed it: a
// writer that comes after another costs one question less.
//
// Any thread. Tested by tests/fusefs/openings_test.cc.

#ifndef FUSEFS_OPENINGS_H_
#define FUSEFS_OPENINGS_H_

#include <cstdint>
#include <mutex>

namespace fusefs {

class Openings {
 public:
  // A number, from 1 on, that nobody has open and nobody was given who may still open it.
  uint64_t Next() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!closed_) ++newest_;
    closed_ = false;
    return newest_;
  }
  // Each opening, and the end of each.
  void Opened(uint64_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (number != newest_) return;
    if (number != counted_) open_ = 0;
    counted_ = number;
    ++open_;
  }
  void Closed(uint64_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (number == newest_ && number == counted_) closed_ = --open_ == 0;
  }

 private:
  std::mutex mutex_;  // guards all below
  uint64_t newest_ = 0;
  uint64_t counted_ = 0;  // the number that open_ is of
  uint64_t open_ = 0;
  bool closed_ = false;  // all who opened the newest have closed it
};

}  // namespace fusefs

#endif  // FUSEFS_OPENINGS_H_
