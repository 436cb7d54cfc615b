// CHECK(condition): an invariant of the program. When it is broken the process ends, in release
// builds too: a log that computed two different roots must die before it signs either. Never for
// bad input, which is a Result. Any thread. Tested by tests/logcore/util/result_test.cc.

#ifndef LOGCORE_UTIL_CHECK_H_
#define LOGCORE_UTIL_CHECK_H_

#include <syslog.h>

#include <cstdio>
#include <cstdlib>

namespace logcore {

// To stderr, and to the system's log: a daemon has no stderr.
[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "tlogfs: internal error at %s:%d: %s\n", file, line, condition);
  syslog(LOG_DAEMON | LOG_CRIT, "internal error at %s:%d: %s", file, line, condition);
  std::abort();
}

}  // namespace logcore

#define CHECK(condition)                                      \
  do {                                                        \
    if (!(condition)) [[unlikely]] {                          \
      ::logcore::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                         \
  } while (false)

#endif  // LOGCORE_UTIL_CHECK_H_
