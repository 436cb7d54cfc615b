#include "mountd/utab.h"

#include <unistd.h>

#include <fstream>

#include "mountd/mount_table.h"
#include "mountd/other_program.h"

namespace mountd {
namespace {

constexpr char kType[] = "--types=fuse.tlogfs";

// Also of an earlier mount there, whose daemon was killed: any note does. (In what mount(8) writes,
// a blank of a path is "\040": a mount that is on such a path is noted anew.)
bool IsNoted(const std::string& mountpoint) {
  std::ifstream notes("/run/mount/utab");
  for (std::string line; std::getline(notes, line);) {
    if (line.find(" TARGET=" + mountpoint + " ") != std::string::npos) return true;
  }
  return false;
}

}  // namespace

void NoteMount(const std::string& store, const std::string& mountpoint) {
  if (geteuid() != 0 || IsNoted(mountpoint)) return;
  static_cast<void>(RunQuietly({"mount", "--fake", "--internal-only", "--no-canonicalize", kType,
                                "--options=uhelper=tlogfs", "--", store, mountpoint}));
}

void ForgetMount(const std::string& mountpoint) {
  if (geteuid() != 0 || MountedOn(ReadMountTable(), mountpoint)) return;
  static_cast<void>(
      RunQuietly({"umount", "--fake", "--internal-only", "--no-canonicalize", "--", mountpoint}));
}

}  // namespace mountd
