// CHECK(condition): an invariant of the program. When it is broken the process ends, in release
// builds too: a log that computed two different roots must die before it signs either. Never for
// bad input, which is a Result.

#ifndef LOGCORE_CHECK_H_
#define LOGCORE_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                                                     \
  do {                                                                                       \
    if (!(condition)) [[unlikely]] {                                                         \
      std::fprintf(stderr, "tlogfs: internal error at %s:%d: %s\n", __FILE__, __LINE__,       \
                   #condition);                                                              \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)

#endif  // LOGCORE_CHECK_H_
