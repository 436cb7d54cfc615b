#include "tests/bench/log.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "logcore/entry_bundle.h"
#include "logcore/posix_disk.h"
#include "logcore/sequencer.h"
#include "logcore/store.h"
#include "tests/bench/measure.h"

namespace bench {
namespace {

using logcore::Result;
using logcore::Sequencer;
using logcore::Snapshot;
using logcore::Store;

template <typename T>
T Must(Result<T> result) {
  if (!result.has_value()) Fail(result.error().message);
  return std::move(*result);
}

void MustBeWell(const logcore::Status& status) {
  if (!status.has_value()) Fail(status.error().message);
}

// A store on the disk, open.
struct OpenStore {
  OpenStore(const std::string& directory, Store::Mode mode)
      : disk(Must(logcore::OpenPosixDisk(directory))),
        store(Must(Store::Open(disk.get(), mode, {.clock = [] { return time(nullptr); }}))) {}

  std::unique_ptr<logcore::Disk> disk;
  std::unique_ptr<Store> store;
};

OpenStore NewStore(const std::string& directory) {
  if (!std::filesystem::create_directory(directory)) Fail(directory + " is there already");
  const auto disk = Must(logcore::OpenPosixDisk(directory));
  Must(Store::Init(disk.get(), {.origin = "bench.example/log", .key = {}},
                   {.clock = [] { return time(nullptr); }}));
  return OpenStore(directory, Store::Mode::kAppend);
}

// Lets so many submissions be under way, and waits for them all.
class Outstanding {
 public:
  explicit Outstanding(int limit) : limit_(limit) {}

  void Begin() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return under_way_ < limit_; });
    ++under_way_;
  }
  void End() {
    const std::lock_guard<std::mutex> lock(mutex_);
    --under_way_;
    changed_.notify_one();
  }
  void WaitForAll() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return under_way_ == 0; });
  }

 private:
  const int limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int under_way_ = 0;
};

logcore::Submission MakeSubmission(size_t entry_length, size_t piece, uint64_t first) {
  logcore::Submission submission;
  do {
    logcore::AppendFrame(&submission.frames, MakeLine(first + submission.count, entry_length));
    ++submission.count;
  } while (submission.frames.size() + entry_length + logcore::kFrameHeaderLength <= piece);
  return submission;
}

// Submits copies of `pattern` until `count` entries are durable.
void SubmitAll(Sequencer* sequencer, const logcore::Submission& pattern, int outstanding,
               uint64_t count) {
  Outstanding under_way(outstanding);
  for (uint64_t done = 0; done < count; done += pattern.count) {
    under_way.Begin();
    sequencer->Submit({.frames = pattern.frames,
                       .count = pattern.count,
                       .on_durable = [&](const Result<logcore::Appended>& appended) {
                         if (!appended.has_value()) Fail(appended.error().message);
                         under_way.End();
                       }});
  }
  under_way.WaitForAll();
}

void CheckSize(Store* store, uint64_t size) {
  if (Must(store->Latest())->size() != size) Fail("entries are missing");
}

uint64_t CountLines(const std::string& text) {
  return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

void MeasureBatches(const std::string& directory, size_t entry_length, size_t piece,
                    int outstanding, uint64_t bytes) {
  const OpenStore open = NewStore(directory);
  const logcore::Submission pattern = MakeSubmission(entry_length, piece, 0);
  const uint64_t submissions = std::max<uint64_t>(1, bytes / pattern.frames.size());
  const uint64_t count = submissions * pattern.count;
  const auto start = Clock::now();
  double durable = 0;
  {
    const auto sequencer = Sequencer::Start(open.store.get(), {});
    SubmitAll(sequencer.get(), pattern, outstanding, count);
    durable = SecondsSince(start);
    sequencer->Stop();
  }
  MustBeWell(open.store->Close());
  Report report;
  report.Rate(static_cast<double>(count), SecondsSince(start));
  report.Add("durable_rate", static_cast<double>(count) / durable);
  CheckSize(open.store.get(), count);
  report.Print();
}

void MeasureWriters(const std::string& directory, size_t entry_length, int writers,
                    double seconds) {
  const OpenStore open = NewStore(directory);
  std::vector<Latencies> latencies(static_cast<size_t>(writers));
  const auto sequencer = Sequencer::Start(open.store.get(), {});
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (size_t i = 0; i < latencies.size(); ++i) {
    threads.emplace_back([&, i] {
      const std::string entry = MakeLine(i, entry_length);
      while (SecondsSince(start) < seconds) {
        const auto began = Clock::now();
        Must(sequencer->Append(entry));
        latencies[i].Add(began);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double took = SecondsSince(start);
  sequencer->Stop();
  Latencies all;
  for (const Latencies& one : latencies) all.Add(one);
  CheckSize(open.store.get(), all.count());
  Report().Rate(static_cast<double>(all.count()), took).Add(&all).Print();
}

void MakeStore(const std::string& directory, size_t entry_length, uint64_t size, bool crash) {
  const OpenStore open = NewStore(directory);
  const auto sequencer = Sequencer::Start(open.store.get(), {});
  constexpr uint64_t kAtOnce = 4096;
  Outstanding under_way(4);
  const auto start = Clock::now();
  for (uint64_t done = 0; done < size; done += kAtOnce) {
    logcore::Submission submission;
    submission.count = std::min(kAtOnce, size - done);
    for (uint64_t i = 0; i < submission.count; ++i) {
      logcore::AppendFrame(&submission.frames, MakeLine(done + i, entry_length));
    }
    submission.on_durable = [&](const Result<logcore::Appended>& appended) {
      if (!appended.has_value()) Fail(appended.error().message);
      under_way.End();
    };
    under_way.Begin();
    sequencer->Submit(std::move(submission));
  }
  under_way.WaitForAll();
  Report().Rate(static_cast<double>(size), SecondsSince(start)).Print();
  if (crash) {
    std::fflush(stdout);
    _exit(0);
  }
  sequencer->Stop();
  MustBeWell(open.store->Close());
}

void MeasureOpening(const std::string& directory) {
  const auto start = Clock::now();
  const OpenStore open(directory, Store::Mode::kAppend);
  Must(open.store->Publish());
  const double milliseconds = SecondsSince(start) * 1000;
  Latencies latencies;
  {
    const auto sequencer = Sequencer::Start(open.store.get(), {});
    for (uint64_t i = 0; i < 1000; ++i) {
      const std::string entry = MakeLine(i, 100);
      const auto began = Clock::now();
      Must(sequencer->Append(entry));
      latencies.Add(began);
    }
  }
  Report()
      .Add("size", static_cast<double>(Must(open.store->Latest())->size()))
      .Add("open_ms", milliseconds)
      .Add("anonymous_bytes", static_cast<double>(AnonymousMemory()))
      .Add(&latencies)
      .Print();
}

void MeasureStream(const std::string& directory, int scans, double seconds) {
  const OpenStore open(directory, Store::Mode::kReadOnly);
  const auto snapshot = Must(open.store->Latest());
  std::vector<uint64_t> counts(static_cast<size_t>(scans));
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (uint64_t& count : counts) {
    threads.emplace_back([&count, &snapshot, seconds, start] {
      constexpr size_t kPiece = 256 << 10;
      for (uint64_t offset = 0; offset < snapshot->LogLength() && SecondsSince(start) < seconds;
           offset += kPiece) {
        count += CountLines(Must(snapshot->Log(offset, kPiece)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double took = SecondsSince(start);
  uint64_t all = 0;
  for (const uint64_t count : counts) all += count;
  if (all == 0) Fail("the log is empty");
  Report().Rate(static_cast<double>(all), took).Print();
}

void MeasureRandom(const std::string& directory, double seconds) {
  const OpenStore open(directory, Store::Mode::kReadOnly);
  const auto snapshot = Must(open.store->Latest());
  uint64_t state = 1;
  uint64_t count = 0;
  const auto start = Clock::now();
  while (SecondsSince(start) < seconds) {
    for (int i = 0; i < 64; ++i, ++count) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      Must(snapshot->Entry((state >> 16) % snapshot->size()));
    }
  }
  Report().Rate(static_cast<double>(count), SecondsSince(start)).Print();
}

}  // namespace bench
