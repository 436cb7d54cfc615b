// Where to mount, and what is there: the two directories of a mount, canonical, and checked against
// each other.
// Tested by tests/mountd/run_test.cc, and with dead mounts by tests/mount/lifecycle_test.py.

#ifndef MOUNTD_MOUNTPOINT_H_
#define MOUNTD_MOUNTPOINT_H_

#include <string>

#include "logcore/result.h"

namespace mountd {

struct MountPaths {
  std::string store;
  std::string mountpoint;
  std::string hidden;  // a plain file of an append's name that the mount will hide; or empty
};

// mount(8)'s and umount(8)'s -N: from here on everything, paths too, is seen as in that namespace.
logcore::Status EnterMountNamespace(const std::string& file);

// Finds the canonical path of a mountpoint, and asks nothing of the filesystem there, which may
// hang.
logcore::Result<std::string> MountpointPath(const std::string& mountpoint);

// Unmounts by fusermount3, as users must who are not root. Returns whether it did.
bool FuserUnmount(const std::string& path, bool lazy);

// Takes away what a crashed tlogfs left mounted there ("Transport endpoint is not connected");
// other filesystems' dead mounts are left alone. Nothing to do is success.
logcore::Status ClearDeadMount(const std::string& mountpoint);

// A lock on the mountpoint, from before ResolveMountPaths until the mount answers, so that of two
// mounts at one moment the second finds the first. Where the directory cannot be read or locked
// there is none.
class MountpointLock {
 public:
  explicit MountpointLock(const std::string& mountpoint);  // Waits.
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
