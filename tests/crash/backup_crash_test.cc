// Backups that are cut short (logcore/posix/check/backup.h): at every operation of a first run and
// of one into an older backup the process is killed, in the midst of a write too, or the power is
// cut, or the operation fails. What is left is the older backup or the new one: CheckBackup
// (backups.h) reads, audits, adopts it, and runs once more. And the test of the test: without any
// of its syncs, a run must be found out. Not there, as without it a reader has to wait, no more:
// the sync between the two slots of `checkpoint` that say that a run is not finished, and the one
// before.
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

#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/published.h"
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
    // What `checkpoint` says must fit to the replay slot, whatever is left of both its slots.
    CrashHere(*disk, operation, possible, operation.name == "checkpoint" ? 6 * ways : ways, seed);
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
    CrashInGrowth(growth, 6, ++seed);
  }
}

TEST(BackupCrashTest, EveryOperationAcrossASegment) {
  CrashInGrowth({65535, 65537}, 1, 1);
  CrashInGrowth({65536, 65540}, 1, 2);
}

// One that was cut short is followed by others that are, and the log grows meanwhile. `disk` is to
// be empty.
void RunFromCrashToCrash(const Moments& moments, uint64_t seed, SimDisk* disk) {
  SimRandom random(seed);
  MustBackUp(*moments[0], disk);
  // What was cut off, and then not synced, cannot be cut off once more: a filesystem that forgets a
  // length after a failed sync has failed altogether.
  disk->Observe([disk](const SimOperation& operation) {
    if (operation.kind == SimKind::kCut) disk->FailNone();
  });
  size_t done = 0;
  bool cut = false;
  for (size_t next = 1; next < moments.size();) {
    disk->CrashAt(disk->operations() + 1 + random.Below(80), random.Below(3));
    if (random.OneIn(4)) {
      disk->FailOperation(disk->operations() + 1 + random.Below(80),
                          random.OneIn(2) ? Code::kIo : Code::kNoSpace,
                          static_cast<SimDisk::Outcome>(random.Below(3)));
    }
    bool crashed = false;
    try {
      const auto source = moments[next]->Clone();
      crashed = !RunBackup(source->disk(), disk).has_value();
    } catch (const SimCrash&) {
      crashed = true;
    }
    disk->CrashAt(0);
    disk->FailNone();
    if (!crashed) {
      cut = false;
      done = next;
    } else if (random.OneIn(2)) {
      cut = true;
      disk->CutPower(random.Next());
    }
    // What is there is one that was tried since the last that was done.
    Possible possible{.worlds = {}, .may_be_busy = cut};
    for (size_t i = done; i <= next; ++i) possible.worlds.push_back(moments[i].get());
    CheckBackup(*disk, possible, random.Next());
    if (!crashed || random.OneIn(3)) ++next;
  }
}

Moments LongLife() {
  return GrowTo({3, 250, 251, 258, 900, 901, 1500});
}

TEST(BackupCrashTest, FromCrashToCrash) {
  const Moments moments = LongLife();
  const uint64_t first = FromEnvironment("TLOGFS_BACKUP_SEED", 1);
  const uint64_t rounds = FromEnvironment("TLOGFS_BACKUP_ROUNDS", 150);
  for (uint64_t seed = first; seed < first + rounds; ++seed) {
    SimDisk disk;
    try {
      RunFromCrashToCrash(moments, seed, &disk);
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
        const uint64_t used = disk->UsedBytes();
        if (reads) disk->CountReads();
        disk->FailOperation(disk->operations() + n, code, outcome);
        const auto source = possible.worlds.back()->Clone();
        const auto report = RunBackup(source->disk(), disk.get());
        disk->FailNone();
        if (!report.has_value()) ++failed;
        Possible left = possible;
        if (report.has_value()) left = {.worlds = {possible.worlds.back()}};
        // On a filesystem that never writes in place the disk may be full at any step: the run
        // itself leaves what readers need not wait for.
        const bool is_put_right = code == Code::kNoSpace && !possible.may_be_none;
        if (is_put_right && IsBackupOf(*disk, *possible.worlds.front())) {
          EXPECT_LE(disk->UsedBytes(), used);
        }
        if (n % 2 == 0) {
          disk->CutPower(n);
          left.may_be_busy = !report.has_value() && !is_put_right;
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
bool IsLogFile(const SimOperation& operation) {
  const std::string_view name = operation.name;
  return name.starts_with("entries/") || name.starts_with("hashes/") || name == "times";
}
bool IsComplete(const SimOperation& operation) {
  return 32 < operation.bytes.size() && operation.bytes.substr(16, 16) == logcore::kCompleteBoot;
}

// What a run is about, in its SimOperation::mark.
enum Mark : uint64_t {
  kUnfinished = 1,  // It has said so: what follows is step 3 and later, or settling.
  kComplete = 2,    // The same.
  kWroteLog = 4,    // after kUnfinished
  kHasCut = 8,      // It is settling what another one has left, and about to sync that.
  kInBoth = 16,     // It has said kUnfinished in both slots.
};

// Keeps the mark, after all that looks at it. Chooses nothing.
bool Track(const SimOperation& operation) {
  uint64_t& mark = *operation.mark;
  const bool is_write = operation.kind == SimKind::kWrite;
  if (is_write && operation.name == "checkpoint") {
    const bool in_both = !IsComplete(operation) && (mark & kUnfinished) != 0;
    mark = IsComplete(operation) ? kComplete : kUnfinished;
    if (in_both) mark |= kInBoth;
  }
  if (is_write && IsLogFile(operation)) mark |= kWroteLog;
  mark &= ~uint64_t{kHasCut};
  if (operation.kind == SimKind::kCut) mark |= kHasCut;
  return false;
}
SimDisk::Predicate And(SimDisk::Predicate first, SimDisk::Predicate second) {
  return [=](const SimOperation& operation) { return first(operation) && second(operation); };
}
SimDisk::Predicate Marked(Mark bit, bool on = true) {
  return [=](const SimOperation& operation) { return ((*operation.mark & bit) != 0) == on; };
}
SimDisk::Predicate Before(SimDisk::Predicate chosen) {
  return And(Marked(kUnfinished, false), std::move(chosen));
}
SimDisk::Predicate After(SimDisk::Predicate chosen) {
  return And(Marked(kUnfinished), std::move(chosen));
}
std::vector<Sabotage> Sabotages() {
  const auto settling = [](SimDisk::Predicate chosen) {
    return And(Marked(kWroteLog, false), After(std::move(chosen)));
  };
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
      {"unfinished: write of it",
       And(Write("checkpoint"),
           [](const SimOperation& operation) { return !IsComplete(operation); })},
      {"unfinished: sync of it in both slots", And(Marked(kInBoth), Sync("checkpoint"))},
      {"joint: sync of the frames", After(Sync("entries/0"))},
      {"joint: sync of the index", After(Sync("entries/0.index"))},
      {"joint: sync of hashes/0", After(Sync("hashes/0"))},
      {"joint: sync of hashes/1", After(Sync("hashes/1"))},
      {"sync of times", Sync("times")},
      {"base: write of the slot", After(And(Marked(kWroteLog), Write("journal")))},
      {"base: sync of the slot", After(And(Marked(kWroteLog), Sync("journal")))},
      {"complete: write of it", And(Write("checkpoint"), IsComplete)},
      {"complete: sync of it", And(Marked(kComplete), Sync("checkpoint"))},
      {"settling: write of the base slot", settling(Write("journal"))},
      {"settling: writes of the blocks",
       After(And(Write("*"),
                 [](const SimOperation& operation) {
                   return IsLogFile(operation) && operation.offset % logcore::kBlockLength == 0 &&
                          operation.bytes.size() < logcore::kBlockLength;
                 }))},
      {"settling: cutting off the rest", After(SimDisk::Matching(SimKind::kCut, "*"))},
      {"settling: syncs of that", And(Marked(kHasCut), Sync("*"))},
  };
}

int Search(const Sabotage& sabotage) {
  const auto prepare = [&sabotage](SimDisk* disk) {
    disk->Ignore(sabotage.chosen);
    disk->Delay(Track, 1);
  };
  try {
    const Moments life = LongLife();
    for (uint64_t seed = 1; seed <= 200; ++seed) {
      for (uint64_t i = 0; i < 2; ++i) {
        SimDisk disk;
        prepare(&disk);
        RunFromCrashToCrash(life, 2 * seed + i, &disk);
      }
      if (12 < seed) continue;
      for (const Growth& growth : {Growth{5, 255}, {200, 700}, {300, 2000}}) {
        const Moments moments = GrowTo({growth.from, growth.to});
        SimDisk disk;
        prepare(&disk);
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
  const char* wanted = std::getenv("TLOGFS_SABOTAGE");
  for (const Sabotage& sabotage : Sabotages()) {
    if (wanted != nullptr && sabotage.name.find(wanted) == std::string::npos) continue;
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
