#include "mountd/mountpoint.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>

namespace mountd {
namespace {

namespace fs = boost::filesystem;
using logcore::Code;
using logcore::Fail;
using logcore::Result;
using logcore::Status;

constexpr int kMaxStackedMounts = 16;

bool IsDeadMount(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) != 0 && errno == ENOTCONN;
}

// The canonical path of a dead mount, whose files cannot be asked: O_PATH stops at the door.
Result<std::string> DeadMountPath(const std::string& mountpoint) {
  const int fd = open(mountpoint.c_str(), O_PATH | O_CLOEXEC);
  if (fd < 0) return Fail(Code::kIo, std::generic_category().message(errno));
  boost::system::error_code error;
  const fs::path path = fs::read_symlink("/proc/self/fd/" + std::to_string(fd), error);
  close(fd);
  if (error) return Fail(Code::kIo, error.message());
  return path.string();
}

// As /proc/self/mountinfo writes a path: blanks and backslashes as three octal digits.
std::string MountInfoPath(const std::string& path) {
  std::string escaped;
  for (const char c : path) {
    switch (c) {
      case ' ':
        escaped += "\\040";
        break;
      case '\t':
        escaped += "\\011";
        break;
      case '\n':
        escaped += "\\012";
        break;
      case '\\':
        escaped += "\\134";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

// The type of the topmost filesystem that is mounted on `path`; empty if there is none.
std::string MountedType(const std::string& path) {
  const std::string wanted = MountInfoPath(path);
  std::ifstream mounts("/proc/self/mountinfo");
  std::string type;
  for (std::string line; std::getline(mounts, line);) {
    // id parent major:minor root MOUNTPOINT options [more]... - TYPE source options
    std::istringstream fields(line);
    std::string id, parent, device, root, where, field;
    fields >> id >> parent >> device >> root >> where;
    while (fields >> field && field != "-") continue;
    if (where == wanted) fields >> type;
  }
  return type;
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

bool LazyUnmount(const std::string& path) {
  if (umount2(path.c_str(), MNT_DETACH) == 0) return true;
  return RunQuietly({"fusermount3", "-u", "-z", "--", path});
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

}  // namespace

Status ClearDeadMount(const std::string& mountpoint) {
  for (int i = 0; i < kMaxStackedMounts && IsDeadMount(mountpoint); ++i) {
    ASSIGN_OR_RETURN(const std::string path, DeadMountPath(mountpoint));
    if (const std::string type = MountedType(path); type != "fuse.tlogfs") {
      return Fail(Code::kInvalid, path + ": there is a dead mount of type " + type);
    }
    if (!LazyUnmount(path)) {
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
  return MountPaths{.store = store_path.string(), .mountpoint = mount_path.string()};
}

}  // namespace mountd
