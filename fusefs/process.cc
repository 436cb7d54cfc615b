#include "fusefs/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace fusefs {
namespace {

constexpr size_t kMaxProcFile = 8192;
// A process with more descriptors is not looked through.
constexpr int kMaxDescriptors = 256;

// A file of /proc/<thread>; empty if there is none.
std::string ReadProc(pid_t thread, std::string_view name) {
  std::string text;
  if (thread <= 0 || !ProcIsOurs()) return text;
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

// The value of a line "Name:\tvalue".
std::string_view Field(std::string_view text, std::string_view name) {
  const std::string label = std::string(name) + ":\t";
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(label)) return line.substr(label.size());
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return {};
}

constexpr uint64_t MaskOf(std::initializer_list<int> signals) {
  uint64_t mask = 0;
  for (const int number : signals) mask |= uint64_t{1} << (number - 1);
  return mask;
}

// Signals whose default action ends nobody, as of signal(7).
constexpr uint64_t kHarmless =
    MaskOf({SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU});

// A set of signals in a process's `status`; empty if it is not there.
uint64_t Signals(std::string_view status, std::string_view name) {
  return ParseNumber<uint64_t>(Field(status, name), 16).value_or(0);
}

// Whether the thread is one of that process. Costs a twentieth of reading /proc: permission to send
// a signal, which is not sent, is asked for after that.
bool IsIn(pid_t thread, pid_t process) {
  if (thread <= 0 || process <= 0) return false;
  return syscall(SYS_tgkill, process, thread, 0) == 0 || errno == EPERM;
}

// Of a process alone, not of another thread than its first, is there a pidfd: unknown else.
Process ProcessWithId(pid_t id) {
  const int fd = id <= 0 ? -1 : static_cast<int>(syscall(SYS_pidfd_open, id, 0));
  if (fd < 0) return {};
  struct stat status {};
  const bool known = fstat(fd, &status) == 0;
  close(fd);
  return known ? Process{.id = id, .instance = status.st_ino} : Process{};
}

}  // namespace

// /proc/self is the caller's id in the namespace that /proc is of.
bool ProcIsOurs() {
  std::array<char, 16> id{};
  const ssize_t length = readlink("/proc/self", id.data(), id.size());
  return 0 < length &&
         std::string_view(id.data(), static_cast<size_t>(length)) == std::to_string(getpid());
}

Process ProcessOf(pid_t thread, pid_t guess) {
  if (IsIn(thread, thread)) return ProcessWithId(thread);
  if (IsIn(thread, guess)) return ProcessWithId(guess);
  const std::string status = ReadProc(thread, "status");
  return ProcessWithId(ParseNumber<pid_t>(Field(status, "Tgid"), 10).value_or(0));
}

bool IsOfAnother(pid_t thread, const Process& process) {
  return process.known() && thread != process.id && IsIn(thread, thread);
}

bool IsKilled(pid_t thread) {
  // A thread in execve(2) closes its files under a lock that reading its `stat` waits for, and its
  // FLUSH waits for us. Only who has given up its memory, as exit does before it closes files, is
  // asked.
  if (!Field(ReadProc(thread, "status"), "VmSize").empty()) return false;
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
  const uint64_t pending = Signals(status, "SigPnd") | Signals(status, "ShdPnd");
  if ((pending & MaskOf({SIGKILL})) != 0) return true;
  if (Field(status, "TracerPid") != "0") return false;
  // The kernel makes SIGKILL of most that are fatal, but not of those that also dump core.
  const uint64_t survived =
      Signals(status, "SigBlk") | Signals(status, "SigIgn") | Signals(status, "SigCgt") | kHarmless;
  return (pending & ~survived) != 0;
}

// Neither the links in `fd` nor what they lead to: a thread in execve(2) holds the lock that they
// wait for, and the files are ours.
std::optional<size_t> CountDescriptors(pid_t thread, ino_t inode) {
  if (thread <= 0 || !ProcIsOurs()) return std::nullopt;
  const std::string path = "/proc/" + std::to_string(thread) + "/fdinfo";
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), &closedir);
  if (folder == nullptr) return std::nullopt;
  size_t count = 0;
  int seen = 0;
  while (true) {
    errno = 0;
    const dirent* const entry = readdir(folder.get());
    if (entry == nullptr) return errno == 0 ? std::optional(count) : std::nullopt;
    if (entry->d_name[0] == '.') continue;
    if (++seen > kMaxDescriptors) return std::nullopt;
    const std::string info = ReadProc(thread, std::string("fdinfo/") + entry->d_name);
    // Empty: it has just been closed, too.
    if (info.empty()) continue;
    if (ParseNumber<ino_t>(Field(info, "ino"), 10).value_or(inode) == inode) ++count;
  }
}

bool MayHold(const Process& process, ino_t inode) {
  if (!process.known() || ProcessWithId(process.id) != process) return false;
  return CountDescriptors(process.id, inode).value_or(1) > 0;
}

}  // namespace fusefs
