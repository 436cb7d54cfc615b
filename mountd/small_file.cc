#include "mountd/small_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <istream>
#include <system_error>

#include "logcore/tlog/note.h"

namespace mountd {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Result;

tl::unexpected<logcore::Error> Errno(const std::string& path) {
  return Fail(errno == ENOENT ? Code::kNotFound : Code::kDenied,
              path + ": " + std::generic_category().message(errno));
}

Result<std::string> ReadAll(int fd, const std::string& path, size_t max_length) {
  std::string bytes;
  char buffer[4096];
  while (true) {
    const ssize_t length = read(fd, buffer, sizeof buffer);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return Errno(path);
    if (length == 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(length));
    if (bytes.size() > max_length) return Fail(Code::kTooLarge, path + ": too large");
  }
}

}  // namespace

Result<std::string> ReadSmallFile(const std::string& path, size_t max_length, Secrecy secrecy) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Errno(path);
  struct stat info {};
  Result<std::string> bytes;
  if (fstat(fd, &info) != 0) {
    bytes = Errno(path);
  } else if (secrecy == Secrecy::kPrivate && S_ISREG(info.st_mode) && (info.st_mode & 077) != 0) {
    bytes = Fail(Code::kDenied, path + ": others can read this private key; chmod 600 it");
  } else {
    bytes = ReadAll(fd, path, max_length);
  }
  close(fd);
  return bytes;
}

Result<std::string> ReadSmallStream(std::istream& in, size_t max_length) {
  std::string bytes(max_length + 1, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(in.gcount()));
  if (in.bad()) return Fail(Code::kIo, "standard input: cannot be read");
  if (bytes.size() > max_length) return Fail(Code::kTooLarge, "standard input: too large");
  return bytes;
}

Result<std::string> ReadCheckpoint(const std::string& path, std::istream& in) {
  return path == "-" ? ReadSmallStream(in, logcore::kMaxNoteLength)
                     : ReadSmallFile(path, logcore::kMaxNoteLength, Secrecy::kPublic);
}

}  // namespace mountd
