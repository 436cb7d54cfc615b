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
// it, once what was begun is answered. Exit status 1 after an error, 2 if it was called wrongly.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <exception>
#include <iostream>
#include <string>

#include "appender.h"
#include "listener.h"
#include "server.h"

namespace {

constexpr unsigned kPatience = 15;               // seconds to end in
constexpr std::chrono::seconds kRequestTime{5};  // of these, for what clients have begun to send
constexpr std::chrono::seconds kAnswerTime{2};   // and for answers to what the log took at last
constexpr uint64_t kMaxPending = 1'000'000;

struct Options {
  std::string mount;
  std::string listen = "127.0.0.1:8080";
  uint64_t max_pending = 4096;
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
  const int missing = bettyfe::FindLog(add);
  if (missing != 0) Say(std::cerr, add, bettyfe::Explain(missing));
  bettyfe::Appender appender(
      {.path = add, .max_pending = options.max_pending, .on_change = [&add](int error) {
         Say(std::cerr, add, error == 0 ? "can be written again" : bettyfe::Explain(error));
       }});
  const int listener = bettyfe::Listen(options.listen);
  const std::string address = bettyfe::BoundTo(listener);
  bettyfe::Server server({.mount = options.mount, .listener = listener}, &appender);
  appender.Start();
  server.Start();
  Say(std::cout, "serves " + options.mount, "http://" + address);

  int signal = 0;
  sigwait(&signals, &signal);
  alarm(kPatience);  // A log that does not answer holds whoever writes to it: that ends them.
  server.Drain(kRequestTime);
  appender.Stop();
  server.Drain(kAnswerTime);
}

// Decimal, without sign, leading zeros or anything else.
void ParseMaxPending(const std::string& text, uint64_t* value) {
  const char* const end = text.data() + text.size();
  uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || text[0] == '0' || kMaxPending < number) {
    throw CLI::ValidationError(
        "--max-pending", "not a number from 1 to " + std::to_string(kMaxPending) + ": " + text);
  }
  *value = number;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("An HTTP front end for a mounted log: POST /add, and everything that clients read.");
  app.add_option("--mount", options.mount, "Where the log is mounted")->required();
  app.add_option("--listen", options.listen, "HOST:PORT; port 0 takes any that is free")
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--max-pending",
         [&options](const std::string& text) { ParseMaxPending(text, &options.max_pending); },
         "Entries that may wait; more are refused (429)")
      ->type_name("N")
      ->default_str(std::to_string(options.max_pending));
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return 0;
  } catch (const CLI::ParseError& error) {
    std::cerr << "bettyfe: command line: " << error.what() << " (see bettyfe --help)\n";
    return 2;
  }
  try {
    Serve(options);
  } catch (const std::exception& error) {
    std::cerr << "bettyfe: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
