#include "logcore/journal_freer.h"

#include <utility>

namespace logcore {
namespace {

// From this much of the journal in use on, it is freed.
constexpr double kUseToFree = 0.25;

}  // namespace

JournalFreer::JournalFreer(Store* store) : store_(store), thread_([this] { Run(); }) {}

JournalFreer::~JournalFreer() {
  Stop();
}

void JournalFreer::Look() {
  if (store_->JournalUse() <= kUseToFree) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    wanted_ = true;
  }
  changed_.notify_all();
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

void JournalFreer::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || wanted_; });
    if (stopping_) return;
    wanted_ = false;
    freeing_ = true;
    lock.unlock();
    // A failure has stopped the store: the next commit finds that out.
    Status status = store_->FreeJournal();
    lock.lock();
    // That the log has stopped is no reason.
    if (!status.has_value() && status.error().code != Code::kReadOnly) {
      failure_ = std::move(status).error();
    }
    freeing_ = false;
    changed_.notify_all();
  }
}

}  // namespace logcore
