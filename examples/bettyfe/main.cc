// A web server for one log, over its mount:
//
//   tlogfs mount STORE MOUNT
//   bettyfe --mount MOUNT [--listen 127.0.0.1:8080] [--max-pending 4096]
//
//   curl --data-binary @FILE http://127.0.0.1:8080/add       an entry: its index
//   curl http://127.0.0.1:8080/checkpoint                    and everything that a client reads
//
// It knows nothing of how a log is kept: it writes to MOUNT/add.bundle and reads files. Whoever can
// reach it can append, so it listens on the loopback unless told otherwise. SIGTERM and SIGINT end
// it, once what was begun is answered.

#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>

#include "appender.h"
#include "listener.h"
#include "server.h"

namespace {

constexpr unsigned kPatience = 15;  // seconds to end in

struct Options {
  std::string mount;
  std::string listen = "127.0.0.1:8080";
  size_t max_pending = 4096;
};

// In one write: others speak, too.
void Say(std::ostream& out, const std::string& what, const std::string& why) {
  out << "bettyfe: " + what + ": " + why + "\n" << std::flush;
}

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

void Serve(const Options& options) {
  const sigset_t signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  const std::string add = options.mount + "/add.bundle";
  struct stat info {};
  if (stat(add.c_str(), &info) != 0) Say(std::cerr, add, std::strerror(errno));
  bettyfe::Appender appender(
      {.path = add, .max_pending = options.max_pending, .on_change = [&add](int error) {
         Say(std::cerr, add, error == 0 ? "can be written again" : std::strerror(error));
       }});
  const int listener = bettyfe::Listen(options.listen);
  const std::string address = bettyfe::BoundTo(listener);
  bettyfe::Server server({.mount = options.mount, .listener = listener}, &appender);
  appender.Start();
  Say(std::cout, "serves " + options.mount, "http://" + address);

  int signal = 0;
  sigwait(&signals, &signal);
  alarm(kPatience);  // A log that does not answer holds whoever writes to it: that ends them.
  server.Drain();
  appender.Stop();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("An HTTP front end for a mounted log: POST /add, and everything that clients read.");
  app.add_option("--mount", options.mount, "Where the log is mounted")->required();
  app.add_option("--listen", options.listen, "HOST:PORT; port 0 takes any that is free")
      ->capture_default_str();
  app.add_option("--max-pending", options.max_pending,
                 "Entries that may wait; more are refused (429)")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    Serve(options);
  } catch (const std::exception& error) {
    std::cerr << "bettyfe: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
