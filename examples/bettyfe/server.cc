#include "server.h"

#include <strings.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "http_loop.h"
#include "log_files.h"

namespace bettyfe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned kLoops = 2;  // so that one can wait for the mount
// What bounds the memory: 4,000 connections of 8 KiB and their bookkeeping, 8 MiB of bodies.
constexpr size_t kMaxConnections = 4000;
constexpr size_t kConnectionLength = 8 << 10;  // request line and headers, or part of a body
constexpr size_t kBodiesLength = 8 << 20;
constexpr uint64_t kMaxUnwanted = 1 << 20;  // bytes of a body that are read and not used
constexpr unsigned kIdleSeconds = 60;
constexpr std::chrono::seconds kUploadTime{30};  // for a whole body

// A request, from its head to the end of its answer.
struct Exchange {
  HttpLoop* loop = nullptr;
  bool is_append = false;
  Clock::time_point begun = Clock::now();
  std::string body;
  size_t charged = 0;  // bytes of the budget for bodies
  bool is_too_long = false;
  bool is_refused = false;  // too much waits
  bool is_done = false;     // the appender has said the outcome
  Outcome outcome;
};

class Response {
 public:
  static Response Text(std::string_view text) {
    Response response(MHD_create_response_from_buffer(text.size(), const_cast<char*>(text.data()),
                                                      MHD_RESPMEM_MUST_COPY));
    return response.With("Content-Type", "text/plain; charset=utf-8");
  }
  static Response File(const LogFile& file) {
    Response response(MHD_create_response_from_fd64(file.length, file.fd));
    if (response.response_ == nullptr) close(file.fd);
    response.With("Content-Type", file.content_type);
    if (file.cache_control != nullptr) response.With("Cache-Control", file.cache_control);
    return response;
  }
  ~Response() {
    if (response_ != nullptr) MHD_destroy_response(response_);
  }
  Response(Response&& other) noexcept : response_(std::exchange(other.response_, nullptr)) {}
  Response& operator=(Response&&) = delete;

  Response&& With(const char* name, const char* value) {
    if (response_ != nullptr) MHD_add_response_header(response_, name, value);
    return std::move(*this);
  }
  MHD_Response* get() const { return response_; }

 private:
  explicit Response(MHD_Response* response) : response_(response) {}
  MHD_Response* response_;  // null: no memory
};

// Whether a body, of which the head has arrived, is longer than any entry and need not come: its
// client waits for the answer before it sends it, or would send much. Of a body in chunks nobody
// knows the length.
bool IsRefusedUnread(MHD_Connection* connection) {
  const auto header = [connection](const char* name) {
    const char* const value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
    return std::string_view(value != nullptr ? value : "");
  };
  const std::string_view text = header("Content-Length");
  uint64_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  const bool client_waits = strcasecmp(header("Expect").data(), "100-continue") == 0;
  return kMaxEntryLength < length && (client_waits || kMaxUnwanted < length);
}

// As many connections as the limit for open files allows, with a file for each.
unsigned ConnectionLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kLoops;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  const size_t files = std::min<size_t>(limit.rlim_cur, 1 << 20);
  return static_cast<unsigned>(std::clamp<size_t>(files / 2 - files / 16, kLoops, kMaxConnections));
}

}  // namespace

class Server::Impl : public HttpHandler {
 public:
  Impl(const ServerOptions& options, Appender* appender);
  void Start();
  void Drain(std::chrono::seconds most);

  MHD_Result OnRequest(HttpLoop* loop, MHD_Connection* connection, const char* url,
                       const char* method, std::string_view part, void** context) override;
  void OnCompleted(void** context) override;

 private:
  bool Receive(Exchange* exchange, std::string_view part);
  void Forget(Exchange* exchange);
  MHD_Result Answer(MHD_Connection* connection, Exchange* exchange, std::string_view url,
                    std::string_view method);
  MHD_Result Append(MHD_Connection* connection, Exchange* exchange);
  MHD_Result AnswerOutcome(MHD_Connection* connection, const Outcome& outcome);
  MHD_Result Read(MHD_Connection* connection, std::string_view url);
  MHD_Result Send(MHD_Connection* connection, unsigned status, Response response);

  const std::string mount_;
  Appender* const appender_;
  std::atomic<size_t> bodies_length_ = 0;
  std::atomic<size_t> exchanges_ = 0;
  std::atomic<bool> draining_ = false;
  std::deque<HttpLoop> loops_;  // whose threads use all above
};

Server::Impl::Impl(const ServerOptions& options, Appender* appender)
    : mount_(options.mount), appender_(appender) {
  for (unsigned i = 0; i < kLoops; ++i) {
    const HttpLoopOptions loop = {.listener = i == 0 ? options.listener : dup(options.listener),
                                  .max_connections = ConnectionLimit() / kLoops,
                                  .connection_length = kConnectionLength,
                                  .idle_seconds = kIdleSeconds};
    loops_.emplace_back(loop, this);
  }
}

void Server::Impl::Start() {
  for (HttpLoop& loop : loops_) loop.Start();
}

MHD_Result Server::Impl::OnRequest(HttpLoop* loop, MHD_Connection* connection, const char* url,
                                   const char* method, std::string_view part, void** context) {
  if (*context == nullptr) {
    auto exchange = std::make_unique<Exchange>();
    exchange->loop = loop;
    exchange->is_append = std::strcmp(url, "/add") == 0 && std::strcmp(method, "POST") == 0;
    exchange->is_too_long = exchange->is_append && IsRefusedUnread(connection);
    Exchange* const begun = exchange.release();
    *context = begun;
    ++exchanges_;
    return begun->is_too_long ? Append(connection, begun) : MHD_YES;
  }
  auto* const exchange = static_cast<Exchange*>(*context);
  if (part.empty()) return Answer(connection, exchange, url, method);
  return Receive(exchange, part) ? MHD_YES : MHD_NO;
}

void Server::Impl::OnCompleted(void** context) {
  const std::unique_ptr<Exchange> exchange(
      static_cast<Exchange*>(std::exchange(*context, nullptr)));
  if (exchange == nullptr) return;
  Forget(exchange.get());
  --exchanges_;
}

// The body, and its part of the budget.
void Server::Impl::Forget(Exchange* exchange) {
  bodies_length_ -= std::exchange(exchange->charged, 0);
  std::string().swap(exchange->body);
}

// Takes a part of a body. All of it is read, also of one that is refused, so that the client is
// there to hear the answer. False if that takes too long.
bool Server::Impl::Receive(Exchange* exchange, std::string_view part) {
  if (kUploadTime < Clock::now() - exchange->begun) return false;
  if (!exchange->is_append || exchange->is_too_long || exchange->is_refused) return true;
  if (kMaxEntryLength - exchange->body.size() < part.size()) {
    exchange->is_too_long = true;
    Forget(exchange);
    return true;
  }
  exchange->body.append(part);
  const size_t more = exchange->body.capacity() - exchange->charged;
  exchange->charged += more;
  if (kBodiesLength < (bodies_length_ += more)) {
    Forget(exchange);
    exchange->is_refused = true;
  }
  return true;
}

MHD_Result Server::Impl::Answer(MHD_Connection* connection, Exchange* exchange,
                                std::string_view url, std::string_view method) {
  if (exchange->is_append) return Append(connection, exchange);
  const bool is_add = url == "/add";
  if (!is_add && (method == "GET" || method == "HEAD")) return Read(connection, url);
  return Send(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
              Response::Text("no such method here\n").With("Allow", is_add ? "POST" : "GET, HEAD"));
}

// Comes twice: first to give the entry to the appender, and suspend the connection; then, when the
// appender has resumed it, to answer.
MHD_Result Server::Impl::Append(MHD_Connection* connection, Exchange* exchange) {
  if (exchange->is_done) return AnswerOutcome(connection, exchange->outcome);
  if (exchange->is_too_long) {
    return Send(connection, MHD_HTTP_CONTENT_TOO_LARGE,
                Response::Text("an entry has at most 65,535 bytes\n"));
  }
  const auto done = [connection, exchange](const Outcome& outcome) {
    exchange->outcome = outcome;
    exchange->is_done = true;
    exchange->loop->Resume(connection);
  };
  MHD_suspend_connection(connection);
  if (exchange->is_refused || !appender_->Add({std::move(exchange->body), done})) {
    done({.error = EAGAIN});
  }
  return MHD_YES;
}

MHD_Result Server::Impl::AnswerOutcome(MHD_Connection* connection, const Outcome& outcome) {
  if (outcome.error == 0) {
    return Send(connection, MHD_HTTP_OK, Response::Text(std::to_string(outcome.index)));
  }
  if (outcome.error == EAGAIN) {
    return Send(connection, MHD_HTTP_TOO_MANY_REQUESTS,
                Response::Text("too many entries wait\n").With("Retry-After", "1"));
  }
  const std::string why = outcome.error == ECONNABORTED
                              ? "it is not known whether the entry was added"
                              : "the log cannot be written: " + Explain(outcome.error);
  return Send(connection, MHD_HTTP_SERVICE_UNAVAILABLE, Response::Text(why + "\n"));
}

MHD_Result Server::Impl::Read(MHD_Connection* connection, std::string_view url) {
  const LogFile file = OpenLogFile(mount_, url);
  if (file.error == 0) return Send(connection, MHD_HTTP_OK, Response::File(file));
  if (file.error == ENOENT) {
    return Send(connection, MHD_HTTP_NOT_FOUND, Response::Text("not there\n"));
  }
  return Send(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
              Response::Text("the log cannot be read: " + Explain(file.error) + "\n"));
}

MHD_Result Server::Impl::Send(MHD_Connection* connection, unsigned status, Response response) {
  response.With("Access-Control-Allow-Origin", "*");
  if (draining_) response.With("Connection", "close");
  return response.get() == nullptr ? MHD_NO
                                   : MHD_queue_response(connection, status, response.get());
}

void Server::Impl::Drain(std::chrono::seconds most) {
  draining_ = true;
  for (HttpLoop& loop : loops_) loop.Quiesce();
  const Clock::time_point end = Clock::now() + most;
  while (exchanges_ > 0 && Clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Server::Server(const ServerOptions& options, Appender* appender)
    : impl_(std::make_unique<Impl>(options, appender)) {}
Server::~Server() = default;

void Server::Start() {
  impl_->Start();
}

void Server::Drain(std::chrono::seconds most) {
  impl_->Drain(most);
}

}  // namespace bettyfe
