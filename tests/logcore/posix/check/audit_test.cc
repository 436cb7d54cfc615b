// The audit: clean on a sound store, and for every file of it, what is spoiled is found and named.

#include "logcore/posix/check/audit.h"
#include "logcore/log/batch.h"
#include "logcore/posix/files/published.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/support/reference_log.h"
#include "tests/support/temp_log.h"

namespace {

using namespace logcore;
using tlogfs_test::ReferenceLog;
using tlogfs_test::TempDirectory;
namespace fs = std::filesystem;

class AuditTest : public testing::Test {
 protected:
  static constexpr uint64_t kSize = 66'000;  // Two segments, three levels.

  AuditTest() : disk_(OpenPosixDisk(directory_.path()).value()) {
    const StoreOptions options{.clock = [this] { return now_++ * kNanoseconds; }};
    EXPECT_TRUE(InitStore(disk_.get(),
                          {.origin = "example.com/log",
                           .key = {},
                           .journal_length = kRecordsStart + 512 * kJournalBlock},
                          options)
                    .has_value());
    store_ = StoreWriter::Open(disk_.get(), options).value();
    for (uint64_t size = 0; size < kSize;) {
      const uint64_t next = std::min(kSize, size + 5000);
      Batch batch;
      batch.Append(log_.Frames(size, next), next - size);
      EXPECT_TRUE(store_->Commit(&batch).has_value());
      size = next;
    }
    EXPECT_EQ(store_->Publish().value(), kSize);
  }

  std::vector<Damage> Damages() {
    const Result<AuditReport> report = Audit(disk_.get(), {});
    EXPECT_TRUE(report.has_value()) << report.error().message;
    return report->damages;
  }
  // Exactly one damage, in `file`, that names `place`.
  void ExpectFound(const std::string& file, uint64_t offset, const std::string& place) {
    directory_.Flip(file, offset);
    const std::vector<Damage> damages = Damages();
    directory_.Flip(file, offset);
    ASSERT_EQ(damages.size(), 1u) << file << " " << offset << " "
                                  << (damages.empty() ? "" : damages[0].file + damages[0].what);
    EXPECT_EQ(damages[0].file, file) << damages[0].what;
    EXPECT_NE(damages[0].what.find(place), std::string::npos) << damages[0].what;
  }

  const TempDirectory directory_;
  const std::unique_ptr<Disk> disk_;
  ReferenceLog log_ = ReferenceLog::OfSize(kSize);
  std::unique_ptr<StoreWriter> store_;
  int64_t now_ = 1'700'000'000;
};

TEST_F(AuditTest, SoundStoreIsSoundAndProgressEndsAtTheEnd) {
  uint64_t last_done = 1;
  uint64_t last_total = 0;
  const AuditOptions options{.vkey = {}, .progress = [&](uint64_t done, uint64_t total) {
                               last_done = done;
                               last_total = total;
                             }};
  const Result<AuditReport> report = Audit(disk_.get(), options);
  ASSERT_TRUE(report.has_value());
  for (const Damage& damage : report->damages) ADD_FAILURE() << damage.file << damage.what;
  EXPECT_EQ(report->head, store_->reader().Latest().value()->published().head);
  EXPECT_EQ(last_done, kSize);
  EXPECT_EQ(last_total, kSize);
}

TEST_F(AuditTest, SpoiledEntriesAreNamed) {
  // Entry i is "entry i": 2 bytes of length, then the text.
  ExpectFound("entries/0", 2, "at byte 0: entry 0 ");
  ExpectFound("entries/0", log_.Frames(0, 300).size() + 5, "entry 300 ");
  ExpectFound("entries/1", 4, "at byte 0: entry 65536 ");
  ExpectFound("entries/1", fs::file_size(directory_.path() / "entries/1") - 1, "entry 65999 ");
}

TEST_F(AuditTest, SpoiledLengthsAreNamed) {
  ExpectFound("entries/0", 0, "entry 0 ");
  ExpectFound("entries/0", log_.Frames(0, 1000).size() + 1, "entry 1000 ");
  ExpectFound("entries/1", log_.Frames(65536, 65999).size(), "entry 65999 ");
}

TEST_F(AuditTest, SpoiledIndexIsNamed) {
  ExpectFound("entries/0.index", 0, "at byte 0:");
  ExpectFound("entries/0.index", 8 * 77 + 7, "at byte 616: the offset of entry 1232 ");
  ExpectFound("entries/1.index", 3, "entry 65536 ");
}

TEST_F(AuditTest, SpoiledHashesAreNamed) {
  ExpectFound("hashes/0", 0, "at byte 0: node 0 ");
  ExpectFound("hashes/0", 32 * 12345 + 31, "node 12345 ");
  ExpectFound("hashes/0", 32 * 65999, "node 65999 ");
  ExpectFound("hashes/1", 32 * 200 + 9, "node 200 ");
  ExpectFound("hashes/1", 32 * 256, "node 256 ");
  ExpectFound("hashes/2", 5, "node 0 ");
}

TEST_F(AuditTest, SeveralDamagesAreAllFound) {
  directory_.Flip("entries/0", 100);
  directory_.Flip("hashes/1", 32 * 100);
  directory_.Flip("entries/1.index", 0);
  std::set<std::string> files;
  for (const Damage& damage : Damages()) files.insert(damage.file);
  EXPECT_TRUE(files.contains("entries/0"));
  EXPECT_TRUE(files.contains("hashes/1"));
}

TEST_F(AuditTest, SpoiledTimesAreNamed) {
  for (uint64_t offset = 0; offset < fs::file_size(directory_.path() / "times"); offset += 13) {
    ExpectFound("times", offset, "at byte");
  }
}

TEST_F(AuditTest, SpoiledCheckpointIsFound) {
  for (uint64_t offset = 0; offset < kPublishedSlotLength; offset += offset < 400 ? 11 : 3001) {
    for (const uint64_t slot : {0u, 1u}) {
      directory_.Flip("checkpoint", slot * kPublishedSlotLength + offset);
      EXPECT_FALSE(Damages().empty()) << slot << " " << offset;
      directory_.Flip("checkpoint", slot * kPublishedSlotLength + offset);
    }
  }
}

TEST_F(AuditTest, SpoiledJournalIsFound) {
  for (const uint64_t offset : {uint64_t{0}, uint64_t{9}, uint64_t{60}, uint64_t{200}}) {
    ExpectFound("journal", offset, "base slot 0");
  }
}

TEST_F(AuditTest, MissingAndShortFilesAreFound) {
  for (const char* name : {"hashes/0", "hashes/2", "times", "entries/1", "entries/0.index"}) {
    const fs::path path = directory_.path() / name;
    fs::rename(path, path.string() + ".away");
    EXPECT_FALSE(Damages().empty()) << name;
    fs::rename(path.string() + ".away", path);
    const std::string bytes = directory_.Read(name);
    fs::resize_file(path, bytes.size() - 1);
    EXPECT_FALSE(Damages().empty()) << name;
    directory_.Write(name, bytes);
    directory_.Write(name, bytes + std::string(32, 'x'));
    EXPECT_FALSE(Damages().empty()) << name << " longer";
    directory_.Write(name, bytes);
  }
  EXPECT_TRUE(Damages().empty());
}

// The record is durable, the files do not have it yet: the next writer writes it. Not damage.
TEST_F(AuditTest, WriterThatIsInACommitOrDiedInItIsNoDamage) {
  const std::vector<std::string> names = {"entries/1", "entries/1.index", "hashes/0",
                                          "hashes/1",  "hashes/2",        "times"};
  std::map<std::string, std::string> before;
  for (const std::string& name : names) before[name] = directory_.Read(name);
  WriterState head = DecodeWriterState(directory_.Read("lock")).value();
  log_.Add("one more");
  Batch batch;
  batch.Append(log_.Frames(kSize, kSize + 1), 1);
  ASSERT_TRUE(store_->Commit(&batch).has_value());
  for (const std::string& name : names) directory_.Write(name, before[name]);
  EXPECT_FALSE(Damages().empty());  // With a writer state that is idle it is.
  head.phase = WriterPhase::kCommitting;
  std::string bytes = EncodeWriterState(head);
  bytes.resize(kWriterStateLength, '\0');
  directory_.Write("lock", bytes);
  const Result<AuditReport> report = Audit(disk_.get(), {});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_TRUE(report->damages.empty());
  EXPECT_EQ(report->unpublished, 1u);
  directory_.Flip("entries/0", 100);
  EXPECT_EQ(Damages().size(), 1u);  // What is certain is told.
}

TEST_F(AuditTest, AnotherKeyIsFound) {
  const AuditOptions options{.vkey = SignerKey::Generate("example.com/log")->verifier(),
                             .progress = {}};
  EXPECT_FALSE(Audit(disk_.get(), options)->damages.empty());
}

TEST_F(AuditTest, WhatIsNoStoreCannotBeAudited) {
  const TempDirectory empty;
  const auto disk = OpenPosixDisk(empty.path()).value();
  EXPECT_EQ(Audit(disk.get(), {}).error().code, Code::kNotFound);
}

}  // namespace
