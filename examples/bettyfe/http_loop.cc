#include "http_loop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace bettyfe {
namespace {

constexpr int kMaxWait = 60'000;  // milliseconds

// Paths are taken as they are: no name of a log has anything to unescape.
size_t LeaveEscaped(void*, MHD_Connection*, char* text) {
  return std::strlen(text);
}

}  // namespace

HttpLoop::HttpLoop(const HttpLoopOptions& options, HttpHandler* handler) : handler_(handler) {
  daemon_ = MHD_start_daemon(
      MHD_USE_EPOLL | MHD_USE_SUSPEND_RESUME, 0, nullptr, nullptr, &OnRequest, this,
      MHD_OPTION_LISTEN_SOCKET, options.listener, MHD_OPTION_CONNECTION_LIMIT,
      options.max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT, options.connection_length,
      MHD_OPTION_CONNECTION_TIMEOUT, options.idle_seconds, MHD_OPTION_NOTIFY_COMPLETED,
      &OnCompleted, this, MHD_OPTION_UNESCAPE_CALLBACK, &LeaveEscaped, nullptr,
      MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
  if (daemon_ == nullptr) throw std::runtime_error("the HTTP server cannot be started");
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_ < 0) {
    MHD_stop_daemon(daemon_);
    throw std::runtime_error(std::string("eventfd: ") + std::strerror(errno));
  }
}

HttpLoop::~HttpLoop() {
  end_ = true;
  Wake();
  if (thread_.joinable()) thread_.join();
  MHD_stop_daemon(daemon_);
  close(wake_);
}

// noexcept: there is no way back through libmicrohttpd.
MHD_Result HttpLoop::OnRequest(void* self, MHD_Connection* connection, const char* url,
                               const char* method, const char*, const char* upload,
                               size_t* upload_length, void** context) noexcept {
  auto* const loop = static_cast<HttpLoop*>(self);
  const std::string_view part(upload, std::exchange(*upload_length, 0));
  return loop->handler_->OnRequest(loop, connection, url, method, part, context);
}

void HttpLoop::OnCompleted(void* self, MHD_Connection*, void** context,
                           MHD_RequestTerminationCode) noexcept {
  static_cast<HttpLoop*>(self)->handler_->OnCompleted(context);
}

void HttpLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void HttpLoop::Resume(MHD_Connection* connection) {
  MHD_resume_connection(connection);
  Wake();
}

void HttpLoop::Quiesce() {
  quiesce_ = true;
  Wake();
}

void HttpLoop::Run() {
  bool takes_connections = true;
  while (!end_) {
    Wait();
    if (quiesce_ && takes_connections) {
      const int listener = MHD_quiesce_daemon(daemon_);
      if (listener >= 0) close(listener);
      takes_connections = false;
    }
    MHD_run(daemon_);
  }
}

void HttpLoop::Wait() {
  MHD_UNSIGNED_LONG_LONG most = 0;
  int milliseconds = kMaxWait;
  if (MHD_get_timeout(daemon_, &most) == MHD_YES) {
    milliseconds = static_cast<int>(std::min<MHD_UNSIGNED_LONG_LONG>(most, kMaxWait));
  }
  const int epoll = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
  std::array<pollfd, 2> news = {{{.fd = epoll, .events = POLLIN, .revents = 0},
                                 {.fd = wake_, .events = POLLIN, .revents = 0}}};
  poll(news.data(), news.size(), milliseconds);
  uint64_t count = 0;
  if (news[1].revents == 0 || read(wake_, &count, sizeof(count)) < 0) return;
  woken_.exchange(false);  // Sees what whoever woke it has done.
}

void HttpLoop::Wake() {
  const uint64_t one = 1;
  if (!woken_.exchange(true) && write(wake_, &one, sizeof(one)) < 0) woken_ = false;
}

}  // namespace bettyfe
