// Power cuts and killed processes on the simulated disk: the promises D1 to D4 and D8
// (logcore/README.md). TLOGFS_CRASH_STATES says about how many crashes to go through,
// TLOGFS_CRASH_SEED with which seed to begin: a failure names the seed, and the test run with it
// (and TLOGFS_CRASH_STATES=1) does exactly that run again. With TLOGFS_CRASH_PROGRESS=1 each test
// says now and then how far it is; tests/crash/run runs several of these programs and adds up.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "tests/crash/runs.h"

namespace tlogfs_test {
namespace {

constexpr uint64_t kProgress = 1000;  // states

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

void Print(const RunCount& count, uint64_t first_seed, uint64_t seed) {
  const auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf(
      "%s: %llu states, %llu power cuts, %llu in recovery, %llu audits, seeds %llu to %llu\n",
      testing::UnitTest::GetInstance()->current_test_info()->name(), number(count.states),
      number(count.cuts), number(count.deeper), number(count.audits), number(first_seed),
      number(seed));
  std::fflush(stdout);
}

// Runs `run` with one seed after the other until it has gone through its share of the states.
template <typename Run>
void RunSeeds(double share, const Run& run) {
  const double states = static_cast<double>(FromEnvironment("TLOGFS_CRASH_STATES", 100'000));
  const uint64_t first_seed = FromEnvironment("TLOGFS_CRASH_SEED", 1);
  const bool progress = FromEnvironment("TLOGFS_CRASH_PROGRESS", 0) != 0;
  uint64_t seed = first_seed;
  uint64_t printed = 0;
  RunCount count;
  while (true) {
    try {
      run(seed, &count);
    } catch (const Violation& violation) {
      FAIL() << "TLOGFS_CRASH_SEED=" << seed << ": " << violation.what();
    }
    if (states * share <= static_cast<double>(count.states)) break;
    if (progress && printed + kProgress < count.states) {
      printed = count.states;
      Print(count, first_seed, seed);
    }
    ++seed;
  }
  Print(count, first_seed, seed);
}

TEST(CrashTest, EveryOperationOfALife) {
  const auto start = World::Create();
  RunSeeds(0.45,
           [&](uint64_t seed, RunCount* count) { RunEveryOperation(seed, 16, *start, count); });
}

TEST(CrashTest, SurvivorsGoOn) {
  const auto start = World::Create();
  RunSeeds(0.1, [&](uint64_t seed, RunCount* count) { RunSurvivors(seed, *start, count); });
}

TEST(CrashTest, HistoriesFromCrashToCrash) {
  const auto start = World::Create();
  RunSeeds(0.41, [&](uint64_t seed, RunCount* count) { RunHistory(seed, *start, 40, count); });
}

// The edge of 65,536 entries: of a segment, and of a tile of the second level.
TEST(CrashTest, EveryOperationAcrossASegment) {
  const std::unique_ptr<World> starts[] = {PrepareWorld(65536 - 2, {}),
                                           PrepareWorld(65536 - 3, {})};
  RunSeeds(0.01, [&](uint64_t seed, RunCount* count) {
    RunEveryOperation(seed, 8, *starts[seed % 2], count);
  });
}

TEST(CrashTest, HistoriesAcrossASegment) {
  // A little before the end, and so close to it that the next batch goes over it.
  const std::unique_ptr<World> starts[] = {PrepareWorld(65536 - 30, {}),
                                           PrepareWorld(65536 - 1, {})};
  RunSeeds(0.01,
           [&](uint64_t seed, RunCount* count) { RunHistory(seed, *starts[seed % 2], 12, count); });
}

TEST(CrashTest, EveryOperationOfInit) {
  RunSeeds(0.02, [](uint64_t seed, RunCount* count) { RunInit(seed, 8, {}, count); });
}

}  // namespace
}  // namespace tlogfs_test
