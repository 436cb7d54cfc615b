#include "logcore/log/replay_point_mover.h"

#include <chrono>
#include <utility>

namespace logcore {
namespace {

// From this ReplayLength on, commits that follow are not waited for.
constexpr double kLong = 0.25;
// After so long without a commit the log rests. That is noticed at most as late again: within a
// second.
constexpr std::chrono::milliseconds kRest{500};

}  // namespace

ReplayPointMover::ReplayPointMover(LogWriter* writer)
    : writer_(writer), thread_([this] { Run(); }) {}

ReplayPointMover::~ReplayPointMover() {
  Stop();
}

void ReplayPointMover::Committed() {
  const bool is_long = kLong < writer_->ReplayLength();
  bool sleeps = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    sleeps = commits_++ == covered_;
    is_long_ = is_long_ || is_long;
  }
  // Else it looks by itself: a commit after another one wakes nobody.
  if (sleeps || is_long) changed_.notify_all();
}

std::optional<Error> ReplayPointMover::Failure() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return !moving_; });
  return failure_;
}

void ReplayPointMover::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool ReplayPointMover::WaitForWorkLocked(std::unique_lock<std::mutex>* lock) {
  changed_.wait(*lock, [this] { return stopping_ || covered_ < commits_; });
  while (!stopping_ && !is_long_) {
    const uint64_t seen = commits_;
    changed_.wait_for(*lock, kRest, [this] { return stopping_ || is_long_; });
    if (seen == commits_) break;
  }
  return !stopping_;
}

void ReplayPointMover::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (WaitForWorkLocked(&lock)) {
    const uint64_t commits = commits_;
    is_long_ = false;
    moving_ = true;
    lock.unlock();
    // A failure has stopped the log: the next commit finds that out.
    Status status = writer_->AdvanceReplayPoint();
    lock.lock();
    // That the log has stopped is no reason.
    if (!status.has_value() && status.error().code != Code::kReadOnly) {
      failure_ = std::move(status).error();
    }
    covered_ = commits;
    moving_ = false;
    changed_.notify_all();
  }
}

}  // namespace logcore
