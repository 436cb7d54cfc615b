// Power cuts and killed processes on the simulated disk. TLOGFS_CRASH_STATES says about how many
// crashes to go through, TLOGFS_CRASH_SEED with which seed to begin: a failure names the seed, and
// the test run with it (and TLOGFS_CRASH_STATES=1) does exactly that run again.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "tests/crash/runs.h"

namespace tlogfs_test {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

// Runs `run` with one seed after the other until it has gone through its share of the states.
template <typename Run>
void RunSeeds(double share, const Run& run) {
  const double states = static_cast<double>(FromEnvironment("TLOGFS_CRASH_STATES", 100'000));
  uint64_t seed = FromEnvironment("TLOGFS_CRASH_SEED", 1);
  RunCount count;
  uint64_t runs = 0;
  do {
    try {
      run(seed, &count);
    } catch (const Violation& violation) {
      FAIL() << "TLOGFS_CRASH_SEED=" << seed << ": " << violation.what();
    }
    ++seed;
    ++runs;
  } while (static_cast<double>(count.states) < states * share);
  std::printf("%llu states in %llu runs; %llu after power cuts, %llu in recovery, %llu audited\n",
              static_cast<unsigned long long>(count.states), static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(count.cuts),
              static_cast<unsigned long long>(count.deeper),
              static_cast<unsigned long long>(count.audits));
}

TEST(CrashTest, EveryOperationOfALife) {
  RunSeeds(0.5, [](uint64_t seed, RunCount* count) { RunEveryOperation(seed, 16, {}, count); });
}

TEST(CrashTest, HistoriesFromCrashToCrash) {
  const auto start = World::Create();
  RunSeeds(0.45, [&](uint64_t seed, RunCount* count) { RunHistory(seed, *start, 40, count); });
}

TEST(CrashTest, HistoriesAcrossASegment) {
  // A little before the end, and so close to it that the next batch goes over it.
  const std::unique_ptr<World> starts[] = {PrepareWorld(65536 - 30, {}),
                                           PrepareWorld(65536 - 1, {})};
  RunSeeds(0.03,
           [&](uint64_t seed, RunCount* count) { RunHistory(seed, *starts[seed % 2], 12, count); });
}

TEST(CrashTest, EveryOperationOfInit) {
  RunSeeds(0.02, [](uint64_t seed, RunCount* count) { RunInit(seed, 8, {}, count); });
}

}  // namespace
}  // namespace tlogfs_test
