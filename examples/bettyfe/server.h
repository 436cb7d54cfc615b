// Server: HTTP over a mounted log, by libmicrohttpd: a few threads with epoll, each connection a
// small fixed buffer. A POST waits for the log without a thread of its own.
//
//   POST /add                   200 and the index, once the entry is durable. 413: too long;
//                               429: too many wait; 503: the log cannot be written
//   GET /checkpoint, /vkey,     the files of the mount (log_files.h). 404: there is none (yet);
//       /tile/...               503: cannot be read
//   anything else               405, or 404
//
// Stop answers what was begun. Any thread. Tested by tests/mount/bettyfe_test.py.

#ifndef EXAMPLES_BETTYFE_SERVER_H_
#define EXAMPLES_BETTYFE_SERVER_H_

#include <cstddef>
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
  // Throws std::runtime_error if it cannot serve. The appender outlives it.
  Server(const ServerOptions& options, Appender* appender);
  ~Server();
  // Takes no more connections, and waits until what was begun is answered, at most some seconds.
  void Drain();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bettyfe

#endif  // EXAMPLES_BETTYFE_SERVER_H_
