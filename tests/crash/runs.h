// The workloads of the crash tests: what processes do on a World, where they are made to crash, and
// what is checked after (aftermath.h). Each run is a function of its seed, and throws the first
// Violation. The kinds of run:
//
//   every operation   the life of a store, by two processes in turns: up to and over an edge (256
//                     entries; 65,536 if it starts near them), over the end of the journal's ring,
//                     over a reboot. At *every* operation copies of the world crash in several
//                     ways: power cut, kill, kill in the middle of a write, kill and a restart that
//                     publishes and then the power cut
//   survivors         one of three live processes dies at every operation of a step, holding its
//                     locks, often after an I/O error; the others, who remember the state before,
//                     go on: page cache kept, disk not. They may die too
//   history           one world, in which random steps of up to three processes go on from crash to
//                     crash: only one process dies, or all of them, or the power is cut
//   init              crashes at every operation of it
//
// At every operation of a life readers open the store too: as a kill leaves it, and a power cut.
// Then the store opens for writing, its files and its published tree are as the World demands, and
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
  uint64_t cuts = 0;    // power cuts among them
  uint64_t deeper = 0;  // of them after a crash inside the check of another crash
  uint64_t audits = 0;
};

using Prepare = std::function<void(SimDisk*)>;

// `start`: the world to begin with; it is not changed. `cuts`: ways to crash at each operation.
void RunEveryOperation(uint64_t seed, uint64_t cuts, const World& start, RunCount* count);
void RunSurvivors(uint64_t seed, const World& start, RunCount* count);
void RunHistory(uint64_t seed, const World& start, int crashes, RunCount* count);
// What is there after is a whole store, or none.
void RunInit(uint64_t seed, uint64_t cuts, const Prepare& prepare, RunCount* count);
// A world of `size` entries.
std::unique_ptr<World> PrepareWorld(uint64_t size, const Prepare& prepare);

}  // namespace tlogfs_test

#endif  // TESTS_CRASH_RUNS_H_
