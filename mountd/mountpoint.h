// Where to mount: the two directories of a mount, canonical, and checked against each other.
// Tested by tests/mountd/run_test.cc, and with dead mounts by tests/mount/lifecycle_test.py.

#ifndef MOUNTD_MOUNTPOINT_H_
#define MOUNTD_MOUNTPOINT_H_

#include <string>

#include "logcore/result.h"

namespace mountd {

struct MountPaths {
  std::string store;
  std::string mountpoint;
};

// Takes away what a crashed tlogfs left mounted there ("Transport endpoint is not connected");
// other filesystems' dead mounts are left alone. Nothing to do is success.
logcore::Status ClearDeadMount(const std::string& mountpoint);

// Both must be directories, and neither may lie inside the other: a store under its own mount would
// be read through the very program that waits for it.
logcore::Result<MountPaths> ResolveMountPaths(const std::string& store,
                                              const std::string& mountpoint);

}  // namespace mountd

#endif  // MOUNTD_MOUNTPOINT_H_
