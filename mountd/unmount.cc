#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <system_error>

#include "mountd/commands.h"
#include "mountd/mount_table.h"
#include "mountd/mountpoint.h"
#include "mountd/server_process.h"

namespace mountd {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Result;
using logcore::Status;

// Where the kernel does not say whether anybody still uses the filesystem: who serves it would have
// noticed its end by then.
constexpr std::chrono::seconds kTimeToNotice{2};

// The kernel's own folder for a FUSE filesystem: there as long as it is mounted anywhere, or files
// in it are open. Where none is seen before unmounting, it says nothing after.
bool HasConnection(const std::string& device) {
  struct stat info {};
  const std::string minor = device.substr(device.find(':') + 1);
  return stat(("/sys/fs/fuse/connections/" + minor).c_str(), &info) == 0;
}

bool IsMountedSomewhere(const std::string& device) {
  const std::vector<MountEntry> table = ReadMountTable();
  return std::any_of(table.begin(), table.end(),
                     [&](const MountEntry& entry) { return entry.device == device; });
}

Status UnmountOrMakeReadOnly(const UnmountCommand& command, const std::string& path) {
  const int flags = (command.force ? MNT_FORCE : 0) | (command.lazy ? MNT_DETACH : 0);
  if (umount2(path.c_str(), flags | UMOUNT_NOFOLLOW) == 0) return {};
  const int error = errno;
  if (error == EPERM) {
    if (FuserUnmount(path, command.lazy)) return {};
    return Fail(Code::kDenied, "target is busy, or another user's");
  }
  if (error == EBUSY && command.read_only_else &&
      mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0) {
    return {};
  }
  return Fail(Code::kIo,
              error == EBUSY ? "target is busy" : std::generic_category().message(error));
}

// Waits until the process that served the mount has closed the store and ended: at once if others
// still use the filesystem, as it then goes on.
Status UnmountAndWait(const UnmountCommand& command) {
  if (!command.mount_namespace.empty()) {
    RETURN_IF_ERROR(EnterMountNamespace(command.mount_namespace));
  }
  ASSIGN_OR_RETURN(const std::string path, MountpointPath(command.mountpoint));
  const std::optional<MountEntry> mount = MountedOn(ReadMountTable(), path);
  if (!mount || mount->type != kMountedType) return Fail(Code::kInvalid, "no log is mounted there");
  const std::optional<ServerProcess> server = ServerProcess::Find(*mount);
  const bool had_connection = HasConnection(mount->device);
  RETURN_IF_ERROR(UnmountOrMakeReadOnly(command, path));
  if (!server || IsMountedSomewhere(mount->device)) return {};
  const bool ends = had_connection ? !HasConnection(mount->device)
                                   : server->WaitForEnd(kTimeToNotice) || !server->Serves();
  if (ends) server->WaitForEnd(std::nullopt);
  return {};
}

}  // namespace

Result<int> Unmount(const UnmountCommand& command, Environment& /*environment*/) {
  Status unmounted = UnmountAndWait(command);
  if (!unmounted.has_value()) {
    return Within("umount " + command.mountpoint, std::move(unmounted).error());
  }
  return 0;
}

}  // namespace mountd
