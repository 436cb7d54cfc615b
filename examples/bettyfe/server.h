// Server: HTTP over a mounted log, by libmicrohttpd: a few threads with epoll, each connection a
// small fixed buffer. A POST waits for the log without a thread of its own.
//
//   POST /add                   200 and the index, once the entry is durable. 413: too long, at
//                               once where the client waits to hear it or would send megabytes;
//                               429: too many wait; 503: the log cannot be written
//   GET /checkpoint, /vkey,     the files of the mount (log_files.h). 404: there is none (yet);
//       /tile/...               503: cannot be read
//   anything else               405, or 404
//
// The program ignores SIGPIPE. Any thread. Tested by tests/mount/bettyfe_test.py.

#ifndef EXAMPLES_BETTYFE_SERVER_H_
#define EXAMPLES_BETTYFE_SERVER_H_

#include <chrono>
#include <memory>
#include <string>

#include "appender.h"

namespace bettyfe {

struct ServerOptions {
  std::string mount;
  int listener = -1;  // a listening socket, which the server closes
};

class Server {
 public:
  // Throws std::runtime_error if it cannot serve. The appender outlives it, and has stopped before
  // the server goes.
  Server(const ServerOptions& options, Appender* appender);
  ~Server();
  // Starts its threads; once.
  void Start();
  // Takes no more connections, and waits until what was begun is answered, at most so long.
  void Drain(std::chrono::seconds most);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bettyfe

#endif  // EXAMPLES_BETTYFE_SERVER_H_
