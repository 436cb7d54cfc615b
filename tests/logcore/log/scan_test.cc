// Scan against the reference log: the same entries in the same order, from anywhere to anywhere; a
// spoiled file gives kCorrupt and no wrong byte if it verifies, and no byte outside the log else.

#include "logcore/log/scan.h"
#include "logcore/log/verified.h"
#include "logcore/posix/files/log_files.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <thread>

#include "tests/support/either_log.h"
#include "tests/support/sim_disk.h"
#include "tests/support/temp_log.h"

namespace logcore {
namespace {

using tlogfs_test::EitherStoredLog;
using tlogfs_test::LogFilesWriter;
using tlogfs_test::ReferenceLog;
using tlogfs_test::SimDisk;
using tlogfs_test::Storage;
using tlogfs_test::TempDirectory;

constexpr ScanOptions kSmallPieces = {.piece = kMinScanPiece};
constexpr ScanOptions kAsStored = {.verified = false};
constexpr ScanOptions kSmallAsStored = {.verified = false, .piece = kMinScanPiece};

class ScanTest : public testing::Test {
 protected:
  ScanTest() {
    EXPECT_TRUE(LogFiles::Create(disk_.get()).has_value());
    writer_ = std::make_unique<LogFilesWriter>(disk_.get());
  }
  std::shared_ptr<const Snapshot> Take(
      std::shared_ptr<Verified> verified = std::make_shared<Verified>()) {
    return std::make_shared<const Snapshot>(
        writer_->published(), LogFiles::Open(disk_.get(), Access::kRead).value(), verified);
  }

  const TempDirectory directory_;
  const std::unique_ptr<Disk> disk_ = OpenPosixDisk(directory_.path()).value();
  std::unique_ptr<LogFilesWriter> writer_;
};

// What holds whatever the storage is.
class EachScanTest : public testing::TestWithParam<Storage> {
 protected:
  EitherStoredLog stored_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(EachStorage, EachScanTest, tlogfs_test::kBothStorages,
                         tlogfs_test::StorageName);

// What a scan gives until its end, or its first error.
struct Scanned {
  std::vector<std::string> entries;
  std::optional<Error> error;
};
Scanned Collect(Scan* scan) {
  Scanned scanned;
  const uint64_t first = scan->index();
  for (;;) {
    const auto entries = scan->Next();
    if (!entries.has_value()) {
      scanned.error = entries.error();
      return scanned;
    }
    if (entries->empty()) return scanned;
    scanned.entries.insert(scanned.entries.end(), entries->begin(), entries->end());
    EXPECT_EQ(scan->index(), first + scanned.entries.size());
  }
}

void ExpectRange(const std::shared_ptr<const Snapshot>& snapshot, const ReferenceLog& log,
                 uint64_t first, uint64_t end, const ScanOptions& options) {
  Scan scan(snapshot, first, end, options);
  const Scanned scanned = Collect(&scan);
  ASSERT_FALSE(scanned.error.has_value()) << scanned.error->message;
  ASSERT_EQ(scanned.entries.size(), end - first);
  for (uint64_t i = first; i < end; ++i) ASSERT_EQ(scanned.entries[i - first], log.entry(i)) << i;
  EXPECT_TRUE(scan.Next().value().empty());
}

TEST_P(EachScanTest, GivesEveryEntryAtEverySize) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(131'073);
  for (const uint64_t size : std::vector<uint64_t>{0, 1, 255, 256, 257, 1000, 65'535, 65'536,
                                                   65'537, 66'000, 131'072, 131'073}) {
    if (size != 0) {
      ASSERT_TRUE(stored_.Append(log, size, 1).has_value());
    }
    for (const ScanOptions& options : {ScanOptions(), kSmallPieces, kAsStored, kSmallAsStored}) {
      const auto verified = std::make_shared<Verified>();
      ExpectRange(stored_.Take(verified), log, 0, size, options);
      for (uint64_t index = 0; index < size; ++index) {
        const int width = static_cast<int>(index % kTileWidth) + 1;
        ASSERT_EQ(verified->Covers({kEntriesLevel, index / kTileWidth, width}), options.verified);
      }
    }
  }
}

TEST_P(EachScanTest, BeginsAndEndsAnywhere) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(66'000);
  ASSERT_TRUE(stored_.Append(log, 66'000, 1).has_value());
  const auto verified = std::make_shared<Verified>();
  std::mt19937 random(11);
  const std::vector<uint64_t> edges = {0,      1,      16,     255,    256,    257,
                                       300,    511,    512,    65'279, 65'280, 65'535,
                                       65'536, 65'537, 65'791, 65'792, 65'999, 66'000};
  for (int i = 0; i < 400; ++i) {
    uint64_t first = edges[random() % edges.size()];
    uint64_t end = edges[random() % edges.size()];
    if (i % 4 == 0) first = random() % 66'001;
    if (i % 8 < 2) end = random() % 66'001;
    if (end < first) std::swap(first, end);
    if (3000 < end - first && i % 10 != 0) end = first + random() % 3000;
    // With what others have verified, and without.
    const auto snapshot = i % 3 == 0 ? stored_.Take(verified) : stored_.Take();
    ExpectRange(snapshot, log, first, end, i % 2 == 0 ? ScanOptions() : kSmallPieces);
    ExpectRange(stored_.Take(), log, first, end, kAsStored);
  }
}

// Bundles that are larger than a piece, entries as long as a piece, and empty ones.
TEST_P(EachScanTest, EntriesOfAllLengths) {
  std::mt19937 random(3);
  ReferenceLog log;
  while (log.size() < 1500) {
    const uint64_t kind = log.size() < 500 ? 0 : random() % 40;
    const size_t length = kind == 0 ? kMaxEntryLength - random() % 2 : kind < 20 ? 0 : kind * 30;
    log.Add(std::string(length, static_cast<char>(random())));
  }
  ASSERT_TRUE(stored_.Append(log, 700, 1).has_value());
  ASSERT_TRUE(stored_.Append(log, log.size(), 1).has_value());
  for (const ScanOptions& options : {ScanOptions(), kSmallPieces, kAsStored, kSmallAsStored}) {
    ExpectRange(stored_.Take(), log, 0, log.size(), options);
    ExpectRange(stored_.Take(), log, 77, 1313, options);
    ExpectRange(stored_.Take(), log, 255, 257, options);
  }
}

TEST_P(EachScanTest, WhatIsNotInTheTreeIsNotFound) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(300);
  ASSERT_TRUE(stored_.Append(log, 300, 1).has_value());
  EXPECT_EQ(Scan(stored_.Take(), 0, 301, {}).Next().error().code, Code::kNotFound);
  EXPECT_EQ(Scan(stored_.Take(), 301, 301, {}).Next().error().code, Code::kNotFound);
  EXPECT_EQ(Scan(stored_.Take(), 7, ~uint64_t{0}, kAsStored).Next().error().code, Code::kNotFound);
  EXPECT_TRUE(Scan(stored_.Take(), 300, 300, {}).Next().value().empty());
  EXPECT_TRUE(Scan(stored_.Take(), 8, 8, {}).Next().value().empty());
}

TEST_F(ScanTest, GoesOnFromWhatAnOlderSnapshotVerified) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(900);
  const auto verified = std::make_shared<Verified>();
  for (const uint64_t size : std::vector<uint64_t>{300, 301, 511, 700, 900}) {
    ASSERT_TRUE(writer_->Append(log, size, 1).has_value());
    ExpectRange(Take(verified), log, 290, size, {});
    ExpectRange(Take(verified), log, 0, size, {});
  }
  // Spoiled afterwards: only a scan that hashes the entry again notices.
  directory_.Flip("entries/0", log.Frames(0, 600).size() + 2);
  Scan again(Take(verified), 0, 900, {});
  EXPECT_FALSE(Collect(&again).error.has_value());
  Scan fresh(Take(), 0, 900, {});
  EXPECT_EQ(Collect(&fresh).error.value().message,
            "entries/0: entry 600: the hash is not the one in the tree");
}

TEST_F(ScanTest, NeverGivesASpoiledByte) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(700);
  ASSERT_TRUE(writer_->Append(log, 700, 1).has_value());
  for (const std::string name : {"entries/0", "entries/0.index", "hashes/0", "hashes/1"}) {
    const size_t length = directory_.Read(name).size();
    for (size_t i = 0; i < length; i += 1 + length / 300) {
      directory_.Flip(name, i);
      const uint64_t first = i % 3 == 0 ? 0 : i % 700;
      Scan verified(Take(), first, 700, {});
      const Scanned scanned = Collect(&verified);
      for (uint64_t at = 0; at < scanned.entries.size(); ++at) {
        ASSERT_EQ(scanned.entries[at], log.entry(first + at)) << name << " byte " << i;
      }
      if (scanned.error) {
        ASSERT_EQ(scanned.error->code, Code::kCorrupt) << scanned.error->message;
      } else {
        ASSERT_EQ(scanned.entries.size(), 700 - first);
      }
      // The two nodes of hashes/1 are on the tree's edge, and follow from hashes/0.
      if (first == 0 && name != "hashes/1") {
        ASSERT_TRUE(scanned.error.has_value()) << name << " byte " << i;
      }
      directory_.Flip(name, i);
    }
  }
}

// As stored, other bytes may be given, but all of them are the log's, and a length that leads
// elsewhere is found at the end at the latest.
TEST_F(ScanTest, AsStoredLengthsMustFit) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(700);
  ASSERT_TRUE(writer_->Append(log, 700, 1).has_value());
  const uint64_t bytes = log.Frames(0, 700).size();
  uint64_t place = 0;  // of the frame
  for (uint64_t index = 0; index < 700; ++index) {
    for (const uint64_t byte : {place, place + 1, place + 2}) {
      directory_.Flip("entries/0", byte);
      Scan scan(Take(), 0, 700, kAsStored);
      const Scanned scanned = Collect(&scan);
      if (byte == place + 2) {
        ASSERT_FALSE(scanned.error.has_value());
        ASSERT_NE(scanned.entries[index], log.entry(index));
      } else if (scanned.error) {
        ASSERT_EQ(scanned.error->code, Code::kCorrupt);
      } else {
        ASSERT_EQ(scanned.entries.size(), 700u);
        uint64_t sum = 0;
        for (const std::string& entry : scanned.entries) sum += kFrameHeaderLength + entry.size();
        ASSERT_EQ(sum, bytes);
      }
      directory_.Flip("entries/0", byte);
    }
    place += kFrameHeaderLength + log.entry(index).size();
  }
}

// A length that is too short or too long by one, and a file that is longer than its entries.
TEST_F(ScanTest, FramesAndSegmentsMustFollowEachOther) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(65'600);
  ASSERT_TRUE(writer_->Append(log, 65'600, 1).has_value());
  const auto expect_corrupt = [&](const std::string& why) {
    for (const ScanOptions& options : {ScanOptions(), kAsStored}) {
      Scan scan(Take(), 60'000, 65'600, options);
      const Scanned scanned = Collect(&scan);
      ASSERT_TRUE(scanned.error.has_value()) << why;
      EXPECT_EQ(scanned.error->code, Code::kCorrupt) << why;
    }
  };
  for (const uint64_t last : std::vector<uint64_t>{65'535, 65'599}) {
    const std::string name = last == 65'535 ? "entries/0" : "entries/1";
    const uint64_t segment = last == 65'535 ? 0 : log.Frames(0, 65'536).size();
    const std::string frames = directory_.Read(name);
    std::string longer = frames + std::string(20, '\0');
    directory_.Write(name, longer);
    ExpectRange(Take(), log, 60'000, 65'600, {});
    ExpectRange(Take(), log, 60'000, 65'600, kAsStored);
    char& length = longer[log.Frames(0, last).size() - segment + 1];
    const char right = length;
    for (const int by : {-1, 1}) {
      length = static_cast<char>(right + by);
      directory_.Write(name, longer);
      expect_corrupt(name + " by " + std::to_string(by));
      length = right;
    }
    directory_.Write(name, frames);
  }
}

TEST_F(ScanTest, NothingIsReadOfASegmentThatBeginsElsewhere) {
  const ReferenceLog log(std::vector<std::string>(65'600));  // All of them empty: read anywhere.
  ASSERT_TRUE(writer_->Append(log, 65'600, 1).has_value());
  std::string frames = directory_.Read("entries/0") + "?";
  frames[2 * 65'535 + 1] = 1;
  directory_.Write("entries/0", frames);
  Scan scan(Take(), 0, 65'600, kAsStored);
  const Scanned scanned = Collect(&scan);
  EXPECT_EQ(scanned.entries.size(), 65'536u);
  EXPECT_EQ(scanned.error.value().message,
            "entries/1.index at byte 0: the segment does not begin where it should");
}

TEST_F(ScanTest, CanBeCalledAgainAfterAnError) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(700);
  ASSERT_TRUE(writer_->Append(log, 700, 1).has_value());
  const uint64_t place = log.Frames(0, 600).size() + 2;
  directory_.Flip("entries/0", place);
  Scan scan(Take(), 0, 700, {});
  const Scanned before = Collect(&scan);
  ASSERT_TRUE(before.error.has_value());
  EXPECT_EQ(scan.Next().error().message, before.error->message);
  directory_.Flip("entries/0", place);
  const Scanned after = Collect(&scan);
  ASSERT_FALSE(after.error.has_value());
  ASSERT_EQ(before.entries.size() + after.entries.size(), 700u);
  for (size_t i = 0; i < after.entries.size(); ++i) {
    ASSERT_EQ(after.entries[i], log.entry(before.entries.size() + i));
  }
}

TEST_F(ScanTest, ManyVerifyTheSameAtOnce) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(5'000);
  ASSERT_TRUE(writer_->Append(log, 5'000, 1).has_value());
  for (int round = 0; round < 50; ++round) {
    const auto snapshot = Take();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { ExpectRange(snapshot, log, 0, 5'000, kSmallPieces); });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

// On the simulated disk, which counts: once under way, a read for each piece and no other.
TEST(ScanOnSimulatedDiskTest, ReadsPiecesAndNothingElse) {
  SimDisk machine;
  const auto process = machine.NewProcess();
  ASSERT_TRUE(LogFiles::Create(process.get()).has_value());
  LogFilesWriter writer(process.get());
  const ReferenceLog log = ReferenceLog::OfManyLengths(100'000);
  ASSERT_TRUE(writer.Append(log, log.size(), 1).has_value());
  const auto snapshot = std::make_shared<const Snapshot>(
      writer.published(), LogFiles::Open(process.get(), Access::kRead).value(),
      std::make_shared<Verified>());
  machine.CountReads();
  ExpectRange(snapshot, log, 0, log.size(), {});
  for (const ScanOptions& options : {ScanOptions(), kAsStored}) {
    const uint64_t before = machine.operations();
    ExpectRange(snapshot, log, 0, log.size(), options);
    const uint64_t pieces = writer.end().frames_end / options.piece + 2;  // of two segments
    EXPECT_LE(machine.operations() - before, pieces);
  }
}

TEST(ScanOnSimulatedDiskTest, EveryCutIsFound) {
  SimDisk machine;
  const auto process = machine.NewProcess();
  ASSERT_TRUE(LogFiles::Create(process.get()).has_value());
  LogFilesWriter writer(process.get());
  const ReferenceLog log = ReferenceLog::OfManyLengths(70'000);
  ASSERT_TRUE(writer.Append(log, log.size(), 1).has_value());
  for (const std::string name : {"entries/0", "entries/1", "entries/1.index", "hashes/0"}) {
    const uint64_t length = machine.CachedBytes(name).length();
    for (uint64_t cut = 1; cut <= length; cut = 3 * cut + 1) {
      const auto damaged = machine.Clone();
      damaged->RotLength(name, length - cut);
      const auto reader = damaged->NewProcess();
      const auto snapshot = std::make_shared<const Snapshot>(
          writer.published(), LogFiles::Open(reader.get(), Access::kRead).value(),
          std::make_shared<Verified>());
      for (const ScanOptions& options : {ScanOptions(), kAsStored}) {
        Scan scan(snapshot, 0, log.size(), options);
        const Scanned scanned = Collect(&scan);
        // As stored, neither hashes are read nor more of the index than where a segment begins.
        const bool needed = options.verified || name == "entries/0" || name == "entries/1" ||
                            (name == "entries/1.index" && length - cut < kIndexRowLength);
        ASSERT_EQ(scanned.error.has_value(), needed) << name << " less " << cut;
        if (needed) {
          ASSERT_EQ(scanned.error->code, Code::kCorrupt) << scanned.error->message;
        }
        for (uint64_t i = 0; i < scanned.entries.size(); ++i) {
          ASSERT_EQ(scanned.entries[i], log.entry(i));
        }
      }
    }
  }
}

}  // namespace
}  // namespace logcore
