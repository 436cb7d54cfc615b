#include "mountd/mountpoint.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>
#include <cerrno>
#include <chrono>
#include <optional>
#include <system_error>
#include <thread>

#include "mountd/found_mount.h"
#include "mountd/mount_table.h"

namespace mountd {
namespace {

namespace fs = boost::filesystem;
using logcore::Code;
using logcore::Fail;
using logcore::Result;
using logcore::Status;

constexpr int kMaxStackedMounts = 16;
// Five seconds in all.
constexpr int kLockAttempts = 100;
constexpr std::chrono::milliseconds kBetweenLockAttempts{50};

tl::unexpected<logcore::Error> MountedAlready(const std::string& mountpoint) {
  return Fail(Code::kExists, mountpoint + ": a log is mounted there already");
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

MountpointLock::MountpointLock(const std::string& mountpoint)
    : fd_(open(mountpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  for (int i = 0; i < kLockAttempts && 0 <= fd_; ++i) {
    if (flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
    std::this_thread::sleep_for(kBetweenLockAttempts);
  }
}

MountpointLock::~MountpointLock() {
  if (fd_ >= 0) close(fd_);
}

Status ClearDeadMount(const std::string& mountpoint) {
  for (int i = 0; i < kMaxStackedMounts; ++i) {
    const Result<FoundMount> mount = FoundMount::At(mountpoint);
    if (!mount.has_value()) return {};  // ResolveMountPaths says what there is instead.
    const MountEntry& entry = mount->entry();
    const bool is_dead = mount->IsDead();
    if (entry.type != kMountedType) {
      if (!is_dead) return {};
      return Fail(Code::kInvalid,
                  entry.mountpoint + ": there is a dead mount of type " + entry.type);
    }
    if (!is_dead) return MountedAlready(mountpoint);
    if (!mount->Unmount(MNT_DETACH).has_value()) {
      return Fail(Code::kDenied,
                  entry.mountpoint + ": a crashed tlogfs is mounted there; unmounting it failed");
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
  if (mount && mount->type == kMountedType) return MountedAlready(mountpoint);
  return MountPaths{.store = store_path.string(),
                    .mountpoint = mount_path.string(),
                    .hidden = HiddenAppends(mount_path)};
}

}  // namespace mountd
