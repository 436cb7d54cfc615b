// Snapshot::Entries against the reference log: with complete segments mapped into memory and
// without, on a real directory and on the simulated disk; what it makes of spoiled files.

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <thread>

#include "logcore/log/batch.h"
#include "logcore/log/verified.h"
#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/support/sim_disk.h"
#include "tests/support/temp_log.h"

namespace logcore {
namespace {

using tlogfs_test::LogFilesWriter;
using tlogfs_test::ReferenceLog;
using tlogfs_test::SimDisk;
using tlogfs_test::TempDirectory;

std::shared_ptr<const Snapshot> TakeFrom(
    Disk* disk, const LogFilesWriter& writer, bool mapped,
    std::shared_ptr<Verified> verified = std::make_shared<Verified>()) {
  std::shared_ptr<LogFiles> files = LogFiles::Open(disk, Access::kRead).value();
  if (mapped) files->MapSegments();
  return std::make_shared<const Snapshot>(writer.published(), files, verified);
}

class EntriesTest : public testing::Test {
 protected:
  EntriesTest() {
    EXPECT_TRUE(LogFiles::Create(disk_.get()).has_value());
    writer_ = std::make_unique<LogFilesWriter>(disk_.get());
  }
  std::shared_ptr<const Snapshot> Take(
      bool mapped, std::shared_ptr<Verified> verified = std::make_shared<Verified>()) {
    return TakeFrom(disk_.get(), *writer_, mapped, verified);
  }

  const TempDirectory directory_;
  const std::unique_ptr<Disk> disk_ = OpenPosixDisk(directory_.path()).value();
  std::unique_ptr<LogFilesWriter> writer_;
};

std::vector<uint64_t> RandomIndexes(std::mt19937* random, uint64_t size, size_t count) {
  std::vector<uint64_t> indexes;
  while (indexes.size() < count) {
    // Some again, and some neighbours.
    const uint64_t kind = indexes.empty() ? 9 : (*random)() % 10;
    indexes.push_back(kind == 0   ? indexes.back()
                      : kind == 1 ? (indexes.back() + 1) % size
                                  : (*random)() % size);
  }
  return indexes;
}

void ExpectEntries(const Snapshot& snapshot, const ReferenceLog& log,
                   const std::vector<uint64_t>& indexes, EntryBuffer* buffer) {
  const auto entries = snapshot.Entries(indexes, buffer);
  ASSERT_TRUE(entries.has_value()) << entries.error().message;
  ASSERT_EQ(entries->size(), indexes.size());
  for (size_t i = 0; i < indexes.size(); ++i) ASSERT_EQ((*entries)[i], log.entry(indexes[i]));
}

TEST_F(EntriesTest, AnyIndexesInTheirOrder) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(132'000);
  for (const uint64_t size :
       std::vector<uint64_t>{1, 255, 256, 257, 65'535, 65'536, 65'537, 131'072, 132'000}) {
    ASSERT_TRUE(writer_->Append(log, size, 1).has_value());
    for (const bool mapped : {false, true}) {
      const auto snapshot = Take(mapped);
      EntryBuffer buffer;
      std::mt19937 random(static_cast<unsigned>(size));
      for (const size_t count : std::vector<size_t>{0, 1, 2, 39, 40, 41, 300}) {
        ExpectEntries(*snapshot, log, RandomIndexes(&random, size, count), &buffer);
      }
      ExpectEntries(*snapshot, log, {size - 1, 0, size - 1, size / 2, 0}, &buffer);
    }
  }
  std::vector<uint64_t> all;
  for (uint64_t i = 0; i < log.size(); ++i) all.push_back(log.size() - 1 - i);
  EntryBuffer buffer;
  ExpectEntries(*Take(true), log, all, &buffer);
}

TEST_F(EntriesTest, WhatIsNotInTheTreeIsNotFound) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(65'540);
  ASSERT_TRUE(writer_->Append(log, 65'540, 1).has_value());
  for (const bool mapped : {false, true}) {
    const auto snapshot = Take(mapped);
    EntryBuffer buffer;
    for (const uint64_t beyond : {uint64_t{65'540}, uint64_t{1} << 40, ~uint64_t{0}}) {
      const std::vector<uint64_t> indexes = {0, beyond, 65'539};
      EXPECT_EQ(snapshot->Entries(indexes, &buffer).error().code, Code::kNotFound);
      ExpectEntries(*snapshot, log, {65'539, 0}, &buffer);
    }
  }
}

TEST_F(EntriesTest, EntriesOfAllLengths) {
  std::mt19937 random(5);
  ReferenceLog log;
  while (log.size() < 65'600) {
    const uint64_t kind = log.size() % 5000 == 0 ? 0 : 1 + random() % 40;
    const size_t length = kind == 0 ? kMaxEntryLength : kind < 20 ? 0 : kind * 4;
    log.Add(std::string(length, static_cast<char>(random())));
  }
  ASSERT_TRUE(writer_->Append(log, 65'600, 1).has_value());
  EntryBuffer buffer;
  const auto snapshot = Take(true);
  ExpectEntries(*snapshot, log, {65'535, 65'534, 65'000, 65'001, 0, 1, 15, 16, 65'536, 65'599},
                &buffer);
  ExpectEntries(*snapshot, log, RandomIndexes(&random, 65'600, 5000), &buffer);
}

// Mapped, entries are given out where they lie; the last segment's are copied.
TEST_F(EntriesTest, CompleteSegmentsAreNotCopied) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(65'600);
  ASSERT_TRUE(writer_->Append(log, 65'600, 1).has_value());
  const std::vector<uint64_t> indexes = {17, 65'535, 65'536};
  for (const bool mapped : {false, true}) {
    const auto snapshot = Take(mapped);
    EntryBuffer one, other;
    const auto first = snapshot->Entries(indexes, &one).value();
    const auto second = snapshot->Entries(indexes, &other).value();
    EXPECT_EQ(first[0].data() == second[0].data(), mapped);
    EXPECT_EQ(first[1].data() == second[1].data(), mapped);
    EXPECT_NE(first[2].data(), second[2].data());
  }
}

// Mapped too early, a segment would lack what was appended after.
TEST_F(EntriesTest, SegmentsAreMappedOnceTheyAreComplete) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(65'536);
  const std::shared_ptr<LogFiles> files = LogFiles::Open(disk_.get(), Access::kRead).value();
  files->MapSegments();
  const auto verified = std::make_shared<Verified>();
  for (const uint64_t size : std::vector<uint64_t>{65'535, 65'536}) {
    ASSERT_TRUE(writer_->Append(log, size, 1).has_value());
    EntryBuffer buffer;
    ExpectEntries(Snapshot(writer_->published(), files, verified), log, {0, size - 1}, &buffer);
  }
}

TEST_F(EntriesTest, NeverGivesASpoiledByte) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(65'540);
  ASSERT_TRUE(writer_->Append(log, 65'540, 1).has_value());
  std::mt19937 random(9);
  // Not the whole of the files: what lies at these entries.
  const std::vector<uint64_t> indexes = {3, 300, 301, 302, 303, 304, 510, 65'290, 65'535, 65'538};
  const uint64_t frames = log.Frames(0, 301).size();
  struct Place {
    std::string name;
    uint64_t begin, end;
  };
  for (const Place& place :
       {Place{"entries/0", frames, frames + 40}, Place{"entries/0.index", 8 * 16, 8 * 24},
        Place{"hashes/0", 32 * 300, 32 * 304}, Place{"hashes/1", 32, 64}}) {
    for (uint64_t i = place.begin; i < place.end; ++i) {
      directory_.Flip(place.name, i);
      for (const bool mapped : {false, true}) {
        EntryBuffer buffer;
        ASSERT_EQ(Take(mapped)->Entries(indexes, &buffer).error().code, Code::kCorrupt)
            << place.name << " byte " << i;
      }
      directory_.Flip(place.name, i);
    }
  }
}

// What rots after it was verified is not noticed, but nothing outside the segment is ever touched.
TEST_F(EntriesTest, LengthsThatLeadOutsideAreFound) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(65'600);
  ASSERT_TRUE(writer_->Append(log, 65'600, 1).has_value());
  const auto snapshot = Take(true);
  EntryBuffer buffer;
  const std::vector<uint64_t> last = {65'535};
  ExpectEntries(*snapshot, log, last, &buffer);
  const uint64_t end = log.Frames(0, 65'536).size();
  int corrupt = 0;
  for (uint64_t place = log.Frames(0, 65'520).size(); place < end; ++place) {
    directory_.Flip("entries/0", place);
    const auto entries = snapshot->Entries(last, &buffer);
    if (entries.has_value()) {
      EXPECT_LE(entries->front().size(), 16 * 12u);
    } else {
      EXPECT_EQ(entries.error().code, Code::kCorrupt);
      ++corrupt;
    }
    directory_.Flip("entries/0", place);
  }
  EXPECT_GE(corrupt, 16);  // by the high bytes of lengths alone
  for (int byte = 0; byte < 8; ++byte) {
    directory_.Flip("entries/0.index", 8 * 4095 + static_cast<uint64_t>(byte));
    const auto entries = snapshot->Entries(last, &buffer);
    EXPECT_TRUE(!entries.has_value() ? entries.error().code == Code::kCorrupt : 5 < byte);
    directory_.Flip("entries/0.index", 8 * 4095 + static_cast<uint64_t>(byte));
  }
  ExpectEntries(*snapshot, log, last, &buffer);
  directory_.Flip("entries/0", end - 3 - log.entry(65'535).size() + 1);
  EXPECT_EQ(snapshot->Entries(last, &buffer).error().message.substr(0, 18), "entries/0 at byte ");
}

TEST_F(EntriesTest, ManyThreadsAtOnce) {
  const ReferenceLog log = ReferenceLog::OfManyLengths(66'000);
  ASSERT_TRUE(writer_->Append(log, 66'000, 1).has_value());
  for (int round = 0; round < 5; ++round) {
    const auto snapshot = Take(true);
    std::vector<std::thread> threads;
    for (unsigned seed = 0; seed < 4; ++seed) {
      threads.emplace_back([&, seed] {
        std::mt19937 random(seed % 2);
        EntryBuffer buffer;
        for (int i = 0; i < 20; ++i) {
          ExpectEntries(*snapshot, log, RandomIndexes(&random, 66'000, 100), &buffer);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

// On the simulated disk every read, and every mapping, fails in turn: what cannot be mapped is
// read; what cannot be read is an error; and neither lasts.
TEST(EntriesOnSimulatedDiskTest, EveryReadFailsOnce) {
  SimDisk machine;
  const auto process = machine.NewProcess();
  ASSERT_TRUE(LogFiles::Create(process.get()).has_value());
  LogFilesWriter writer(process.get());
  const ReferenceLog log = ReferenceLog::OfManyLengths(65'600);
  ASSERT_TRUE(writer.Append(log, log.size(), 1).has_value());
  const std::vector<uint64_t> indexes = {5, 65'000, 65'555};
  machine.CountReads();
  int good = 0;
  int failed = 0;
  for (uint64_t number = 1;; ++number) {
    const auto snapshot = TakeFrom(process.get(), writer, true);
    EntryBuffer buffer;
    const uint64_t before = machine.operations();
    machine.FailOperation(before + number, Code::kIo, SimDisk::Outcome::kNotHappened);
    const auto entries = snapshot->Entries(indexes, &buffer);
    if (entries.has_value()) {
      for (size_t i = 0; i < indexes.size(); ++i) EXPECT_EQ((*entries)[i], log.entry(indexes[i]));
      ++good;
    } else {
      EXPECT_EQ(entries.error().code, Code::kIo);
      ++failed;
    }
    const bool all = machine.operations() < before + number;
    machine.FailNone();
    ExpectEntries(*snapshot, log, indexes, &buffer);
    if (all) break;
  }
  EXPECT_GE(good, 3);
  EXPECT_GE(failed, 10);
}

TEST(EntriesOnSimulatedDiskTest, WhatIsTooShortIsNotMapped) {
  SimDisk machine;
  const auto process = machine.NewProcess();
  ASSERT_TRUE(LogFiles::Create(process.get()).has_value());
  LogFilesWriter writer(process.get());
  const ReferenceLog log = ReferenceLog::OfManyLengths(65'600);
  ASSERT_TRUE(writer.Append(log, log.size(), 1).has_value());
  const std::vector<uint64_t> indexes = {65'535};
  for (const std::string name : {"entries/0", "entries/0.index"}) {
    const uint64_t length = machine.CachedBytes(name).length();
    for (const uint64_t left : {uint64_t{0}, uint64_t{1}, length / 2, length - 1}) {
      const auto damaged = machine.Clone();
      damaged->RotLength(name, left);
      const auto reader = damaged->NewProcess();
      for (const bool mapped : {false, true}) {
        EntryBuffer buffer;
        const auto snapshot = TakeFrom(reader.get(), writer, mapped);
        EXPECT_EQ(snapshot->Entries(indexes, &buffer).error().code, Code::kCorrupt)
            << name << " " << left;
      }
    }
  }
}

TEST(EntriesOfStoreTest, AreMappedIfAskedFor) {
  const TempDirectory directory;
  const auto disk = OpenPosixDisk(directory.path()).value();
  const StoreOptions options{.clock = [] { return int64_t{1'700'000'000'000'000'000}; }};
  ASSERT_TRUE(
      InitStore(disk.get(), {.origin = "test.example/entries", .key = {}}, options).has_value());
  const ReferenceLog log = ReferenceLog::OfManyLengths(65'600);
  const auto writer = StoreWriter::Open(disk.get(), options).value();
  Batch batch;
  for (uint64_t done = 0; done < log.size(); done += 8'200) {
    batch.Clear();
    batch.Append(log.Frames(done, done + 8'200), 8'200);
    ASSERT_TRUE(writer->Commit(&batch).has_value());
  }
  ASSERT_EQ(writer->Publish().value(), 65'600u);
  for (const bool mapped : {false, true}) {
    const auto store =
        StoreReader::Open(disk.get(), {.clock = options.clock, .map_segments = mapped}).value();
    const auto snapshot = store->Latest().value();
    EntryBuffer one, other;
    ExpectEntries(*snapshot, log, {65'599, 7, 65'535}, &one);
    const std::vector<uint64_t> indexes = {7};
    EXPECT_EQ(snapshot->Entries(indexes, &one).value()[0].data() ==
                  snapshot->Entries(indexes, &other).value()[0].data(),
              mapped);
  }
}

}  // namespace
}  // namespace logcore
