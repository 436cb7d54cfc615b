#include "tests/bench/reading.h"

#include <sys/resource.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <memory>
#include <thread>
#include <vector>

#include "logcore/log/scan.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/posix_disk.h"
#include "tests/bench/open_store.h"

namespace bench {
namespace {

using logcore::Scan;
using logcore::Snapshot;
using logcore::StoreReader;

// The newest snapshot of a store; nothing of it is verified yet.
struct Reader {
  explicit Reader(const std::string& directory)
      : disk(Must(logcore::OpenPosixDisk(directory))),
        store(Must(StoreReader::Open(disk.get(),
                                     {.clock = [] { return time(nullptr) * logcore::kNanoseconds; },
                                      .map_segments = true}))),
        snapshot(Must(store->Latest())) {
    if (snapshot->size() == 0) Fail("the log is empty");
  }

  std::unique_ptr<logcore::Disk> disk;
  std::unique_ptr<StoreReader> store;
  std::shared_ptr<const Snapshot> snapshot;
};

double SecondsOfProcessor() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// One pass, or as much of it as there is time for: how many entries.
uint64_t ScanOnce(const std::shared_ptr<const Snapshot>& snapshot, bool verified,
                  Clock::time_point start, double seconds) {
  uint64_t count = 0;
  uint64_t bytes = 0;
  Scan scan(snapshot, 0, snapshot->size(), {.verified = verified});
  while (SecondsSince(start) < seconds) {
    const auto entries = Must(scan.Next());
    if (entries.empty()) break;
    count += entries.size();
    for (const std::string_view entry : entries) bytes += entry.size();
  }
  if (scan.index() == snapshot->size() && bytes != snapshot->LogLength() - count) {
    Fail("bytes are missing");
  }
  return count;
}

// Entries/s of that many threads, and nanoseconds of processor time for an entry.
struct Speed {
  uint64_t entries = 0;
  double seconds = 0;
  double cpu_ns = 0;
};
Speed ScanAll(const std::shared_ptr<const Snapshot>& snapshot, int scans, bool verified,
              double seconds) {
  std::vector<uint64_t> counts(static_cast<size_t>(scans));
  const double processor = SecondsOfProcessor();
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (uint64_t& count : counts) {
    threads.emplace_back([&] {
      do {
        count += ScanOnce(snapshot, verified, start, seconds);
      } while (!verified && SecondsSince(start) < seconds);
    });
  }
  for (std::thread& thread : threads) thread.join();
  Speed speed{.seconds = SecondsSince(start)};
  for (const uint64_t count : counts) speed.entries += count;
  speed.cpu_ns = (SecondsOfProcessor() - processor) * 1e9 / static_cast<double>(speed.entries);
  return speed;
}

Speed ReadAtRandom(const Snapshot& snapshot, double seconds) {
  std::array<uint64_t, 1024> indexes;
  logcore::EntryBuffer buffer;
  uint64_t state = 1;
  Speed speed;
  const double processor = SecondsOfProcessor();
  const auto start = Clock::now();
  while (SecondsSince(start) < seconds) {
    for (uint64_t& index : indexes) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      index = (state >> 16) % snapshot.size();
    }
    const auto entries = Must(snapshot.Entries(indexes, &buffer));
    for (size_t i = 0; i < entries.size() && speed.entries == 0; ++i) {  // The right ones?
      if (entries[i] != Must(snapshot.Entry(indexes[i]))) Fail("another entry");
    }
    speed.entries += entries.size();
  }
  speed.seconds = SecondsSince(start);
  speed.cpu_ns = (SecondsOfProcessor() - processor) * 1e9 / static_cast<double>(speed.entries);
  return speed;
}

}  // namespace

void MeasureStream(const std::string& directory, int scans, double seconds) {
  const Reader reader(directory);
  const Speed verified = ScanAll(reader.snapshot, scans, true, seconds);
  const Speed stored = ScanAll(reader.snapshot, scans, false, seconds);
  Report()
      .Rate(static_cast<double>(stored.entries), stored.seconds)
      .Add("cpu_ns", stored.cpu_ns)
      .Add("verified_rate", static_cast<double>(verified.entries) / verified.seconds)
      .Add("verified_cpu_ns", verified.cpu_ns)
      .Print();
}

void MeasureRandom(const std::string& directory, double seconds) {
  const Reader reader(directory);
  const Speed first = ReadAtRandom(*reader.snapshot, seconds);
  ScanOnce(reader.snapshot, true, Clock::now(), 600);
  const Speed later = ReadAtRandom(*reader.snapshot, seconds);
  Report()
      .Rate(static_cast<double>(later.entries), later.seconds)
      .Add("cpu_ns", later.cpu_ns)
      .Add("first_rate", static_cast<double>(first.entries) / first.seconds)
      .Add("first_cpu_ns", first.cpu_ns)
      .Print();
}

}  // namespace bench
