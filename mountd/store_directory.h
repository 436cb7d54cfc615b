// The directory that `init` and `backup` put a store into.
//
// One thread. Tested by tests/mountd/run_test.cc.

#ifndef MOUNTD_STORE_DIRECTORY_H_
#define MOUNTD_STORE_DIRECTORY_H_

#include <string>

#include "logcore/result.h"

namespace mountd {

// Makes the directory, if it is not there yet, so that a power cut does not lose it again.
logcore::Status MakeStoreDirectory(const std::string& store);

}  // namespace mountd

#endif  // MOUNTD_STORE_DIRECTORY_H_
