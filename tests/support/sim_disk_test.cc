#include "tests/support/sim_disk.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace tlogfs_test {
namespace {

using logcore::Access;
using logcore::Code;
using logcore::File;

// A machine with one file that is wholly on the disk.
class SimDiskTest : public testing::Test {
 protected:
  void SetUp() override {
    process_ = machine_.NewProcess();
    file_ = process_->Create("a", 0644).value();
    ASSERT_TRUE(file_->WriteAt(0, old_).has_value());
    ASSERT_TRUE(file_->Sync().has_value());
    ASSERT_TRUE(process_->SyncDirectory("").has_value());
  }

  // What file `name` may be after a power cut: all contents that 500 seeds give.
  std::set<std::string> AfterCuts(const std::string& name) const {
    std::set<std::string> contents;
    for (uint64_t seed = 0; seed < 500; ++seed) {
      const auto after = machine_.Clone();
      after->CutPower(seed);
      contents.insert(after->Exists(name) ? after->Cached(name) : "(none)");
    }
    return contents;
  }

  const std::string old_ = std::string(10000, 'o');
  SimDisk machine_;
  std::unique_ptr<SimProcess> process_;
  std::unique_ptr<File> file_;
};

TEST_F(SimDiskTest, ReadsWhatWasWritten) {
  ASSERT_TRUE(file_->WriteAt(9999, "xyz").has_value());
  std::string bytes(5, '?');
  EXPECT_EQ(file_->ReadAt(9998, bytes.data(), 5).value(), 4u);
  EXPECT_EQ(bytes, "oxyz?");
  EXPECT_EQ(file_->Length().value(), 10002u);
  const auto mapped = file_->Map(10002).value();
  EXPECT_EQ(std::string_view(mapped.get(), 10002), machine_.Cached("a"));
  EXPECT_EQ(file_->Map(10003).error().code, Code::kInvalid);
  EXPECT_EQ(file_->ReadAt(10002, bytes.data(), 5).value(), 0u);
  // Past the end: zeros between.
  ASSERT_TRUE(file_->WriteAt(20000, "e").has_value());
  EXPECT_EQ(machine_.Cached("a").substr(10002), std::string(20000 - 10002, '\0') + "e");
  EXPECT_EQ(process_->Open("b", Access::kRead).error().code, Code::kNotFound);
  EXPECT_EQ(process_->Create("a", 0644).error().code, Code::kExists);
  EXPECT_EQ(process_->Create("d/a", 0644).error().code, Code::kNotFound);
  auto reader = process_->Open("a", Access::kRead).value();
  EXPECT_EQ(reader->WriteAt(0, "x").error().code, Code::kDenied);
}

TEST_F(SimDiskTest, NamesAndModes) {
  ASSERT_TRUE(process_->MakeDirectory("d", 0700).has_value());
  ASSERT_TRUE(process_->Create("d/z", 0600).has_value());
  ASSERT_TRUE(process_->Create("d/y", 0400).has_value());
  EXPECT_EQ(process_->List("d").value(), (std::vector<std::string>{"y", "z"}));
  EXPECT_EQ(process_->List("").value(), (std::vector<std::string>{"a", "d"}));
  EXPECT_EQ(process_->List("a").error().code, Code::kNotFound);
  EXPECT_EQ(process_->Info("d/y").value().mode, 0400u);
  EXPECT_NE(process_->Info("d/y").value().inode, process_->Info("d/z").value().inode);
  EXPECT_EQ(process_->Open("d/y", Access::kReadWrite).error().code, Code::kDenied);
  EXPECT_EQ(process_->Open("d", Access::kRead).error().code, Code::kInvalid);
  ASSERT_TRUE(process_->Rename("d/y", "d/z").has_value());
  EXPECT_EQ(process_->List("d").value(), std::vector<std::string>{"z"});
  EXPECT_EQ(process_->Info("d/z").value().mode, 0400u);
}

TEST_F(SimDiskTest, SyncedBytesSurviveEveryCut) {
  ASSERT_TRUE(file_->WriteAt(5000, "new").has_value());
  ASSERT_TRUE(file_->Sync().has_value());
  EXPECT_EQ(AfterCuts("a"), std::set<std::string>{machine_.Cached("a")});
}

TEST_F(SimDiskTest, UnsyncedWritesAreLostKeptOrTorn) {
  const std::string new_bytes(3000, 'n');
  ASSERT_TRUE(file_->WriteAt(4096, new_bytes).has_value());
  bool torn_inside_sector = false, garbage = false, neighbour_hurt = false;
  const std::set<std::string> contents = AfterCuts("a");
  EXPECT_EQ(contents.count(old_), 1u);
  EXPECT_EQ(contents.count(machine_.Cached("a")), 1u);
  for (const std::string& content : contents) {
    ASSERT_EQ(content.size(), old_.size());
    // Blocks that no write touched are safe.
    EXPECT_EQ(content.substr(0, 4096), old_.substr(0, 4096));
    EXPECT_EQ(content.substr(8192), old_.substr(8192));
    const size_t end = content.find('o', 4096);
    torn_inside_sector |= end % kSimSector != 0 && end < 4096 + 3000;
    const std::string written = content.substr(4096, 3000);
    garbage |= written.find_first_not_of("on") != std::string::npos;
    neighbour_hurt |= content.substr(4096 + 3072, 8192 - 4096 - 3072) != std::string(1024, 'o');
  }
  EXPECT_TRUE(torn_inside_sector);
  EXPECT_TRUE(garbage);
  EXPECT_TRUE(neighbour_hurt) << "a whole block may be hurt";
  EXPECT_GT(contents.size(), 30u);
}

TEST_F(SimDiskTest, WritesAreReorderedWithinAndAcrossFiles) {
  auto other = process_->Create("b", 0644).value();
  ASSERT_TRUE(process_->SyncDirectory("").has_value());
  ASSERT_TRUE(file_->WriteAt(0, "1").has_value());
  ASSERT_TRUE(file_->WriteAt(8192, "2").has_value());
  ASSERT_TRUE(other->WriteAt(0, "3").has_value());
  bool second_without_first = false, third_without_both = false, both_without_third = false;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    const auto after = machine_.Clone();
    after->CutPower(seed);
    const std::string a = after->Cached("a"), b = after->Cached("b");
    const bool first = a[0] == '1', second = a[8192] == '2', third = b == "3";
    second_without_first |= a[0] == 'o' && second;
    third_without_both |= a == old_ && third;
    both_without_third |= first && second && b.empty();
  }
  EXPECT_TRUE(second_without_first);
  EXPECT_TRUE(third_without_both);
  EXPECT_TRUE(both_without_third);
}

TEST_F(SimDiskTest, OverwrittenSectorMayHoldAnyStateSinceTheSync) {
  for (const char* bytes : {"1", "2", "3"}) ASSERT_TRUE(file_->WriteAt(0, bytes).has_value());
  std::set<char> first;
  for (const std::string& content : AfterCuts("a")) first.insert(content[0]);
  for (const char expected : {'o', '1', '2', '3'}) EXPECT_EQ(first.count(expected), 1u) << expected;
}

TEST_F(SimDiskTest, LengthMayGrowWithoutTheBytes) {
  ASSERT_TRUE(file_->WriteAt(10000, std::string(9000, 'n')).has_value());
  std::set<size_t> lengths;
  bool zeros = false;
  for (const std::string& content : AfterCuts("a")) {
    lengths.insert(content.size());
    zeros |= content.size() > 16000 && content.substr(12288, 100) == std::string(100, '\0');
  }
  EXPECT_EQ(*lengths.begin(), 10000u);
  EXPECT_EQ(*lengths.rbegin(), 19000u);
  EXPECT_GT(lengths.size(), 20u);
  EXPECT_TRUE(zeros);
}

TEST_F(SimDiskTest, SyncOfANewFileDoesNotMakeItsNameDurable) {
  auto made = process_->Create("b", 0644).value();
  ASSERT_TRUE(made->WriteAt(0, "bytes").has_value());
  ASSERT_TRUE(made->Sync().has_value());
  EXPECT_EQ(AfterCuts("b"), (std::set<std::string>{"(none)", "bytes"}));
  ASSERT_TRUE(process_->SyncDirectory("").has_value());
  EXPECT_EQ(AfterCuts("b"), std::set<std::string>{"bytes"});
}

TEST_F(SimDiskTest, SyncOfADirectoryDoesNotMakeBytesDurable) {
  auto made = process_->Create("b", 0644).value();
  ASSERT_TRUE(made->WriteAt(0, "b").has_value());
  ASSERT_TRUE(process_->SyncDirectory("").has_value());
  const std::set<std::string> contents = AfterCuts("b");
  EXPECT_EQ(contents.count("(none)"), 0u);
  EXPECT_EQ(contents.count(""), 1u);
  EXPECT_EQ(contents.count("b"), 1u);
}

TEST_F(SimDiskTest, AnySubsetOfNamesSurvives) {
  for (const char* name : {"1", "2", "3"}) ASSERT_TRUE(process_->Create(name, 0644).has_value());
  std::set<std::string> subsets;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    const auto after = machine_.Clone();
    after->CutPower(seed);
    std::string subset;
    for (const std::string& name : after->Names()) subset += name;
    subsets.insert(subset);
  }
  EXPECT_EQ(subsets.size(), 8u);
}

TEST_F(SimDiskTest, RenameIsAtomicButNotDurable) {
  auto made = process_->Create("new", 0644).value();
  ASSERT_TRUE(made->WriteAt(0, "bytes").has_value());
  ASSERT_TRUE(made->Sync().has_value());
  ASSERT_TRUE(process_->Rename("new", "a").has_value());
  EXPECT_EQ(machine_.Cached("a"), "bytes");
  EXPECT_EQ(AfterCuts("a"), (std::set<std::string>{old_, "bytes"}));
  ASSERT_TRUE(process_->SyncDirectory("").has_value());
  EXPECT_EQ(AfterCuts("a"), std::set<std::string>{"bytes"});
}

TEST_F(SimDiskTest, WhatIsRemovedMayBeBackUntilSync) {
  ASSERT_TRUE(process_->MakeDirectory("d", 0755).has_value());
  EXPECT_EQ(process_->Remove("none").error().code, Code::kNotFound);
  ASSERT_TRUE(process_->Create("d/x", 0644).has_value());
  EXPECT_EQ(process_->Remove("d").error().code, Code::kExists);
  ASSERT_TRUE(process_->Remove("d/x").has_value() && process_->Remove("d").has_value());
  ASSERT_TRUE(process_->Remove("a").has_value());
  EXPECT_EQ(process_->List("").value(), std::vector<std::string>{});
  EXPECT_EQ(machine_.UsedBytes(), 0u);
  EXPECT_EQ(AfterCuts("a"), (std::set<std::string>{"(none)", old_}));
  ASSERT_TRUE(process_->SyncDirectory("").has_value());
  EXPECT_EQ(AfterCuts("a"), std::set<std::string>{"(none)"});
}

TEST_F(SimDiskTest, ASecondNameIsNotDurableAndAsGoodAsTheFirst) {
  ASSERT_TRUE(process_->Link("a", "b").has_value());
  EXPECT_EQ(process_->Link("a", "b").error().code, Code::kExists);
  EXPECT_EQ(AfterCuts("b"), (std::set<std::string>{"(none)", old_}));
  ASSERT_TRUE(process_->SyncDirectory("").has_value());
  EXPECT_EQ(AfterCuts("b"), std::set<std::string>{old_});
}

TEST_F(SimDiskTest, ADirectoryLostTakesItsFilesWithIt) {
  ASSERT_TRUE(process_->MakeDirectory("d", 0755).has_value());
  auto made = process_->Create("d/f", 0644).value();
  ASSERT_TRUE(process_->SyncDirectory("d").has_value());
  EXPECT_EQ(AfterCuts("d/f"), (std::set<std::string>{"(none)", ""}));
}

TEST_F(SimDiskTest, KillKeepsTheCacheAndFreesLocks) {
  const std::string boot = process_->BootId().value();
  ASSERT_TRUE(file_->WriteAt(0, "new").has_value());
  ASSERT_TRUE(file_->Lock(0).has_value());
  process_->Kill();
  EXPECT_EQ(file_->WriteAt(0, "dead").error().code, Code::kIo);
  EXPECT_EQ(file_->Lock(0).error().code, Code::kIo);
  auto next = machine_.NewProcess();
  auto file = next->Open("a", Access::kReadWrite).value();
  EXPECT_TRUE(file->Lock(0).has_value());
  EXPECT_EQ(machine_.Cached("a").substr(0, 4), "newo");
  EXPECT_EQ(next->BootId().value(), boot);
}

TEST_F(SimDiskTest, CutKillsEverybodyAndBoots) {
  const std::string boot = process_->BootId().value();
  EXPECT_EQ(boot.size(), 16u);
  ASSERT_TRUE(file_->Lock(1).has_value());
  machine_.CutPower(0);
  EXPECT_EQ(file_->Sync().error().code, Code::kIo);
  EXPECT_EQ(process_->List("").error().code, Code::kIo);
  auto next = machine_.NewProcess();
  EXPECT_NE(next->BootId().value(), boot);
  auto file = next->Open("a", Access::kReadWrite).value();
  EXPECT_TRUE(file->Lock(1).has_value());
}

TEST_F(SimDiskTest, FailedSyncLosesTheBytesThoughALaterOneSucceeds) {
  ASSERT_TRUE(file_->WriteAt(0, "new").has_value());
  machine_.FailOperation(machine_.operations() + 1, Code::kIo, SimDisk::Outcome::kNotHappened);
  EXPECT_EQ(file_->Sync().error().code, Code::kIo);
  EXPECT_EQ(machine_.Cached("a").substr(0, 4), "newo");
  ASSERT_TRUE(file_->Sync().has_value());
  EXPECT_EQ(AfterCuts("a"), std::set<std::string>{old_});
  // Writing into the same page again takes the whole page along.
  ASSERT_TRUE(file_->WriteAt(100, "!").has_value());
  ASSERT_TRUE(file_->Sync().has_value());
  EXPECT_EQ(AfterCuts("a"), std::set<std::string>{machine_.Cached("a")});
  EXPECT_EQ(machine_.OnDisk("a").substr(0, 4), "newo");
}

TEST_F(SimDiskTest, EveryOpeningIsToldOfAFailedSyncOnce) {
  auto before = process_->Open("a", Access::kReadWrite).value();
  ASSERT_TRUE(file_->WriteAt(0, "new").has_value());
  machine_.FailOperation(machine_.operations() + 1, Code::kIo, SimDisk::Outcome::kNotHappened);
  EXPECT_FALSE(file_->Sync().has_value());
  auto after = process_->Open("a", Access::kReadWrite).value();
  EXPECT_TRUE(after->Sync().has_value());
  EXPECT_EQ(before->Sync().error().code, Code::kIo);
  EXPECT_TRUE(before->Sync().has_value());
  EXPECT_TRUE(file_->Sync().has_value());
}

TEST_F(SimDiskTest, FailedOperationsHappenOrDoNot) {
  const auto fail_next = [this](SimDisk::Outcome outcome) {
    machine_.FailOperation(machine_.operations() + 1, Code::kNoSpace, outcome);
  };
  fail_next(SimDisk::Outcome::kNotHappened);
  EXPECT_EQ(file_->WriteAt(0, "1234").error().code, Code::kNoSpace);
  EXPECT_EQ(machine_.Cached("a"), old_);
  fail_next(SimDisk::Outcome::kHalf);
  EXPECT_FALSE(file_->WriteAt(0, "1234").has_value());
  EXPECT_EQ(machine_.Cached("a").substr(0, 4), "12oo");
  fail_next(SimDisk::Outcome::kHappened);
  EXPECT_FALSE(file_->Sync().has_value());
  EXPECT_EQ(machine_.OnDisk("a").substr(0, 4), "12oo");
  fail_next(SimDisk::Outcome::kHappened);
  EXPECT_FALSE(process_->Create("b", 0644).has_value());
  EXPECT_TRUE(machine_.Exists("b"));
  fail_next(SimDisk::Outcome::kNotHappened);
  EXPECT_FALSE(process_->Create("c", 0644).has_value());
  EXPECT_FALSE(machine_.Exists("c"));
}

TEST_F(SimDiskTest, CrashAtThrowsOnceAndKillsTheProcess) {
  ASSERT_TRUE(file_->Lock(0).has_value());
  machine_.CrashAt(machine_.operations() + 2);
  ASSERT_TRUE(file_->WriteAt(0, "1").has_value());
  EXPECT_THROW((void)file_->WriteAt(1, "2"), SimCrash);
  EXPECT_TRUE(process_->dead());
  EXPECT_FALSE(file_->WriteAt(1, "2").has_value());
  EXPECT_EQ(machine_.Cached("a").substr(0, 2), "1o");
  auto file = machine_.NewProcess()->Open("a", Access::kReadWrite).value();
  EXPECT_TRUE(file->Lock(0).has_value());
}

TEST_F(SimDiskTest, AKilledWriteStopsBetweenPages) {
  machine_.CrashAt(machine_.operations() + 1, 2);
  EXPECT_THROW((void)file_->WriteAt(4000, std::string(6000, 'n')), SimCrash);
  EXPECT_EQ(machine_.Cached("a"),
            std::string(4000, 'o') + std::string(4192, 'n') + std::string(10000 - 8192, 'o'));
}

TEST_F(SimDiskTest, CloneSharesNothingThatChanges) {
  ASSERT_TRUE(file_->WriteAt(0, "new").has_value());
  const auto clone = machine_.Clone();
  ASSERT_TRUE(file_->WriteAt(0, "NEW").has_value());
  ASSERT_TRUE(file_->Sync().has_value());
  EXPECT_EQ(clone->Cached("a").substr(0, 4), "newo");
  EXPECT_EQ(clone->OnDisk("a"), old_);
  auto process = clone->NewProcess();
  ASSERT_TRUE(process->Create("b", 0644).has_value());
  EXPECT_FALSE(machine_.Exists("b"));
}

TEST_F(SimDiskTest, ObserverSeesEachOperationBeforeItHappens) {
  std::string seen;
  machine_.Observe([&](const SimOperation& operation) {
    seen += std::string(SimKindName(operation.kind)) + " " + std::string(operation.name) + ";";
    if (operation.kind != SimKind::kWrite) return;
    EXPECT_EQ(machine_.Cached("a"), old_);
    const auto clone = machine_.Clone();
    clone->WritePart(operation, 2);
    EXPECT_EQ(clone->Cached("a").substr(0, 4), "12oo");
  });
  ASSERT_TRUE(file_->WriteAt(0, "1234").has_value());
  ASSERT_TRUE(file_->Sync().has_value());
  ASSERT_TRUE(process_->SyncDirectory("").has_value());
  EXPECT_EQ(seen, "write a;sync a;sync directory ;");
}

TEST_F(SimDiskTest, IgnoredOperationsSucceedAndDoNothing) {
  machine_.Ignore(SimDisk::Matching(SimKind::kSync, "a*"));
  ASSERT_TRUE(file_->WriteAt(0, "new").has_value());
  ASSERT_TRUE(file_->Sync().has_value());
  EXPECT_EQ(AfterCuts("a").count(old_), 1u);
  machine_.Ignore(SimDisk::Matching(SimKind::kWrite, "?"));
  ASSERT_TRUE(file_->WriteAt(0, "xyz").has_value());
  EXPECT_EQ(machine_.Cached("a").substr(0, 3), "new");
}

TEST_F(SimDiskTest, DelayedOperationsHappenLaterOrNever) {
  machine_.Delay(SimDisk::Matching(SimKind::kWrite, "a"), 1);
  ASSERT_TRUE(file_->WriteAt(0, "new").has_value());
  EXPECT_EQ(machine_.Cached("a"), old_);
  ASSERT_TRUE(file_->Sync().has_value());  // comes before the write now
  EXPECT_EQ(machine_.Cached("a"), old_);
  ASSERT_TRUE(process_->SyncDirectory("").has_value());
  EXPECT_EQ(machine_.Cached("a").substr(0, 4), "newo");
  EXPECT_EQ(machine_.OnDisk("a"), old_);
  ASSERT_TRUE(file_->WriteAt(0, "xyz").has_value());
  process_->Kill();
  EXPECT_EQ(machine_.Cached("a").substr(0, 4), "newo");
}

TEST(SimBytesTest, EqualBytesAreSharedUntilWritten) {
  SimBytes one, other;
  for (SimBytes* bytes : {&one, &other}) bytes->Write(0, std::string(3 * kSimBlock + 5, 'x'));
  EXPECT_TRUE(one.EqualsAndShares(other));
  EXPECT_TRUE(one.EqualsAndShares(other));
  other.Write(kSimBlock, "y");
  EXPECT_EQ(one.ToString(), std::string(3 * kSimBlock + 5, 'x'));
  EXPECT_FALSE(one.EqualsAndShares(other));
  one.Write(kSimBlock, "y");
  EXPECT_TRUE(one.EqualsAndShares(other));
  other.Resize(3 * kSimBlock + 6);
  EXPECT_FALSE(one.EqualsAndShares(other));
  one.Write(3 * kSimBlock + 5, "z");
  EXPECT_FALSE(one.EqualsAndShares(other));
}

TEST_F(SimDiskTest, FullDiskCountsBlocksAndKeepsReservations) {
  machine_.SetCapacity(machine_.UsedBytes() + 3 * kSimBlock);
  auto b = process_->Create("b", 0644).value();
  ASSERT_TRUE(b->Allocate(2 * kSimBlock).has_value());
  EXPECT_EQ(b->Length().value(), 0u);
  EXPECT_EQ(b->Allocate(4 * kSimBlock).error().code, Code::kNoSpace);
  EXPECT_EQ(file_->WriteAt(5 * kSimBlock - 1, "x").error().code, Code::kNoSpace);
  ASSERT_TRUE(file_->WriteAt(3 * kSimBlock, "x").has_value());
  EXPECT_TRUE(b->WriteAt(0, std::string(2 * kSimBlock, 'b')).has_value());
  EXPECT_EQ(b->WriteAt(2 * kSimBlock, "b").error().code, Code::kNoSpace);
  auto c = process_->Create("c", 0644).value();
  EXPECT_FALSE(c->Allocate(1).has_value());
  machine_.SetCapacity(machine_.UsedBytes() + kSimBlock);
  EXPECT_TRUE(c->Allocate(1).has_value());
  EXPECT_FALSE(b->WriteAt(2 * kSimBlock, "b").has_value());
  ASSERT_TRUE(c->Cut(0).has_value());
  EXPECT_TRUE(b->WriteAt(2 * kSimBlock, "b").has_value());
}

TEST_F(SimDiskTest, WhatIsCutOffMayBeBackUntilSync) {
  ASSERT_TRUE(file_->WriteAt(0, std::string(10'000, 'o')).has_value());
  ASSERT_TRUE(file_->Sync().has_value());
  ASSERT_TRUE(file_->Cut(5'000).has_value());
  EXPECT_EQ(file_->Length().value(), 5'000u);
  std::set<size_t> lengths;
  for (const std::string& content : AfterCuts("a")) {
    lengths.insert(content.size());
    EXPECT_EQ(content, std::string(content.size(), 'o'));
  }
  EXPECT_EQ(lengths, (std::set<size_t>{5'000, 10'000}));
  // What is written after it is among zeros, never among old bytes, once it is synced.
  ASSERT_TRUE(file_->WriteAt(9'000, "n").has_value());
  ASSERT_TRUE(file_->Sync().has_value());
  EXPECT_EQ(machine_.OnDisk("a"), std::string(5'000, 'o') + std::string(4'000, '\0') + "n");
  ASSERT_TRUE(file_->Cut(20'000).has_value());
  EXPECT_EQ(file_->Length().value(), 9'001u);
}

TEST_F(SimDiskTest, ManyUnsyncedWritesAreWrittenBackOldestFirst) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(file_->WriteAt(static_cast<uint64_t>(i), "n").has_value());
  }
  for (const std::string& content : AfterCuts("a")) {
    if (content.substr(0, 2) != "nn") continue;  // a spoilt block
    EXPECT_GE(content.find('o'), 100u);
  }
  EXPECT_EQ(machine_.OnDisk("a").find('o'), 136u);
}

TEST_F(SimDiskTest, LocksExcludeOtherOpeningsAndWaitForOtherThreads) {
  auto other = process_->Open("a", Access::kReadWrite).value();
  ASSERT_TRUE(file_->Lock(0).has_value());
  ASSERT_TRUE(other->Lock(1).has_value());  // another lock
  std::string order;
  std::thread waiter([&] {
    ASSERT_TRUE(other->Lock(0).has_value());
    order += "2";
    other->Unlock(0);
  });
  order += "1";
  file_->Unlock(0);
  waiter.join();
  EXPECT_EQ(order, "12");
  ASSERT_TRUE(file_->Lock(0).has_value());
  EXPECT_DEATH((void)other->Lock(0), "held by this thread");
  file_.reset();  // Closing gives the lock up.
  EXPECT_TRUE(other->Lock(0).has_value());
}

}  // namespace
}  // namespace tlogfs_test
