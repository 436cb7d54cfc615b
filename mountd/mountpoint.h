// Where to mount, and what is there: the two directories of a mount, canonical, and checked against
// each other.
//
// One thread. Tested by tests/mountd/run_test.cc, and with dead, stopped and locked mountpoints by
// tests/mount/lifecycle_test.py.

#ifndef MOUNTD_MOUNTPOINT_H_
#define MOUNTD_MOUNTPOINT_H_

#include <string>

#include "logcore/util/result.h"

namespace mountd {

struct MountPaths {
  std::string store;
  std::string mountpoint;
  std::string hidden;  // a plain file of an append's name that the mount will hide; or empty
};

// mount(8)'s and umount(8)'s -N: from here on everything, paths too, is seen as in that namespace.
logcore::Status EnterMountNamespace(const std::string& file);

// Takes away what a crashed tlogfs left mounted there ("Transport endpoint is not connected");
// other filesystems' dead mounts are left alone. Nothing to do is success. kExists where a log is
// mounted that is not dead, even if its daemon is stopped.
logcore::Status ClearDeadMount(const std::string& mountpoint);

// A lock on the mountpoint, from before ResolveMountPaths until the mount answers, so that of two
// mounts at one moment the second finds the first. Where the directory cannot be read or locked
// there is none. Nor is there one where another process holds it for more than a few seconds: any
// user who can read the directory may, and could otherwise keep others from mounting.
class MountpointLock {
 public:
  explicit MountpointLock(const std::string& mountpoint);  // Waits for a few seconds.
  ~MountpointLock();
  MountpointLock(const MountpointLock&) = delete;
  MountpointLock& operator=(const MountpointLock&) = delete;

 private:
  const int fd_;
};

// Both must be directories, and neither may lie inside the other: a store under its own mount would
// be read through the very program that waits for it. Where a log is mounted already, kExists: an
// umount would take away one of two. Any other filesystem's mountpoint may be mounted over, as
// mount(8) has it, and as automounters need.
logcore::Result<MountPaths> ResolveMountPaths(const std::string& store,
                                              const std::string& mountpoint);

}  // namespace mountd

#endif  // MOUNTD_MOUNTPOINT_H_
