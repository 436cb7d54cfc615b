#include "creator.h"

#include <algorithm>

#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/check.h"

namespace leafcreator {
namespace {

using logcore::Appended;
using logcore::Result;
using logcore::Sequencer;
using logcore::Status;
using logcore::Submission;

constexpr uint64_t kBatchLength = 1 << 20;   // bytes, at most: one record of the journal
constexpr size_t kQueueLength = 8 << 20;     // bytes
constexpr std::chrono::seconds kLongest{1};  // that the thread sleeps, with nothing to do

uint64_t FrameLength(const Load& load) {
  return logcore::kFrameHeaderLength + load.leaf_size;
}

}  // namespace

Status Creator::Check(const logcore::LogWriter& store, const Load& load) {
  const uint64_t most = store.max_batch_length();
  if (FrameLength(load) <= most) return {};
  return logcore::Fail(logcore::Code::kInvalid,
                       "its journal is too small for leaves of " + std::to_string(load.leaf_size) +
                           " bytes: it takes " +
                           std::to_string(most - logcore::kFrameHeaderLength) + " at most");
}

Creator::Creator(logcore::LogWriter* store, const Load& load, uint64_t instance)
    : load_(load),
      max_batch_length_(std::min(kBatchLength, store->max_batch_length())),
      sequencer_(Sequencer::Start(store, {.queue_length = kQueueLength})),
      leaves_(instance, load.leaf_size),
      next_number_(load.num_writers) {
  CHECK(FrameLength(load_) <= max_batch_length_);
}

Creator::~Creator() {
  Stop();
}

void Creator::Start() {
  start_ = Clock::now();
  for (uint32_t writer = 0; writer < load_.num_writers; ++writer) {
    due_.emplace(WhenDue(writer), writer);
  }
  thread_ = std::thread([this] { Run(); });
}

void Creator::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
  sequencer_->Stop();
}

Latency Creator::latency() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return latency_;
}

Status Creator::status() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (error_) return tl::unexpected<logcore::Error>(*error_);
  return {};
}

void Creator::Run() {
  auto moment = start_;
  while (WaitUntil(moment)) {
    Gather();
    const bool may_go = IsFull() || (none_under_way_ && !batch_.writers.empty());
    if (may_go && !sequencer_->Full()) {
      Submit();
      moment = start_;  // There may be more.
    } else if (IsFull() || due_.empty()) {
      moment = Clock::now() + kLongest;  // Until some return.
    } else {
      moment = std::min(due_.top().first, Clock::now() + kLongest);
    }
  }
}

bool Creator::WaitUntil(Clock::time_point moment) {
  std::vector<uint32_t> returned;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_until(lock, moment, [this] { return stopping_ || error_ || !returned_.empty(); });
    if (stopping_ || error_) return false;
    returned.swap(returned_);
    none_under_way_ = under_way_ == 0;
  }
  for (const uint32_t writer : returned) due_.emplace(WhenDue(writer), writer);
  return true;
}

// Into the batch, whoever is due, until it is full.
void Creator::Gather() {
  const Clock::time_point now = Clock::now();
  while (!IsFull() && !due_.empty() && due_.top().first <= now) {
    const uint32_t writer = due_.top().second;
    due_.pop();
    leaves_.AppendFrame(writer, next_number_[writer]++, &batch_.frames);
    batch_.writers.push_back(writer);
    batch_.since.push_back(now);
  }
}

bool Creator::IsFull() const {
  return load_.batch_size <= batch_.writers.size() ||
         max_batch_length_ < batch_.frames.size() + FrameLength(load_);
}

void Creator::Submit() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++under_way_;
  }
  none_under_way_ = false;
  Submission submission{
      .frames = std::move(batch_.frames), .count = batch_.writers.size(), .on_durable = {}};
  const auto batch = std::make_shared<const Batch>(std::exchange(batch_, {}));
  submission.on_durable = [this, batch](const Result<Appended>& appended) {
    OnDurable(*batch, appended);
  };
  sequencer_->Submit(std::move(submission));
}

void Creator::OnDurable(const Batch& batch, const Result<Appended>& appended) {
  const Clock::time_point now = Clock::now();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    --under_way_;
    if (appended.has_value()) {
      for (const Clock::time_point since : batch.since) latency_.Add(now - since);
      returned_.insert(returned_.end(), batch.writers.begin(), batch.writers.end());
    } else if (!error_) {
      error_ = appended.error();
    }
  }
  changed_.notify_one();
}

Creator::Clock::time_point Creator::WhenDue(uint32_t writer) const {
  if (load_.leaves_per_second == 0) return Clock::now();
  const double leaves = static_cast<double>(next_number_[writer]) +
                        static_cast<double>(writer) / static_cast<double>(load_.num_writers);
  const std::chrono::duration<double> after(leaves / static_cast<double>(load_.leaves_per_second));
  return start_ + std::chrono::duration_cast<Clock::duration>(after);
}

}  // namespace leafcreator
