#include "tests/bench/log.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>
#include <vector>

#include "logcore/log/sequencer.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/bench/load.h"
#include "tests/bench/open_store.h"

namespace bench {
namespace {

using logcore::Sequencer;
using logcore::StoreWriter;

// Ends the process as a kill would, inside a commit.
[[noreturn]] void Die(StoreWriter* store) {
  const auto sequencer = Sequencer::Start(store, {});
  std::thread([&sequencer] {
    while (true) Must(sequencer->Append("x"));
  }).detach();
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::fflush(stdout);
  _exit(0);
}

}  // namespace

void MeasureBatches(const std::string& directory, size_t entry_length, size_t piece,
                    int outstanding, uint64_t bytes) {
  const OpenStore open = NewStore(directory);
  const logcore::Submission pattern = MakeSubmission(entry_length, piece, 0);
  const uint64_t submissions = std::max<uint64_t>(1, bytes / pattern.frames.size());
  const uint64_t count = submissions * pattern.count;
  Outstanding under_way(outstanding);
  const auto start = Clock::now();
  double durable = 0;
  {
    const auto sequencer = Sequencer::Start(open.store.get(), {});
    for (uint64_t i = 0; i < submissions; ++i) {
      under_way.Submit(sequencer.get(),
                       {.frames = pattern.frames, .count = pattern.count, .on_durable = {}});
    }
    under_way.WaitForAll();
    durable = SecondsSince(start);
    sequencer->Stop();
  }
  MustBeWell(open.store->Close());
  const double drained = SecondsSince(start);
  CheckSize(open.store.get(), count);
  Latencies latencies = under_way.latencies();
  Report()
      .Rate(static_cast<double>(count), drained)
      .Add("durable_rate", static_cast<double>(count) / durable)
      .Add(&latencies)
      .Print();
}

void MeasureWriters(const std::string& directory, size_t entry_length, int writers,
                    double seconds) {
  const OpenStore open = NewStore(directory);
  const auto sequencer = Sequencer::Start(open.store.get(), {});
  const auto start = Clock::now();
  const auto end =
      start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  Latencies latencies = AppendUntil(sequencer.get(), entry_length, writers, end);
  const double took = SecondsSince(start);
  sequencer->Stop();
  CheckSize(open.store.get(), latencies.count());
  Report().Rate(static_cast<double>(latencies.count()), took).Add(&latencies).Print();
}

void MakeStore(const std::string& directory, size_t entry_length, uint64_t size, bool crash) {
  const OpenStore open = NewStore(directory);
  const auto start = Clock::now();
  {
    const auto sequencer = Sequencer::Start(open.store.get(), {});
    constexpr uint64_t kAtOnce = 4096;
    Outstanding under_way(4);
    for (uint64_t done = 0; done < size; done += kAtOnce) {
      logcore::Submission submission{
          .frames = {}, .count = std::min(kAtOnce, size - done), .on_durable = {}};
      for (uint64_t i = 0; i < submission.count; ++i) {
        logcore::AppendFrame(&submission.frames, MakeLine(done + i, entry_length));
      }
      under_way.Submit(sequencer.get(), std::move(submission));
    }
    under_way.WaitForAll();
    sequencer->Stop();
  }
  Report().Rate(static_cast<double>(size), SecondsSince(start)).Print();
  if (crash) Die(open.store.get());
  MustBeWell(open.store->Close());
}

void MeasureOpening(const std::string& directory, uint64_t appends, bool crash) {
  const auto start = Clock::now();
  const OpenStore open(directory);
  Must(open.store->Publish());
  const double milliseconds = SecondsSince(start) * 1000;
  const uint64_t size = Must(open.store->reader().Latest())->size();
  Latencies latencies;
  {
    const auto sequencer = Sequencer::Start(open.store.get(), {});
    for (uint64_t i = 0; i < appends; ++i) {
      const std::string entry = MakeLine(i, 100);
      const auto began = Clock::now();
      Must(sequencer->Append(entry));
      latencies.Add(began);
    }
  }
  CheckSize(open.store.get(), size + appends);
  Report()
      .Add("size", static_cast<double>(size + appends))
      .Add("open_ms", milliseconds)
      .Add("anonymous_bytes", static_cast<double>(AnonymousMemory()))
      .Add(&latencies)
      .Print();
  if (crash) Die(open.store.get());
  MustBeWell(open.store->Close());
}

}  // namespace bench
