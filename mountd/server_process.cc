#include "mountd/server_process.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <utility>

#include "fusefs/process.h"
#include "logcore/util/bytes.h"

namespace mountd {
namespace {

namespace fs = boost::filesystem;

// What is in `folder`, which may vanish while it is read.
std::vector<fs::path> Listed(const fs::path& folder) {
  std::vector<fs::path> paths;
  boost::system::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    paths.push_back(it->path());
  }
  return paths;
}

// The name of a thread; empty if it has ended.
std::string NameOf(const fs::path& thread) {
  std::string name;
  std::ifstream file((thread / "comm").string());
  std::getline(file, name);
  return name;
}

// Whether a thread that is not the process's first has the name, and the first one has not.
bool HasNamedThread(const fs::path& process, const std::string& name) {
  bool found = false;
  for (const fs::path& thread : Listed(process / "task")) {
    if (NameOf(thread) != name) continue;
    if (thread.filename() == process.filename()) return false;
    found = true;
  }
  return found;
}

// The user whom a process belongs to: as its real, effective, saved and filesystem id.
std::optional<uid_t> UserOf(const fs::path& process) {
  std::ifstream status((process / "status").string());
  for (std::string line; std::getline(status, line);) {
    std::istringstream fields(line);
    std::string label;
    if (!(fields >> label) || label != "Uid:") continue;
    std::array<uid_t, 4> ids{};
    for (uid_t& id : ids) {
      if (!(fields >> id) || id != ids[0]) return std::nullopt;
    }
    return ids[0];
  }
  return std::nullopt;
}

}  // namespace

std::string ServingThreadName(const std::string& device) {
  return ("mount " + device).substr(0, 15);
}

ServerProcess::ServerProcess(const MountEntry& mount, pid_t pid)
    : mount_(mount), pid_(pid), pidfd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}

ServerProcess::ServerProcess(ServerProcess&& other) noexcept
    : mount_(std::move(other.mount_)),
      pid_(other.pid_),
      user_(other.user_),
      pidfd_(std::exchange(other.pidfd_, -1)) {}

ServerProcess::~ServerProcess() {
  if (pidfd_ >= 0) close(pidfd_);
}

std::optional<ServerProcess> ServerProcess::Find(const MountEntry& mount) {
  if (!fusefs::ProcIsOurs()) return std::nullopt;
  for (const fs::path& path : Listed("/proc")) {
    const std::optional<uint64_t> pid = logcore::ParseDecimal(path.filename().string());
    if (!pid || !HasNamedThread(path, ServingThreadName(mount.device))) continue;
    // It is looked at once more when its number can no longer pass to another process.
    ServerProcess process(mount, static_cast<pid_t>(*pid));
    const std::optional<uid_t> user = UserOf(path);
    if (process.pidfd_ < 0 || !user || (*user != 0 && user != mount.user)) continue;
    process.user_ = *user;
    if (process.Serves()) return process;
  }
  return std::nullopt;
}

bool ServerProcess::Serves() const {
  const fs::path path = fs::path("/proc") / std::to_string(pid_);
  return HasNamedThread(path, ServingThreadName(mount_.device)) && UserOf(path) == user_;
}

bool ServerProcess::WaitForEnd(std::optional<std::chrono::milliseconds> limit) const {
  pollfd wait{.fd = pidfd_, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = poll(&wait, 1, limit ? static_cast<int>(limit->count()) : -1);
  } while (ready < 0 && errno == EINTR);
  return 0 < ready;
}

}  // namespace mountd
