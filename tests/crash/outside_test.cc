// Long batches, whose frames are written outside of their records (logcore/journal.h): every way to
// die in such a commit, at the beginning of the log, within a segment, over the end of one, and at
// the very beginning of the next; and to die with what a failed sync had said and nobody was told.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/crash/runs.h"

namespace tlogfs_test {
namespace {

using logcore::Code;

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

// Of a process that opens this world, and commits a batch after such a short one.
std::vector<Operation> OperationsOfLongCommit(const World& start, uint64_t entries_before,
                                              bool reads = false) {
  const auto world = start.Clone();
  if (reads) world->disk()->CountReads();
  const ActorPtr actor = world->Open(true);
  if (entries_before != 0) world->Commit(actor.get(), MakeEntries(1, entries_before));
  std::vector<Operation> operations;
  world->disk()->Observe([&](const SimOperation& operation) {
    operations.push_back(
        {operation.kind, std::string(operation.name), operation.bytes.size() / kSimBlock});
  });
  world->Commit(actor.get(), LongBatch(1));
  world->disk()->Observe(nullptr);
  return operations;
}

TEST(OutsideTest, EveryOperationOfALongCommit) {
  constexpr uint64_t kCuts = 12;
  for (const Start& start : kStarts) {
    SCOPED_TRACE(start.name);
    const auto world = WorldOf(start.size);
    const std::vector<Operation> operations = OperationsOfLongCommit(*world, 0);
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
          crashed->AdvanceBase(other.get());
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
    const std::vector<Operation> operations = OperationsOfLongCommit(*world, 4);
    int found = 0;
    int went_on = 0;
    for (uint64_t n = 0; n < operations.size(); ++n) {
      if (!OfFrames(operations[n], SimKind::kSync)) continue;
      ++found;
      for (const bool others : {false, true}) {
        for (uint64_t seed = 0; seed < 20; ++seed) {
          const auto crashed = world->Clone();
          crashed->AllowErrors();
          ActorPtr actor = crashed->Open(true);
          ActorPtr other = crashed->Open(true);
          // Frames that are in the page cache alone.
          crashed->Commit(actor.get(), MakeEntries(1, 4));
          const uint64_t sync = crashed->disk()->operations() + n + 1;
          crashed->disk()->FailOperation(sync, Code::kIo, SimDisk::Outcome::kNotHappened);
          crashed->disk()->CrashAt(sync + 1);
          EXPECT_THROW(crashed->Commit(actor.get(), LongBatch(1)), SimCrash);
          crashed->disk()->CrashAt(0);
          crashed->disk()->FailNone();
          actor.reset();
          // The other process may be told of it in its turn, and then stops.
          if (others) crashed->Commit(other.get(), MakeEntries(seed, 2));
          if (!crashed->error()) crashed->AdvanceBase(other.get());
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
    EXPECT_GE(went_on, 20);
  }
}

// The same, while another process advances the base: before it opens what it is going to sync, and
// so will not be told.
TEST(OutsideTest, AFailedSyncWhileTheBaseIsAdvanced) {
  const auto world = WorldOf(700);
  const std::vector<Operation> operations = OperationsOfLongCommit(*world, 4, true);
  const auto sync = std::find_if(operations.begin(), operations.end(),
                                 [](const Operation& o) { return OfFrames(o, SimKind::kSync); });
  ASSERT_NE(sync, operations.end());
  const uint64_t before_sync = static_cast<uint64_t>(sync - operations.begin());
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto crashed = world->Clone();
    SimDisk* const disk = crashed->disk();
    disk->CountReads();
    ActorPtr actor = crashed->Open(true);
    ActorPtr other = crashed->Open(true);
    crashed->Commit(actor.get(), MakeEntries(1, 4));
    bool is_dead = false;
    disk->Observe([&](const SimOperation& operation) {
      if (is_dead || operation.kind != SimKind::kRead || operation.name != "entries/0" ||
          disk->IsLocked("lock", 1)) {
        return;
      }
      is_dead = true;
      const uint64_t number = disk->operations() + before_sync + 1;
      disk->FailOperation(number, Code::kIo, SimDisk::Outcome::kNotHappened);
      disk->CrashAt(number + 1);
      crashed->AllowErrors();
      EXPECT_THROW(crashed->Commit(actor.get(), LongBatch(1)), SimCrash);
      crashed->AllowErrors(false);
      disk->CrashAt(0);
      disk->FailNone();
    });
    crashed->AdvanceBase(other.get());
    disk->Observe(nullptr);
    EXPECT_TRUE(is_dead);
    crashed->Publish(other.get());
    actor.reset();
    other.reset();
    crashed->CutPower(seed);
    GoOn(crashed.get(), seed);
  }
}

// What a commit that died has left is cut off, and with it goes the room that others had reserved.
TEST(OutsideTest, RoomThatIsGivenBackIsReservedAgain) {
  const auto world = WorldOf(700);
  const std::vector<Operation> operations = OperationsOfLongCommit(*world, 0);
  const auto write = std::find_if(operations.begin(), operations.end(),
                                  [](const Operation& o) { return OfFrames(o, SimKind::kWrite); });
  ASSERT_NE(write, operations.end());
  SimDisk* const disk = world->disk();
  ActorPtr actor = world->Open(true);
  const ActorPtr other = world->Open(false);
  world->Commit(other.get(), MakeEntries(1, 2));
  disk->CrashAt(disk->operations() + static_cast<uint64_t>(write - operations.begin()) + 2);
  EXPECT_THROW(world->Commit(actor.get(), LongBatch(1)), SimCrash);
  disk->CrashAt(0);
  bool is_cut = false;
  disk->Observe([&](const SimOperation& operation) {
    if (is_cut) disk->SetCapacity(disk->UsedBytes());  // Somebody takes what there is.
    is_cut |= operation.kind == SimKind::kCut;
  });
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

}  // namespace
}  // namespace tlogfs_test
