#include "logcore/log/submission_queue.h"

#include <algorithm>
#include <utility>

#include "logcore/tlog/entry_bundle.h"

namespace logcore {

void Group::Answer(const Result<Appended>& appended) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (appended.has_value()) {
      first_index_ = appended->first_index;
    } else {
      first_index_ = tl::unexpected<Error>(appended.error());
    }
  }
  answered_.notify_all();
}

Result<uint64_t> Group::Wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  answered_.wait(lock, [this] { return first_index_.has_value(); });
  return *first_index_;
}

bool SubmissionQueue::HasFullBatch() const {
  return !queue_.empty() && (batch_length_ - batch_length_ / 8 <= frames_length_ ||
                             batch_count_ - batch_count_ / 8 <= count_);
}

void SubmissionQueue::Push(Waiting waiting) {
  queue_.push_back(std::move(waiting));
  length_ += queue_.back().length();
  frames_length_ += queue_.back().submission.frames.size();
  count_ += queue_.back().submission.count;
}

bool SubmissionQueue::AddToGroup(std::string_view entry, const Hash& leaf_hash) {
  const size_t more = kFrameHeaderLength + entry.size();
  if (queue_.empty() || queue_.back().group == nullptr) return false;
  Waiting& last = queue_.back();
  std::string& frames = last.submission.frames;
  if (batch_length_ < frames.size() + more || batch_count_ <= last.submission.count) return false;
  // All or nothing, if there is no memory.
  frames.reserve(frames.size() + more);
  last.leaf_hashes.push_back(leaf_hash);
  AppendFrame(&frames, entry);
  ++last.submission.count;
  length_ += more + sizeof(Hash);
  frames_length_ += more;
  ++count_;
  return true;
}

void SubmissionQueue::PushGroup(Sequencer::Ticket ticket, std::string_view entry,
                                const Hash& leaf_hash) {
  Waiting waiting;
  waiting.ticket = ticket;
  waiting.submission.count = 1;
  waiting.leaf_hashes = {leaf_hash};
  waiting.group = std::make_shared<Group>();
  waiting.submission.on_durable = [group = waiting.group](const Result<Appended>& appended) {
    group->Answer(appended);
  };
  AppendFrame(&waiting.submission.frames, entry);
  Push(std::move(waiting));
}

std::optional<Waiting> SubmissionQueue::Remove(Sequencer::Ticket ticket) {
  const auto found = std::lower_bound(
      queue_.begin(), queue_.end(), ticket,
      [](const Waiting& waiting, Sequencer::Ticket t) { return waiting.ticket < t; });
  if (found == queue_.end() || found->ticket != ticket) return std::nullopt;
  std::optional<Waiting> removed = std::move(*found);
  queue_.erase(found);
  length_ -= removed->length();
  frames_length_ -= removed->submission.frames.size();
  count_ -= removed->submission.count;
  return removed;
}

std::vector<Waiting> SubmissionQueue::TakeBatch() {
  std::vector<Waiting> taken;
  uint64_t length = 0;
  uint64_t count = 0;
  while (!queue_.empty()) {
    const Submission& next = queue_.front().submission;
    if (!taken.empty() &&
        (batch_length_ < length + next.frames.size() || batch_count_ < count + next.count)) {
      break;
    }
    length += next.frames.size();
    count += next.count;
    length_ -= queue_.front().length();
    taken.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  frames_length_ -= length;
  count_ -= count;
  return taken;
}

std::deque<Waiting> SubmissionQueue::TakeAll() {
  length_ = frames_length_ = count_ = 0;
  return std::exchange(queue_, {});
}

}  // namespace logcore
