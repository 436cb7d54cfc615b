#include "logcore/sequencer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "logcore/check.h"
#include "logcore/entry_bundle.h"

namespace logcore {
namespace {

using Clock = std::chrono::steady_clock;

// From this much of the journal in use on, it is freed in the background, so that no commit has to.
constexpr double kJournalUseToFree = 0.25;
// How often an idle process looks whether another one died before it published.
constexpr std::chrono::seconds kIdlePublishInterval{1};

}  // namespace

class Sequencer::Impl {
 public:
  Impl(Store* store, const SequencerOptions& options)
      : store_(store),
        options_(options),
        batch_length_(std::min<uint64_t>(options.batch_length, store->max_batch_length())) {
    committer_ = std::thread([this] { RunCommitter(); });
    publisher_ = std::thread([this] { RunPublisher(); });
    freer_ = std::thread([this] { RunFreer(); });
  }

  Ticket Submit(Submission submission) {
    CHECK(0 < submission.count && !submission.frames.empty());
    // Hashed here: the callers are many, and the committing thread has a disk to wait for.
    std::vector<Hash> leaf_hashes(submission.count);
    HashLeafFrames(submission.frames, leaf_hashes);
    std::unique_lock<std::mutex> lock(mutex_);
    const Ticket ticket = ++newest_;
    if (stopped_) {
      const Error error = *stopped_;
      lock.unlock();
      if (submission.on_durable) submission.on_durable(tl::unexpected<Error>(error));
      return ticket;
    }
    queue_.push_back({ticket, std::move(submission), std::move(leaf_hashes)});
    queued_length_ += queue_.back().length();
    lock.unlock();
    work_.notify_one();
    return ticket;
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
    }
    processed_.notify_one();
    for (const auto& call : ready) call();
    return true;
  }

  Ticket Newest() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return newest_;
  }

  void WhenPublished(Ticket ticket, std::function<void(const Status&)> done) {
    Status status;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (published_ < ticket && !publisher_done_) {
        publication_waiters_.emplace(ticket, std::move(done));
        tried_ = published_;  // If the last publication failed, this asks for another one.
        processed_.notify_one();
        return;
      }
      if (published_ < ticket) status = last_publication_;
    }
    done(status);
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
    work_.notify_all();
    if (committer_.joinable()) committer_.join();
    processed_.notify_all();
    if (publisher_.joinable()) publisher_.join();
    free_.notify_all();
    if (freer_.joinable()) freer_.join();
  }

 private:
  struct Waiting {
    Ticket ticket = 0;
    Submission submission;
    std::vector<Hash> leaf_hashes;
    // Of what it holds in memory: a short entry's hash is longer than the entry.
    size_t length() const {
      return submission.frames.size() + leaf_hashes.size() * sizeof(Hash);
    }
  };

  bool FullLocked() const { return options_.queue_length <= queued_length_; }

  std::vector<std::function<void()>> TakeReadyLocked() {
    if (FullLocked() && !stopped_) return {};
    return std::exchange(room_waiters_, {});
  }

  // The newest ticket of which it is known, as of all before it, what became of it.
  Ticket ProcessedLocked() const {
    if (in_flight_ != 0) return in_flight_ - 1;
    if (!queue_.empty()) return queue_.front().ticket - 1;
    return newest_;
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
    in_flight_ = taken.front().ticket;
    return taken;
  }

  void RunCommitter() {
    Batch batch;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      work_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) break;
      const std::vector<Waiting> taken = TakeBatchLocked();
      const std::vector<std::function<void()>> ready = TakeReadyLocked();
      lock.unlock();
      for (const auto& call : ready) call();
      const bool committed = CommitAndAnswer(taken, &batch);
      const bool free_journal = kJournalUseToFree < store_->JournalUse();
      lock.lock();
      in_flight_ = 0;
      unpublished_ |= committed;
      free_journal_ = free_journal;
      processed_.notify_one();
      if (free_journal) free_.notify_one();
    }
    committer_done_ = true;
  }

  bool CommitAndAnswer(const std::vector<Waiting>& taken, Batch* batch) {
    batch->Clear();
    for (const Waiting& waiting : taken) {
      batch->Append(waiting.submission.frames, waiting.leaf_hashes);
    }
    const Result<Committed> committed = store_->Commit(batch);
    if (!committed.has_value()) {
      const Error error = ReasonOf(committed.error());
      NoteFailure(error);
      for (const Waiting& waiting : taken) {
        if (waiting.submission.on_durable) {
          waiting.submission.on_durable(tl::unexpected<Error>(error));
        }
      }
      return false;
    }
    uint64_t done = 0;
    for (const Waiting& waiting : taken) {
      const Submission& submission = waiting.submission;
      if (submission.on_durable) {
        submission.on_durable(
            Appended{committed->first_index + done,
                     committed->leaf_hashes.subspan(done, submission.count)});
      }
      done += submission.count;
    }
    return true;
  }

  // The first append that finds the log stopped by a failure in the background hears of that.
  Error ReasonOf(const Error& error) {
    if (error.code != Code::kReadOnly) return error;
    std::unique_lock<std::mutex> lock(mutex_);
    free_.wait(lock, [this] { return !freeing_; });
    return freeing_failed_.value_or(error);
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
    for (const Waiting& waiting : refused) {
      if (waiting.submission.on_durable) {
        waiting.submission.on_durable(tl::unexpected<Error>(stopped));
      }
    }
    for (const auto& call : ready) call();
  }

  void RunPublisher() {
    Clock::time_point last = Clock::now() - options_.checkpoint_interval;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      const bool idle = !processed_.wait_for(lock, kIdlePublishInterval, [this] {
        return committer_done_ || tried_ < ProcessedLocked();
      });
      const bool last_time = committer_done_;
      if (unpublished_ && !last_time) {
        processed_.wait_until(lock, last + options_.checkpoint_interval,
                              [this] { return committer_done_; });
      }
      const Ticket processed = ProcessedLocked();
      const bool publish = std::exchange(unpublished_, false) || idle;
      lock.unlock();
      Status status;
      if (publish) {
        last = Clock::now();
        if (Result<uint64_t> size = store_->Publish(); !size.has_value()) {
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
      const auto end = publication_waiters_.upper_bound(last_time ? UINT64_MAX : processed);
      for (auto it = publication_waiters_.begin(); it != end; ++it) {
        done.push_back(std::move(it->second));
      }
      publication_waiters_.erase(publication_waiters_.begin(), end);
      publisher_done_ = last_time;
      last_publication_ = status;
      lock.unlock();
      for (const auto& call : done) call(status);
      if (last_time) return;
      lock.lock();
    }
  }

  void RunFreer() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      free_.wait(lock, [this] { return committer_done_ || free_journal_; });
      if (committer_done_) return;
      free_journal_ = false;
      freeing_ = true;
      lock.unlock();
      // A failure has stopped the store: the next commit finds that out.
      Status status = store_->AdvanceBase();
      lock.lock();
      // That the log has stopped is no reason.
      if (!status.has_value() && status.error().code != Code::kReadOnly) {
        freeing_failed_ = std::move(status).error();
      }
      freeing_ = false;
      free_.notify_all();
    }
  }

  Store* const store_;
  const SequencerOptions options_;
  const uint64_t batch_length_;

  mutable std::mutex mutex_;      // Guards all below. Never held while anything else is called.
  std::condition_variable work_;  // for the committer: queue_, stopping_
  std::condition_variable processed_;  // for the publisher: ProcessedLocked(), committer_done_
  std::condition_variable free_;  // free_journal_, committer_done_, and for who awaits: freeing_
  std::deque<Waiting> queue_;
  uint64_t queued_length_ = 0;  // bytes
  Ticket newest_ = 0;
  Ticket in_flight_ = 0;  // first ticket of the batch that is being committed; 0: none is
  Ticket published_ = 0;
  Ticket tried_ = 0;  // up to here it is published, or who waited was told why not
  bool unpublished_ = false;
  bool free_journal_ = false;
  bool freeing_ = false;
  bool stopping_ = false;
  bool committer_done_ = false;
  bool publisher_done_ = false;
  Status last_publication_;
  std::optional<Error> freeing_failed_;  // why the freer failed
  std::optional<Error> stopped_;         // what new submissions are told
  std::multimap<Ticket, std::function<void(const Status&)>> publication_waiters_;
  std::vector<std::function<void()>> room_waiters_;

  std::thread committer_;
  std::thread publisher_;
  std::thread freer_;
};

std::unique_ptr<Sequencer> Sequencer::Start(Store* store, const SequencerOptions& options) {
  return std::unique_ptr<Sequencer>(new Sequencer(std::make_unique<Impl>(store, options)));
}

Sequencer::Sequencer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sequencer::~Sequencer() {
  impl_->Stop();
}

Sequencer::Ticket Sequencer::Submit(Submission submission) {
  return impl_->Submit(std::move(submission));
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
  // Shared: the waiter may be gone before the setter has left set_value.
  const auto promise = std::make_shared<std::promise<Result<uint64_t>>>();
  std::future<Result<uint64_t>> index = promise->get_future();
  Submission submission;
  AppendFrame(&submission.frames, entry);
  submission.count = 1;
  submission.on_durable = [promise](const Result<Appended>& appended) {
    if (appended.has_value()) {
      promise->set_value(appended->first_index);
    } else {
      promise->set_value(tl::unexpected<Error>(appended.error()));
    }
  };
  Submit(std::move(submission));
  return index.get();
}

}  // namespace logcore
