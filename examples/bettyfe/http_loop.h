// HttpLoop: a libmicrohttpd daemon, and the thread that runs it.
//
// Not a thread of libmicrohttpd's: those hang (0.9.75) when exactly 128 connections, or a multiple,
// have news at once. They then wait once more without end before they look at the first of them;
// MHD_run never waits.
//
// One thread at a time, but for Resume. Tested by tests/mount/bettyfe_test.py.

#ifndef EXAMPLES_BETTYFE_HTTP_LOOP_H_
#define EXAMPLES_BETTYFE_HTTP_LOOP_H_

#include <microhttpd.h>

#include <atomic>
#include <cstddef>
#include <string_view>
#include <thread>

namespace bettyfe {

class HttpLoop;

// What is done with requests. Called by the threads of all loops, as libmicrohttpd calls: first
// with a null `*context`, then for each part of the body, then with no more of it.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  virtual MHD_Result OnRequest(HttpLoop* loop, MHD_Connection* connection, const char* url,
                               const char* method, std::string_view part, void** context) = 0;
  // The request is over, and its context with it.
  virtual void OnCompleted(void** context) = 0;
};

struct HttpLoopOptions {
  int listener = -1;  // a listening socket, which the loop closes
  unsigned max_connections = 1;
  size_t connection_length = 0;  // bytes of memory: request line and headers, part of a body
  unsigned idle_seconds = 0;     // after which a connection is closed
};

class HttpLoop {
 public:
  // Throws std::runtime_error if it cannot serve. The handler is called from Start on.
  HttpLoop(const HttpLoopOptions& options, HttpHandler* handler);
  // No connection is suspended any more.
  ~HttpLoop();
  HttpLoop(const HttpLoop&) = delete;
  HttpLoop& operator=(const HttpLoop&) = delete;

  // Starts its thread; once.
  void Start();
  // Goes on with a connection that was suspended. Any thread.
  void Resume(MHD_Connection* connection);
  // Takes no more connections; those that are there go on.
  void Quiesce();

 private:
  static MHD_Result OnRequest(void* self, MHD_Connection* connection, const char* url,
                              const char* method, const char* version, const char* upload,
                              size_t* upload_length, void** context) noexcept;
  static void OnCompleted(void* self, MHD_Connection* connection, void** context,
                          MHD_RequestTerminationCode code) noexcept;
  void Run();
  void Wait();
  void Wake();

  HttpHandler* const handler_;
  std::atomic<bool> quiesce_ = false;
  std::atomic<bool> end_ = false;
  std::atomic<bool> woken_ = false;  // and thread_ has not yet seen it
  MHD_Daemon* daemon_ = nullptr;     // run by thread_
  int wake_ = -1;                    // an eventfd, readable when there is news of all above
  std::thread thread_;
};

}  // namespace bettyfe

#endif  // EXAMPLES_BETTYFE_HTTP_LOOP_H_
