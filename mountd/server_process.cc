#include "mountd/server_process.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <utility>

#include "logcore/bytes.h"

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

bool HasThread(const fs::path& process, const std::string& name) {
  for (const fs::path& thread : Listed(process / "task")) {
    std::string found;
    std::ifstream file((thread / "comm").string());
    if (std::getline(file, found) && found == name) return true;
  }
  return false;
}

// The effective user counts.
std::optional<uid_t> UserOf(const fs::path& process) {
  std::ifstream status((process / "status").string());
  for (std::string line; std::getline(status, line);) {
    std::istringstream fields(line);
    std::string label;
    uid_t real = 0, effective = 0;
    if (fields >> label && label == "Uid:" && fields >> real >> effective) return effective;
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
    : mount_(std::move(other.mount_)), pid_(other.pid_), pidfd_(std::exchange(other.pidfd_, -1)) {}

ServerProcess::~ServerProcess() {
  if (pidfd_ >= 0) close(pidfd_);
}

std::optional<ServerProcess> ServerProcess::Find(const MountEntry& mount) {
  for (const fs::path& path : Listed("/proc")) {
    const std::optional<uint64_t> pid = logcore::ParseDecimal(path.filename().string());
    if (!pid || !HasThread(path, ServingThreadName(mount.device))) continue;
    // Looked at when its number can no longer pass to another process.
    ServerProcess process(mount, static_cast<pid_t>(*pid));
    if (0 <= process.pidfd_ && process.Serves()) return process;
  }
  return std::nullopt;
}

bool ServerProcess::Serves() const {
  const fs::path path = fs::path("/proc") / std::to_string(pid_);
  if (!HasThread(path, ServingThreadName(mount_.device))) return false;
  const std::optional<uid_t> user = UserOf(path);
  return user && (*user == 0 || user == mount_.user);
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
