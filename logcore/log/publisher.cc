#include "logcore/log/publisher.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace logcore {
namespace {

using Clock = std::chrono::steady_clock;

// How often an idle process looks whether another one died before it published.
constexpr std::chrono::seconds kIdleInterval{1};
// How long what nobody waits for is put off while there is more to commit.
constexpr std::chrono::milliseconds kBusyInterval{5};

}  // namespace

Publisher::Publisher(LogWriter* writer, std::chrono::milliseconds interval)
    : writer_(writer), interval_(interval), thread_([this] { Run(); }) {}

Publisher::~Publisher() {
  Stop();
}

void Publisher::Presign() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    // There may be many commits before the next publication.
    if (interval_.count() != 0 || puts_off_) return;
    presign_ = true;
  }
  changed_.notify_one();
}

void Publisher::Committed() {
  const std::lock_guard<std::mutex> lock(mutex_);
  unpublished_ = true;
}

void Publisher::Processed(Ticket ticket, bool more) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    processed_ = std::max(processed_, ticket);
    more_ = more;
    if (puts_off_ && more_ && !IsWaitedForLocked()) return;
  }
  changed_.notify_one();
}

bool Publisher::IsWaitedForLocked() const {
  return !waiters_.empty() && waiters_.begin()->first <= processed_;
}

void Publisher::WhenPublished(Ticket ticket, std::function<void(const Status&)> done) {
  Status status;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (published_ < ticket && !done_) {
      waiters_.emplace(ticket, std::move(done));
      tried_ = published_;  // If the last publication failed, this asks for another one.
      changed_.notify_one();
      return;
    }
    if (published_ < ticket) status = last_;
  }
  done(status);
}

void Publisher::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Publisher::Run() {
  Clock::time_point last = Clock::now() - interval_;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    const bool idle = !changed_.wait_for(
        lock, kIdleInterval, [this] { return stopping_ || presign_ || tried_ < processed_; });
    if (std::exchange(presign_, false) && !stopping_ && processed_ <= tried_) {
      lock.unlock();
      writer_->Presign();
      lock.lock();
      continue;
    }
    const bool last_time = stopping_;
    if (unpublished_ && !last_time) {
      changed_.wait_until(lock, last + interval_, [this] { return stopping_; });
      puts_off_ = true;
      changed_.wait_until(lock, last + kBusyInterval,
                          [this] { return stopping_ || !more_ || IsWaitedForLocked(); });
      puts_off_ = false;
    }
    const Ticket processed = processed_;
    const bool publish = std::exchange(unpublished_, false) || idle;
    lock.unlock();
    Status status;
    if (publish) {
      last = Clock::now();
      if (Result<uint64_t> size = writer_->Publish(); !size.has_value()) {
        status = tl::unexpected<Error>(std::move(size).error());
      }
    }
    lock.lock();
    tried_ = std::max(tried_, processed);
    if (status.has_value()) {
      published_ = std::max(published_, processed);
    } else {
      unpublished_ = true;  // The next one tries again.
    }
    std::vector<std::function<void(const Status&)>> done;
    const auto end = waiters_.upper_bound(last_time ? UINT64_MAX : processed);
    for (auto it = waiters_.begin(); it != end; ++it) done.push_back(std::move(it->second));
    waiters_.erase(waiters_.begin(), end);
    done_ = last_time;
    last_ = status;
    lock.unlock();
    for (const auto& call : done) call(status);
    if (last_time) return;
    lock.lock();
  }
}

}  // namespace logcore
