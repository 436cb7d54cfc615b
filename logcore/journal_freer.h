// JournalFreer: the thread that keeps a store's journal from filling up, so that no commit has to
// free it. Part of Sequencer (sequencer.h).
//
// Methods from any thread. Tested by tests/logcore/sequencer_test.cc and sequencer_error_test.cc.

#ifndef LOGCORE_JOURNAL_FREER_H_
#define LOGCORE_JOURNAL_FREER_H_

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "logcore/result.h"
#include "logcore/store.h"

namespace logcore {

class JournalFreer {
 public:
  explicit JournalFreer(Store* store);
  ~JournalFreer();  // Stops.

  // After a commit: frees, in the background, if enough of the journal is in use.
  void Look();
  // Why freeing failed, if it did: waits for the one under way. It has stopped the store.
  std::optional<Error> Failure();
  // Ends the thread, once it is done with what it does.
  void Stop();

 private:
  void Run();

  Store* const store_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  bool wanted_ = false;
  bool freeing_ = false;
  bool stopping_ = false;
  std::optional<Error> failure_;

  std::thread thread_;
};

}  // namespace logcore

#endif  // LOGCORE_JOURNAL_FREER_H_
