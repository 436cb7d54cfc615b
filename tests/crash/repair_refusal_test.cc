// What repair (logcore/posix/check/repair.h) refuses: it says why in one line, and has changed no
// byte.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "logcore/posix/check/repair.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/time_rows.h"
#include "tests/crash/damage.h"
#include "tests/crash/rot.h"

namespace tlogfs_test {
namespace {

using namespace logcore;
using testing::HasSubstr;

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
    const auto store = StoreWriter::Open(
        other.get(), {.clock = [] { return int64_t{1}; }, .gap_limit = kGapLimit});
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

// What goes on where the log ends may be all that was not rolled back.
TEST_F(RepairRefusalTest, AFileOfALongerLog) {
  const auto old = OldWorld();
  const std::string older = NewestNote(old->disk());
  const auto newer = old->Clone();
  {
    const ActorPtr actor = newer->Open();
    *newer->clock() += 5;
    newer->Commit(actor.get(), MakeEntries(1, 100));
    newer->Publish(actor.get());
    newer->Close(actor.get());
  }
  for (const char* name : {"hashes/0", "times", "entries/0.index"}) {
    for (const bool boots : {false, true}) {
      SCOPED_TRACE(name);
      const auto world = old->Clone();
      const std::string bytes = newer->disk()->Cached(name);
      world->disk()->RotLength(name, bytes.size());
      world->disk()->Rot(name, 0, bytes);
      if (boots) world->Reboot();
      for (const auto& newest : {std::optional<std::string>(), std::optional(older)}) {
        Expect(world.get(), newest, "as if the journal was rolled back");
      }
    }
  }
  // Nodes that follow none that are right may be rubbish: --newest has to tell.
  const auto world = old->Clone();
  world->disk()->Rot("hashes/1", 0, std::string(64, 'x'));
  world->disk()->Rot("hashes/2", 0, std::string(64, 'x'));
  Expect(world.get(), std::nullopt, "give --newest");
  EXPECT_TRUE(RepairStore(world.get(), older).has_value());
  CheckGoesOn(world.get());
}

TEST_F(RepairRefusalTest, WhatAnOpeningWouldRefuse) {
  const auto old = OldWorld();
  const auto newer = NewWorld(*old);
  for (const std::vector<std::string>& names : std::vector<std::vector<std::string>>{
           {"entries/0"}, {"checkpoint", "journal"}, {"checkpoint", "journal", "lock"}}) {
    for (const bool boots : {false, true}) {
      SCOPED_TRACE(testing::PrintToString(names));
      const auto world = newer->Clone();
      for (const std::string& name : names) {
        const std::string bytes = old->disk()->Cached(name);
        world->disk()->RotLength(name, bytes.size());
        world->disk()->Rot(name, 0, bytes);
      }
      if (boots) world->Reboot();
      Expect(world.get(), std::nullopt, names.back() == "entries/0" ? "entries/0" : "journal");
    }
  }
}

// A checksum that is right does not say that the content is possible.
TEST_F(RepairRefusalTest, ABaseThatNobodyWrote) {
  const auto start = OldWorld();
  const std::vector<std::function<void(ReplayPoint*)>> changes = {
      [](ReplayPoint* replay_point) {
        for (Block& block : replay_point->blocks) {
          if (block.name == kTimesName) block.bytes = "x";
        }
      },
      [](ReplayPoint* replay_point) {
        std::erase_if(replay_point->blocks,
                      [](const Block& block) { return block.name == kTimesName; });
      },
      [](ReplayPoint* replay_point) { replay_point->state.end.time_rows = uint64_t{1} << 60; },
  };
  for (const auto& change : changes) {
    const auto world = start->Clone();
    for (uint64_t slot = 0; slot < 2; ++slot) {
      std::optional<ReplayPoint> replay_point = DecodeReplayPoint(
          world->disk()->Cached("journal").substr(slot * kReplaySlotLength, kReplaySlotLength));
      if (!replay_point) continue;
      change(&*replay_point);
      std::string bytes = EncodeReplayPoint(*replay_point);
      bytes.resize(kReplaySlotLength);
      world->disk()->Rot("journal", slot * kReplaySlotLength, bytes);
    }
    Remove(world->disk(), "hashes/1");
    world->Reboot();
    Expect(world.get(), std::nullopt, "journal: the rows of times that its base has cannot be");
  }
}

// A failure before the files are put in place leaves none of the new ones.
TEST_F(RepairRefusalTest, AFullDiskAndOtherFailures) {
  const auto start = OldWorld();
  Remove(start->disk(), "hashes/0");
  Remove(start->disk(), "times");
  const auto full = start->Clone();
  full->disk()->SetCapacity(full->disk()->UsedBytes() + kBlockLength);
  Expect(full.get(), std::nullopt, "");
  const auto whole = start->Clone();
  uint64_t end = 0;
  whole->disk()->Observe([&](const SimOperation& operation) {
    if (operation.kind == SimKind::kLink && end == 0) end = operation.number;
  });
  ASSERT_TRUE(RepairStore(whole.get(), std::nullopt).has_value());
  for (uint64_t number = start->disk()->operations() + 1; number < end; ++number) {
    const auto world = start->Clone();
    world->disk()->FailOperation(number, Code::kNoSpace, SimDisk::Outcome::kHappened);
    Expect(world.get(), std::nullopt, "");
    world->disk()->FailNone();
    EXPECT_TRUE(RepairStore(world.get(), std::nullopt).has_value());
  }
}

}  // namespace
}  // namespace tlogfs_test
