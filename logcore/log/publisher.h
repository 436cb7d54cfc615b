// Publisher: the thread that publishes what a Sequencer committed, and answers those who wait for
// it. Publishing coalesces: one checkpoint covers all that was committed while the one before it
// was being signed; and while commit follows commit, what nobody waits for is put off for up to
// five milliseconds, as a signature costs as much as a flush. Part of Sequencer (sequencer.h).
//
// Methods from any thread. Tested by tests/logcore/log/sequencer_test.cc.

#ifndef LOGCORE_LOG_PUBLISHER_H_
#define LOGCORE_LOG_PUBLISHER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "logcore/log/log_writer.h"
#include "logcore/util/result.h"

namespace logcore {

class Publisher {
 public:
  using Ticket = uint64_t;

  // At most one publication in `interval`; 0: as often as there is something to publish.
  Publisher(LogWriter* writer, std::chrono::milliseconds interval);
  ~Publisher();  // Stops.

  // A commit is under way whose publication can be signed in advance.
  void Presign();
  // Something was committed. Before Processed says so of any ticket, by whichever thread: that is
  // taken to be published if nothing was committed since the last publication.
  void Committed();
  // It is known what became of every submission up to `ticket`. `more`: others wait already.
  void Processed(Ticket ticket, bool more);
  // Calls `done` once each submission up to `ticket` is processed, and what of them was committed
  // is published. The status is the publication's.
  void WhenPublished(Ticket ticket, std::function<void(const Status&)> done);
  // Publishes what was committed, answers everybody, ends the thread.
  void Stop();

 private:
  void Run();
  // Whether anybody waits for what could be published now.
  bool IsWaitedForLocked() const;

  LogWriter* const writer_;
  const std::chrono::milliseconds interval_;

  std::mutex mutex_;  // Guards all below. Never held while anything else is called.
  std::condition_variable changed_;
  Ticket processed_ = 0;
  Ticket tried_ = 0;  // up to here it is published, or who waited was told why not
  Ticket published_ = 0;
  bool more_ = false;
  bool puts_off_ = false;
  bool presign_ = false;
  bool unpublished_ = false;
  bool stopping_ = false;
  bool done_ = false;
  Status last_;  // publication's
  std::multimap<Ticket, std::function<void(const Status&)>> waiters_;

  std::thread thread_;
};

}  // namespace logcore

#endif  // LOGCORE_LOG_PUBLISHER_H_
