// Repair (logcore/posix/check/repair.h) of stores on a simulated disk: every file that follows from
// others, damaged in every way, after every kind of history. repair_refusal_test.cc has what it
// refuses.

#include "logcore/posix/check/repair.h"
#include "logcore/posix/check/adopt.h"
#include "logcore/posix/files/segments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "logcore/posix/files/lock_file.h"
#include "logcore/posix/files/published.h"
#include "tests/crash/backups.h"
#include "tests/crash/damage.h"
#include "tests/crash/rot.h"
#include "tests/crash/runs.h"

namespace tlogfs_test {
namespace {

using namespace logcore;
using testing::ElementsAre;
using testing::IsEmpty;

// Damages copies of the world, and repairs them.
void CheckRepaired(const World& start, const std::vector<std::string>& names,
                   const std::string& what, const std::function<void(SimDisk*)>& damage) {
  SCOPED_TRACE(testing::PrintToString(names) + " " + what);
  const std::unique_ptr<World> world = start.Clone();
  const std::string newest = NewestNote(world->disk());
  const auto before = AllFiles(*world->disk());
  damage(world->disk());
  const auto damaged = AllFiles(*world->disk());
  const Result<RepairReport> report = RepairStore(world.get(), newest);
  ASSERT_TRUE(report.has_value()) << report.error().message;
  for (const auto& [name, bytes] : damaged) {
    const auto old = before.find(name);
    if (old == before.end() || old->second == bytes) continue;
    // What was damaged is kept, if it had to be replaced.
    if (std::count(report->repaired.begin(), report->repaired.end(), name) == 0) continue;
    EXPECT_EQ(world->disk()->Cached(name + ".damaged"), bytes);
  }
  EXPECT_TRUE(report->repaired.empty() || report->was_opened);
  EXPECT_EQ(report->lost_times, 0u);
  try {
    CheckGoesOn(world.get());
  } catch (const Violation& violation) {
    FAIL() << violation.what();
  }
  const Result<RepairReport> again = RepairStore(world.get(), std::nullopt);
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_THAT(again->repaired, IsEmpty());
}

TEST(RepairTest, EveryFileAfterEveryHistory) {
  const auto start = World::Create();
  for (const uint64_t entries : {0u, 1u, 300u}) {
    for (const History& history : HistoriesOf(*start, entries)) {
      SCOPED_TRACE(history.name + ", " + std::to_string(entries) + " entries");
      for (const std::string& name : DerivedFiles(history.world->log().size())) {
        if (!history.world->disk()->Exists(name)) continue;
        for (const DamageKind& kind : DamageKinds()) {
          CheckRepaired(*history.world, {name}, kind.what,
                        [&](SimDisk* disk) { kind.happen(disk, name); });
          if (testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

TEST(RepairTest, EveryFileOfALargeLog) {
  const auto start = PrepareWorld(kSegmentEntries - 10, {});
  for (const History& history : HistoriesOf(*start, kSegmentEntries + 300)) {
    SCOPED_TRACE(history.name);
    size_t turn = 0;
    for (const std::string& name : DerivedFiles(history.world->log().size())) {
      if (!history.world->disk()->Exists(name)) continue;
      const DamageKind& kind = DamageKinds()[turn++ % DamageKinds().size()];
      CheckRepaired(*history.world, {name}, kind.what,
                    [&](SimDisk* disk) { kind.happen(disk, name); });
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(RepairTest, AllPairsAndAllOfThem) {
  const auto start = World::Create();
  for (const History& history : HistoriesOf(*start, 300)) {
    SCOPED_TRACE(history.name);
    const std::vector<std::string> names = DerivedFiles(history.world->log().size());
    size_t turn = 0;
    for (size_t i = 0; i < names.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        CheckRepaired(*history.world, {names[i], names[j]}, "damaged", [&](SimDisk* disk) {
          for (const std::string& name : {names[i], names[j]}) {
            const DamageKind& kind = DamageKinds()[turn++ % DamageKinds().size()];
            if (disk->Exists(name)) kind.happen(disk, name);
          }
        });
        if (testing::Test::HasFailure()) return;
      }
    }
    for (const DamageKind& kind : DamageKinds()) {
      CheckRepaired(*history.world, names, "all " + kind.what, [&](SimDisk* disk) {
        for (const std::string& name : names) {
          if (disk->Exists(name)) kind.happen(disk, name);
        }
      });
    }
  }
}

// With the newest of its slots gone, the checkpoint does not go back for longer than it did.
TEST(RepairTest, OneSlotOfTheCheckpoint) {
  for (const uint64_t slot : {0u, 1u}) {
    const auto world = World::Create();
    {
      const ActorPtr actor = world->Open();
      for (uint64_t seed = 1; seed <= 3; ++seed) {
        world->Commit(actor.get(), MakeEntries(seed, 50));
        world->Publish(actor.get());
      }
    }
    world->disk()->Rot("checkpoint", slot * kPublishedSlotLength, "rubbish");
    const Result<RepairReport> report = RepairStore(world.get(), std::nullopt);
    ASSERT_TRUE(report.has_value()) << report.error().message;
    EXPECT_THAT(report->repaired, ElementsAre("checkpoint"));
    EXPECT_EQ(report->head.size, 150u);
    world->Read(1, 3);
    CheckGoesOn(world.get());
  }
}

TEST(RepairTest, ACopyIsRepairedAndStaysACopy) {
  auto world = OldWorld();
  const std::string newest = NewestNote(world->disk());
  world->disk()->Restore("lock");
  for (const std::string& name : DerivedFiles(kOldSize)) Remove(world->disk(), name);
  const Result<RepairReport> report = RepairStore(world.get(), newest);
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_FALSE(report->was_opened);
  world->AllowErrors();
  EXPECT_EQ(world->Open(), nullptr);
  EXPECT_EQ(world->error()->code, Code::kReadOnly);
  const auto process = world->disk()->NewProcess();
  const Status adopted =
      Adopt(process.get(), newest, {.clock = [] { return int64_t{1}; }, .gap_limit = kGapLimit});
  EXPECT_TRUE(adopted.has_value()) << adopted.error().message;
  process->Kill();
  world->AllowErrors(false);
  CheckGoesOn(world.get());
}

// A checkpoint that is made again has a later time than any that was published.
TEST(RepairTest, TheTimeOfACheckpointThatWasLost) {
  const auto world = OldWorld();
  const std::string older = NewestNote(world->disk());
  {
    const ActorPtr actor = world->Open();
    *world->clock() += 1000;
    world->Commit(actor.get(), MakeEntries(1, 5));
    world->Publish(actor.get());
    world->Close(actor.get());
  }
  const int64_t second = *world->clock();
  *world->clock() -= 5000;
  Remove(world->disk(), "checkpoint");
  // The opening that follows publishes once more, so the file is looked at before it.
  std::string made;
  world->disk()->Observe([&](const SimOperation& operation) {
    if (operation.kind == SimKind::kLink || operation.kind == SimKind::kRename) {
      made = world->disk()->Cached("checkpoint.repaired");
    }
  });
  const Result<RepairReport> report = RepairStore(world.get(), older);
  world->disk()->Observe(nullptr);
  ASSERT_TRUE(report.has_value()) << report.error().message;
  SimDisk machine;
  const auto process = machine.NewProcess();
  ASSERT_TRUE(process->Create("checkpoint", 0644).value()->WriteAt(0, made).has_value());
  const auto file = PublishedFile::Open(process.get(), Access::kRead).value();
  EXPECT_LT(second * kNanoseconds, file->Read()->published.publication.at);
}

TEST(RepairTest, TheNewFilesHaveThePermissionsOfTheOldOnes) {
  const auto world = OldWorld();
  const auto process = world->disk()->NewProcess();
  ASSERT_TRUE(process->CopyAccess("journal", "hashes/0").has_value());
  world->disk()->RotLength("hashes/0", 0);
  Remove(world->disk(), "hashes/1");
  ASSERT_TRUE(RepairStore(world.get(), std::nullopt).has_value());
  EXPECT_EQ(process->Info("hashes/0")->mode, 0600u);
  EXPECT_EQ(process->Info("hashes/1")->mode, 0644u);
}

// ---- Backups

TEST(RepairBackupTest, WhatARunHasLeftThatWasKilledIsNoDamage) {
  const Moments moments = GrowTo({300, 700});
  SimDisk first;
  MustBackUp(*moments[0], &first);
  const auto whole = first.Clone();
  MustBackUp(*moments[1], whole.get());
  for (uint64_t number = first.operations() + 1; number <= whole->operations(); ++number) {
    for (const uint64_t seed : {0u, 1u, 2u}) {
      SCOPED_TRACE(std::to_string(number) + ", cut " + std::to_string(seed));
      const auto dest = first.Clone();
      dest->CrashAt(number);
      EXPECT_THROW(static_cast<void>(RunBackup(moments[1]->disk(), dest.get())), SimCrash);
      dest->CrashAt(0);
      if (seed != 0) dest->CutPower(number + seed * 1000);
      const auto process = dest->NewProcess();
      const Result<RepairReport> report =
          Repair(process.get(), {.newest = NewestNote(moments[0]->disk()),
                                 .clock = [] { return int64_t{1} << 60; },
                                 .progress = {}});
      process->Kill();
      ASSERT_TRUE(report.has_value()) << report.error().message;
      if (seed == 0) {
        EXPECT_THAT(report->repaired, IsEmpty());
      }
      try {
        CheckBackup(*dest, {.worlds = {moments[0].get(), moments[1].get()}, .may_be_busy = true},
                    seed);
      } catch (const Violation& violation) {
        FAIL() << violation.what();
      }
    }
  }
}

TEST(RepairBackupTest, NotWhileARunIsUnderWay) {
  const Moments moments = GrowTo({300, 700});
  SimDisk dest;
  MustBackUp(*moments[0], &dest);
  const auto repair = [&](SimDisk* disk, const std::function<void()>& in_it) {
    const auto process = disk->NewProcess();
    return Repair(process.get(), {.newest = {},
                                  .clock = [] { return int64_t{1} << 60; },
                                  .progress = [&](uint64_t, uint64_t) { in_it(); }});
  };
  int refused = 0;
  const auto run = dest.Clone();
  bool inside = false;
  run->Observe([&](const SimOperation& operation) {
    if (inside || !run->IsLocked("lock", kBackup)) return;
    inside = true;
    const Result<RepairReport> report = repair(run.get(), [] {});
    EXPECT_EQ(report.error().code, Code::kBusy);
    ++refused;
    inside = operation.number % 10 != 0;
  });
  EXPECT_TRUE(RunBackup(moments[1]->disk(), run.get()).has_value());
  EXPECT_LE(1, refused);
  dest.RotLength("hashes/1", 0);
  int held = 0;
  const Result<RepairReport> report =
      repair(&dest, [&] { held += dest.IsLocked("lock", kBackup) ? 1 : 0; });
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_THAT(report->repaired, ElementsAre("hashes/1"));
  EXPECT_LE(1, held);
  CheckDone(dest, *moments[0], 1);
}

}  // namespace
}  // namespace tlogfs_test
