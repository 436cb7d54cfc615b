// Repair (logcore/repair.h) of stores on a simulated disk: every file that follows from others,
// damaged in every way, after every kind of history; and what it refuses, changing nothing.

#include "logcore/repair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "logcore/published.h"
#include "tests/crash/damage.h"
#include "tests/crash/rot.h"
#include "tests/crash/runs.h"

namespace tlogfs_test {
namespace {

using namespace logcore;
using testing::ElementsAre;
using testing::HasSubstr;
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
  const Status adopted = Store::Adopt(process.get(), newest,
                                      {.clock = [] { return int64_t{1}; }, .gap_limit = kGapLimit});
  EXPECT_TRUE(adopted.has_value()) << adopted.error().message;
  process->Kill();
  world->AllowErrors(false);
  CheckGoesOn(world.get());
}

// ---- Refusals

class RepairRefusalTest : public testing::Test {
 protected:
  // It says so, and changes nothing.
  static void Expect(World* world, const std::optional<std::string>& newest,
                     const std::string& why) {
    const auto before = AllFiles(*world->disk());
    const Result<RepairReport> report = RepairStore(world, newest);
    ASSERT_FALSE(report.has_value());
    EXPECT_THAT(report.error().message, HasSubstr(why));
    EXPECT_EQ(AllFiles(*world->disk()), before);
  }
};

TEST_F(RepairRefusalTest, DamagedFrames) {
  const auto start = World::Create();
  for (const History& history : HistoriesOf(*start, 300)) {
    SCOPED_TRACE(history.name);
    if (history.name == "power cut") continue;  // Their end is torn, and recovery's.
    for (const DamageKind& kind : DamageKinds()) {
      // What it has at its end may be of the commit under way.
      const bool is_end = kind.what == "lengthened" || kind.what == "cut by a byte";
      if (is_end && history.name == "killed in a commit") continue;
      SCOPED_TRACE(kind.what);
      for (const bool alone : {true, false}) {
        const auto world = history.world->Clone();
        kind.happen(world->disk(), "entries/0");
        if (!alone) world->disk()->RotLength("hashes/0", 1000);
        Expect(world.get(), std::nullopt, "entries");
      }
    }
  }
}

TEST_F(RepairRefusalTest, TheEntryIsNamedWhereTheHashesKnowIt) {
  const auto world = OldWorld();
  const std::string frames = world->disk()->Cached("entries/0");
  const char flipped = static_cast<char>(frames[frames.size() - 1] ^ 1);
  world->disk()->Rot("entries/0", frames.size() - 1, {&flipped, 1});
  Remove(world->disk(), "entries/0.index");
  Expect(world.get(), std::nullopt, "entry 299 is not the one that the tree has");
}

TEST_F(RepairRefusalTest, NoCheckpointAtAll) {
  const auto world = OldWorld();
  Remove(world->disk(), "checkpoint");
  Expect(world.get(), std::nullopt, "--newest");
}

TEST_F(RepairRefusalTest, ANewerCheckpointWasSeen) {
  const auto old = OldWorld();
  const auto newer = NewWorld(*old);
  const std::string newest = NewestNote(newer->disk());
  for (const char* lost : {"hashes/0", "checkpoint"}) {
    const auto world = old->Clone();
    Remove(world->disk(), lost);
    Expect(world.get(), newest, "a checkpoint of size 600 was seen");
  }
  // The journal and the lock are of the time before, and all else is new.
  const auto world = newer->Clone();
  for (const char* name : {"journal", "lock"}) {
    const std::string bytes = old->disk()->Cached(name);
    world->disk()->RotLength(name, bytes.size());
    world->disk()->Rot(name, 0, bytes);
  }
  Remove(world->disk(), "checkpoint");
  Expect(world.get(), newest, "600");
}

TEST_F(RepairRefusalTest, AFork) {
  const auto world = OldWorld();
  const auto fork = World::Create();  // of the same key
  Grow(fork.get(), 7000, 200);
  Remove(world->disk(), "hashes/1");
  Expect(world.get(), NewestNote(fork->disk()), "another log");
  Expect(world.get(), "rubbish\n", "newest checkpoint");
}

TEST_F(RepairRefusalTest, WhileItIsOpenForAppending) {
  const auto world = OldWorld();
  ActorPtr actor = world->Open();
  world->Commit(actor.get(), MakeEntries(1, 3));
  world->disk()->RotLength("hashes/0", 100);
  Expect(world.get(), std::nullopt, "has it open for appending");
  actor.reset();
  EXPECT_TRUE(RepairStore(world.get(), std::nullopt).has_value());
  CheckGoesOn(world.get());
}

TEST_F(RepairRefusalTest, NobodyOpensItDuringARepair) {
  const auto world = OldWorld();
  Remove(world->disk(), "hashes/1");
  int asked = 0;
  world->disk()->Observe([&](const SimOperation& operation) {
    if (operation.kind != SimKind::kLink) return;
    const auto other = world->disk()->NewProcess();
    const auto store = Store::Open(other.get(), Store::Mode::kAppend,
                                   {.clock = [] { return int64_t{1}; }, .gap_limit = kGapLimit});
    ASSERT_FALSE(store.has_value());
    EXPECT_EQ(store.error().code, Code::kBusy);
    ++asked;
  });
  world->disk()->RotLength("hashes/0", 64);
  EXPECT_TRUE(RepairStore(world.get(), std::nullopt).has_value());
  EXPECT_GT(asked, 0);
}

TEST_F(RepairRefusalTest, WhatCannotBeMadeAgain) {
  for (const char* name : {"config", "journal", "lock", "format"}) {
    SCOPED_TRACE(name);
    const auto world = OldWorld();
    Remove(world->disk(), name);
    Remove(world->disk(), "hashes/0");
    Expect(world.get(), std::nullopt, name);
  }
  for (const char* name : {"config", "journal", "lock"}) {
    const auto world = OldWorld();
    world->disk()->RotLength(name, 10);
    Remove(world->disk(), "hashes/0");
    Expect(world.get(), std::nullopt, name);
  }
}

}  // namespace
}  // namespace tlogfs_test
