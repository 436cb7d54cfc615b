// StopSignals: SIGTERM, SIGINT and SIGHUP as a function call. They are blocked (in all threads that
// are started later) and waited for by a thread of their own, so that what they lead to may do
// anything, and needs no global variable. They stay blocked for good: a second SIGTERM must not
// kill what the first one asked to finish. SIGPIPE and SIGXFSZ are ignored: they
// are errors of a write.
//
// One thread. Tested by tests/mount/lifecycle_test.py.

#ifndef MOUNTD_STOP_SIGNALS_H_
#define MOUNTD_STOP_SIGNALS_H_

#include <atomic>
#include <csignal>
#include <functional>
#include <string>
#include <thread>

namespace mountd {

class StopSignals {
 public:
  StopSignals();   // Blocks; signals that come now wait for Watch.
  ~StopSignals();  // Ends watching.
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Calls `stop` at each signal, from another thread, which others see by that name at once.
  void Watch(const std::string& thread_name, std::function<void()> stop);
  void EndWatch();
  // Whether a signal has come while it watched.
  bool came() const { return came_; }

 private:
  sigset_t signals_;
  std::atomic<bool> ending_{false};
  std::atomic<bool> came_{false};
  std::thread thread_;
};

}  // namespace mountd

#endif  // MOUNTD_STOP_SIGNALS_H_
