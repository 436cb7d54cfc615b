#include "fusefs/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fusefs {
namespace {

constexpr size_t kMaxProcFile = 8192;

// A file of /proc/<thread>; empty if there is none.
std::string ReadProc(pid_t thread, std::string_view name) {
  std::string text;
  if (thread <= 0) return text;
  const std::string path = "/proc/" + std::to_string(thread) + "/" + std::string(name);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  text.resize(kMaxProcFile);
  const ssize_t length = read(fd, text.data(), text.size());
  close(fd);
  text.resize(length < 0 ? 0 : static_cast<size_t>(length));
  return text;
}

template <typename T>
std::optional<T> ParseNumber(std::string_view text, int base) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The value of a line "Name:\tvalue" of a status file.
std::string_view StatusField(std::string_view status, std::string_view name) {
  const std::string label = "\n" + std::string(name) + ":\t";
  const size_t at = status.find(label);
  if (at == status.npos) return {};
  const std::string_view rest = status.substr(at + label.size());
  return rest.substr(0, rest.find('\n'));
}

bool HasSigkill(std::string_view mask) {
  const std::optional<uint64_t> signals = ParseNumber<uint64_t>(mask, 16);
  return signals && (*signals >> (SIGKILL - 1) & 1) != 0;
}

}  // namespace

pid_t ProcessOf(pid_t thread) {
  // Only of a process's first thread, whose id is the process's, is there a pidfd: most writers
  // have no other, and this costs a tenth of reading /proc.
  const int fd = thread <= 0 ? -1 : static_cast<int>(syscall(SYS_pidfd_open, thread, 0));
  if (0 <= fd) {
    close(fd);
    return thread;
  }
  const std::string status = ReadProc(thread, "status");
  return ParseNumber<pid_t>(StatusField(status, "Tgid"), 10).value_or(0);
}

bool IsKilled(pid_t thread) {
  // A thread in execve(2) closes its files under a lock that reading its `stat` waits for, and its
  // FLUSH waits for us. Only who has given up its memory, as exit does before it closes files, is
  // asked.
  if (!StatusField(ReadProc(thread, "status"), "VmSize").empty()) return false;
  // The exit code, as of wait(2), is the last field: the signal is in its low seven bits.
  const std::string stat = ReadProc(thread, "stat");
  const size_t space = stat.rfind(' ');
  if (space == stat.npos || stat.back() != '\n') return false;
  const std::string_view last = std::string_view(stat).substr(space + 1);
  const std::optional<int> code = ParseNumber<int>(last.substr(0, last.size() - 1), 10);
  return code && (*code & 0x7f) != 0;
}

bool IsFatalSignalPending(pid_t thread) {
  const std::string status = ReadProc(thread, "status");
  return HasSigkill(StatusField(status, "SigPnd")) || HasSigkill(StatusField(status, "ShdPnd"));
}

}  // namespace fusefs
