#include "logcore/log/sequencer.h"

#include <algorithm>
#include <deque>
#include <new>
#include <utility>

#include "logcore/log/batch.h"
#include "logcore/log/publisher.h"
#include "logcore/log/replay_point_mover.h"
#include "logcore/log/submission_queue.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

template <typename Waitings>
void Refuse(const Waitings& waitings, const Error& error) {
  for (const Waiting& waiting : waitings) {
    if (waiting.submission.on_durable) {
      waiting.submission.on_durable(tl::unexpected<Error>(error));
    }
  }
}

}  // namespace

struct Sequencer::Work {
  std::vector<Waiting> taken;
  Batch batch;

  // Puts all of it into the batch or, without memory, nothing. What is there is not kept twice.
  void Fill() {
    try {
      for (const Waiting& waiting : taken) {
        batch.Append(waiting.submission.frames, waiting.leaf_hashes);
      }
    } catch (const std::bad_alloc&) {
      batch.Clear();
      throw;
    }
    for (Waiting& waiting : taken) {
      std::string().swap(waiting.submission.frames);
      std::vector<Hash>().swap(waiting.leaf_hashes);
    }
  }
};

std::unique_ptr<Sequencer> Sequencer::Start(LogWriter* writer, const SequencerOptions& options) {
  return std::unique_ptr<Sequencer>(new Sequencer(writer, options));
}

Sequencer::Sequencer(LogWriter* writer, const SequencerOptions& options)
    : writer_(writer),
      options_(options),
      publisher_(std::make_unique<Publisher>(writer, options.checkpoint_interval)),
      mover_(std::make_unique<ReplayPointMover>(writer)),
      queue_(std::make_unique<SubmissionQueue>(
          std::min<uint64_t>(options.batch_length, writer->max_batch_length()),
          options.batch_count)),
      work_now_(std::make_unique<Work>()),
      spare_(std::make_unique<Work>()),
      committer_([this] { RunCommitter(); }) {}

Sequencer::~Sequencer() {
  Stop();
}

Sequencer::Ticket Sequencer::Queue(Submission submission) {
  CHECK(0 < submission.count && !submission.frames.empty());
  // Hashed here: the callers are many, and the committing thread has a disk to wait for.
  std::vector<Hash> leaf_hashes(submission.count);
  HashLeafFrames(submission.frames, leaf_hashes);
  std::unique_lock<std::mutex> lock(mutex_);
  const Ticket ticket = ++newest_;
  if (stopped_) {
    const Error error = *stopped_;
    refused_.insert(ticket);
    lock.unlock();
    if (submission.on_durable) submission.on_durable(tl::unexpected<Error>(error));
    lock.lock();
    refused_.erase(ticket);
    const Calls done = NoteProcessedLocked();
    lock.unlock();
    Call(done);
    return ticket;
  }
  queue_->Push({ticket, std::move(submission), std::move(leaf_hashes), nullptr});
  return ticket;
}

void Sequencer::CommitHere() {
  std::unique_lock<std::mutex> lock(mutex_);
  PrepareNextLocked(&lock);
  if (MayCommitLocked()) CommitHereLocked(&lock);
}

Result<uint64_t> Sequencer::Append(std::string_view entry) {
  if (kMaxEntryLength < entry.size()) {
    return Fail(Code::kTooLarge, "append: an entry has at most 65,535 bytes");
  }
  const Hash leaf_hash = HashLeaf(entry);
  std::shared_ptr<Group> group;
  uint64_t place = 0;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    if (stopped_) return tl::unexpected<Error>(*stopped_);
    if (!queue_->AddToGroup(entry, leaf_hash)) {
      queue_->PushGroup(newest_ + 1, entry, leaf_hash);
      ++newest_;
    }
    group = queue_->back().group;
    place = queue_->back().submission.count - 1;
    if (MayCommitLocked()) CommitHereLocked(&lock);
  }
  ASSIGN_OR_RETURN(const uint64_t first_index, group->Wait());
  return first_index + place;
}

bool Sequencer::Cancel(Ticket ticket) {
  std::optional<Waiting> cancelled;  // Destroyed without the lock.
  Calls ready;
  Calls done;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    cancelled = queue_->Remove(ticket);
    if (!cancelled) return false;
    ready = TakeReadyLocked();
    done = NoteProcessedLocked();
  }
  Call(ready);
  Call(done);
  return true;
}

Sequencer::Ticket Sequencer::Newest() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return newest_;
}

void Sequencer::WhenDurable(Ticket ticket, std::function<void()> done) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (FirstUnknownLocked() <= ticket) {
      durable_waiters_.emplace(ticket, std::move(done));
      return;
    }
  }
  done();
}

void Sequencer::WhenPublished(Ticket ticket, std::function<void(const Status&)> done) {
  publisher_->WhenPublished(ticket, std::move(done));
}

bool Sequencer::Idle() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return newest_ < FirstUnknownLocked();
}

bool Sequencer::Full() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return FullLocked();
}

void Sequencer::WhenNotFull(std::function<void()> ready) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (FullLocked() && !stopped_) {
      room_waiters_.push_back(std::move(ready));
      return;
    }
  }
  ready();
}

void Sequencer::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    // From here on nothing is taken in; what was is committed.
    if (!stopped_) stopped_ = Error{Code::kReadOnly, "append: the log is being closed"};
  }
  work_.notify_one();
  if (committer_.joinable()) committer_.join();
  publisher_->Stop();
  mover_->Stop();
}

void Sequencer::Call(const Calls& calls) {
  for (const auto& call : calls) call();
}

Sequencer::Calls Sequencer::TakeReadyLocked() {
  if (FullLocked() && !stopped_) return {};
  return std::exchange(room_waiters_, {});
}

Sequencer::Ticket Sequencer::FirstUnknownLocked() const {
  const Ticket first = FirstTakenInLocked();
  return refused_.empty() ? first : std::min(first, *refused_.begin());
}

Sequencer::Ticket Sequencer::FirstTakenInLocked() const {
  if (committing_) return first_committing_;
  if (next_ != Next::kQueued) return first_prepared_;
  return queue_->empty() ? newest_ + 1 : queue_->front().ticket;
}

Sequencer::Calls Sequencer::NoteProcessedLocked() {
  const Ticket first_unknown = FirstUnknownLocked();
  publisher_->Processed(first_unknown - 1, first_unknown <= newest_);
  Calls done;
  const auto end = durable_waiters_.lower_bound(first_unknown);
  for (auto it = durable_waiters_.begin(); it != end; ++it) done.push_back(std::move(it->second));
  durable_waiters_.erase(durable_waiters_.begin(), end);
  return done;
}

bool Sequencer::MayCommitLocked() const {
  return !committing_ && (next_ == Next::kQueued ? !queue_->empty() : next_ == Next::kPrepared);
}

void Sequencer::RunCommitter() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    work_.wait(lock, [this] {
      return MayCommitLocked() || (stopping_ && !committing_ && next_ == Next::kQueued);
    });
    if (!MayCommitLocked()) return;
    CommitLocked(&lock);
  }
}

void Sequencer::CommitHereLocked(std::unique_lock<std::mutex>* lock) {
  CommitLocked(lock);
  if (stopping_ || MayCommitLocked()) work_.notify_one();
}

void Sequencer::PrepareNextLocked(std::unique_lock<std::mutex>* lock) noexcept {
  if (!flushing_ || next_ != Next::kQueued || !queue_->HasFullBatch()) return;
  Work* const work = spare_.get();
  work->taken = queue_->TakeBatch();
  first_prepared_ = work->taken.front().ticket;
  next_ = Next::kBeingPrepared;
  lock->unlock();
  try {
    work->Fill();
    writer_->Prepare(&work->batch);
  } catch (const std::bad_alloc&) {
    // Who commits prepares it, and fills it if it is empty.
  }
  lock->lock();
  next_ = Next::kPrepared;
}

void Sequencer::CommitLocked(std::unique_lock<std::mutex>* lock) noexcept {
  if (std::exchange(next_, Next::kQueued) == Next::kPrepared) {
    work_now_.swap(spare_);
  } else {
    work_now_->taken = queue_->TakeBatch();
  }
  Work* const work = work_now_.get();
  committing_ = true;
  first_committing_ = work->taken.front().ticket;
  const Calls ready = TakeReadyLocked();
  lock->unlock();
  Call(ready);
  if (work->batch.count() == 0) work->Fill();
  CommitAndAnswer(work);
  work->taken = {};
  work->batch.Clear();
  lock->lock();
  committing_ = flushing_ = false;
  const Calls done = NoteProcessedLocked();
  lock->unlock();
  Call(done);
  mover_->Committed();
  lock->lock();
}

void Sequencer::CommitAndAnswer(Work* work) {
  const std::vector<Waiting>& taken = work->taken;
  const Result<Committed> committed = writer_->Commit(&work->batch, [this] {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      flushing_ = true;
    }
    publisher_->Presign();
  });
  if (!committed.has_value()) {
    const Error error = ReasonOf(committed.error());
    NoteFailure(error);
    Refuse(taken, error);
    return;
  }
  publisher_->Committed();
  uint64_t done = 0;
  for (const Waiting& waiting : taken) {
    const Submission& submission = waiting.submission;
    if (submission.on_durable) {
      submission.on_durable(
          Appended{.first_index = committed->first_index + done,
                   .leaf_hashes = committed->leaf_hashes.subspan(done, submission.count),
                   .ticket = waiting.ticket});
    }
    done += submission.count;
  }
}

Error Sequencer::ReasonOf(const Error& error) {
  if (error.code != Code::kReadOnly) return error;
  return mover_->Failure().value_or(error);
}

void Sequencer::NoteFailure(const Error& error) {
  if (IsOfOneAppend(error.code)) return;
  std::deque<Waiting> refused;
  Calls ready;
  const Error stopped{Code::kReadOnly, "append: the log stopped: " + error.message};
  bool first = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    first = !stopped_;
    if (first) stopped_ = stopped;
    refused = queue_->TakeAll();
    ready = TakeReadyLocked();
  }
  if (first && options_.on_stopped) options_.on_stopped(error);
  Refuse(refused, stopped);
  Call(ready);
}

Sequencer::Ticket Sequencer::Submit(Submission submission) {
  const Ticket ticket = Queue(std::move(submission));
  {
    std::unique_lock<std::mutex> lock(mutex_);
    PrepareNextLocked(&lock);
  }
  work_.notify_one();
  return ticket;
}

uint64_t Sequencer::max_batch_length() const {
  return writer_->max_batch_length();
}

bool Sequencer::publishes_at_once() const {
  return options_.checkpoint_interval.count() == 0;
}

bool Sequencer::FullLocked() const {
  return options_.queue_length <= queue_->length();
}

}  // namespace logcore
