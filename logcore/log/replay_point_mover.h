// ReplayPointMover: the thread that moves a log's replay point (log_writer.h), so that no commit
// has to wait for that, and that moves it to the end of a log that rests, so that a close has
// little left to do. Part of Sequencer (sequencer.h).
//
// It sleeps until something is committed. A log rests when nothing was committed for half a second.
//
// Methods from any thread. Tested by tests/logcore/log/sequencer_test.cc and
// sequencer_error_test.cc.

#ifndef LOGCORE_LOG_REPLAY_POINT_MOVER_H_
#define LOGCORE_LOG_REPLAY_POINT_MOVER_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>

#include "logcore/log/log_writer.h"
#include "logcore/util/result.h"

namespace logcore {

class ReplayPointMover {
 public:
  explicit ReplayPointMover(LogWriter* writer);
  ~ReplayPointMover();  // Stops.

  // After a commit: moves it, in the background, at once if there is much to replay, and otherwise
  // when no other commit follows.
  void Committed();
  // Why moving it failed, if it did: waits for the move under way. It has stopped the log.
  std::optional<Error> Failure();
  // Ends the thread, once it is done with what it does.
  void Stop();

 private:
  void Run();
  // Waits until there is something to replay, and it is time. False: it is stopping.
  bool WaitForWorkLocked(std::unique_lock<std::mutex>* lock);

  LogWriter* const writer_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  uint64_t commits_ = 0;
  uint64_t covered_ = 0;  // so many of them need no replay
  bool is_long_ = false;  // It is time, even if commits follow.
  bool moving_ = false;
  bool stopping_ = false;
  std::optional<Error> failure_;

  std::thread thread_;
};

}  // namespace logcore

#endif  // LOGCORE_LOG_REPLAY_POINT_MOVER_H_
