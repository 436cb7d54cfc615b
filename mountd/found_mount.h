// A mount that was found by its path, and what is done to it then: whatever the path leads to by
// that time. A user who may rename a directory on the way could otherwise have root take away
// another filesystem.
//
// The directory above the mountpoint is kept open, so that it does not matter if it is renamed, or
// what is above it; and a mountpoint itself cannot be renamed. That the mount in it is the one that
// the path led to is told by its id, which the kernel gives to one mount at a time.
//
// One thread. Tested by tests/mount/umount_test.py and tests/mount/lifecycle_test.py.

#ifndef MOUNTD_FOUND_MOUNT_H_
#define MOUNTD_FOUND_MOUNT_H_

#include <string>

#include "logcore/util/result.h"
#include "mountd/mount_table.h"

namespace mountd {

class FoundMount {
 public:
  // Finds what is mounted topmost on `mountpoint`; kNotFound if nothing is. Asks nothing of the
  // filesystem there, which may hang.
  static logcore::Result<FoundMount> At(const std::string& mountpoint);

  FoundMount(FoundMount&& other) noexcept;
  FoundMount(const FoundMount&) = delete;
  FoundMount& operator=(const FoundMount&) = delete;
  ~FoundMount();

  const MountEntry& entry() const { return entry_; }
  // Whether its server has died ("Transport endpoint is not connected"). One that does not answer
  // for a few seconds has not.
  bool IsDead() const;
  // umount2(2), with its flags, of this mount. Users who are not root need fusermount3 for it.
  // kBusy if it is in use.
  logcore::Status Unmount(int flags) const;
  // Makes the filesystem read-only.
  logcore::Status MakeReadOnly() const;

 private:
  FoundMount(int parent_fd, std::string name) : parent_fd_(parent_fd), name_(std::move(name)) {}

  int parent_fd_;
  std::string name_;
  MountEntry entry_;
};

}  // namespace mountd

#endif  // MOUNTD_FOUND_MOUNT_H_
