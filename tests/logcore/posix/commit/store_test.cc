// The store on a real directory: what it takes in it gives back, whoever opens it and however many
// there are; and what it must refuse it refuses, by the code and in one line.

#include "logcore/log/batch.h"
#include "logcore/posix/check/adopt.h"
#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/files/journal.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "logcore/log/edge.h"
#include "logcore/posix/check/audit.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/support/reference_log.h"
#include "tests/support/temp_log.h"

namespace {

using namespace logcore;
using tlogfs_test::ReferenceLog;
using tlogfs_test::TempDirectory;
namespace fs = std::filesystem;

constexpr char kOrigin[] = "example.com/log";
constexpr uint64_t kSmallJournal = kRecordsStart + 64 * kJournalBlock;

class StoreTest : public testing::Test {
 protected:
  StoreTest() : disk_(OpenPosixDisk(directory_.path()).value()) {}

  StoreOptions Options() {
    return {.clock = [this] { return now_ * kNanoseconds; }};
  }
  void Init() {
    const auto vkey = InitStore(
        disk_.get(), {.origin = kOrigin, .key = {}, .journal_length = kSmallJournal}, Options());
    ASSERT_TRUE(vkey.has_value()) << vkey.error().message;
  }
  Result<std::unique_ptr<StoreWriter>> Open() { return StoreWriter::Open(disk_.get(), Options()); }
  Result<std::unique_ptr<StoreReader>> OpenToRead() {
    return StoreReader::Open(disk_.get(), Options());
  }
  // Commits entries of the reference log, up to `size`.
  void AppendUpTo(StoreWriter* store, uint64_t size) {
    Batch batch;
    const uint64_t first = log_.size();
    for (uint64_t i = first; i < size; ++i) log_.Add("entry " + std::to_string(i));
    batch.Append(log_.Frames(first, size), size - first);
    const Result<Committed> committed = store->Commit(&batch);
    ASSERT_TRUE(committed.has_value()) << committed.error().message;
    EXPECT_EQ(committed->first_index, first);
    for (uint64_t i = first; i < size; ++i) {
      ASSERT_EQ(committed->leaf_hashes[i - first], log_.LeafHash(i));
    }
  }
  void ExpectSound() {
    const Result<AuditReport> report = Audit(disk_.get(), {});
    ASSERT_TRUE(report.has_value()) << report.error().message;
    for (const Damage& damage : report->damages) ADD_FAILURE() << damage.file << " " << damage.what;
  }
  void ExpectPublished(StoreWriter* store, uint64_t size) {
    ExpectPublished(&store->reader(), size);
  }
  void ExpectPublished(StoreReader* store, uint64_t size) {
    const auto snapshot = store->Latest();
    ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
    EXPECT_EQ((*snapshot)->published().head, log_.Head(size));
    for (uint64_t i = 0; i < size; i += 1 + size / 50) {
      EXPECT_EQ((*snapshot)->Entry(i).value(), log_.entry(i));
    }
  }

  const TempDirectory directory_;
  const std::unique_ptr<Disk> disk_;
  ReferenceLog log_;
  int64_t now_ = 1'700'000'000;
};

TEST_F(StoreTest, NewStoreIsAnEmptyPublishedLog) {
  Init();
  const auto store = Open().value();
  ExpectPublished(store.get(), 0);
  EXPECT_EQ(store->reader().config().origin, kOrigin);
  const auto checkpoint = OpenCheckpoint(store->reader().Latest().value()->published().note,
                                         kOrigin, store->reader().config().vkey);
  ASSERT_TRUE(checkpoint.has_value());
  EXPECT_EQ(checkpoint->head, TreeHead{});
  ExpectSound();
}

TEST_F(StoreTest, GrowsAndComesBackOverManyReopeningsAndTurnsOfTheJournal) {
  Init();
  for (const uint64_t size :
       {1u, 2u, 15u, 16u, 17u, 255u, 256u, 257u, 600u, 1000u, 3000u, 3001u, 9000u, 12000u}) {
    const auto store = Open().value();
    while (log_.size() < size) {
      AppendUpTo(store.get(), std::min<uint64_t>(size, log_.size() + 700));
    }
    EXPECT_EQ(store->Publish().value(), size);
    ExpectPublished(store.get(), size);
    if (size % 2 == 0) {
      ASSERT_TRUE(store->Close().has_value());
    }
    ++now_;
  }
  ExpectSound();
  ExpectPublished(OpenToRead().value().get(), 12000);
}

TEST_F(StoreTest, CrossesASegment) {
  Init();
  auto store = Open().value();
  for (const uint64_t size : {5000u, 30000u, 60000u, 65535u, 65536u, 65537u, 70000u}) {
    while (log_.size() < size) {
      AppendUpTo(store.get(), std::min<uint64_t>(size, log_.size() + 3000));
    }
    ASSERT_TRUE(store->Publish().has_value());
    ExpectPublished(store.get(), size);
  }
  store = Open().value();
  ExpectPublished(store.get(), 70000);
  ExpectSound();
}

TEST_F(StoreTest, OneBatchMaySpanSegments) {
  const auto vkey = InitStore(disk_.get(), {.origin = kOrigin, .key = {}}, Options());
  ASSERT_TRUE(vkey.has_value());
  auto store = Open().value();
  constexpr uint64_t kEmptyEntries = 150'000;
  Batch batch;
  batch.Append(std::string(2 * kEmptyEntries, '\0'), kEmptyEntries);
  ASSERT_EQ(store->Commit(&batch)->first_index, 0u);
  ASSERT_EQ(store->Publish().value(), kEmptyEntries);
  EXPECT_EQ(store->reader().Latest().value()->Entry(kEmptyEntries - 1).value(), "");
  EXPECT_EQ(store->reader().Latest().value()->LogLength(), kEmptyEntries);
  ExpectSound();
}

TEST_F(StoreTest, NothingIsVisibleBeforeItIsPublished) {
  Init();
  const auto store = Open().value();
  AppendUpTo(store.get(), 3);
  ExpectPublished(store.get(), 0);
  ASSERT_TRUE(store->Publish().has_value());
  ExpectPublished(store.get(), 3);
}

// Whatever was signed in advance, the checkpoint is of the tree that is published.
TEST_F(StoreTest, SigningInAdvanceChangesNothing) {
  Init();
  const auto store = Open().value();
  store->Presign();  // There is nothing to sign.
  const auto append = [&](const std::string& entry, bool presign) {
    std::string frame;
    AppendFrame(&frame, entry);
    Batch batch;
    batch.Append(frame, 1);
    log_.Add(entry);
    ASSERT_TRUE(store
                    ->Commit(&batch,
                             [&] {
                               if (presign) store->Presign();
                             })
                    .has_value());
  };
  for (const bool presign : {true, false, true, true}) {
    append("a", presign);
    append("b", !presign);
    if (presign) append("c", false);
    ASSERT_EQ(store->Publish().value(), log_.size());
    ExpectPublished(store.get(), log_.size());
    const std::string note = store->reader().Latest().value()->published().note;
    EXPECT_EQ(OpenCheckpoint(note, kOrigin, store->reader().config().vkey).value().head,
              log_.Head(log_.size()));
    store->Presign();
  }
}

TEST_F(StoreTest, SeveralOpenStoresTakeTurnsAndSeeEachOther) {
  Init();
  const auto a = Open().value();
  const auto b = Open().value();
  const auto reader = OpenToRead().value();
  for (int turn = 0; turn < 60; ++turn) {
    StoreWriter* const store = turn % 3 == 0 ? a.get() : b.get();
    AppendUpTo(store, log_.size() + 1 + static_cast<uint64_t>(turn) * 5);
    // Whoever publishes, all of it is.
    ASSERT_TRUE((turn % 2 == 0 ? a : b)->Publish().has_value());
    ExpectPublished(reader.get(), log_.size());
    ExpectPublished(a.get(), log_.size());
    if (turn % 7 == 0) {
      ASSERT_TRUE(a->AdvanceReplayPointToEnd().has_value());
    }
  }
  ExpectSound();
}

TEST_F(StoreTest, TheJournalIsFreedOnceForAllWhoUseIt) {
  Init();
  const auto a = Open().value();
  const auto b = Open().value();
  AppendUpTo(a.get(), 10);
  AppendUpTo(b.get(), 20);
  ASSERT_TRUE(a->AdvanceReplayPoint().has_value());
  EXPECT_EQ(a->ReplayLength(), 0);
  EXPECT_LT(0, b->ReplayLength());  // as of its last commit
  AppendUpTo(a.get(), 30);
  const auto replay_points = [this] {
    const auto journal = disk_->Open("journal", Access::kRead).value();
    std::string slots(kRecordsStart, '\0');
    EXPECT_EQ(journal->ReadAt(0, slots.data(), slots.size()).value(), slots.size());
    return slots;
  };
  const std::string before = replay_points();
  ASSERT_TRUE(b->AdvanceReplayPoint().has_value());
  EXPECT_EQ(replay_points(), before);
  EXPECT_EQ(b->ReplayLength(), a->ReplayLength());
  ASSERT_TRUE(a->AdvanceReplayPoint().has_value());
  EXPECT_NE(replay_points(), before);
  EXPECT_EQ(a->ReplayLength(), 0);
  ASSERT_EQ(a->Publish().value(), 30u);
  ExpectSound();
}

TEST_F(StoreTest, WhatADeadWriterCommittedIsPublishedByTheNextToOpen) {
  Init();
  {
    const auto store = Open().value();
    AppendUpTo(store.get(), 40);
  }
  ExpectPublished(Open().value().get(), 40);
}

TEST_F(StoreTest, TimesNeverGoBackWhateverTheClockDoes) {
  Init();
  const auto store = Open().value();
  const int64_t start = now_;
  AppendUpTo(store.get(), 10);
  now_ = start - 1000;
  AppendUpTo(store.get(), 20);
  now_ = start + 5;
  AppendUpTo(store.get(), 30);
  ASSERT_TRUE(store->Publish().has_value());
  const auto snapshot = store->reader().Latest().value();
  EXPECT_EQ(snapshot->Time(0).value(), start);
  EXPECT_EQ(snapshot->Time(19).value(), start);
  EXPECT_EQ(snapshot->Time(20).value(), start + 5);
  EXPECT_EQ(snapshot->published().time, start + 5);
}

TEST_F(StoreTest, BatchOverTheJournalIsRefusedAndHarmless) {
  Init();
  const auto store = Open().value();
  Batch batch;
  while (batch.frames().size() <= store->max_batch_length()) {
    std::string frame;
    AppendFrame(&frame, std::string(1000, 'x'));
    batch.Append(frame, 1);
  }
  EXPECT_EQ(store->Commit(&batch).error().code, Code::kTooLarge);
  AppendUpTo(store.get(), 5);
  ASSERT_TRUE(store->Publish().has_value());
  ExpectPublished(store.get(), 5);
}

TEST_F(StoreTest, InitRefusesWhatIsNotEmptyAndBadOrigins) {
  Init();
  EXPECT_EQ(InitStore(disk_.get(), {.origin = kOrigin, .key = {}}, Options()).error().code,
            Code::kExists);
  const TempDirectory other;
  const auto disk = OpenPosixDisk(other.path()).value();
  for (const std::string origin : {"", "a b", "a+b", "a\nb"}) {
    EXPECT_EQ(InitStore(disk.get(), {.origin = origin, .key = {}}, Options()).error().code,
              Code::kInvalid);
  }
  const SignerKey key = SignerKey::Generate("another").value();
  for (const std::string& origin :
       {std::string(), std::string("a\nb"), std::string("\xff"), std::string(256, 'x')}) {
    EXPECT_EQ(InitStore(disk.get(), {.origin = origin, .key = key}, Options()).error().code,
              Code::kInvalid);
  }
  EXPECT_TRUE(fs::is_empty(other.path()));
}

TEST_F(StoreTest, ImportedKeySigns) {
  const SignerKey key = SignerKey::Generate(kOrigin).value();
  ASSERT_EQ(InitStore(disk_.get(), {.origin = kOrigin, .key = key}, Options()).value(),
            key.verifier());
  EXPECT_EQ(Open().value()->reader().vkey(), key.verifier());
}

TEST_F(StoreTest, PrivateFilesArePrivate) {
  Init();
  for (const char* name : {"key", "journal", "lock"}) {
    EXPECT_EQ(disk_->Info(name)->mode, 0600u) << name;
  }
}

TEST_F(StoreTest, KeyThatOthersCanReadIsRefusedButNotNeededForReading) {
  Init();
  chmod((directory_.path() / "key").c_str(), 0640);
  EXPECT_EQ(Open().error().code, Code::kDenied);
  EXPECT_TRUE(OpenToRead().has_value());
  fs::remove(directory_.path() / "key");
  EXPECT_FALSE(Open().has_value());
  EXPECT_TRUE(OpenToRead().has_value());
}

TEST_F(StoreTest, AnyLostFileIsRefusedAndNeverMadeAnew) {
  Init();
  {
    const auto store = Open().value();
    AppendUpTo(store.get(), 600);
    ASSERT_TRUE(store->Publish().has_value());
  }
  for (const char* name : {"format", "config", "key", "lock", "journal", "checkpoint", "times",
                           "hashes/0", "hashes/1", "hashes/7", "entries/0", "entries/0.index"}) {
    const fs::path path = directory_.path() / name;
    fs::rename(path, path.string() + ".away");
    const auto store = Open();
    EXPECT_FALSE(store.has_value()) << name;
    EXPECT_FALSE(fs::exists(path)) << name;
    fs::rename(path.string() + ".away", path);
  }
  EXPECT_TRUE(Open().has_value());
}

TEST_F(StoreTest, DirectoryThatIsNoStoreIsRefused) {
  EXPECT_EQ(Open().error().code, Code::kNotFound);
  EXPECT_EQ(OpenToRead().error().code, Code::kNotFound);
}

TEST_F(StoreTest, SpoiledRightEdgeIsNeitherOpenedNorSigned) {
  Init();
  const auto store = Open().value();
  AppendUpTo(store.get(), 300);
  directory_.Flip("hashes/0", 299 * 32);
  EXPECT_EQ(store->Publish().error().code, Code::kCorrupt);
  EXPECT_EQ(Open().error().code, Code::kCorrupt);
  directory_.Flip("hashes/0", 299 * 32);
  EXPECT_EQ(store->Publish().value(), 300u);
}

TEST_F(StoreTest, CopyIsReadOnlyUntilAdopted) {
  Init();
  std::string newest;
  {
    const auto store = Open().value();
    AppendUpTo(store.get(), 300);
    ASSERT_TRUE(store->Publish().has_value());
    newest = store->reader().Latest().value()->published().note;
    ASSERT_TRUE(store->Close().has_value());
  }
  const TempDirectory elsewhere;
  fs::copy(directory_.path(), elsewhere.path(), fs::copy_options::recursive);
  const auto copy = OpenPosixDisk(elsewhere.path()).value();
  EXPECT_EQ(StoreWriter::Open(copy.get(), Options()).error().code, Code::kReadOnly);
  {
    const auto reader = StoreReader::Open(copy.get(), Options()).value();
    ExpectPublished(reader.get(), 300);
  }
  // The original went on meanwhile: the copy must not.
  {
    const auto store = Open().value();
    AppendUpTo(store.get(), 301);
    ASSERT_TRUE(store->Publish().has_value());
    const std::string newer = store->reader().Latest().value()->published().note;
    EXPECT_EQ(Adopt(copy.get(), newer, Options()).error().code, Code::kCorrupt);
  }
  EXPECT_EQ(Adopt(copy.get(), "no note\n", Options()).error().code, Code::kInvalid);
  EXPECT_EQ(StoreWriter::Open(copy.get(), Options()).error().code, Code::kReadOnly);
  const Status adopted = Adopt(copy.get(), newest, Options());
  ASSERT_TRUE(adopted.has_value()) << adopted.error().message;
  const auto store = StoreWriter::Open(copy.get(), Options());
  ASSERT_TRUE(store.has_value()) << store.error().message;
  ExpectPublished(store->get(), 300);
}

TEST_F(StoreTest, JournalThatWasRolledBackIsRefused) {
  Init();
  const std::string journal = directory_.Read("journal");
  {
    const auto store = Open().value();
    AppendUpTo(store.get(), 300);
    ASSERT_TRUE(store->Publish().has_value());
  }
  directory_.Write("journal", journal);
  directory_.Write("lock", std::string(kWriterStateLength, '\0'));  // As after a power cut.
  EXPECT_EQ(Open().error().code, Code::kCorrupt);
}

// The writer state is what one boot remembers; without it the journal alone says where the log
// ends.
TEST_F(StoreTest, RecoversFromTheJournalAlone) {
  Init();
  for (const uint64_t size : {5u, 20u, 300u, 1000u}) {
    {
      const auto store = Open().value();
      while (log_.size() < size) AppendUpTo(store.get(), std::min(size, log_.size() + 90));
      if (size == 300) {
        ASSERT_TRUE(store->Publish().has_value());
      }
    }
    directory_.Write("lock", std::string(kWriterStateLength, '\0'));
    for (const char* name : {"hashes/0", "entries/0"}) {  // Lost: they were never synced.
      if (size == 5) fs::resize_file(directory_.path() / name, 0);
    }
    const auto store = Open();
    ASSERT_TRUE(store.has_value()) << store.error().message;
    ExpectPublished(store->get(), size);
  }
  ExpectSound();
}

TEST_F(StoreTest, DamagedRecordBeforeALaterOneIsDamageNotATornEnd) {
  Init();
  {
    const auto store = Open().value();
    for (uint64_t size = 1; size <= 6; ++size) AppendUpTo(store.get(), size);
  }
  directory_.Write("lock", std::string(kWriterStateLength, '\0'));
  const uint64_t second = kRecordsStart + kJournalBlock;
  directory_.Flip("journal", second + kRecordHeaderLength + 3);
  EXPECT_EQ(Open().error().code, Code::kCorrupt);
  directory_.Flip("journal", second + kRecordHeaderLength + 3);
  // The last one alone, never published, is a torn end; but the files are longer than it explains.
  directory_.Flip("journal", kRecordsStart + 5 * kJournalBlock + kRecordHeaderLength + 3);
  EXPECT_EQ(Open().error().code, Code::kCorrupt);
}

}  // namespace
