// Tests of the crash tests: a store that forgets one of its syncs or writes must be found out. The
// simulated disk ignores one kind of operation, and the workloads of runs.h must end in a violation
// within kMaxStates crashes; how many it took is printed.
//
// Not here, because leaving them out loses nothing:
//   sync of `lock` at init          a head of another boot is never read, a torn one not believed
//   sync of `hashes/2` and above    they get a first byte at 65,536 entries and more; the same code
//                                   syncs them as hashes/0 and hashes/1
//   allocate, release               only room; tests/crash/error_test.cc fills the disk

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "logcore/journal.h"
#include "logcore/published.h"
#include "tests/crash/runs.h"

namespace tlogfs_test {
namespace {

constexpr uint64_t kMaxStates = 20'000;

enum class Where { kAnywhere, kAtSegments };

struct Sabotage {
  std::string name;
  SimDisk::Predicate ignored;
  Where where = Where::kAnywhere;
};

SimDisk::Predicate And(SimDisk::Predicate first, SimDisk::Predicate second) {
  return [=](const SimOperation& operation) { return first(operation) && second(operation); };
}

std::vector<Sabotage> Sabotages() {
  const auto sync = [](const std::string& name) { return SimDisk::Matching(SimKind::kSync, name); };
  const auto write = [](const std::string& name) {
    return SimDisk::Matching(SimKind::kWrite, name);
  };
  const auto directory = [](const std::string& name) {
    return SimDisk::Matching(SimKind::kSyncDirectory, name);
  };
  // Init is the first operations of the machine, fewer than these.
  const auto in_init = [](const SimOperation& operation) { return operation.number < 40; };
  const auto base_slot = [](const SimOperation& operation) {
    return operation.offset < logcore::kRecordsStart && operation.number > 40;
  };
  const auto record = [](const SimOperation& operation) {
    return operation.offset >= logcore::kRecordsStart;
  };
  const auto slot = [](uint64_t number) {
    return [number](const SimOperation& operation) {
      return operation.offset == number * logcore::kPublishedSlotLength;
    };
  };
  const auto first_of_process = [](const SimOperation& operation) {
    return operation.of_process <= 2;
  };
  const auto later_of_process = [](const SimOperation& operation) {
    return operation.of_process > 2;
  };
  return {
      {"init: sync of config", sync("config")},
      {"init: sync of format", sync("format")},
      {"init: sync of key", sync("key")},
      {"init: sync of the journal", And(sync("journal"), in_init)},
      {"init: sync of checkpoint", And(sync("checkpoint"), in_init)},
      {"init: sync of the root directory", directory("")},
      {"init: sync of directory hashes", directory("hashes")},
      {"commit: sync of the record", And(sync("journal"), And(record, later_of_process))},
      {"commit: write of the record", And(write("journal"), And(record, later_of_process))},
      {"commit: write of the head", write("lock")},
      {"commit: sync of directory entries at a new segment", directory("entries"),
       Where::kAtSegments},
      {"base: sync of the frames", sync("entries/0")},
      {"base: sync of the index", sync("entries/0.index")},
      {"base: sync of hashes/0", sync("hashes/0")},
      {"base: sync of hashes/1", sync("hashes/1")},
      {"base: sync of times", sync("times")},
      {"base: sync of the base slot", And(sync("journal"), base_slot)},
      {"base: write of the base slot", And(write("journal"), base_slot)},
      {"base: sync of the next segment", sync("entries/1*"), Where::kAtSegments},
      {"checkpoint: sync of slot 0", And(sync("checkpoint"), slot(0))},
      {"checkpoint: sync of slot 1", And(sync("checkpoint"), slot(1))},
      {"checkpoint: write of slot 0", And(write("checkpoint"), slot(0))},
      {"recovery: sync of the record", And(sync("journal"), And(record, first_of_process))},
  };
}

// Runs until a violation, which it prints: then 0, else 1.
int Search(const Sabotage& sabotage) {
  RunCount count;
  const auto prepare = [&](SimDisk* disk) { disk->Ignore(sabotage.ignored); };
  try {
    if (sabotage.where == Where::kAtSegments) {
      const auto start = PrepareWorld(65536 - 2, prepare);
      for (uint64_t seed = 1; count.states < kMaxStates; ++seed) {
        RunHistory(seed, *start, 6, &count);
      }
    }
    for (uint64_t seed = 1; count.states < kMaxStates; ++seed) {
      RunInit(seed, 2, prepare, &count);
      RunEveryOperation(seed, 4, prepare, &count);
      const auto start = World::Create(prepare);
      for (uint64_t i = 0; i < 10; ++i) RunHistory(10 * seed + i, *start, 40, &count);
    }
  } catch (const Violation& violation) {
    const std::string what = violation.what();
    std::printf("%-52s %6llu states: %s\n", sabotage.name.c_str(),
                static_cast<unsigned long long>(count.states),
                what.substr(0, what.find('\n')).c_str());
    std::fflush(stdout);
    return 0;
  }
  return 1;
}

TEST(SabotageTest, EveryOneIsFound) {
  for (const Sabotage& sabotage : Sabotages()) {
    // In a process of its own: a store that is deceived may rightly stop in a CHECK.
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) _exit(Search(sabotage));
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    const bool checked = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    if (checked) std::printf("%-52s stopped in a CHECK\n", sabotage.name.c_str());
    EXPECT_TRUE(checked || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        << sabotage.name << " was left out, and nothing noticed";
  }
}

}  // namespace
}  // namespace tlogfs_test
