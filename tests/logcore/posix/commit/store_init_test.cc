// Inits that fail: each operation of one, in turn, and a disk that is too small. Nothing is left,
// of a key least of all, and the next init in the same place succeeds.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/tentative_disk.h"
#include "logcore/posix/files/journal.h"
#include "tests/support/sim_disk.h"

namespace {

using namespace logcore;
using testing::HasSubstr;
using testing::IsEmpty;
using tlogfs_test::SimDisk;
using tlogfs_test::SimKind;
using tlogfs_test::SimOperation;

Result<VerifierKey> Init(Disk* disk) {
  return InitStore(disk,
                   {.origin = "example.com/log",
                    .key = {},
                    .journal_length = kRecordsStart + 16 * kJournalBlock},
                   {.clock = [] { return int64_t{1'700'000'000}; }});
}

bool Opens(Disk* disk) {
  return StoreWriter::Open(disk, {.clock = [] { return int64_t{1}; }}).has_value();
}

TEST(StoreInitTest, WhereverItFailsNothingIsLeft) {
  uint64_t operations = 0;
  {
    SimDisk machine;
    ASSERT_TRUE(Init(machine.NewProcess().get()).has_value());
    operations = machine.operations();
  }
  ASSERT_GT(operations, 30u);
  for (uint64_t number = 1; number <= operations; ++number) {
    for (const auto outcome :
         {SimDisk::Outcome::kNotHappened, SimDisk::Outcome::kHalf, SimDisk::Outcome::kHappened}) {
      SCOPED_TRACE(number);
      SimDisk machine;
      machine.FailOperation(number, number % 2 == 0 ? Code::kNoSpace : Code::kIo, outcome);
      const auto process = machine.NewProcess();
      ASSERT_FALSE(Init(process.get()).has_value());
      EXPECT_THAT(process->List("").value(), IsEmpty());
      for (uint64_t seed = 0; seed < 4; ++seed) {
        const auto after = machine.Clone();
        after->CutPower(seed);
        EXPECT_THAT(after->Names(), IsEmpty()) << "after a power cut";
      }
      ASSERT_TRUE(Init(process.get()).has_value());
      EXPECT_TRUE(Opens(process.get()));
    }
  }
}

// A power cut while it is taken back: nothing that is taken for a store.
TEST(StoreInitTest, WhatIsLeftOfTakingItBackIsNoStore) {
  SimDisk machine;
  ASSERT_TRUE(Init(machine.NewProcess().get()).has_value());
  const uint64_t operations = machine.operations();
  SimDisk failing;
  failing.FailOperation(operations, Code::kIo, SimDisk::Outcome::kHappened);
  bool checked = false;
  failing.Observe([&](const SimOperation& operation) {
    if (operation.kind != SimKind::kRemove || operation.name == "format") return;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const auto after = failing.Clone();
      after->CutPower(operation.number + seed);
      EXPECT_FALSE(after->Exists("format"));
      checked = true;
    }
  });
  EXPECT_FALSE(Init(failing.NewProcess().get()).has_value());
  EXPECT_TRUE(checked);
}

TEST(StoreInitTest, ADiskThatIsTooSmallIsEmptyAgain) {
  SimDisk machine;
  machine.SetCapacity(100'000);
  const auto process = machine.NewProcess();
  EXPECT_EQ(Init(process.get()).error().code, Code::kNoSpace);
  EXPECT_EQ(machine.UsedBytes(), 0u);
  machine.SetCapacity(1'000'000);
  EXPECT_TRUE(Init(process.get()).has_value());
}

// What somebody else put there meanwhile is not init's to remove.
TEST(StoreInitTest, OnlyItsOwnFilesAreTakenBack) {
  SimDisk machine;
  const auto process = machine.NewProcess();
  bool put = false;
  machine.Observe([&](const SimOperation& operation) {
    if (operation.kind != SimKind::kCreate || operation.name != "lock" || put) return;
    put = true;
    ASSERT_TRUE(machine.NewProcess()->Create("lock", 0644).has_value());
  });
  EXPECT_EQ(Init(process.get()).error().code, Code::kExists);
  EXPECT_EQ(process->List("").value(), std::vector<std::string>{"lock"});
}

TEST(StoreInitTest, OneThatWasKilledIsNamedAndNotTakenOver) {
  SimDisk machine;
  ASSERT_TRUE(Init(machine.NewProcess().get()).has_value());
  const uint64_t operations = machine.operations();
  int unfinished = 0;
  for (uint64_t number = 1; number <= operations; ++number) {
    SimDisk killed;
    killed.CrashAt(number);
    EXPECT_THROW(static_cast<void>(Init(killed.NewProcess().get())), tlogfs_test::SimCrash);
    const auto process = killed.NewProcess();
    const std::vector<std::string> left = process->List("").value();
    const Result<VerifierKey> again = Init(process.get());
    if (left.empty()) {
      EXPECT_TRUE(again.has_value());
    } else {
      ASSERT_EQ(again.error().code, Code::kExists);
      EXPECT_EQ(process->List("").value(), left);
      const bool is_named = again.error().message.find("did not finish") != std::string::npos;
      EXPECT_EQ(is_named, !killed.Exists("format")) << number;
      unfinished += is_named ? 1 : 0;
    }
  }
  EXPECT_GT(unfinished, 20);
}

TEST(StoreInitTest, ADirectoryOfOtherThingsIsNotCalledUnfinished) {
  SimDisk machine;
  const auto process = machine.NewProcess();
  ASSERT_TRUE(process->Create("key", 0600).has_value());
  EXPECT_THAT(Init(process.get()).error().message, HasSubstr("is not empty"));
  ASSERT_TRUE(process->MakeDirectory("entries", 0755).has_value());
  EXPECT_THAT(Init(process.get()).error().message, HasSubstr("did not finish"));
  ASSERT_TRUE(process->Create("notes.txt", 0644).has_value());
  EXPECT_THAT(Init(process.get()).error().message, HasSubstr("is not empty"));
  // A store that lost its first file, with an entry in it.
  SimDisk lost;
  const auto other = lost.NewProcess();
  ASSERT_TRUE(Init(other.get()).has_value());
  ASSERT_TRUE(other->Remove("format").has_value());
  EXPECT_THAT(Init(other.get()).error().message, HasSubstr("did not finish"));
  ASSERT_TRUE(other->Create("entries/0", 0644).has_value());
  EXPECT_THAT(Init(other.get()).error().message, HasSubstr("is not empty"));
}

}  // namespace
