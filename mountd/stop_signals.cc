#include "mountd/stop_signals.h"

#include <pthread.h>

#include "logcore/util/check.h"

namespace mountd {

StopSignals::StopSignals() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  sigemptyset(&signals_);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals_, number);
  CHECK(pthread_sigmask(SIG_BLOCK, &signals_, nullptr) == 0);
}

StopSignals::~StopSignals() {
  EndWatch();
}

void StopSignals::Watch(const std::string& thread_name, std::function<void()> stop) {
  CHECK(!thread_.joinable());
  thread_ = std::thread([this, stop = std::move(stop)] {
    int number = 0;
    while (sigwait(&signals_, &number) == 0 && !ending_) {
      came_ = true;
      stop();
    }
  });
  pthread_setname_np(thread_.native_handle(), thread_name.c_str());
}

void StopSignals::EndWatch() {
  if (!thread_.joinable()) return;
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGTERM);  // Wakes it, and only it.
  thread_.join();
  ending_ = false;
}

}  // namespace mountd
