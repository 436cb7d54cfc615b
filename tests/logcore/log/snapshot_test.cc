// Snapshot against the reference log: every byte it gives is true, and when a file is spoiled it
// says kCorrupt instead of giving another one.

#include "logcore/log/snapshot.h"
#include "logcore/log/verified.h"
#include "logcore/posix/files/log_files.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <thread>

#include "logcore/tlog/entry_bundle.h"
#include "tests/support/either_log.h"
#include "tests/support/temp_log.h"

namespace logcore {
namespace {

using tlogfs_test::EitherStoredLog;
using tlogfs_test::LogFilesWriter;
using tlogfs_test::ReferenceLog;
using tlogfs_test::Storage;
using tlogfs_test::TempDirectory;

class SnapshotTest : public testing::Test {
 protected:
  SnapshotTest() {
    EXPECT_TRUE(LogFiles::Create(disk_.get()).has_value());
    writer_ = std::make_unique<LogFilesWriter>(disk_.get());
  }

  // The newest state as a snapshot with fresh or given memory of what was verified.
  std::unique_ptr<Snapshot> Take(std::shared_ptr<Verified> verified = nullptr) {
    if (verified == nullptr) verified = std::make_shared<Verified>();
    // A reader of its own: it must not know more than the files say.
    return std::make_unique<Snapshot>(writer_->published(),
                                      LogFiles::Open(disk_.get(), Access::kRead).value(), verified);
  }

  const TempDirectory directory_;
  const std::unique_ptr<Disk> disk_ = OpenPosixDisk(directory_.path()).value();
  std::unique_ptr<LogFilesWriter> writer_;
};

// What holds whatever the storage is.
class EachSnapshotTest : public testing::TestWithParam<Storage> {
 protected:
  EitherStoredLog stored_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(EachStorage, EachSnapshotTest, tlogfs_test::kBothStorages,
                         tlogfs_test::StorageName);

std::string Text(const ReferenceLog& log) {
  std::string text;
  for (uint64_t i = 0; i < log.size(); ++i) text += log.entry(i) + "\n";
  return text;
}

// The widths worth trying of a tile that is `limit` wide in the tree.
std::vector<int> Widths(int limit) {
  std::vector<int> widths;
  for (const int width : {1, 2, 100, 254, 255, 256, limit - 1, limit}) {
    if (1 <= width && width <= limit) widths.push_back(width);
  }
  return widths;
}

void ExpectTiles(const Snapshot& snapshot, const ReferenceLog& log) {
  const uint64_t size = snapshot.size();
  for (int level = kEntriesLevel; level < kTileLevels; ++level) {
    const uint64_t full = FullTiles(level, size);
    const int partial = PartialWidth(level, size);
    for (uint64_t index = 0; index <= full; index += 1 + full / 40) {
      const int limit = index < full ? kTileWidth : partial;
      for (const int width : Widths(limit)) {
        const TileId id{level, index, width};
        const uint64_t first = index * kTileWidth;
        const std::string expected = level == kEntriesLevel
                                         ? log.Frames(first, first + static_cast<uint64_t>(width))
                                         : log.Tile(level, index, width);
        const auto bytes = level == kEntriesLevel ? snapshot.Bundle(id) : snapshot.Tile(id);
        ASSERT_TRUE(bytes.has_value()) << bytes.error().message;
        ASSERT_EQ(*bytes, expected) << TilePath(id);
        ASSERT_EQ(snapshot.TileLength(id).value(), expected.size());
      }
      if (limit < kTileWidth) {
        const TileId beyond{level, index, limit + 1};
        ASSERT_EQ(snapshot.Bundle(beyond).error().code, Code::kNotFound);
        ASSERT_EQ(snapshot.Tile(beyond).error().code, Code::kNotFound);
        ASSERT_EQ(snapshot.TileLength(beyond).error().code, Code::kNotFound);
      }
    }
  }
}

void ExpectEntries(const Snapshot& snapshot, const ReferenceLog& log) {
  const uint64_t size = snapshot.size();
  for (uint64_t i = 0; i < size; i += 1 + size / 1000) {
    ASSERT_EQ(snapshot.Entry(i).value(), log.entry(i));
    ASSERT_EQ(snapshot.EntryLength(i).value(), log.entry(i).size());
    ASSERT_EQ(snapshot.LeafHash(i).value(), log.LeafHash(i));
  }
  ASSERT_EQ(snapshot.Entry(size).error().code, Code::kNotFound);
  ASSERT_EQ(snapshot.EntryLength(size).error().code, Code::kNotFound);
  ASSERT_EQ(snapshot.LeafHash(size).error().code, Code::kNotFound);
  ASSERT_EQ(snapshot.Time(size).error().code, Code::kNotFound);
  ASSERT_EQ(snapshot.Entry(~uint64_t{0}).error().code, Code::kNotFound);
}

void ExpectLog(const Snapshot& snapshot, const std::string& text) {
  ASSERT_EQ(snapshot.LogLength(), text.size());
  ASSERT_EQ(snapshot.Log(0, 1 << 30).value(), text);
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    const uint64_t offset = random() % (text.size() + 1);
    const size_t length = random() % (i % 2 == 0 ? 20 : 5000);
    ASSERT_EQ(snapshot.Log(offset, length).value(), text.substr(offset, length));
  }
  ASSERT_EQ(snapshot.Log(text.size() + 1, 10).value(), "");
  ASSERT_EQ(snapshot.Log(~uint64_t{0}, ~size_t{0}).value(), "");
}

TEST_P(EachSnapshotTest, GivesTheTruthAtEverySize) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(1000);
  const auto verified = std::make_shared<Verified>();
  for (const uint64_t size :
       std::vector<uint64_t>{0, 1, 2, 255, 256, 257, 300, 511, 512, 513, 514, 1000}) {
    if (size != 0) {
      ASSERT_TRUE(stored_.Append(log, size, static_cast<int64_t>(size)).has_value());
    }
    ReferenceLog prefix;
    while (prefix.size() < size) prefix.Add(log.entry(prefix.size()));
    for (const auto& memory : {std::make_shared<Verified>(), verified}) {
      for (int order = 0; order < 3; ++order) {  // What is read first verifies the rest.
        const auto snapshot = stored_.Take(order == 0 ? memory : std::make_shared<Verified>());
        if (order == 1) ExpectLog(*snapshot, Text(prefix));
        if (order == 2) ExpectEntries(*snapshot, prefix);
        ExpectTiles(*snapshot, prefix);
        ExpectEntries(*snapshot, prefix);
        ExpectLog(*snapshot, Text(prefix));
      }
    }
  }
  EXPECT_EQ(stored_.Take()->Time(299).value(), 300);
  EXPECT_EQ(stored_.Take()->Time(300).value(), 511);
}

TEST_P(EachSnapshotTest, NodesOfEveryHeightMakeProofs) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(700);
  ASSERT_TRUE(stored_.Append(log, 700, 1).has_value());
  const auto snapshot = stored_.Take();
  for (int height = 0; height < 70; ++height) {
    const uint64_t count = height < 64 ? uint64_t{700} >> height : 0;
    for (uint64_t index = 0; index < count; ++index) {
      ASSERT_EQ(snapshot->Node(height, index).value(),
                log.Root(index << height, (index + 1) << height));
    }
    ASSERT_EQ(snapshot->Node(height, count).error().code, Code::kNotFound);
  }
  const NodeReader reader = [&](int height, uint64_t index) {
    return snapshot->Node(height, index);
  };
  for (uint64_t size = 1; size <= 700; size += 37) {
    EXPECT_EQ(ReadCompactRange(reader, size).value().Root(), log.Root(0, size));
    EXPECT_EQ(ProveInclusion(reader, size / 3, size).value(), log.Inclusion(size / 3, size));
    EXPECT_EQ(ProveConsistency(reader, size / 2, size).value(), log.Consistency(size / 2, size));
  }
}

TEST_P(EachSnapshotTest, CrossesThreeLevels) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(66'000);
  for (const uint64_t size : std::vector<uint64_t>{65'535, 65'536, 65'537, 66'000}) {
    ASSERT_TRUE(stored_.Append(log, size, 1).has_value());
    ReferenceLog prefix;
    while (prefix.size() < size) prefix.Add(log.entry(prefix.size()));
    const auto snapshot = stored_.Take();
    ExpectEntries(*snapshot, prefix);
    ExpectTiles(*snapshot, prefix);
    ExpectLog(*snapshot, Text(prefix));
  }
}

// Reads all there is, and compares; the number of answers that were kCorrupt. Any other error, or
// a wrong byte, fails the test.
int CountCorrupt(const Snapshot& snapshot, const ReferenceLog& log, const std::string& text) {
  int corrupt = 0;
  const auto judge = [&corrupt](const Result<std::string>& got, const std::string& expected) {
    if (got.has_value()) {
      EXPECT_EQ(*got, expected);
    } else {
      EXPECT_EQ(got.error().code, Code::kCorrupt) << got.error().message;
      ++corrupt;
    }
  };
  for (uint64_t i = 0; i < log.size(); i += 50) judge(snapshot.Entry(i), log.entry(i));
  for (int level = kEntriesLevel; level < 2; ++level) {
    for (uint64_t index = 0; index <= FullTiles(level, log.size()); ++index) {
      const int width =
          index < FullTiles(level, log.size()) ? kTileWidth : PartialWidth(level, log.size());
      const uint64_t first = index * kTileWidth;
      if (level == kEntriesLevel) {
        judge(snapshot.Bundle({level, index, width}),
              log.Frames(first, first + static_cast<uint64_t>(width)));
      } else {
        judge(snapshot.Tile({level, index, width}), log.Tile(level, index, width));
      }
    }
  }
  for (uint64_t offset = 0; offset < text.size(); offset += 1500) {
    judge(snapshot.Log(offset, 1500), text.substr(offset, 1500));
  }
  return corrupt;
}

// Every tile is verified by way of the tree's edge: what of it is lost follows from the rest.
TEST_F(SnapshotTest, ADamagedEdgeTakesNoOtherTileWithIt) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(700);
  ASSERT_TRUE(writer_->Append(log, 700, 1).has_value());
  const std::string nodes = directory_.Read("hashes/0");
  const std::string upper = directory_.Read("hashes/1");
  const auto expect = [&](bool has_last, bool has_upper) {
    const auto snapshot = Take();
    EXPECT_EQ(snapshot->Tile({0, 0, 256}).value(), log.Tile(0, 0, 256));
    EXPECT_EQ(snapshot->Tile({0, 1, 256}).value(), log.Tile(0, 1, 256));
    EXPECT_EQ(snapshot->Entry(300).value(), log.entry(300));
    for (int i = 0; i < 2; ++i) {  // What was verified once is read in another way.
      EXPECT_EQ(snapshot->Tile({0, 2, 188}).has_value(), has_last);
      EXPECT_EQ(snapshot->Entry(600).has_value(), has_last);
      EXPECT_EQ(snapshot->Tile({1, 0, 2}).has_value(), has_upper);
    }
  };
  directory_.Write("hashes/1", "");
  expect(true, false);
  directory_.Write("hashes/0", nodes.substr(0, 699 * kHashLength));
  expect(false, false);
  directory_.Write("hashes/1", upper);
  expect(false, true);
  directory_.Write("hashes/0", nodes);
  directory_.Flip("hashes/0", 600 * kHashLength);
  directory_.Flip("hashes/1", 40);
  expect(false, false);
}

TEST_F(SnapshotTest, NeverGivesASpoiledByte) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(600);
  ASSERT_TRUE(writer_->Append(log, 600, 1).has_value());
  const std::string text = Text(log);
  ASSERT_EQ(CountCorrupt(*Take(), log, text), 0);
  for (const std::string name : {"entries/0", "entries/0.index", "hashes/0", "hashes/1"}) {
    const size_t length = directory_.Read(name).size();
    int all = 0;
    for (size_t i = 0; i < length; i += 1 + length / 100) {
      directory_.Flip(name, i);
      const int corrupt = CountCorrupt(*Take(), log, text);
      // What the byte is part of must be refused. An index row may have been passed over.
      ASSERT_TRUE(corrupt > 0 || name == "entries/0.index") << name << " byte " << i;
      all += corrupt;
      directory_.Flip(name, i);
    }
    EXPECT_GT(all, 50) << name;
  }
  ASSERT_EQ(CountCorrupt(*Take(), log, text), 0);
}

TEST_F(SnapshotTest, AnotherTreesHashesDoNotPass) {
  // A consistent tree over other entries, that does not have the published root.
  const ReferenceLog log = ReferenceLog::OfManyLengths(600);
  ASSERT_TRUE(writer_->Append(log, 600, 1).has_value());
  const Published published{
      .head = {600, HashLeaf("another root")}, .frames_end = writer_->end().frames_end, .note = ""};
  const Snapshot snapshot(published, writer_->files(), std::make_shared<Verified>());
  EXPECT_EQ(snapshot.Tile({0, 0, 256}).error().code, Code::kCorrupt);
  EXPECT_EQ(snapshot.Tile({0, 2, 88}).error().code, Code::kCorrupt);
  EXPECT_EQ(snapshot.Bundle({kEntriesLevel, 1, 256}).error().code, Code::kCorrupt);
  EXPECT_EQ(snapshot.Entry(599).error().code, Code::kCorrupt);
  EXPECT_EQ(snapshot.Entry(599).error().message,
            "hashes: the right edge of the tree of size 600 does not give the published root");
  EXPECT_EQ(snapshot.Node(3, 0).error().code, Code::kCorrupt);
}

TEST_F(SnapshotTest, SaysWhichEntryRotted) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(600);
  ASSERT_TRUE(writer_->Append(log, 600, 1).has_value());
  directory_.Flip("entries/0", log.Frames(0, 300).size() + 2);
  EXPECT_EQ(Take()->Entry(300).error().message,
            "entries/0: entry 300: the hash is not the one in the tree");
  EXPECT_TRUE(Take()->Entry(255).has_value());
  EXPECT_TRUE(Take()->Entry(512).has_value());
}

TEST_F(SnapshotTest, WhatWasVerifiedOnceIsNotHashedAgain) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(600);
  ASSERT_TRUE(writer_->Append(log, 300, 1).has_value());
  const auto verified = std::make_shared<Verified>();
  ASSERT_TRUE(Take(verified)->Bundle({kEntriesLevel, 0, 256}).has_value());
  ASSERT_TRUE(Take(verified)->Entry(299).has_value());
  EXPECT_EQ(verified->Width(kEntriesLevel, 1), 44);
  EXPECT_EQ(verified->Width(0, 1), 44);
  ASSERT_TRUE(writer_->Append(log, 600, 1).has_value());
  // Spoiled afterwards: only a read that hashes the entry notices.
  directory_.Flip("entries/0", log.Frames(0, 5).size() + 2);
  directory_.Flip("entries/0", log.Frames(0, 260).size() + 2);
  EXPECT_TRUE(Take(verified)->Bundle({kEntriesLevel, 0, 7}).has_value());
  EXPECT_TRUE(Take(verified)->Bundle({kEntriesLevel, 1, 256}).has_value());
  EXPECT_EQ(verified->Width(kEntriesLevel, 1), 256);
  EXPECT_EQ(Take()->Bundle({kEntriesLevel, 0, 7}).error().code, Code::kCorrupt);
  EXPECT_EQ(Take()->Bundle({kEntriesLevel, 1, 256}).error().code, Code::kCorrupt);
}

// What the first read costs, in figures: all tiles and bundles, verified by it, and once more.
// A large log:  TLOGFS_COST_ENTRIES=1000000 snapshot_test --gtest_filter=*Costs
TEST_F(SnapshotTest, TheFirstReadOfATileCosts) {
  const char* const entries = std::getenv("TLOGFS_COST_ENTRIES");
  const uint64_t size = entries == nullptr ? 20'000 : std::strtoull(entries, nullptr, 10);
  const ReferenceLog log = ReferenceLog::OfSize(size);
  for (uint64_t done = 0; done < size; done += std::min<uint64_t>(10'000, size - done)) {
    const uint64_t next = std::min(done + 10'000, size);
    ASSERT_TRUE(writer_->Append(log, next, static_cast<int64_t>(next)).has_value());
  }
  const auto verified = std::make_shared<Verified>();
  std::string first;
  for (const char* const pass : {"first", "second"}) {
    const auto snapshot = Take(verified);
    std::string bytes;
    const auto start = std::chrono::steady_clock::now();
    for (int level = kEntriesLevel; level < kTileLevels; ++level) {
      for (uint64_t index = 0; index <= FullTiles(level, size); ++index) {
        const bool full = index < FullTiles(level, size);
        const TileId id{level, index, full ? kTileWidth : PartialWidth(level, size)};
        if (id.width == 0) continue;
        const auto tile = level == kEntriesLevel ? snapshot->Bundle(id) : snapshot->Tile(id);
        ASSERT_TRUE(tile.has_value()) << tile.error().message;
        bytes += *tile;
      }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    std::printf("%s read of %llu entries: %.0f ms\n", pass, static_cast<unsigned long long>(size),
                1000 * took.count());
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first);
  }
}

TEST_P(EachSnapshotTest, ManyReadersWhileTheLogGrows) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(2000);
  const std::string text = Text(log);
  const auto verified = std::make_shared<Verified>();
  std::mutex mutex;
  std::shared_ptr<const Snapshot> latest = stored_.Take(verified);
  const auto get = [&] {
    const std::lock_guard lock(mutex);
    return latest;
  };
  std::vector<std::thread> readers;
  for (unsigned seed = 0; seed < 3; ++seed) {
    readers.emplace_back([&, seed] {
      std::mt19937 random(seed);
      for (std::shared_ptr<const Snapshot> now = get(); now->size() < log.size(); now = get()) {
        for (int i = 0; i < 5 && now->size() != 0; ++i) {
          const uint64_t index = random() % now->size();
          ASSERT_EQ(now->Entry(index).value(), log.entry(index));
          ASSERT_EQ(now->LeafHash(index).value(), log.LeafHash(index));
          const int width = static_cast<int>(index % kTileWidth) + 1;
          ASSERT_EQ(now->Bundle({kEntriesLevel, index / kTileWidth, width}).value(),
                    log.Frames(index / kTileWidth * kTileWidth, index + 1));
          const uint64_t offset = random() % now->LogLength();
          ASSERT_EQ(now->Log(offset, now->LogLength()).value(),
                    text.substr(offset, now->LogLength() - offset));
        }
      }
    });
  }
  for (uint64_t size = 20; size <= log.size(); size += 20) {
    ASSERT_TRUE(stored_.Append(log, size, 1).has_value());
    std::shared_ptr<const Snapshot> next = stored_.Take(verified);
    const std::lock_guard lock(mutex);
    latest = std::move(next);
  }
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace logcore
