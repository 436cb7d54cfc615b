// Backups that are cut short (logcore/backup.h): at every operation of a first run and of one into
// an older backup the process is killed, in the midst of a write too, or the power is cut, or the
// operation fails. What is left is the older backup or the new one: CheckBackup (backups.h) reads,
// audits, adopts it, and runs once more. And the test of the test: without any of its syncs, a run
// must be found out.
//
//   TLOGFS_BACKUP_ROUNDS=10000 backup_crash_test --gtest_filter=*FromCrash*    and ..._SEED

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "logcore/journal.h"
#include "logcore/published.h"
#include "tests/crash/backups.h"

namespace tlogfs_test {
namespace {

using logcore::Code;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

// Crashes before `operation` in several ways, and looks.
void CrashHere(const SimDisk& disk, const SimOperation& operation, const Possible& possible,
               uint64_t ways, uint64_t seed) {
  for (uint64_t way = 0; way < ways; ++way) {
    SimRandom random(seed * 1000003 + operation.number * 101 + way);
    const auto crashed = disk.Clone();
    Possible left = possible;
    const uint64_t kind = (operation.number + way) % 4;
    if (kind == 1 && operation.kind == SimKind::kWrite && operation.bytes.size() > kSimBlock) {
      const uint64_t first = kSimBlock - operation.offset % kSimBlock;
      const uint64_t blocks = (operation.bytes.size() - first) / kSimBlock;
      crashed->WritePart(operation, first + random.Below(blocks + 1) * kSimBlock);
    }
    if (kind >= 2) {
      crashed->CutPower(random.Next());
      left.may_be_busy = true;
    }
    CheckBackup(*crashed, left, random.Next());
  }
}

// Makes `prepared`, an older backup or an empty disk, one of the newest world, and crashes at every
// operation of that. Returns how many there were.
uint64_t CrashEverywhere(const SimDisk& prepared, const Possible& possible, uint64_t ways,
                         uint64_t seed) {
  const auto disk = prepared.Clone();
  const uint64_t before = disk->operations();
  disk->Observe([&](const SimOperation& operation) {
    SCOPED_TRACE(std::string(SimKindName(operation.kind)) + " " + std::string(operation.name));
    CrashHere(*disk, operation, possible, ways, seed);
  });
  MustBackUp(*possible.worlds.back(), disk.get());
  disk->Observe(nullptr);
  CheckDone(*disk, *possible.worlds.back(), seed);
  return disk->operations() - before;
}

struct Growth {
  uint64_t from;
  uint64_t to;
};

void CrashInGrowth(const Growth& growth, uint64_t ways, uint64_t seed) {
  SCOPED_TRACE(std::to_string(growth.from) + " to " + std::to_string(growth.to));
  const Moments moments = GrowTo({growth.from, growth.to});
  SimDisk disk;
  uint64_t operations = 0;
  try {
    operations +=
        CrashEverywhere(disk, {.worlds = {moments[0].get()}, .may_be_none = true}, ways, seed);
    MustBackUp(*moments[0], &disk);
    operations +=
        CrashEverywhere(disk, {.worlds = {moments[0].get(), moments[1].get()}}, ways, seed);
  } catch (const Violation& violation) {
    FAIL() << violation.what();
  }
  EXPECT_GT(operations, 70u);
}

TEST(BackupCrashTest, EveryOperation) {
  uint64_t seed = 0;
  for (const Growth& growth :
       {Growth{0, 1}, {1, 2}, {5, 255}, {255, 256}, {200, 257}, {256, 600}, {300, 2000}}) {
    CrashInGrowth(growth, 12, ++seed);
  }
}

TEST(BackupCrashTest, EveryOperationAcrossASegment) {
  CrashInGrowth({65535, 65537}, 1, 1);
  CrashInGrowth({65536, 65540}, 1, 2);
}

// One that was cut short is followed by others that are, and the log grows meanwhile.
TEST(BackupCrashTest, FromCrashToCrash) {
  const Moments moments = GrowTo({3, 250, 251, 258, 900, 901, 1500});
  for (uint64_t seed = FromEnvironment("TLOGFS_BACKUP_SEED", 1), rounds = 0;
       rounds < FromEnvironment("TLOGFS_BACKUP_ROUNDS", 150); ++seed, ++rounds) {
    SimRandom random(seed);
    SimDisk disk;
    MustBackUp(*moments[0], &disk);
    // What was cut off, and then not synced, cannot be cut off once more: a filesystem that forgets
    // a length after a failed sync has failed altogether.
    disk.Observe([&disk](const SimOperation& operation) {
      if (operation.kind == SimKind::kCut) disk.FailNone();
    });
    size_t done = 0;
    bool cut = false;
    try {
      for (size_t next = 1; next < moments.size();) {
        disk.CrashAt(disk.operations() + 1 + random.Below(80), random.Below(3));
        if (random.OneIn(4)) {
          disk.FailOperation(disk.operations() + 1 + random.Below(80), Code::kIo,
                             static_cast<SimDisk::Outcome>(random.Below(3)));
        }
        bool crashed = false;
        try {
          const auto source = moments[next]->Clone();
          crashed = !RunBackup(source->disk(), &disk).has_value();
        } catch (const SimCrash&) {
          crashed = true;
        }
        disk.CrashAt(0);
        disk.FailNone();
        if (!crashed) {
          cut = false;
          done = next;
        } else if (random.OneIn(2)) {
          cut = true;
          disk.CutPower(random.Next());
        }
        // What is there is one that was tried since the last that was done.
        Possible possible{.worlds = {}, .may_be_busy = cut};
        for (size_t i = done; i <= next; ++i) possible.worlds.push_back(moments[i].get());
        CheckBackup(disk, possible, random.Next());
        if (!crashed || random.OneIn(3)) ++next;
      }
    } catch (const Violation& violation) {
      FAIL() << "seed " << seed << ": " << violation.what();
    }
  }
}

// An adoption that is cut short leaves what can be adopted.
TEST(BackupCrashTest, EveryOperationOfAnAdoption) {
  const Moments moments = GrowTo({250, 600});
  const Possible possible{.worlds = {moments[0].get(), moments[1].get()}};
  SimDisk done;
  MustBackUp(*moments[0], &done);
  uint64_t operations = 0;
  // Of a whole backup, and of what each operation of a further run leaves.
  bool is_whole = false;
  for (uint64_t unfinished = 0; !is_whole; ++unfinished) {
    const auto backup = done.Clone();
    if (unfinished != 0) {
      backup->CrashAt(backup->operations() + unfinished, 1);
      try {
        MustBackUp(*moments[1], backup.get());
        is_whole = true;
      } catch (const SimCrash&) {
        if (unfinished % 2 == 0) backup->CutPower(unfinished);
      }
    }
    for (uint64_t n = 1;; ++n) {
      SCOPED_TRACE("after operation " + std::to_string(unfinished) + ", at " + std::to_string(n));
      const auto disk = backup->Clone();
      disk->CrashAt(disk->operations() + n, n % 3);
      try {
        try {
          const Possible now{.worlds = possible.worlds, .may_be_busy = unfinished != 0};
          if (AdoptBackup(disk.get(), now).has_value()) break;
          FAIL() << "an adoption failed that was not cut short";
        } catch (const SimCrash&) {
          ++operations;
        }
        disk->CrashAt(0);
        if (n % 2 == 0) disk->CutPower(n);
        CheckAdoption(*disk, possible, n);
      } catch (const Violation& violation) {
        FAIL() << violation.what();
      }
    }
  }
  EXPECT_GT(operations, 1000u);
}

// ---- Operations that fail

void FailEverywhere(const SimDisk& prepared, const Possible& possible, bool reads) {
  uint64_t operations = 0;
  {
    const auto disk = prepared.Clone();
    if (reads) disk->CountReads();
    const uint64_t before = disk->operations();
    MustBackUp(*possible.worlds.back(), disk.get());
    operations = disk->operations() - before;
  }
  uint64_t failed = 0;
  for (const Code code : {Code::kIo, Code::kNoSpace}) {
    if (reads && code != Code::kIo) continue;
    for (const auto outcome :
         {SimDisk::Outcome::kNotHappened, SimDisk::Outcome::kHalf, SimDisk::Outcome::kHappened}) {
      for (uint64_t n = 1; n <= operations; ++n) {
        SCOPED_TRACE("operation " + std::to_string(n));
        const auto disk = prepared.Clone();
        if (reads) disk->CountReads();
        disk->FailOperation(disk->operations() + n, code, outcome);
        const auto source = possible.worlds.back()->Clone();
        const auto report = RunBackup(source->disk(), disk.get());
        disk->FailNone();
        if (!report.has_value()) ++failed;
        Possible left = possible;
        if (report.has_value()) left = {.worlds = {possible.worlds.back()}};
        if (n % 2 == 0) {
          disk->CutPower(n);
          left.may_be_busy = !report.has_value();
        }
        CheckBackup(*disk, left, n);
      }
    }
  }
  EXPECT_GT(failed, operations / 2);
}

class BackupErrorTest : public testing::TestWithParam<bool> {};

TEST_P(BackupErrorTest, EveryOperationFails) {
  const Moments moments = GrowTo({250, 600});
  SimDisk disk;
  try {
    FailEverywhere(disk, {.worlds = {moments[0].get()}, .may_be_none = true}, GetParam());
    MustBackUp(*moments[0], &disk);
    FailEverywhere(disk, {.worlds = {moments[0].get(), moments[1].get()}}, GetParam());
  } catch (const Violation& violation) {
    FAIL() << violation.what();
  }
}

INSTANTIATE_TEST_SUITE_P(WritesAndReads, BackupErrorTest, testing::Bool());

// And those of the machine that the store is on: nothing is in the backup that was not verified.
TEST(BackupErrorTest, EveryReadOfTheSourceFails) {
  const Moments moments = GrowTo({250, 600});
  SimDisk disk;
  MustBackUp(*moments[0], &disk);
  const auto whole = moments[1]->Clone();
  whole->disk()->CountReads();
  const uint64_t before = whole->disk()->operations();
  ASSERT_TRUE(RunBackup(whole->disk(), disk.Clone().get()).has_value());
  const uint64_t operations = whole->disk()->operations() - before;
  ASSERT_GT(operations, 50u);
  for (uint64_t n = 1; n <= operations; ++n) {
    SCOPED_TRACE("operation " + std::to_string(n));
    const auto source = moments[1]->Clone();
    source->disk()->CountReads();
    source->disk()->FailOperation(source->disk()->operations() + n, Code::kIo,
                                  SimDisk::Outcome::kNotHappened);
    const auto dest = disk.Clone();
    EXPECT_FALSE(RunBackup(source->disk(), dest.get()).has_value());
    try {
      CheckBackup(*dest, {.worlds = {moments[0].get(), moments[1].get()}}, n);
    } catch (const Violation& violation) {
      FAIL() << violation.what();
    }
  }
}

// ---- Sabotage

struct Sabotage {
  std::string name;
  SimDisk::Predicate chosen;
};

SimDisk::Predicate Sync(const std::string& name) {
  return SimDisk::Matching(SimKind::kSync, name);
}
SimDisk::Predicate Write(const std::string& name) {
  return SimDisk::Matching(SimKind::kWrite, name);
}
// A run marks its process when it says in `checkpoint` that it is not finished: what follows is
// step 3 and later.
bool Track(const SimOperation& operation) {
  if (operation.kind == SimKind::kWrite && operation.name == "checkpoint" &&
      operation.bytes.find(logcore::kCompleteBoot) > 100) {
    *operation.mark = 1;
  }
  return false;
}
SimDisk::Predicate Before(SimDisk::Predicate chosen) {
  return [=](const SimOperation& operation) { return *operation.mark == 0 && chosen(operation); };
}
SimDisk::Predicate After(SimDisk::Predicate chosen) {
  return [=](const SimOperation& operation) { return *operation.mark == 1 && chosen(operation); };
}
bool IsComplete(const SimOperation& operation) {
  return operation.bytes.find(logcore::kCompleteBoot) < 100;
}

std::vector<Sabotage> Sabotages() {
  return {
      {"first: sync of config", Sync("config.new")},
      {"first: sync of format", Sync("format.new")},
      {"first: sync of key", Sync("key.new")},
      {"first: sync of lock", Sync("lock")},
      {"first: syncs of the root directory", SimDisk::Matching(SimKind::kSyncDirectory, "")},
      {"first: sync of directory hashes", SimDisk::Matching(SimKind::kSyncDirectory, "hashes")},
      {"syncs of directory entries", SimDisk::Matching(SimKind::kSyncDirectory, "entries")},
      {"blocks: sync of the frames", Before(Sync("entries/0"))},
      {"blocks: sync of the index", Before(Sync("entries/0.index"))},
      {"blocks: sync of hashes/0", Before(Sync("hashes/0"))},
      {"syncs of checkpoint", Sync("checkpoint")},
      {"joint: sync of the frames", After(Sync("entries/0"))},
      {"joint: sync of the index", After(Sync("entries/0.index"))},
      {"joint: sync of hashes/0", After(Sync("hashes/0"))},
      {"joint: sync of hashes/1", After(Sync("hashes/1"))},
      {"sync of times", Sync("times")},
      {"sync of the base slot", Sync("journal")},
      {"write of the base slot", After(Write("journal"))},
      {"saying that it is not finished",
       [](const SimOperation& operation) {
         return Write("checkpoint")(operation) && !IsComplete(operation);
       }},
      {"saying that it is complete",
       [](const SimOperation& operation) {
         return Write("checkpoint")(operation) && IsComplete(operation);
       }},
  };
}

int Search(const Sabotage& sabotage) {
  try {
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      for (const Growth& growth : {Growth{5, 255}, {200, 700}, {300, 2000}}) {
        const Moments moments = GrowTo({growth.from, growth.to});
        SimDisk disk;
        disk.Ignore(sabotage.chosen);
        disk.Delay(Track, 1);
        CrashEverywhere(disk, {.worlds = {moments[0].get()}, .may_be_none = true}, 8, seed);
        MustBackUp(*moments[0], &disk);
        CheckDone(disk, *moments[0], seed);
        CrashEverywhere(disk, {.worlds = {moments[0].get(), moments[1].get()}}, 8, seed);
      }
    }
  } catch (const Violation& violation) {
    const std::string what = violation.what();
    std::printf("%-44s %s\n", sabotage.name.c_str(), what.substr(0, what.find('\n')).c_str());
    std::fflush(stdout);
    return 0;
  }
  return 1;
}

TEST(BackupSabotageTest, WhatIsLeftOutIsFound) {
  for (const Sabotage& sabotage : Sabotages()) {
    // In a process of its own: who is deceived may rightly stop in a CHECK.
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) _exit(Search(sabotage));
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    const bool checked = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    EXPECT_TRUE(checked || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        << sabotage.name << ": nothing noticed";
  }
}

}  // namespace
}  // namespace tlogfs_test
