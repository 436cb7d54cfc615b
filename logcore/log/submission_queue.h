// SubmissionQueue: what waits to be committed, in the order of the log. Part of Sequencer
// (sequencer.h), whose mutex guards it, whichever thread holds that. Tested by
// tests/logcore/log/sequencer_test.cc and prepare_test.cc.

#ifndef LOGCORE_LOG_SUBMISSION_QUEUE_H_
#define LOGCORE_LOG_SUBMISSION_QUEUE_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "logcore/log/sequencer.h"
#include "logcore/tlog/hash.h"
#include "logcore/util/result.h"

namespace logcore {

// Entries of Sequencer::Append that travel together, and what all who wait for them will be told.
// Any thread.
class Group {
 public:
  void Answer(const Result<Appended>& appended);
  Result<uint64_t> Wait();  // the first one's index

 private:
  std::mutex mutex_;
  std::condition_variable answered_;
  std::optional<Result<uint64_t>> first_index_;
};

struct Waiting {
  Sequencer::Ticket ticket = 0;
  Submission submission;
  std::vector<Hash> leaf_hashes;
  std::shared_ptr<Group> group;  // of Append: more may be added while it is the last one
  // Bytes that it holds in memory: a short entry's hash is longer than the entry, and what all the
  // rest takes, with those who wait for it, is longer than both.
  size_t length() const {
    return submission.frames.size() + leaf_hashes.size() * sizeof(Hash) + kOtherLength;
  }
  static constexpr size_t kOtherLength = 512;
};

class SubmissionQueue {
 public:
  // Bytes of frames in one record, and how many.
  SubmissionQueue(uint64_t batch_length, uint64_t batch_count)
      : batch_length_(batch_length), batch_count_(batch_count) {}

  bool empty() const { return queue_.empty(); }
  const Waiting& front() const { return queue_.front(); }
  // Bytes in memory.
  uint64_t length() const { return length_; }
  // Whether the next batch is full but for an eighth.
  bool HasFullBatch() const;

  void Push(Waiting waiting);
  // Adds one to the group that is last; false if none is, or none with room for it. The group is
  // then that of the last submission, and the entry the last one of that.
  bool AddToGroup(std::string_view entry, const Hash& leaf_hash);
  void PushGroup(Sequencer::Ticket ticket, std::string_view entry, const Hash& leaf_hash);
  const Waiting& back() const { return queue_.back(); }

  // Takes one out that still waits.
  std::optional<Waiting> Remove(Sequencer::Ticket ticket);
  // Takes what goes into one record: at least one submission, and as many as fit.
  std::vector<Waiting> TakeBatch();
  std::deque<Waiting> TakeAll();

 private:
  const uint64_t batch_length_;
  const uint64_t batch_count_;
  std::deque<Waiting> queue_;
  uint64_t length_ = 0;
  uint64_t frames_length_ = 0;
  uint64_t count_ = 0;
};

}  // namespace logcore

#endif  // LOGCORE_LOG_SUBMISSION_QUEUE_H_
