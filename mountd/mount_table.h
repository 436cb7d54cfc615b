// The kernel's table of mounts, /proc/self/mountinfo (proc(5)), as values.
//
//   36 35 0:57 / /srv/log rw,nosuid shared:1 - fuse.tlogfs /var/lib/log rw,user_id=0,group_id=0
//   id    device mountpoint                    type        source       of the filesystem
//
// Parsing is pure; any thread. Tested by tests/mountd/unmount_test.cc.

#ifndef MOUNTD_MOUNT_TABLE_H_
#define MOUNTD_MOUNT_TABLE_H_

#include <sys/types.h>

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace mountd {

// What `type` says of a mounted log.
inline constexpr char kMountedType[] = "fuse.tlogfs";

struct MountEntry {
  uint64_t id = 0;     // one number for each mount, while it is there
  std::string device;  // "0:57": one number for each filesystem, however often it is mounted
  std::string mountpoint;
  std::string type;
  std::optional<uid_t> user;  // FUSE's: who mounted it
};

// Lines that it does not understand are left out.
std::vector<MountEntry> ParseMountTable(std::istream& lines);
// Reads the table of this process's mount namespace. It is empty where there is no /proc.
std::vector<MountEntry> ReadMountTable();
// Finds what is mounted topmost on `mountpoint`, a canonical path, if anything is.
std::optional<MountEntry> MountedOn(const std::vector<MountEntry>& table,
                                    const std::string& mountpoint);

}  // namespace mountd

#endif  // MOUNTD_MOUNT_TABLE_H_
