#include "logcore/log/sequencer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "logcore/log/journal_freer.h"
#include "logcore/log/publisher.h"
#include "logcore/log/submission_queue.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/check.h"

namespace logcore {

class Sequencer::Impl {
 public:
  Impl(Store* store, const SequencerOptions& options)
      : store_(store),
        options_(options),
        publisher_(store, options.checkpoint_interval),
        freer_(store),
        queue_(std::min<uint64_t>(options.batch_length, store->max_batch_length()),
               options.batch_count),
        committer_([this] { RunCommitter(); }) {}

  Ticket Queue(Submission submission) {
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
    queue_.Push({ticket, std::move(submission), std::move(leaf_hashes), nullptr});
    return ticket;
  }

  void CommitHere() {
    std::unique_lock<std::mutex> lock(mutex_);
    PrepareNextLocked(&lock);
    if (MayCommitLocked()) CommitHereLocked(&lock);
  }

  void CommitElsewhere() {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      PrepareNextLocked(&lock);
    }
    work_.notify_one();
  }

  Result<uint64_t> Append(std::string_view entry) {
    const Hash leaf_hash = HashLeaf(entry);
    std::shared_ptr<Group> group;
    uint64_t place = 0;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (stopped_) return tl::unexpected<Error>(*stopped_);
      if (!queue_.AddToGroup(entry, leaf_hash)) {
        queue_.PushGroup(newest_ + 1, entry, leaf_hash);
        ++newest_;
      }
      group = queue_.back().group;
      place = queue_.back().submission.count - 1;
      if (MayCommitLocked()) CommitHereLocked(&lock);
    }
    ASSIGN_OR_RETURN(const uint64_t first_index, group->Wait());
    return first_index + place;
  }

  bool Cancel(Ticket ticket) {
    std::optional<Waiting> cancelled;  // Destroyed without the lock.
    Calls ready;
    Calls done;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      cancelled = queue_.Remove(ticket);
      if (!cancelled) return false;
      ready = TakeReadyLocked();
      done = NoteProcessedLocked();
    }
    Call(ready);
    Call(done);
    return true;
  }

  Ticket Newest() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return newest_;
  }

  void WhenDurable(Ticket ticket, std::function<void()> done) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (FirstUnknownLocked() <= ticket) {
        durable_waiters_.emplace(ticket, std::move(done));
        return;
      }
    }
    done();
  }

  void WhenPublished(Ticket ticket, std::function<void(const Status&)> done) {
    publisher_.WhenPublished(ticket, std::move(done));
  }

  uint64_t max_batch_length() const { return store_->max_batch_length(); }
  bool publishes_at_once() const { return options_.checkpoint_interval.count() == 0; }

  bool Idle() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return newest_ < FirstUnknownLocked();
  }

  bool Full() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return FullLocked();
  }

  void WhenNotFull(std::function<void()> ready) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (FullLocked() && !stopped_) {
        room_waiters_.push_back(std::move(ready));
        return;
      }
    }
    ready();
  }

  void Stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
      // From here on nothing is taken in; what was is committed.
      if (!stopped_) stopped_ = Error{Code::kReadOnly, "append: the log is being closed"};
    }
    work_.notify_one();
    if (committer_.joinable()) committer_.join();
    publisher_.Stop();
    freer_.Stop();
  }

 private:
  // What goes into one record.
  struct Work {
    std::vector<Waiting> taken;
    Batch batch;
  };
  using Calls = std::vector<std::function<void()>>;
  // Of the next one, if it is not simply in the queue.
  enum class Next { kQueued, kBeingPrepared, kPrepared };

  bool FullLocked() const { return options_.queue_length <= queue_.length(); }

  static void Call(const Calls& calls) {
    for (const auto& call : calls) call();
  }

  Calls TakeReadyLocked() {
    if (FullLocked() && !stopped_) return {};
    return std::exchange(room_waiters_, {});
  }

  // The oldest ticket of which it is not known what became of it, or not yet said.
  Ticket FirstUnknownLocked() const {
    const Ticket first = FirstTakenInLocked();
    return refused_.empty() ? first : std::min(first, *refused_.begin());
  }
  // The same of those that were taken in.
  Ticket FirstTakenInLocked() const {
    if (committing_) return first_committing_;
    if (next_ != Next::kQueued) return first_prepared_;
    return queue_.empty() ? newest_ + 1 : queue_.front().ticket;
  }

  // To be called without the lock: those who waited for what is known by now.
  Calls NoteProcessedLocked() {
    const Ticket first_unknown = FirstUnknownLocked();
    publisher_.Processed(first_unknown - 1, first_unknown <= newest_);
    Calls done;
    const auto end = durable_waiters_.lower_bound(first_unknown);
    for (auto it = durable_waiters_.begin(); it != end; ++it) done.push_back(std::move(it->second));
    durable_waiters_.erase(durable_waiters_.begin(), end);
    return done;
  }

  // Whether there is something to commit, and nobody at it.
  bool MayCommitLocked() const {
    return !committing_ && (next_ == Next::kQueued ? !queue_.empty() : next_ == Next::kPrepared);
  }

  void RunCommitter() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      work_.wait(lock, [this] {
        return MayCommitLocked() || (stopping_ && !committing_ && next_ == Next::kQueued);
      });
      if (!MayCommitLocked()) return;
      CommitLocked(&lock);
    }
  }

  // One batch; the committing thread has the rest.
  void CommitHereLocked(std::unique_lock<std::mutex>* lock) {
    CommitLocked(lock);
    if (stopping_ || MayCommitLocked()) work_.notify_one();
  }

  // A full batch, while the one before it is being flushed. Without the lock; what is to be
  // committed next is decided from here on. Who is to hear that there is room again hears it when
  // that is committed. Without memory for what was taken it ends the program, as CommitLocked does.
  void PrepareNextLocked(std::unique_lock<std::mutex>* lock) noexcept {
    if (!flushing_ || next_ != Next::kQueued || !queue_.HasFullBatch()) return;
    Work* const work = spare_.get();
    work->taken = queue_.TakeBatch();
    first_prepared_ = work->taken.front().ticket;
    next_ = Next::kBeingPrepared;
    lock->unlock();
    try {
      Fill(work);
      store_->Prepare(&work->batch);
    } catch (const std::bad_alloc&) {
      // Who commits prepares it, and fills it if it is empty.
    }
    lock->lock();
    next_ = Next::kPrepared;
  }

  // All of it or, without memory, nothing. What is in the batch is not kept twice.
  static void Fill(Work* work) {
    try {
      for (const Waiting& waiting : work->taken) {
        work->batch.Append(waiting.submission.frames, waiting.leaf_hashes);
      }
    } catch (const std::bad_alloc&) {
      work->batch.Clear();
      throw;
    }
    for (Waiting& waiting : work->taken) {
      std::string().swap(waiting.submission.frames);
      std::vector<Hash>().swap(waiting.leaf_hashes);
    }
  }

  // Without the lock while it commits; nobody else does meanwhile. Without memory it ends the
  // program, as a power cut would: nobody could be told what was added.
  void CommitLocked(std::unique_lock<std::mutex>* lock) noexcept {
    if (std::exchange(next_, Next::kQueued) == Next::kPrepared) {
      work_now_.swap(spare_);
    } else {
      work_now_->taken = queue_.TakeBatch();
    }
    Work* const work = work_now_.get();
    committing_ = true;
    first_committing_ = work->taken.front().ticket;
    const Calls ready = TakeReadyLocked();
    lock->unlock();
    Call(ready);
    if (work->batch.count() == 0) Fill(work);
    CommitAndAnswer(work);
    work->taken = {};
    work->batch.Clear();
    lock->lock();
    committing_ = flushing_ = false;
    const Calls done = NoteProcessedLocked();
    lock->unlock();
    Call(done);
    freer_.Committed();
    lock->lock();
  }

  void CommitAndAnswer(Work* work) {
    const std::vector<Waiting>& taken = work->taken;
    const Result<Committed> committed = store_->Commit(&work->batch, [this] {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        flushing_ = true;
      }
      publisher_.Presign();
    });
    if (!committed.has_value()) {
      const Error error = ReasonOf(committed.error());
      NoteFailure(error);
      Refuse(taken, error);
      return;
    }
    publisher_.Committed();
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

  template <typename Waitings>
  static void Refuse(const Waitings& waitings, const Error& error) {
    for (const Waiting& waiting : waitings) {
      if (waiting.submission.on_durable) {
        waiting.submission.on_durable(tl::unexpected<Error>(error));
      }
    }
  }

  // The first append that finds the log stopped by a failure in the background hears of that.
  Error ReasonOf(const Error& error) {
    if (error.code != Code::kReadOnly) return error;
    return freer_.Failure().value_or(error);
  }

  // An error that is not of one append ends appending.
  void NoteFailure(const Error& error) {
    if (IsOfOneAppend(error.code)) return;
    std::deque<Waiting> refused;
    Calls ready;
    const Error stopped{Code::kReadOnly, "append: the log stopped: " + error.message};
    bool first = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      first = !stopped_;
      if (first) stopped_ = stopped;
      refused = queue_.TakeAll();
      ready = TakeReadyLocked();
    }
    if (first && options_.on_stopped) options_.on_stopped(error);
    Refuse(refused, stopped);
    Call(ready);
  }

  Store* const store_;
  const SequencerOptions options_;
  Publisher publisher_;
  JournalFreer freer_;

  mutable std::mutex mutex_;      // Guards all below. Nothing is called under it but publisher_.
  std::condition_variable work_;  // for the committing thread: there is something to do, or no more
  SubmissionQueue queue_;
  Ticket newest_ = 0;
  bool committing_ = false;      // A thread is, and uses work_now_.
  bool flushing_ = false;        // It knows the log's head, and has not answered everybody.
  Ticket first_committing_ = 0;  // of the batch that is being committed
  Next next_ = Next::kQueued;
  Ticket first_prepared_ = 0;  // of the next batch, if it is prepared or being so
  bool stopping_ = false;
  std::optional<Error> stopped_;  // what new submissions are told
  std::set<Ticket> refused_;      // that are being told
  Calls room_waiters_;
  std::multimap<Ticket, std::function<void()>> durable_waiters_;
  std::unique_ptr<Work> work_now_ = std::make_unique<Work>();  // of who commits
  std::unique_ptr<Work> spare_ = std::make_unique<Work>();     // of who prepares the next one

  std::thread committer_;
};

std::unique_ptr<Sequencer> Sequencer::Start(Store* store, const SequencerOptions& options) {
  return std::unique_ptr<Sequencer>(new Sequencer(std::make_unique<Impl>(store, options)));
}

Sequencer::Sequencer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sequencer::~Sequencer() {
  impl_->Stop();
}

Sequencer::Ticket Sequencer::Queue(Submission submission) {
  return impl_->Queue(std::move(submission));
}
void Sequencer::CommitHere() {
  impl_->CommitHere();
}
Sequencer::Ticket Sequencer::Submit(Submission submission) {
  const Ticket ticket = impl_->Queue(std::move(submission));
  impl_->CommitElsewhere();
  return ticket;
}
bool Sequencer::Cancel(Ticket ticket) {
  return impl_->Cancel(ticket);
}
Sequencer::Ticket Sequencer::Newest() const {
  return impl_->Newest();
}
void Sequencer::WhenDurable(Ticket ticket, std::function<void()> done) {
  impl_->WhenDurable(ticket, std::move(done));
}
void Sequencer::WhenPublished(Ticket ticket, std::function<void(const Status&)> done) {
  impl_->WhenPublished(ticket, std::move(done));
}
uint64_t Sequencer::max_batch_length() const {
  return impl_->max_batch_length();
}
bool Sequencer::publishes_at_once() const {
  return impl_->publishes_at_once();
}
bool Sequencer::Idle() const {
  return impl_->Idle();
}
bool Sequencer::Full() const {
  return impl_->Full();
}
void Sequencer::WhenNotFull(std::function<void()> ready) {
  impl_->WhenNotFull(std::move(ready));
}
void Sequencer::Stop() {
  impl_->Stop();
}

Result<uint64_t> Sequencer::Append(std::string_view entry) {
  if (kMaxEntryLength < entry.size()) {
    return Fail(Code::kTooLarge, "append: an entry has at most 65,535 bytes");
  }
  return impl_->Append(entry);
}

}  // namespace logcore
