// JournalFreer: the thread that keeps a store's journal from filling up, so that no commit has to
// free it, and that makes the files of a log that rests durable, so that a close has little left to
// do. Part of Sequencer (sequencer.h).
//
// It sleeps until something is committed. A log rests when nothing was committed for half a second.
//
// Methods from any thread. Tested by tests/logcore/log/sequencer_test.cc and
// sequencer_error_test.cc.

#ifndef LOGCORE_LOG_JOURNAL_FREER_H_
#define LOGCORE_LOG_JOURNAL_FREER_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>

#include "logcore/posix/commit/store.h"
#include "logcore/util/result.h"

namespace logcore {

class JournalFreer {
 public:
  explicit JournalFreer(Store* store);
  ~JournalFreer();  // Stops.

  // After a commit: frees, in the background, at once if enough of the journal is in use, and
  // otherwise when no other commit follows.
  void Committed();
  // Why freeing failed, if it did: waits for the one under way. It has stopped the store.
  std::optional<Error> Failure();
  // Ends the thread, once it is done with what it does.
  void Stop();

 private:
  void Run();
  // Waits until there is something to free, and it is time. False: it is stopping.
  bool WaitForWorkLocked(std::unique_lock<std::mutex>* lock);

  Store* const store_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  uint64_t commits_ = 0;
  uint64_t freed_commits_ = 0;  // so many of them need nothing more
  bool full_ = false;           // It is time, even if commits follow.
  bool freeing_ = false;
  bool stopping_ = false;
  std::optional<Error> failure_;

  std::thread thread_;
};

}  // namespace logcore

#endif  // LOGCORE_LOG_JOURNAL_FREER_H_
