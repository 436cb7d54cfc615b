#include "log_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace bettyfe {
namespace {

constexpr size_t kMaxPathLength = 64;  // the longest name of a tile has 45 characters
constexpr const char* kText = "text/plain; charset=utf-8";

// tile/... in digits, dots, `entries`, `x` and `p`; no part of it is empty or begins with a dot.
bool IsTilePath(std::string_view path) {
  if (path.substr(0, 5) != "tile/" || path.size() > kMaxPathLength) return false;
  const auto is_allowed = [](char c) {
    return ('0' <= c && c <= '9') || ('a' <= c && c <= 'z') || c == '.' || c == '/';
  };
  return std::all_of(path.begin(), path.end(), is_allowed) && path.find("//") == path.npos &&
         path.find("/.") == path.npos && path.back() != '/';
}

// What HTTP says about a file; an empty content type if it is not for everybody.
LogFile Describe(std::string_view path) {
  LogFile file;
  if (path == "checkpoint") {
    file.content_type = kText;
    file.cache_control = "no-store";
  } else if (path == "vkey") {
    file.content_type = kText;
  } else if (IsTilePath(path)) {
    file.content_type = "application/octet-stream";
    file.cache_control = "public, max-age=31536000, immutable";
  }
  return file;
}

// 0, or why the file cannot be sent.
int Prepare(const std::string& path, LogFile* file) {
  file->fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file->fd < 0) return errno == ENOTDIR ? ENOENT : errno;
  struct stat info {};
  if (fstat(file->fd, &info) != 0) return errno;
  if (!S_ISREG(info.st_mode)) return ENOENT;
  file->length = static_cast<uint64_t>(info.st_size);
  char first = 0;
  return pread(file->fd, &first, 1, 0) < 0 ? errno : 0;
}

}  // namespace

LogFile OpenLogFile(const std::string& mount, std::string_view url) {
  const std::string path(url.substr(url.substr(0, 1) == "/" ? 1 : 0));
  LogFile file = Describe(url.substr(0, 1) == "/" ? path : "");
  if (*file.content_type == '\0') {
    file.error = ENOENT;
    return file;
  }
  file.error = Prepare(mount + "/" + path, &file);
  // A log always has a checkpoint: without one, nothing is mounted there. That is not the same as
  // a tile that the log does not have, which clients remember.
  struct stat info {};
  if (file.error == ENOENT && stat((mount + "/checkpoint").c_str(), &info) != 0) {
    file.error = ENODEV;
  }
  if (file.error != 0 && file.fd >= 0) {
    close(file.fd);
    file.fd = -1;
  }
  return file;
}

}  // namespace bettyfe
