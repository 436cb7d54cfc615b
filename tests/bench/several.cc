#include "tests/bench/several.h"

#include <cmath>
#include <cstdio>
#include <iostream>
#include <thread>

#include "logcore/log/sequencer.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/disk/posix_disk.h"
#include "tests/bench/load.h"
#include "tests/bench/open_store.h"

namespace bench {
namespace {

Clock::duration Duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// The beginning that all processes were told.
Clock::time_point WaitForStart() {
  Report().Add("ready", 1).Print();
  std::fflush(stdout);
  double moment = 0;
  if (!(std::cin >> moment) || !std::isfinite(moment)) Fail("no moment to begin at");
  const Clock::time_point start(Duration(moment));
  if (Clock::now() + std::chrono::seconds(10) < start) Fail("the moment to begin at is far away");
  std::this_thread::sleep_until(start);
  return start;
}

}  // namespace

void MeasureShare(const std::string& directory, size_t entry_length, size_t piece, int writers,
                  double seconds, bool batches) {
  const OpenStore open(directory);
  const auto sequencer = logcore::Sequencer::Start(open.store.get(), {});
  const logcore::Submission pattern = MakeSubmission(entry_length, piece, 0);
  const auto end = WaitForStart() + Duration(seconds);
  Latencies latencies;
  uint64_t in_time = 0;
  uint64_t appended = 0;
  if (batches) {
    Outstanding under_way(writers);
    while (Clock::now() < end) {
      under_way.Submit(sequencer.get(),
                       {.frames = pattern.frames, .count = pattern.count, .on_durable = {}});
      appended += pattern.count;
    }
    under_way.WaitForAll();
    in_time = under_way.DurableBefore(end);
    latencies = under_way.latencies();
  } else {
    latencies = AppendUntil(sequencer.get(), entry_length, writers, end);
    appended = latencies.count();
    in_time = appended;
  }
  sequencer->Stop();
  Report()
      .Rate(static_cast<double>(in_time), seconds)
      .Add("appended", static_cast<double>(appended))
      .Add(&latencies)
      .Print();
}

void PrintSize(const std::string& directory) {
  const auto disk = Must(logcore::OpenPosixDisk(directory));
  const auto store = Must(logcore::StoreReader::Open(disk.get(), {}));
  Report().Add("size", static_cast<double>(Must(store->Latest())->size())).Print();
}

}  // namespace bench
