// The workloads of the crash tests: what processes do on a World, where they are made to crash, and
// what is checked after. Each run is a function of its seed, and throws the first Violation.
//
// Three kinds of run:
//   every operation   a fixed life of a store; at *every* operation a copy of the world crashes in
//                     several ways: power cut, kill, kill in the middle of a write, kill and a
//                     restart that publishes and then the power cut
//   history           one world, in which random steps of up to three processes go on from crash to
//                     crash: only one process dies, or all of them, or the power is cut
//   prepared          histories that begin shortly before 65,536 entries
//
// After each crash: the store opens, its files and its published tree are as the World demands, and
// it takes appends; often the crash is again in the midst of that, up to three deep.

#ifndef TESTS_CRASH_RUNS_H_
#define TESTS_CRASH_RUNS_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "tests/crash/world.h"

namespace tlogfs_test {

// How many crashes, i.e. states of a machine from which a store was opened and checked.
struct RunCount {
  uint64_t states = 0;
  uint64_t cuts = 0;    // of them after a power cut
  uint64_t deeper = 0;  // of them after a crash inside the check of another crash
  uint64_t audits = 0;
};

using Prepare = std::function<void(SimDisk*)>;

// `cuts`: ways to crash at each operation.
void RunEveryOperation(uint64_t seed, uint64_t cuts, const Prepare& prepare, RunCount* count);
// `start`: the world to begin with; it is not changed.
void RunHistory(uint64_t seed, const World& start, int crashes, RunCount* count);
// Crashes at every operation of init: what is there after is a whole store, or none.
void RunInit(uint64_t seed, uint64_t cuts, const Prepare& prepare, RunCount* count);
// A world of a little under `size` entries.
std::unique_ptr<World> PrepareWorld(uint64_t size, const Prepare& prepare);

}  // namespace tlogfs_test

#endif  // TESTS_CRASH_RUNS_H_
