#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

#include "fusefs/process.h"
#include "mountd/commands.h"
#include "mountd/found_mount.h"
#include "mountd/message.h"
#include "mountd/mount_table.h"
#include "mountd/mountpoint.h"
#include "mountd/server_process.h"
#include "mountd/utab.h"

namespace mountd {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Result;
using logcore::Status;

// Where the kernel does not say whether anybody still uses the filesystem: who serves it would have
// noticed its end by then.
constexpr std::chrono::seconds kTimeToNotice{2};
// How long a process is waited for that nobody should have to wait for without a limit.
constexpr std::chrono::seconds kPatience{10};

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

Status UnmountOrMakeReadOnly(const UnmountCommand& command, const FoundMount& mount) {
  const int flags = (command.force ? MNT_FORCE : 0) | (command.lazy ? MNT_DETACH : 0);
  Status unmounted = mount.Unmount(flags);
  if (unmounted.has_value() || unmounted.error().code != Code::kBusy) return unmounted;
  return command.read_only_else && mount.MakeReadOnly().has_value() ? Status() : unmounted;
}

// Whether the filesystem is gone for good, as nobody uses it any more: its server then ends.
bool IsGone(const std::string& device, bool had_connection, const ServerProcess& server) {
  if (had_connection) return !HasConnection(device);
  return server.WaitForEnd(kTimeToNotice) || !server.Serves();
}

// Waits for the process's end: as long as the disk takes, if it is the caller's own. Another user's
// could be stopped to hold up the caller; and what is taken away by force, or lazily, may hang.
// Returns whether it has ended.
bool WaitForEnd(const UnmountCommand& command, const ServerProcess& server) {
  const bool patient = !command.force && !command.lazy && server.user() == getuid();
  return patient ? server.WaitForEnd(std::nullopt) : server.WaitForEnd(kPatience);
}

// Unmounts, and waits until the process that served the mount has closed the store and ended; but
// not if others still use the filesystem, as it then goes on. Returns why the store may not be at
// rest; or an empty string.
Result<std::string> UnmountAndWait(const UnmountCommand& command) {
  if (!command.mount_namespace.empty()) {
    RETURN_IF_ERROR(EnterMountNamespace(command.mount_namespace));
  }
  ASSIGN_OR_RETURN(const FoundMount found, FoundMount::At(command.mountpoint));
  const MountEntry& mount = found.entry();
  if (mount.type != kMountedType) return Fail(Code::kInvalid, "no log is mounted there");
  const std::optional<ServerProcess> server = ServerProcess::Find(mount);
  const bool had_connection = HasConnection(mount.device);
  RETURN_IF_ERROR(UnmountOrMakeReadOnly(command, found));
  ForgetMount(mount.mountpoint);
  if (IsMountedSomewhere(mount.device)) return "";
  if (!server) return fusefs::ProcIsOurs() ? "" : "/proc does not show which process serves it";
  if (!IsGone(mount.device, had_connection, *server) || WaitForEnd(command, *server)) return "";
  return "process " + std::to_string(server->id()) + " has not ended within " +
         std::to_string(kPatience.count()) + " s";
}

}  // namespace

Result<int> Unmount(const UnmountCommand& command, Environment& environment) {
  const std::string context = "umount " + command.mountpoint;
  Result<std::string> doubt = UnmountAndWait(command);
  if (!doubt.has_value()) return Within(context, std::move(doubt).error());
  if (!doubt->empty()) {
    Say(environment.err, context + ": unmounted, but the store may not be at rest: " + *doubt);
  }
  return 0;
}

}  // namespace mountd
