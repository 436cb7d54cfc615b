// When versions of the checkpoint are published (logcore/posix/commit/publication.h), over a
// restart of the machine, and by a writer that is slow. The times themselves:
// publication_time_test.cc.

#include "logcore/posix/commit/publication.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/published.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>

#include "logcore/posix/files/lock_file.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/tlog/hash.h"
#include "logcore/util/bytes.h"
#include "tests/crash/world.h"

namespace tlogfs_test {
namespace {

using namespace logcore;

struct Shown {
  PublicationTime publication;
  int64_t time = 0;
};

Shown Look(World* world) {
  const auto process = world->disk()->NewProcess();
  const auto store = StoreReader::Open(process.get(), {}).value();
  const auto snapshot = store->Latest().value();
  return {snapshot->published().publication, store->PublicationTimeOf(snapshot->published())};
}

// A log of three entries, published by a process that has ended, and closed the log or not.
std::unique_ptr<World> PublishedWorld(bool closes) {
  auto world = World::Create();
  const ActorPtr actor = world->Open();
  world->Commit(actor.get(), MakeEntries(1, 3));
  world->Publish(actor.get());
  if (closes) world->Close(actor.get());
  return world;
}

// The simulated machine's uptime is the same in both boots.
TEST(PublicationTest, WhatWasPublishedInAnotherBootHasSettled) {
  for (const bool closes : {false, true}) {
    const auto world = PublishedWorld(closes);
    const Shown before = Look(world.get());
    ASSERT_LT(before.publication.at, before.publication.settled);
    EXPECT_EQ(before.time, before.publication.at);

    world->Reboot();
    if (closes) {
      EXPECT_EQ(Look(world.get()).time, before.publication.settled);
    }
    const ActorPtr actor = world->Open();
    EXPECT_EQ(Look(world.get()).time, before.publication.settled);
    *world->clock() -= 100;
    world->Commit(actor.get(), MakeEntries(2, 3));
    world->Publish(actor.get());
    EXPECT_LT(before.publication.settled, Look(world.get()).time);
  }
}

// What earlier versions wrote, made from what is written now.
std::string Timeless(const std::string& slot) {
  const uint64_t note = LoadBigEndian<uint64_t>(slot.data() + 72);
  std::string bytes = "tlogpub1" + slot.substr(8, 40) + slot.substr(72, 8 + note);
  bytes.append(Sha256({bytes}).view());
  bytes.resize(kPublishedSlotLength);
  return bytes;
}

TEST(PublicationTest, AStoreOfAnEarlierVersionOpens) {
  for (const bool closes : {false, true}) {
    const auto world = PublishedWorld(closes);
    int slots = 0;
    for (const uint64_t offset : {uint64_t{0}, kPublishedSlotLength}) {
      const std::string slot = world->disk()->Cached("checkpoint").substr(offset);
      if (!slot.starts_with("tlogpub2")) continue;
      world->disk()->Rot("checkpoint", offset, Timeless(slot));
      ++slots;
    }
    EXPECT_EQ(slots, 2);
    world->CheckAudit();
    const int64_t before = Look(world.get()).time;
    EXPECT_EQ(before, (world->now() + 1) * kNanoseconds);
    const ActorPtr actor = world->Open();
    world->Commit(actor.get(), MakeEntries(2, 3));
    world->Publish(actor.get());
    EXPECT_LT(before, Look(world.get()).time);
    world->Close(actor.get());
    world->CheckAudit();
  }
}

// While it signs, the version before settles for those who read it.
TEST(PublicationTest, TheTimeIsChosenAfterTheCheckpointWasSigned) {
  const auto world = World::Create();
  const ActorPtr actor = world->Open();
  world->Commit(actor.get(), MakeEntries(1, 3));
  world->Publish(actor.get());
  world->Commit(actor.get(), MakeEntries(2, 3));
  Disk* const disk = actor->process.get();
  const auto config = ReadStoreConfig(disk).value();
  const auto key = ReadStoreKey(disk, config).value();
  const auto lock = disk->Open("lock", Access::kRead).value();
  const auto files = LogFiles::Open(disk, Access::kRead).value();
  const auto file = PublishedFile::Open(disk, Access::kReadWrite).value();
  const PublishedFile::Slot newest = file->Read().value();
  ASSERT_LT(newest.published.publication.at, newest.published.publication.settled);

  int64_t uptime = disk->Uptime();
  const CheckpointMaker maker{.sign =
                                  [&](const TreeHead& head) {
                                    uptime += 3 * kNanoseconds;
                                    return SignCheckpoint(config.origin, head, key);
                                  },
                              .clock = [&] { return newest.published.publication.at; },
                              .uptime = [&] { return uptime; }};
  const auto published = PublishLog(*files, file.get(), newest, ReadWriterState(*lock).value()->log,
                                    newest.boot_id, maker);
  ASSERT_TRUE(published.has_value()) << published.error().message;
  EXPECT_EQ(published->head.size, 6u);
  EXPECT_LT(newest.published.publication.settled, published->publication.at);
}

}  // namespace
}  // namespace tlogfs_test
