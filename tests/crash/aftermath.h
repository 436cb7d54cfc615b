// Aftermath: the next life after a crash. A store is opened and used a little, everything that was
// promised is looked for; often that life is cut short as well, and the next one is looked at, up
// to three deep. Part of the workloads of runs.h. One thread.

#ifndef TESTS_CRASH_AFTERMATH_H_
#define TESTS_CRASH_AFTERMATH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/crash/runs.h"
#include "tests/crash/world.h"

namespace tlogfs_test {

class Aftermath {
 public:
  // Everything it does is a function of the world and the seed.
  Aftermath(World* world, uint64_t seed, RunCount* count)
      : world_(world), random_(seed), count_(count) {}

  // Throws the first Violation.
  void Check() { CheckAt(0); }

 private:
  void CheckAt(int depth);
  void Live(int depth);

  World* const world_;
  SimRandom random_;
  RunCount* const count_;
};

// What a clock may do between two commits: mostly little, sometimes far, forward and back.
int64_t ClockStep(SimRandom* random);

}  // namespace tlogfs_test

#endif  // TESTS_CRASH_AFTERMATH_H_
