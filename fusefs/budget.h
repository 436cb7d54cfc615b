// Budget: the memory that all open files of a mount may hold together, for what their writers have
// left there: lines and frames that are not whole, receipts that nobody has read. Each file has a
// little of its own, so that whoever takes all the rest does not disturb those who need little.
//
// Budget: any thread. Share: one at a time. Tested by tests/fusefs/budget_test.cc, and with ten
// thousand open files by tests/mount/greedy_test.py.

#ifndef FUSEFS_BUDGET_H_
#define FUSEFS_BUDGET_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

#include "logcore/check.h"

namespace fusefs {

inline constexpr size_t kBudgetLength = 32 << 20;  // of a mount
inline constexpr size_t kOwnLength = 1024;         // of each file, beside the budget

class Budget {
 public:
  explicit Budget(size_t length) : left_(length) {}

  // False, and nothing is taken, if there is not that much left.
  bool Take(size_t length) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (left_ < length) return false;
    left_ -= length;
    return true;
  }
  void Return(size_t length) {
    const std::lock_guard<std::mutex> lock(mutex_);
    left_ += length;
  }

 private:
  std::mutex mutex_;
  size_t left_;
};

// What one file holds.
class Share {
 public:
  // Without a budget there is no limit.
  explicit Share(std::shared_ptr<Budget> budget) : budget_(std::move(budget)) {}
  ~Share() { CHECK(Resize(0)); }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;

  // To `length` bytes in all. False, and nothing changes, if there is no room; less is always
  // possible.
  bool Resize(size_t length) {
    const size_t wanted = length - std::min(length, kOwnLength);
    if (budget_ == nullptr || wanted == taken_) return true;
    if (wanted < taken_) {
      budget_->Return(taken_ - wanted);
    } else if (!budget_->Take(wanted - taken_)) {
      return false;
    }
    taken_ = wanted;
    return true;
  }

 private:
  const std::shared_ptr<Budget> budget_;
  size_t taken_ = 0;
};

}  // namespace fusefs

#endif  // FUSEFS_BUDGET_H_
