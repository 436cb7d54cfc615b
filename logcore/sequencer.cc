#include "logcore/sequencer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "logcore/check.h"
#include "logcore/entry_bundle.h"
#include "logcore/journal_freer.h"
#include "logcore/publisher.h"

namespace logcore {
namespace {

// Entries of Append that travel together, and what all who wait for them will be told.
class Group {
 public:
  void Answer(const Result<Appended>& appended) {
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
  Result<uint64_t> Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    answered_.wait(lock, [this] { return first_index_.has_value(); });
    return *first_index_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable answered_;
  std::optional<Result<uint64_t>> first_index_;
};

}  // namespace

class Sequencer::Impl {
 public:
  Impl(Store* store, const SequencerOptions& options)
      : store_(store),
        options_(options),
        batch_length_(std::min<uint64_t>(options.batch_length, store->max_batch_length())),
        publisher_(store, options.checkpoint_interval),
        freer_(store),
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
      NoteProcessedLocked();
      lock.unlock();
      if (submission.on_durable) submission.on_durable(tl::unexpected<Error>(error));
      return ticket;
    }
    queue_.push_back({ticket, std::move(submission), std::move(leaf_hashes), nullptr});
    queued_length_ += queue_.back().length();
    return ticket;
  }

  void WakeCommitter() { work_.notify_one(); }

  void CommitHere() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!committing_ && !queue_.empty()) CommitHereLocked(&lock);
  }

  Result<uint64_t> Append(std::string_view entry) {
    const Hash leaf_hash = HashLeaf(entry);
    std::shared_ptr<Group> group;
    uint64_t place = 0;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (stopped_) return tl::unexpected<Error>(*stopped_);
      if (queue_.empty() || !HasRoomFor(entry, queue_.back())) {
        Waiting waiting = NewGroup();
        AddEntry(entry, leaf_hash, &waiting);
        queue_.push_back(std::move(waiting));
        queue_.back().ticket = ++newest_;
        queued_length_ += queue_.back().length();
      } else {
        queued_length_ += AddEntry(entry, leaf_hash, &queue_.back());
      }
      group = queue_.back().group;
      place = queue_.back().submission.count - 1;
      if (!committing_) CommitHereLocked(&lock);
    }
    ASSIGN_OR_RETURN(const uint64_t first_index, group->Wait());
    return first_index + place;
  }

  bool Cancel(Ticket ticket) {
    Waiting cancelled;  // Destroyed without the lock.
    std::vector<std::function<void()>> ready;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found =
          std::lower_bound(queue_.begin(), queue_.end(), ticket,
                           [](const Waiting& waiting, Ticket t) { return waiting.ticket < t; });
      if (found == queue_.end() || found->ticket != ticket) return false;
      cancelled = std::move(*found);
      queued_length_ -= cancelled.length();
      queue_.erase(found);
      ready = TakeReadyLocked();
      NoteProcessedLocked();
    }
    for (const auto& call : ready) call();
    return true;
  }

  Ticket Newest() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return newest_;
  }

  void WhenPublished(Ticket ticket, std::function<void(const Status&)> done) {
    publisher_.WhenPublished(ticket, std::move(done));
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
  struct Waiting {
    Ticket ticket = 0;
    Submission submission;
    std::vector<Hash> leaf_hashes;
    std::shared_ptr<Group> group;  // of Append: more may be added while it is the last one
    // Of what it holds in memory: a short entry's hash is longer than the entry.
    size_t length() const { return submission.frames.size() + leaf_hashes.size() * sizeof(Hash); }
  };

  bool FullLocked() const { return options_.queue_length <= queued_length_; }

  std::vector<std::function<void()>> TakeReadyLocked() {
    if (FullLocked() && !stopped_) return {};
    return std::exchange(room_waiters_, {});
  }

  // Up to the newest ticket of which it is known, as of all before it, what became of it.
  void NoteProcessedLocked() {
    const Ticket first_unknown = committing_       ? first_committing_
                                 : !queue_.empty() ? queue_.front().ticket
                                                   : newest_ + 1;
    publisher_.Processed(first_unknown - 1, committing_ || !queue_.empty());
  }

  static Waiting NewGroup() {
    Waiting waiting;
    waiting.group = std::make_shared<Group>();
    waiting.submission.on_durable = [group = waiting.group](const Result<Appended>& appended) {
      group->Answer(appended);
    };
    return waiting;
  }

  bool HasRoomFor(std::string_view entry, const Waiting& waiting) const {
    return waiting.group != nullptr &&
           waiting.submission.frames.size() + kFrameHeaderLength + entry.size() <= batch_length_;
  }

  // Returns how much longer it is. All or nothing, if there is no memory.
  static size_t AddEntry(std::string_view entry, const Hash& leaf_hash, Waiting* waiting) {
    const size_t before = waiting->length();
    std::string& frames = waiting->submission.frames;
    frames.reserve(frames.size() + kFrameHeaderLength + entry.size());
    waiting->leaf_hashes.push_back(leaf_hash);
    AppendFrame(&frames, entry);
    ++waiting->submission.count;
    return waiting->length() - before;
  }

  // Takes what goes into one record: at least one submission, and as many as fit.
  std::vector<Waiting> TakeBatchLocked() {
    std::vector<Waiting> taken;
    uint64_t length = 0;
    while (!queue_.empty()) {
      const uint64_t next = queue_.front().submission.frames.size();
      if (!taken.empty() && batch_length_ < length + next) break;
      length += next;
      queued_length_ -= queue_.front().length();
      taken.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    return taken;
  }

  void RunCommitter() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      work_.wait(lock, [this] { return !committing_ && (stopping_ || !queue_.empty()); });
      if (queue_.empty()) return;
      CommitLocked(&lock);
    }
  }

  // One batch; the committing thread has the rest.
  void CommitHereLocked(std::unique_lock<std::mutex>* lock) {
    CommitLocked(lock);
    if (stopping_ || !queue_.empty()) work_.notify_one();
  }

  // Without the lock while it commits; nobody else does meanwhile.
  void CommitLocked(std::unique_lock<std::mutex>* lock) {
    const std::vector<Waiting> taken = TakeBatchLocked();
    committing_ = true;
    first_committing_ = taken.front().ticket;
    const std::vector<std::function<void()>> ready = TakeReadyLocked();
    lock->unlock();
    for (const auto& call : ready) call();
    CommitAndAnswer(taken);
    lock->lock();
    committing_ = false;
    NoteProcessedLocked();
    lock->unlock();
    freer_.Look();
    lock->lock();
  }

  // Without memory it ends the program, as a power cut would: nobody could be told what was added.
  void CommitAndAnswer(const std::vector<Waiting>& taken) noexcept {
    batch_.Clear();
    for (const Waiting& waiting : taken) {
      batch_.Append(waiting.submission.frames, waiting.leaf_hashes);
    }
    const Result<Committed> committed = store_->Commit(&batch_, [this] { publisher_.Presign(); });
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
        submission.on_durable(Appended{committed->first_index + done,
                                       committed->leaf_hashes.subspan(done, submission.count)});
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

  // A full disk or an entry too large fails what it fails; anything else ends appending.
  void NoteFailure(const Error& error) {
    if (error.code == Code::kNoSpace || error.code == Code::kTooLarge) return;
    std::deque<Waiting> refused;
    std::vector<std::function<void()>> ready;
    const Error stopped{Code::kReadOnly, "append: the log stopped: " + error.message};
    bool first = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      first = !stopped_;
      if (first) stopped_ = stopped;
      refused.swap(queue_);
      queued_length_ = 0;
      ready = TakeReadyLocked();
    }
    if (first && options_.on_stopped) options_.on_stopped(error);
    Refuse(refused, stopped);
    for (const auto& call : ready) call();
  }

  Store* const store_;
  const SequencerOptions options_;
  const uint64_t batch_length_;
  Publisher publisher_;
  JournalFreer freer_;

  mutable std::mutex mutex_;      // Guards all below. Nothing is called under it but publisher_.
  std::condition_variable work_;  // for the committing thread: committing_, queue_, stopping_
  std::deque<Waiting> queue_;
  uint64_t queued_length_ = 0;  // bytes
  Ticket newest_ = 0;
  bool committing_ = false;      // A thread is, and uses batch_.
  Ticket first_committing_ = 0;  // of the batch that is being committed
  bool stopping_ = false;
  std::optional<Error> stopped_;  // what new submissions are told
  std::vector<std::function<void()>> room_waiters_;
  Batch batch_;  // of who commits

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
  impl_->WakeCommitter();
  return ticket;
}
bool Sequencer::Cancel(Ticket ticket) {
  return impl_->Cancel(ticket);
}
Sequencer::Ticket Sequencer::Newest() const {
  return impl_->Newest();
}
void Sequencer::WhenPublished(Ticket ticket, std::function<void(const Status&)> done) {
  impl_->WhenPublished(ticket, std::move(done));
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
