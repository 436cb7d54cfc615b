// Sequencer: takes entries from many threads, gives them their order, commits them in batches, and
// answers everybody when their entries are durable and when they are published. Group commit
// without timers: while one batch is being flushed, the next one gathers.
//
//   Queue --> queue --> batch --Commit--> durable (on_durable) --Publish--> published
//
// At most one thread commits at a time. A caller that finds none committing commits in its own
// thread (CommitHere; Append does so), which saves two wake-ups, and they cost as much as a flush.
// What gathers meanwhile is left to the committing thread. That one, the publishing one
// (publisher.h) and the one that keeps the replay short (replay_point_mover.h) are started by
// Start and joined by Stop.
//
// A caller that fills the next batch up while one is being flushed (CommitHere, Submit) prepares it
// as well: it copies it into one piece and hashes its nodes, on the core that the flush leaves
// idle.
//
// Callbacks run on whichever thread commits or publishes, or on the caller's if there is nothing to
// wait for; no lock is held then. They must not block, nor call CommitHere, Append or Stop. Only
// these three block.
//
// Methods from any thread. Tested by tests/logcore/log/sequencer_test.cc, sequencer_error_test.cc
// and prepare_test.cc.

#ifndef LOGCORE_LOG_SEQUENCER_H_
#define LOGCORE_LOG_SEQUENCER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "logcore/log/log_writer.h"
#include "logcore/tlog/hash.h"
#include "logcore/util/result.h"

namespace logcore {

struct SequencerOptions {
  // Frames in one record, their bytes and how many, as far as submissions allow: the hashes of
  // empty entries are much longer than their frames.
  size_t batch_length = 1 << 20;
  uint64_t batch_count = 65536;
  // Bytes of memory that may wait before Full() says so, the batch that is prepared apart.
  size_t queue_length = 16 << 20;
  // 0: publish with every commit, but what nobody waits for only every 5 ms while more is waiting
  // to be committed. Any other value: at most one publication in this time.
  std::chrono::milliseconds checkpoint_interval{0};
  // Called at most once: when an error has stopped the log, and nothing is appended any more.
  std::function<void(const Error&)> on_stopped = nullptr;
};

struct Appended {
  uint64_t first_index = 0;
  std::span<const Hash> leaf_hashes;  // valid during the callback
  uint64_t ticket = 0;                // Sequencer::Ticket
};

// Entries that travel together: all of them are committed by one record, or none is.
struct Submission {
  std::string frames;  // `count` whole, valid frames, at least one
  uint64_t count = 0;
  std::function<void(const Result<Appended>&)> on_durable;  // called exactly once; may be empty
};

class Publisher;
class ReplayPointMover;
class SubmissionQueue;

class Sequencer {
 public:
  // The writer outlives the sequencer.
  static std::unique_ptr<Sequencer> Start(LogWriter* writer, const SequencerOptions& options);
  ~Sequencer();  // Stops.

  // Numbers submissions, from 1 on, in the order of the log.
  using Ticket = uint64_t;

  // Hashes and queues; never blocks, never refuses: callers that may wait ask Full() first. After
  // an error that stops the log, or Stop, on_durable gets that error at once. To be followed by
  // CommitHere: nobody else looks at the queue.
  Ticket Queue(Submission submission);
  // Commits a batch of what is queued, unless another thread is committing: then that one will, and
  // the next batch is prepared for it here if it is full.
  void CommitHere();
  // Queue, for the committing thread.
  Ticket Submit(Submission submission);
  // Takes a submission back that no batch has taken yet: true if so, and on_durable will not be
  // called. False: it is being committed, or was, or is in the batch that comes next.
  bool Cancel(Ticket ticket);
  // The newest ticket given out; 0 if there is none.
  Ticket Newest() const;
  // Calls `done` once each submission up to `ticket` has failed, was cancelled, or is durable, and
  // its on_durable was called.
  void WhenDurable(Ticket ticket, std::function<void()> done);
  // Calls `done` once each submission up to `ticket` has failed, was cancelled, or is published.
  // The status is the publication's.
  void WhenPublished(Ticket ticket, std::function<void(const Status&)> done);
  // The longest frames that a submission may have.
  uint64_t max_batch_length() const;
  // Whether a publication follows each commit, and waits for no timer.
  bool publishes_at_once() const;
  // Whether nothing waits, and nothing is being committed.
  bool Idle() const;
  // Whether more waits than the queue should hold.
  bool Full() const;
  // Calls `ready` (once) when the queue is no longer full.
  void WhenNotFull(std::function<void()> ready);

  // Waits until the entry is durable: its index.
  Result<uint64_t> Append(std::string_view entry);

  // Commits and publishes what was submitted, answers everybody, ends the threads.
  void Stop();

 private:
  using Calls = std::vector<std::function<void()>>;
  struct Work;  // what goes into one record
  // Of the next one, if it is not simply in the queue.
  enum class Next { kQueued, kBeingPrepared, kPrepared };

  Sequencer(LogWriter* writer, const SequencerOptions& options);
  static void Call(const Calls& calls);
  void RunCommitter();
  bool FullLocked() const;
  Calls TakeReadyLocked();
  // The oldest ticket of which it is not known what became of it, or not yet said.
  Ticket FirstUnknownLocked() const;
  // The same of those that were taken in.
  Ticket FirstTakenInLocked() const;
  // To be called without the lock: those who waited for what is known by now.
  Calls NoteProcessedLocked();
  // Whether there is something to commit, and no thread commits.
  bool MayCommitLocked() const;
  // Commits one batch; the committing thread has the rest.
  void CommitHereLocked(std::unique_lock<std::mutex>* lock);
  // Prepares a full batch while the one before it is being flushed, without the lock. From here on
  // it is decided what is committed next. Those who wait for room hear of it when that is
  // committed. Ends the program if there is no memory for what was taken, as CommitLocked does.
  void PrepareNextLocked(std::unique_lock<std::mutex>* lock) noexcept;
  // Commits, without the lock; no other thread does meanwhile. Ends the program if there is no
  // memory, as a power cut would: nobody could be told what was added.
  void CommitLocked(std::unique_lock<std::mutex>* lock) noexcept;
  void CommitAndAnswer(Work* work);
  // The first append that finds the log stopped by a failure in the background hears of that.
  Error ReasonOf(const Error& error);
  // Ends appending, unless the error is of one append.
  void NoteFailure(const Error& error);

  LogWriter* const writer_;
  const SequencerOptions options_;
  const std::unique_ptr<Publisher> publisher_;
  const std::unique_ptr<ReplayPointMover> mover_;

  mutable std::mutex mutex_;      // Guards all below. Nothing is called under it but publisher_.
  std::condition_variable work_;  // for the committing thread: there is something to do, or no more
  const std::unique_ptr<SubmissionQueue> queue_;
  Ticket newest_ = 0;
  bool committing_ = false;      // A thread is, and uses work_now_.
  bool flushing_ = false;        // It knows where the batch goes, and has not answered everybody.
  Ticket first_committing_ = 0;  // of the batch that is being committed
  Next next_ = Next::kQueued;
  Ticket first_prepared_ = 0;  // of the next batch, if it is prepared or being so
  bool stopping_ = false;
  std::optional<Error> stopped_;  // what new submissions are told
  std::set<Ticket> refused_;      // that are being told
  Calls room_waiters_;
  std::multimap<Ticket, std::function<void()>> durable_waiters_;
  std::unique_ptr<Work> work_now_;  // of the thread that commits
  std::unique_ptr<Work> spare_;     // of the thread that prepares the next one

  std::thread committer_;
};

}  // namespace logcore

#endif  // LOGCORE_LOG_SEQUENCER_H_
