#include "mountd/mountpoint.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>
#include <cerrno>
#include <optional>
#include <system_error>

#include "mountd/mount_table.h"

namespace mountd {
namespace {

namespace fs = boost::filesystem;
using logcore::Code;
using logcore::Fail;
using logcore::Result;
using logcore::Status;

constexpr int kMaxStackedMounts = 16;

// For a moment after a crash the kernel still knows the attributes, unless it is told to ask. Who
// asks a daemon that dies before it answers is told ECONNABORTED.
bool IsDeadMount(const std::string& path) {
  struct statx info {};
  return statx(AT_FDCWD, path.c_str(), AT_STATX_FORCE_SYNC, STATX_TYPE, &info) != 0 &&
         (errno == ENOTCONN || errno == ECONNABORTED);
}

bool RunQuietly(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  while (error == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return error == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Result<fs::path> CanonicalDirectory(const std::string& path) {
  boost::system::error_code error;
  const fs::path canonical = fs::canonical(path, error);
  if (error) return Fail(Code::kNotFound, path + ": " + error.message());
  if (!fs::is_directory(canonical, error)) return Fail(Code::kInvalid, path + ": not a directory");
  return canonical;
}

// Whether `path` is `directory` or something in it; both canonical.
bool IsWithin(const fs::path& path, const fs::path& directory) {
  return std::mismatch(directory.begin(), directory.end(), path.begin(), path.end()).first ==
         directory.end();
}

// Lines that were appended while nothing was mounted are in a plain file, which the mount hides.
std::string HiddenAppends(const fs::path& mountpoint) {
  for (const char* name : {"add", "add.bundle"}) {
    boost::system::error_code error;
    const fs::path file = mountpoint / name;
    if (fs::symlink_status(file, error).type() == fs::regular_file) return file.string();
  }
  return "";
}

}  // namespace

Status EnterMountNamespace(const std::string& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  const bool entered = fd >= 0 && setns(fd, CLONE_NEWNS) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (entered) return {};
  return Fail(Code::kDenied, "-N " + file + ": " + std::generic_category().message(error));
}

// An O_PATH descriptor stops at the door of the filesystem.
Result<std::string> MountpointPath(const std::string& mountpoint) {
  const int fd = open(mountpoint.c_str(), O_PATH | O_CLOEXEC);
  if (fd < 0) return Fail(Code::kIo, std::generic_category().message(errno));
  boost::system::error_code error;
  const fs::path path = fs::read_symlink("/proc/self/fd/" + std::to_string(fd), error);
  close(fd);
  if (error) return Fail(Code::kIo, error.message());
  return path.string();
}

bool FuserUnmount(const std::string& path, bool lazy) {
  return lazy ? RunQuietly({"fusermount3", "-u", "-z", "--", path})
              : RunQuietly({"fusermount3", "-u", "--", path});
}

MountpointLock::MountpointLock(const std::string& mountpoint)
    : fd_(open(mountpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  while (fd_ >= 0 && flock(fd_, LOCK_EX) != 0 && errno == EINTR) continue;
}

MountpointLock::~MountpointLock() {
  if (fd_ >= 0) close(fd_);
}

Status ClearDeadMount(const std::string& mountpoint) {
  for (int i = 0; i < kMaxStackedMounts && IsDeadMount(mountpoint); ++i) {
    ASSIGN_OR_RETURN(const std::string path, MountpointPath(mountpoint));
    const std::optional<MountEntry> mount = MountedOn(ReadMountTable(), path);
    if (!mount || mount->type != kMountedType) {
      return Fail(Code::kInvalid,
                  path + ": there is a dead mount of type " + (mount ? mount->type : "unknown"));
    }
    if (umount2(path.c_str(), MNT_DETACH) != 0 && !FuserUnmount(path, true)) {
      return Fail(Code::kDenied,
                  path + ": a crashed tlogfs is mounted there; unmounting it failed");
    }
  }
  return {};
}

Result<MountPaths> ResolveMountPaths(const std::string& store, const std::string& mountpoint) {
  ASSIGN_OR_RETURN(const fs::path store_path, CanonicalDirectory(store));
  ASSIGN_OR_RETURN(const fs::path mount_path, CanonicalDirectory(mountpoint));
  if (IsWithin(store_path, mount_path)) {
    return Fail(Code::kInvalid, mountpoint + ": the store would lie under its own mountpoint");
  }
  if (IsWithin(mount_path, store_path)) {
    return Fail(Code::kInvalid, mountpoint + ": the mountpoint lies inside the store");
  }
  const std::optional<MountEntry> mount = MountedOn(ReadMountTable(), mount_path.string());
  if (mount && mount->type == kMountedType) {
    return Fail(Code::kExists, mountpoint + ": a log is mounted there already");
  }
  return MountPaths{.store = store_path.string(),
                    .mountpoint = mount_path.string(),
                    .hidden = HiddenAppends(mount_path)};
}

}  // namespace mountd
