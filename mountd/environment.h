// Environment: all that the program has from its surroundings, passed in, so that tests run whole
// command lines in their own process. main.cc fills it from the real ones; nothing else in the
// house reads the standard streams, the environment variables or the clock.
//
// One thread uses the streams at a time; the clock is read by any. Tested by
// tests/mountd/run_test.cc and tests/mountd/message_test.cc, which fill it in otherwise.

#ifndef MOUNTD_ENVIRONMENT_H_
#define MOUNTD_ENVIRONMENT_H_

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>

namespace mountd {

struct Environment {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool err_is_terminal = false;    // Progress bars are for people.
  std::function<int64_t()> clock;  // nanoseconds since the epoch of POSIX
  std::string notify_socket;       // $NOTIFY_SOCKET of systemd; empty: there is none
};

}  // namespace mountd

#endif  // MOUNTD_ENVIRONMENT_H_
