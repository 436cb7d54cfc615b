#include "mountd/daemon.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <system_error>

#include "mountd/message.h"

namespace mountd {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Result;
using logcore::Status;

constexpr int kReportFd = 3;      // in the child, where everything above it is closed
constexpr char kReadyMark = 'R';  // what the child reports; else 'E' and a message
constexpr char kErrorMark = 'E';

// sd_notify(3), which is one datagram.
void NotifyReady(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  constexpr std::string_view kReady = "READY=1";
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  sendto(fd, kReady.data(), kReady.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address),
         length);
  close(fd);
}

void Report(std::string_view text) {
  while (!text.empty()) {
    const ssize_t length = write(kReportFd, text.data(), text.size());
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) break;  // Nobody waits any more.
    text.remove_prefix(static_cast<size_t>(length));
  }
  close(kReportFd);
}

void DropStreams() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) dup2(null, fd);
  close(null);
}

[[noreturn]] void RunChild(const Service& serve, int report_fd) {
  // No directory or file of whoever called is kept busy, nor a pipe open that somebody reads from.
  if (chdir("/") != 0) _exit(1);
  if (report_fd != kReportFd && dup2(report_fd, kReportFd) < 0) _exit(1);
  close_range(kReportFd + 1, ~0U, 0);
  fcntl(kReportFd, F_SETFD, FD_CLOEXEC);
  openlog("tlogfs", LOG_PID, LOG_DAEMON);

  bool was_ready = false;
  const Status status = serve([&was_ready] {
    was_ready = true;
    setsid();
    DropStreams();
    Report(std::string_view(&kReadyMark, 1));
  });
  if (status.has_value()) _exit(0);
  if (was_ready) {
    syslog(LOG_ERR, "%s", OneLine(status.error().message).c_str());
  } else {
    Report(kErrorMark + status.error().message);
  }
  _exit(1);
}

std::string ReadReport(int fd) {
  std::string report;
  char buffer[1024];
  while (true) {
    const ssize_t length = read(fd, buffer, sizeof buffer);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) return report;
    report.append(buffer, static_cast<size_t>(length));
  }
}

Status WaitForChild(pid_t child, int report_fd) {
  const std::string report = ReadReport(report_fd);
  if (!report.empty() && report[0] == kReadyMark) return {};
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (!report.empty()) return Fail(Code::kIo, report.substr(1));
  return Fail(Code::kIo, WIFSIGNALED(status)
                             ? "the daemon was killed by signal " + std::to_string(WTERMSIG(status))
                             : "the daemon ended before the mount answered");
}

tl::unexpected<logcore::Error> Errno(const char* what) {
  return Fail(Code::kIo, std::string(what) + ": " + std::generic_category().message(errno));
}

}  // namespace

Status ServeInForeground(const Service& serve, const std::string& notify_socket) {
  openlog("tlogfs", LOG_PID | LOG_PERROR, LOG_DAEMON);
  return serve([&notify_socket] { NotifyReady(notify_socket); });
}

Status ServeInBackground(const Service& serve) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Errno("pipe");
  const pid_t child = fork();
  if (child == 0) RunChild(serve, ends[1]);
  close(ends[1]);
  Status status = child < 0 ? Status(Errno("fork")) : WaitForChild(child, ends[0]);
  close(ends[0]);
  return status;
}

}  // namespace mountd
