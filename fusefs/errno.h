// The one table from logcore's error codes to errno. Pure; any thread. Tested by
// tests/fusefs/append_file_test.cc.

#ifndef FUSEFS_ERRNO_H_
#define FUSEFS_ERRNO_H_

#include "logcore/util/result.h"

namespace fusefs {

int ErrnoOf(logcore::Code code);

}  // namespace fusefs

#endif  // FUSEFS_ERRNO_H_
