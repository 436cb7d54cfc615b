// Long batches, whose frames are written outside of their records (logcore/posix/files/journal.h):
// every way to die in such a commit, at the beginning of the log, within a segment, over the end of
// one, and at the very beginning of the next; and to die with what a failed sync had said and
// nobody was told.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "logcore/posix/check/audit.h"
#include "tests/crash/runs.h"

namespace tlogfs_test {
namespace {

using logcore::Code;

constexpr int kCommitLock = 1;  // logcore/posix/files/lock_file.h

// Three entries, of which most is whole blocks.
std::vector<std::string> LongBatch(uint64_t seed) {
  SimRandom random(seed);
  std::vector<std::string> entries;
  for (int i = 0; i < 3; ++i) {
    entries.emplace_back(3000 + random.Below(2000), static_cast<char>('a' + i));
  }
  return entries;
}

// The world after any end of its processes: it opens, goes on, closes in good order, keeps that.
void GoOn(World* world, uint64_t seed) {
  for (const bool is_long : {false, true}) {
    const ActorPtr actor = world->Open(true);
    ASSERT_NE(actor, nullptr);
    world->Commit(actor.get(), is_long ? LongBatch(seed) : MakeEntries(seed, 2));
    world->Publish(actor.get());
    world->CheckFiles();
    world->Close(actor.get());
  }
  world->CheckAudit();
  world->CutPower(seed);
  world->Read(seed, 3);
  world->CheckAudit();
}

// What recovery has mended stays so if nothing is appended after it.
void CloseAtOnce(World* world, uint64_t seed) {
  const ActorPtr actor = world->Open(true);
  world->Publish(actor.get());
  world->Close(actor.get());
  world->CutPower(seed);
  world->Read(seed, 1);
  world->CheckAudit();
}

struct Start {
  std::string name;
  uint64_t size = 0;
};
const std::vector<Start> kStarts = {{"an empty log", 0},
                                    {"within a segment", 700},
                                    {"over the end of a segment", 65536 - 1},
                                    {"at the beginning of a segment", 65536}};

std::unique_ptr<World> WorldOf(uint64_t size) {
  return size == 0 ? World::Create() : PrepareWorld(size, nullptr);
}

struct Operation {
  SimKind kind = SimKind::kRead;
  std::string name;
  size_t blocks = 0;  // that a write fills
};
bool OfFrames(const Operation& operation, SimKind kind) {
  return operation.kind == kind && operation.name.starts_with("entries/") &&
         !operation.name.ends_with(".index");
}

// Two processes. A third one has left frames, more than a block, that are in the page cache alone;
// `other` has not opened the segment that holds them, unless there was anything in it before.
struct Two {
  ActorPtr actor;
  ActorPtr other;
};
Two OpenTwo(World* world) {
  Two two;
  two.other = world->Open(true);
  const ActorPtr third = world->Open(false);
  world->Commit(third.get(), std::vector<std::string>(2, std::string(3500, 'z')));
  two.actor = world->Open(true);
  return two;
}

// Of the commit of a long batch.
std::vector<Operation> OperationsOfLongCommit(World* world, Actor* actor) {
  std::vector<Operation> operations;
  world->disk()->Observe([&](const SimOperation& operation) {
    operations.push_back(
        {operation.kind, std::string(operation.name), operation.bytes.size() / kSimBlock});
  });
  world->Commit(actor, LongBatch(1));
  world->disk()->Observe(nullptr);
  return operations;
}
// By a process that has opened this world.
std::vector<Operation> OperationsOf(const World& start) {
  const auto world = start.Clone();
  const ActorPtr actor = world->Open(true);
  return OperationsOfLongCommit(world.get(), actor.get());
}
// By the first of two.
std::vector<Operation> OperationsOfFirst(const World& start, bool reads) {
  const auto world = start.Clone();
  if (reads) world->disk()->CountReads();
  const Two two = OpenTwo(world.get());
  return OperationsOfLongCommit(world.get(), two.actor.get());
}

TEST(OutsideTest, EveryOperationOfALongCommit) {
  constexpr uint64_t kCuts = 12;
  for (const Start& start : kStarts) {
    SCOPED_TRACE(start.name);
    const auto world = WorldOf(start.size);
    const std::vector<Operation> operations = OperationsOf(*world);
    uint64_t states = 0;
    int syncs = 0;
    for (uint64_t n = 0; n < operations.size(); ++n) {
      if (OfFrames(operations[n], SimKind::kSync)) ++syncs;
      // A power cut in several ways, and a kill with each number of blocks written.
      for (uint64_t way = 0; way < kCuts + 1 + operations[n].blocks; ++way) {
        const auto crashed = world->Clone();
        ActorPtr actor = crashed->Open(true);
        const ActorPtr other = way % 2 == 0 ? crashed->Open(true) : nullptr;
        crashed->disk()->CrashAt(crashed->disk()->operations() + n + 1,
                                 way < kCuts ? 0 : way - kCuts);
        EXPECT_THROW(crashed->Commit(actor.get(), LongBatch(1)), SimCrash);
        crashed->disk()->CrashAt(0);
        actor.reset();
        if (way < kCuts) crashed->CutPower(n * 100 + way);
        if (way >= kCuts && other != nullptr) {  // One that had it open goes on.
          crashed->Commit(other.get(), MakeEntries(way, 2));
          crashed->Commit(other.get(), LongBatch(way));
          crashed->AdvanceReplayPoint(other.get());
          crashed->Publish(other.get());
          crashed->CheckFiles();
        }
        if (way % 3 == 0) CloseAtOnce(crashed.get(), way);
        GoOn(crashed.get(), n * 100 + way);
        ++states;
      }
    }
    EXPECT_EQ(syncs, start.size == 65536 - 1 ? 0 : 1);  // Frames of two segments stay inside.
    std::printf("%s: %zu operations, %llu states\n", start.name.c_str(), operations.size(),
                static_cast<unsigned long long>(states));
  }
}

// The kernel reports once that a write failed, perhaps of an earlier commit's frames, and this time
// it is to the process that dies of something else before it can say so.
TEST(OutsideTest, AFailedSyncThatNobodyWasToldOf) {
  for (const Start& start : kStarts) {
    SCOPED_TRACE(start.name);
    const auto world = WorldOf(start.size);
    const std::vector<Operation> operations = OperationsOfFirst(*world, false);
    int found = 0;
    int went_on = 0;
    for (uint64_t n = 0; n < operations.size(); ++n) {
      if (!OfFrames(operations[n], SimKind::kSync)) continue;
      ++found;
      for (const bool others : {false, true}) {
        for (uint64_t seed = 0; seed < 20; ++seed) {
          const auto crashed = world->Clone();
          crashed->AllowErrors();
          auto [actor, other] = OpenTwo(crashed.get());
          const uint64_t sync = crashed->disk()->operations() + n + 1;
          crashed->disk()->FailOperation(sync, Code::kIo, SimDisk::Outcome::kNotHappened);
          crashed->disk()->CrashAt(sync + 1);
          EXPECT_THROW(crashed->Commit(actor.get(), LongBatch(1)), SimCrash);
          crashed->disk()->CrashAt(0);
          crashed->disk()->FailNone();
          actor.reset();
          // The other process may be told of it in its turn, and then stops.
          if (others) crashed->Commit(other.get(), MakeEntries(seed, 2));
          if (!crashed->error()) crashed->AdvanceReplayPoint(other.get());
          if (!crashed->error()) crashed->Publish(other.get());
          if (!crashed->error()) ++went_on;
          crashed->AllowErrors(false);
          other.reset();
          crashed->CutPower(seed);
          GoOn(crashed.get(), seed);
        }
      }
    }
    EXPECT_EQ(found, 1);
    // Who had the segment open is told, too, as soon as it syncs it.
    if (start.size == 700) {
      EXPECT_EQ(went_on, 0);
    } else {
      EXPECT_GE(went_on, 20);
    }
  }
}

// The same, while another process advances the replay point: before it opens what it is going to
// sync, and so will not be told.
TEST(OutsideTest, AFailedSyncWhileTheBaseIsAdvanced) {
  // A segment that the other process has never opened.
  const auto world = WorldOf(65536);
  const std::vector<Operation> operations = OperationsOfFirst(*world, true);
  const auto sync = std::find_if(operations.begin(), operations.end(),
                                 [](const Operation& o) { return OfFrames(o, SimKind::kSync); });
  ASSERT_NE(sync, operations.end());
  const uint64_t before_sync = static_cast<uint64_t>(sync - operations.begin());
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto crashed = world->Clone();
    SimDisk* const disk = crashed->disk();
    disk->CountReads();
    const Two two = OpenTwo(crashed.get());
    bool is_dead = false;
    disk->Observe([&](const SimOperation& operation) {
      if (is_dead || operation.kind != SimKind::kRead || operation.name != "entries/1" ||
          disk->IsLocked("lock", kCommitLock)) {
        return;
      }
      is_dead = true;
      const uint64_t number = disk->operations() + before_sync + 1;
      disk->FailOperation(number, Code::kIo, SimDisk::Outcome::kNotHappened);
      disk->CrashAt(number + 1);
      crashed->AllowErrors();
      EXPECT_THROW(crashed->Commit(two.actor.get(), LongBatch(1)), SimCrash);
      crashed->AllowErrors(false);
      disk->CrashAt(0);
      disk->FailNone();
    });
    crashed->AdvanceReplayPoint(two.other.get());
    disk->Observe(nullptr);
    EXPECT_TRUE(is_dead);
    crashed->Publish(two.other.get());
    crashed->CutPower(seed);
    GoOn(crashed.get(), seed);
  }
}

// Before anybody has recovered it, the files of a store after a power cut are not as they must be.
// The audit looks at what an opening makes of them, and says that the machine went down.
TEST(OutsideTest, TheAuditKnowsThatTheMachineWentDown) {
  const auto world = WorldOf(700);
  const std::vector<Operation> operations = OperationsOf(*world);
  for (uint64_t n = 0; n < operations.size(); ++n) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      const auto crashed = world->Clone();
      ActorPtr actor = crashed->Open(true);
      crashed->disk()->CrashAt(crashed->disk()->operations() + n + 1);
      EXPECT_THROW(crashed->Commit(actor.get(), LongBatch(1)), SimCrash);
      actor.reset();
      crashed->CutPower(seed);
      const auto report =
          logcore::Audit(crashed->disk()->NewProcess().get(), {.gap_limit = kGapLimit});
      ASSERT_TRUE(report.has_value()) << report.error().message;
      EXPECT_TRUE(report->went_down);
      for (const logcore::Damage& damage : report->damages) {  // But for a slot that is torn.
        EXPECT_EQ(damage.file, "checkpoint") << damage.what;
      }
      actor = crashed->Open(true);
      crashed->Publish(actor.get());
      const auto mended =
          logcore::Audit(crashed->disk()->NewProcess().get(), {.gap_limit = kGapLimit});
      ASSERT_TRUE(mended.has_value()) << mended.error().message;
      EXPECT_FALSE(mended->went_down);
      EXPECT_TRUE(mended->damages.empty());
    }
  }
}

// What a commit that died has left is cut off, and with it goes the room that was reserved: by who
// had the log open and cuts it, by who opens it and so does, or by one while another opens it.
enum class Cutter { kSame, kOpening, kOther };
void ExpectRoomToBeReservedAgain(Cutter cutter) {
  SCOPED_TRACE(static_cast<int>(cutter));
  const auto world = WorldOf(700);
  const std::vector<Operation> operations = OperationsOf(*world);
  const auto write = std::find_if(operations.begin(), operations.end(),
                                  [](const Operation& o) { return OfFrames(o, SimKind::kWrite); });
  ASSERT_NE(write, operations.end());
  SimDisk* const disk = world->disk();
  ActorPtr actor = world->Open(true);
  ActorPtr other = world->Open(false);
  world->Commit(other.get(), MakeEntries(1, 2));
  disk->CrashAt(disk->operations() + static_cast<uint64_t>(write - operations.begin()) + 2);
  EXPECT_THROW(world->Commit(actor.get(), LongBatch(1)), SimCrash);
  disk->CrashAt(0);
  if (cutter == Cutter::kOpening) other.reset();
  bool is_cut = false;
  disk->Observe([&](const SimOperation& operation) {
    if (is_cut) disk->SetCapacity(disk->UsedBytes());  // Somebody takes what there is.
    is_cut |= operation.kind == SimKind::kCut;
  });
  if (cutter == Cutter::kOpening) other = world->Open(false);
  const ActorPtr third = cutter == Cutter::kOther ? world->Open(false) : nullptr;
  world->AllowErrors();
  world->Commit(other.get(), LongBatch(2));
  disk->Observe(nullptr);
  disk->SetCapacity(0);
  EXPECT_TRUE(is_cut);
  ASSERT_TRUE(world->error().has_value());
  EXPECT_EQ(world->error()->code, Code::kNoSpace);
  world->AllowErrors(false);
  world->Commit(other.get(), LongBatch(3));
  world->Publish(other.get());
  world->CheckFiles();
  actor.reset();
  GoOn(world.get(), 1);
}

TEST(OutsideTest, RoomThatIsGivenBackIsReservedAgain) {
  for (const Cutter cutter : {Cutter::kSame, Cutter::kOpening, Cutter::kOther}) {
    ExpectRoomToBeReservedAgain(cutter);
  }
}

}  // namespace
}  // namespace tlogfs_test
