#include "mountd/found_mount.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>

#include "logcore/util/bytes.h"
#include "mountd/other_program.h"

namespace mountd {
namespace {

namespace fs = boost::filesystem;
using logcore::Code;
using logcore::Fail;
using logcore::Result;
using logcore::Status;

constexpr int kTimeToAnswer = 3000;  // milliseconds

// For a moment after a crash the kernel still knows the attributes, unless it is told to ask. Who
// asks a server that dies before it answers is told ECONNABORTED.
bool IsDisconnected(const char* path) {
  struct statx info {};
  constexpr int kFlags = AT_STATX_FORCE_SYNC | AT_SYMLINK_NOFOLLOW;
  return statx(AT_FDCWD, path, kFlags, STATX_TYPE, &info) != 0 &&
         (errno == ENOTCONN || errno == ECONNABORTED);
}

tl::unexpected<logcore::Error> Errno() {
  return Fail(errno == EBUSY ? Code::kBusy : Code::kIo,
              errno == EBUSY ? "target is busy" : std::generic_category().message(errno));
}

// A file or directory opened as a place (O_PATH), which stops at the door of its filesystem.
class Place {
 public:
  Place(int directory_fd, const std::string& path, int flags)
      : fd_(openat(directory_fd, path.c_str(), O_PATH | O_CLOEXEC | flags)) {}
  ~Place() {
    if (fd_ >= 0) close(fd_);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  bool is_open() const { return 0 <= fd_; }
  int Take() { return std::exchange(fd_, -1); }
  // A link that leads to it, wherever it is by now.
  std::string Link() const { return "/proc/self/fd/" + std::to_string(fd_); }
  // Its path; empty if it has none.
  fs::path Path() const {
    boost::system::error_code error;
    return fs::read_symlink(Link(), error);
  }
  // The mount that it is in.
  std::optional<uint64_t> MountId() const {
    std::ifstream info("/proc/self/fdinfo/" + std::to_string(fd_));
    for (std::string label, value; info >> label >> value;) {
      if (label == "mnt_id:") return logcore::ParseDecimal(value);
    }
    return std::nullopt;
  }

 private:
  int fd_;
};

}  // namespace

FoundMount::FoundMount(FoundMount&& other) noexcept
    : parent_fd_(std::exchange(other.parent_fd_, -1)),
      name_(std::move(other.name_)),
      entry_(std::move(other.entry_)) {}

FoundMount::~FoundMount() {
  if (parent_fd_ >= 0) close(parent_fd_);
}

Result<FoundMount> FoundMount::At(const std::string& mountpoint) {
  const Place given(AT_FDCWD, mountpoint, 0);
  if (!given.is_open()) return Errno();
  const fs::path path = given.Path();
  const auto none = Fail(Code::kNotFound, "nothing is mounted there");
  if (!path.has_parent_path()) return none;
  Place parent(AT_FDCWD, path.parent_path().string(), O_DIRECTORY);
  if (!parent.is_open()) return Errno();
  FoundMount found(parent.Take(), path.filename().string());

  // Directories may have been moved since the path was read: only the mount that was given counts.
  const Place place(found.parent_fd_, found.name_, O_NOFOLLOW);
  const std::optional<uint64_t> id = given.MountId();
  if (!place.is_open() || !id || place.MountId() != id) return none;
  for (const MountEntry& entry : ReadMountTable()) {
    if (entry.id != *id || entry.mountpoint != path.string()) continue;
    found.entry_ = entry;
    return found;
  }
  return none;
}

// A child process asks, and says yes by a byte: a process that waits for a stopped server cannot
// always be killed. It holds nothing open that somebody else waits for.
bool FoundMount::IsDead() const {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  const pid_t child = fork();
  if (child == 0) {
    if (fchdir(parent_fd_) != 0 || dup2(ends[1], 0) != 0) _exit(1);
    close_range(1, ~0U, 0);
    const bool said = !IsDisconnected(name_.c_str()) || write(0, "x", 1) == 1;
    _exit(said ? 0 : 1);
  }
  close(ends[1]);
  pollfd wait{.fd = ends[0], .events = POLLIN, .revents = 0};
  const bool answered = 0 < child && poll(&wait, 1, kTimeToAnswer) == 1;
  char byte = 0;
  const bool dead = answered && read(ends[0], &byte, 1) == 1;
  close(ends[0]);
  if (answered) {
    waitpid(child, nullptr, 0);
  } else if (0 < child) {
    kill(child, SIGKILL);
  }
  return dead;
}

Status FoundMount::Unmount(int flags) const {
  const std::string path = "/proc/self/fd/" + std::to_string(parent_fd_) + "/" + name_;
  if (umount2(path.c_str(), flags | UMOUNT_NOFOLLOW) == 0) return {};
  if (errno != EPERM) return Errno();
  std::vector<std::string> words = {"fusermount3", "-u"};
  if ((flags & MNT_DETACH) != 0) words.push_back("-z");
  words.insert(words.end(), {"--", entry_.mountpoint});
  if (RunQuietly(std::move(words))) return {};
  return Fail(Code::kDenied, "target is busy, or another user's");
}

Status FoundMount::MakeReadOnly() const {
  const Place place(parent_fd_, name_, O_NOFOLLOW);
  if (!place.is_open()) return Errno();
  if (place.MountId() != entry_.id) return Fail(Code::kNotFound, "it is not mounted any more");
  const int done = mount(nullptr, place.Link().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr);
  return done == 0 ? Status() : Status(Errno());
}

}  // namespace mountd
