#include "logcore/log/journal_freer.h"

#include <chrono>
#include <utility>

namespace logcore {
namespace {

// From this much of the journal in use on, it is freed.
constexpr double kUseToFree = 0.25;
// After so long without a commit the log rests. That is noticed at most as late again: within a
// second.
constexpr std::chrono::milliseconds kRest{500};

}  // namespace

JournalFreer::JournalFreer(Store* store) : store_(store), thread_([this] { Run(); }) {}

JournalFreer::~JournalFreer() {
  Stop();
}

void JournalFreer::Committed() {
  const bool full = kUseToFree < store_->JournalUse();
  bool sleeps = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    sleeps = commits_++ == freed_commits_;
    full_ = full_ || full;
  }
  // Else it looks by itself: a commit after another one wakes nobody.
  if (sleeps || full) changed_.notify_all();
}

std::optional<Error> JournalFreer::Failure() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return !freeing_; });
  return failure_;
}

void JournalFreer::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool JournalFreer::WaitForWorkLocked(std::unique_lock<std::mutex>* lock) {
  changed_.wait(*lock, [this] { return stopping_ || freed_commits_ < commits_; });
  while (!stopping_ && !full_) {
    const uint64_t seen = commits_;
    changed_.wait_for(*lock, kRest, [this] { return stopping_ || full_; });
    if (seen == commits_) break;
  }
  return !stopping_;
}

void JournalFreer::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (WaitForWorkLocked(&lock)) {
    const uint64_t commits = commits_;
    full_ = false;
    freeing_ = true;
    lock.unlock();
    // A failure has stopped the store: the next commit finds that out.
    Status status = store_->FreeJournal();
    lock.lock();
    // That the log has stopped is no reason.
    if (!status.has_value() && status.error().code != Code::kReadOnly) {
      failure_ = std::move(status).error();
    }
    freed_commits_ = commits;
    freeing_ = false;
    changed_.notify_all();
  }
}

}  // namespace logcore
