// Puts load on a log, in process: makes leaves and appends them to a store with logcore alone. Any
// number of instances may work on one store at once, and mounts with them:
//
//   leafcreator --path STORE --num_writers=1000 --leaves_per_second=400 --batch_size=256
//
// Once a second it tells the size of the checkpoint, how much that grew since the last line
// (whoever appended it), and how long this instance's leaves took, since the start, until they were
// durable. At the end (--duration, SIGINT, SIGTERM, or an error) it waits for what is under way and
// tells how many leaves it made. Exit status 1 after an error, 2 if it was called wrongly.

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "creator.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/util/result.h"
#include "options.h"

namespace {

using leafcreator::Creator;
using leafcreator::Latency;
using leafcreator::Options;
using logcore::Result;
using logcore::Status;
using logcore::StoreWriter;
using Clock = std::chrono::steady_clock;

// The signals that end the program: blocked, in threads started later as well, and waited for.
sigset_t BlockStopSignals() {
  std::signal(SIGXFSZ, SIG_IGN);  // A file over its limit is an error of its write.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// True if one of the signals came before that moment.
bool WaitForSignal(const sigset_t& signals, Clock::time_point moment) {
  while (true) {
    const auto left = std::max<Clock::duration>(moment - Clock::now(), Clock::duration(0));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec timeout{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
    if (0 < sigtimedwait(&signals, nullptr, &timeout)) return true;
    if (errno == EAGAIN) return false;  // The time is over; else some other signal came.
  }
}

timespec Now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

int64_t ReadClock() {
  const timespec now = Now();
  return int64_t{now.tv_sec} * logcore::kNanoseconds + now.tv_nsec;
}

std::string TimeOfDay() {
  const timespec now = Now();
  tm parts{};
  localtime_r(&now.tv_sec, &parts);
  char text[64];
  std::snprintf(text, sizeof text, "%02d:%02d:%02d.%06ld", parts.tm_hour, parts.tm_min,
                parts.tm_sec, now.tv_nsec / 1000);
  return text;
}

// A line a second, until the end.
Status Watch(StoreWriter* store, const Creator& creator, const sigset_t& signals,
             Clock::time_point start, const Options& options) {
  ASSIGN_OR_RETURN(const auto first, store->reader().Latest());
  uint64_t last_size = first->size();
  for (int second = 1;; ++second) {
    const auto tick = start + std::chrono::seconds(second);
    const bool has_end = options.duration.count() != 0;
    const auto end = has_end ? std::min(tick, start + options.duration) : tick;
    if (WaitForSignal(signals, end)) return {};
    RETURN_IF_ERROR(creator.status());
    if (end < tick) return {};
    ASSIGN_OR_RETURN(const auto latest, store->reader().Latest());
    std::cout << TimeOfDay() << " CP size " << latest->size() << " (+" << latest->size() - last_size
              << "); Latency: " << creator.latency().ToString() << std::endl;
    last_size = latest->size();
  }
}

void Summarize(const Latency& latency, Clock::duration took, const leafcreator::Load& load) {
  const double seconds = std::chrono::duration<double>(took).count();
  char text[128];
  std::snprintf(text, sizeof text, "%llu leaves in %.3f s, %.0f/s",
                static_cast<unsigned long long>(latency.count()), seconds,
                static_cast<double>(latency.count()) / seconds);
  std::cout << text;
  if (load.leaves_per_second != 0) {
    std::cout << " of " << load.num_writers * load.leaves_per_second << "/s";
  }
  std::cout << "; Latency: " << latency.ToString() << std::endl;
}

// Of no other instance, wherever it runs: processes in containers have the same numbers.
uint64_t NewInstance() {
  std::random_device source;
  return uint64_t{source()} << 32 | source();
}

Status Run(const Options& options) {
  const sigset_t signals = BlockStopSignals();
  ASSIGN_OR_RETURN(const auto disk, logcore::OpenPosixDisk(options.path));
  ASSIGN_OR_RETURN(const auto store, StoreWriter::Open(disk.get(), {.clock = ReadClock}));
  RETURN_IF_ERROR(Creator::Check(*store, options.load));
  Creator creator(store.get(), options.load, NewInstance());
  const auto start = Clock::now();
  creator.Start();
  Status watched = Watch(store.get(), creator, signals, start, options);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);  // Who has no patience signals again.
  creator.Stop();
  Summarize(creator.latency(), Clock::now() - start, options.load);
  RETURN_IF_ERROR(std::move(watched));
  RETURN_IF_ERROR(creator.status());
  return store->Close();
}

}  // namespace

int main(int argc, char** argv) {
  const Result<Options> options = leafcreator::ParseOptions({argv + 1, argv + argc});
  if (!options.has_value()) {
    std::cerr << "leafcreator: " << options.error().message << "\n";
    return 2;
  }
  if (!options->help.empty()) {
    std::cout << options->help;
    return 0;
  }
  const Status status = Run(*options);
  if (status.has_value()) return 0;
  std::cerr << "leafcreator: " << options->path << ": " << status.error().message << "\n";
  return 1;
}
