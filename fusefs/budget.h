// Budget: the memory that all open files of a mount may hold together, for what their writers have
// left there: lines and frames that are not whole, receipts that nobody has read. Each file has a
// little of its own, so that a writer who takes all the rest does not disturb those who need
// little. And each user may hold as much as is left for all others then: one alone half of it, two
// a third each, so that there is always room for another one. A file's user is the one who opened
// it; someone with many user ids counts as many.
//
// Budget: any thread. Share: one at a time. Tested by tests/fusefs/budget_test.cc, and with ten
// thousand open files, and two users, by tests/mount/greedy_test.py.

#ifndef FUSEFS_BUDGET_H_
#define FUSEFS_BUDGET_H_

#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "logcore/check.h"

namespace fusefs {

inline constexpr size_t kBudgetLength = 32 << 20;  // of a mount
inline constexpr size_t kOwnLength = 1024;         // of each file, beside the budget

class Budget {
 public:
  explicit Budget(size_t length) : left_(length) {}

  // False, and nothing is taken, if the user would then hold more than is left.
  bool Take(uid_t user, size_t length) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = held_.find(user);
    const size_t held = found == held_.end() ? 0 : found->second;
    if (left_ < length || left_ - length < held + length) return false;
    held_[user] = held + length;
    left_ -= length;
    return true;
  }
  void Return(uid_t user, size_t length) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = held_.find(user);
    CHECK(found != held_.end() && length <= found->second);
    found->second -= length;
    if (found->second == 0) held_.erase(found);
    left_ += length;
  }

 private:
  std::mutex mutex_;
  size_t left_;
  std::unordered_map<uid_t, size_t> held_;  // by those who hold something
};

// What one file holds.
class Share {
 public:
  // Without a budget there is no limit.
  Share(std::shared_ptr<Budget> budget, uid_t user) : budget_(std::move(budget)), user_(user) {}
  ~Share() { CHECK(Resize(0)); }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;

  // To `length` bytes in all. False, and nothing changes, if there is no room; less is always
  // possible.
  bool Resize(size_t length) {
    const size_t wanted = length - std::min(length, kOwnLength);
    if (budget_ == nullptr || wanted == taken_) return true;
    if (wanted < taken_) {
      budget_->Return(user_, taken_ - wanted);
    } else if (!budget_->Take(user_, wanted - taken_)) {
      return false;
    }
    taken_ = wanted;
    return true;
  }

 private:
  const std::shared_ptr<Budget> budget_;
  const uid_t user_;
  size_t taken_ = 0;
};

}  // namespace fusefs

#endif  // FUSEFS_BUDGET_H_
