#include "tests/bench/load.h"

#include <thread>
#include <utility>
#include <vector>

#include "logcore/tlog/entry_bundle.h"
#include "tests/bench/open_store.h"

namespace bench {

void Outstanding::Submit(logcore::Sequencer* sequencer, logcore::Submission submission) {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return under_way_ < limit_; });
    ++under_way_;
  }
  const uint64_t count = submission.count;
  const auto began = Clock::now();
  submission.on_durable = [this, began, count](const logcore::Result<logcore::Appended>& appended) {
    if (!appended.has_value()) Fail(appended.error().message);
    const std::lock_guard<std::mutex> lock(mutex_);
    done_.push_back({.began = began, .ended = Clock::now(), .count = count});
    --under_way_;
    changed_.notify_one();
  };
  sequencer->Submit(std::move(submission));
}

void Outstanding::WaitForAll() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return under_way_ == 0; });
}

uint64_t Outstanding::DurableBefore(Clock::time_point moment) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  uint64_t count = 0;
  for (const Done& done : done_) {
    if (done.ended < moment) count += done.count;
  }
  return count;
}

Latencies Outstanding::latencies() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  Latencies latencies;
  for (const Done& done : done_) latencies.Add(done.ended - done.began);
  return latencies;
}

logcore::Submission MakeSubmission(size_t entry_length, size_t piece, uint64_t first) {
  logcore::Submission submission;
  do {
    logcore::AppendFrame(&submission.frames, MakeLine(first + submission.count, entry_length));
    ++submission.count;
  } while (submission.frames.size() + entry_length + logcore::kFrameHeaderLength <= piece);
  return submission;
}

Latencies AppendUntil(logcore::Sequencer* sequencer, size_t entry_length, int threads,
                      Clock::time_point end) {
  std::vector<Latencies> latencies(static_cast<size_t>(threads));
  std::vector<std::thread> started;
  for (size_t i = 0; i < latencies.size(); ++i) {
    started.emplace_back([&, i] {
      const std::string entry = MakeLine(i, entry_length);
      while (Clock::now() < end) {
        const auto began = Clock::now();
        Must(sequencer->Append(entry));
        latencies[i].Add(began);
      }
    });
  }
  for (std::thread& thread : started) thread.join();
  Latencies all;
  for (const Latencies& one : latencies) all.Add(one);
  return all;
}

}  // namespace bench
