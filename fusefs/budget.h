// Budget: the memory that all open files of a mount may hold together, for what their writers have
// left there: lines and frames that are not whole, receipts that nobody has read. Each file has a
// little of its own, so that a writer who takes all the rest does not disturb those who need
// little. And each user may hold as much as is left for all others then: one alone half of it, two
// a third each, so that there is always room for another one. A file's user is the one who opened
// it; someone with many user ids counts as many.
//
// A tail that a close ends is on its way until the log has it, and there may be nobody who waits
// for that. It cannot be refused any more, so it is counted even where there is no room, and whole,
// with the open file that waits for it. But a user of whom as much is on its way as is left for all
// others may not begin another tail: this bounds who opens, writes and closes again and again.
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

#include "logcore/util/check.h"

namespace fusefs {

inline constexpr size_t kBudgetLength = 32 << 20;  // of a mount
inline constexpr size_t kOwnLength = 1024;         // of each file, beside the budget
// What an open file takes that waits for its tail to be committed, beside the tail.
inline constexpr size_t kWaitingFileLength = 2048;

class Budget {
 public:
  explicit Budget(size_t length) : length_(length) {}

  // False, and nothing is taken, if the user would then hold more than is left.
  bool Take(uid_t user, size_t length) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Held held = HeldLocked(user);
    const size_t left = LeftLocked();
    if (left < length || left - length < held.in_files + held.on_its_way + length) return false;
    users_[user].in_files += length;
    taken_ += length;
    return true;
  }
  void Return(uid_t user, size_t length) { Subtract(user, length, &Held::in_files); }

  // Whether the user may begin a tail, however short.
  bool MayBegin(uid_t user) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const size_t on_its_way = HeldLocked(user).on_its_way;
    return on_its_way == 0 || on_its_way <= LeftLocked();
  }
  // Counts what is on its way; never refuses.
  void SetOut(uid_t user, size_t length) {
    const std::lock_guard<std::mutex> lock(mutex_);
    users_[user].on_its_way += length;
    taken_ += length;
  }
  void Arrive(uid_t user, size_t length) { Subtract(user, length, &Held::on_its_way); }

 private:
  struct Held {
    size_t in_files = 0;
    size_t on_its_way = 0;
  };

  Held HeldLocked(uid_t user) const {
    const auto found = users_.find(user);
    return found == users_.end() ? Held() : found->second;
  }
  size_t LeftLocked() const { return length_ - std::min(length_, taken_); }
  void Subtract(uid_t user, size_t length, size_t Held::*part) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = users_.find(user);
    CHECK(found != users_.end() && length <= found->second.*part);
    found->second.*part -= length;
    if (found->second.in_files + found->second.on_its_way == 0) users_.erase(found);
    taken_ -= length;
  }

  const size_t length_;
  std::mutex mutex_;                       // guards all below
  size_t taken_ = 0;                       // by all; more than length_ if much is on its way
  std::unordered_map<uid_t, Held> users_;  // those who hold something
};

// What is counted as long as this lives.
class OnItsWay {
 public:
  OnItsWay(std::shared_ptr<Budget> budget, uid_t user, size_t length)
      : budget_(std::move(budget)), user_(user), length_(length) {
    budget_->SetOut(user_, length_);
  }
  ~OnItsWay() { budget_->Arrive(user_, length_); }
  OnItsWay(const OnItsWay&) = delete;
  OnItsWay& operator=(const OnItsWay&) = delete;

 private:
  const std::shared_ptr<Budget> budget_;
  const uid_t user_;
  const size_t length_;
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

  // Whether a tail may begin.
  bool MayBegin() const { return budget_ == nullptr || budget_->MayBegin(user_); }
  // Counts a tail of so many bytes that is on its way.
  std::shared_ptr<const OnItsWay> SetOut(size_t tail_length) const {
    if (budget_ == nullptr) return nullptr;
    return std::make_shared<const OnItsWay>(budget_, user_, tail_length + kWaitingFileLength);
  }

 private:
  const std::shared_ptr<Budget> budget_;
  const uid_t user_;
  size_t taken_ = 0;
};

}  // namespace fusefs

#endif  // FUSEFS_BUDGET_H_
