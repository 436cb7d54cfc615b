// LogFiles on a real directory, against the same bytes computed in the plainest way; what it does
// when the disk is full, on the simulated one.

#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/segments.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <random>
#include <thread>

#include "logcore/tlog/entry_bundle.h"
#include "logcore/tlog/tile.h"
#include "logcore/util/bytes.h"
#include "tests/support/sim_disk.h"
#include "tests/support/temp_log.h"

namespace logcore {
namespace {

using tlogfs_test::LogFilesWriter;
using tlogfs_test::ReferenceLog;
using tlogfs_test::SimDisk;
using tlogfs_test::TempDirectory;

ReferenceLog RandomLog(uint64_t size, size_t max_length, unsigned seed) {
  std::mt19937 random(seed);
  ReferenceLog log;
  while (log.size() < size) {
    // Some of the longest, most short, some empty.
    const size_t length =
        random() % 50 == 0 ? kMaxEntryLength - random() % 2 : random() % (max_length + 1);
    log.Add(std::string(length, static_cast<char>(random())));
  }
  return log;
}

class LogFilesTest : public testing::Test {
 protected:
  LogFilesTest() { EXPECT_TRUE(LogFiles::Create(disk_.get()).has_value()); }

  std::string Index(const ReferenceLog& log, uint64_t begin, uint64_t end) {
    std::string rows;
    uint64_t offset = log.Frames(0, begin).size();
    for (uint64_t i = begin; i < end; ++i) {
      if (i % kIndexStride == 0) AppendBigEndian(&rows, offset);
      offset += kFrameHeaderLength + log.entry(i).size();
    }
    return rows;
  }

  const TempDirectory directory_;
  const std::unique_ptr<Disk> disk_ = OpenPosixDisk(directory_.path()).value();
};

// All that can be asked about a log of `size`.
void ExpectReads(const LogFiles& files, const ReferenceLog& log, uint64_t size) {
  std::mt19937 random(static_cast<unsigned>(size));
  uint64_t offset = 0;
  for (uint64_t i = 0; i <= size; ++i) {
    ASSERT_EQ(files.FrameOffset(i, size).value(), offset) << i;
    if (i == size) break;
    const uint64_t text = offset - i;
    const uint64_t length = log.entry(i).size();
    for (const uint64_t inside : {uint64_t{0}, length / 2, length}) {
      ASSERT_EQ(files.FindText(text + inside, size).value(), i);
    }
    offset += kFrameHeaderLength + length;
  }
  ASSERT_EQ(files.FindText(offset - size, size).error().code, Code::kInvalid);
  ASSERT_EQ(files.FindText(~uint64_t{0}, size).error().code, Code::kInvalid);
  for (int i = 0; i < 50 && size != 0; ++i) {
    const uint64_t first = random() % size;
    const uint64_t count = 1 + random() % std::min<uint64_t>(size - first, 600);
    ASSERT_EQ(files.ReadFrames(first, count, size).value(), log.Frames(first, first + count));
  }
}

TEST_F(LogFilesTest, WritesTheBytesThatTheFormatSays) {
  const ReferenceLog log = RandomLog(1000, 300, 1);
  LogFilesWriter writer(disk_.get());
  const std::vector<uint64_t> sizes = {1, 2, 15, 16, 17, 255, 256, 257, 600, 1000};
  int64_t time = 1000;
  std::string times;
  for (const uint64_t size : sizes) {
    if (size != 257) {  // In the same second as the one before.
      ++time;
      std::string row;
      AppendBigEndian(&row, writer.end().size);
      AppendBigEndian(&row, static_cast<uint64_t>(time));
      times += row + std::string(Sha256({row}).view().substr(0, 8));
    }
    ASSERT_TRUE(writer.Append(log, size, time).has_value());
    ASSERT_EQ(writer.end(), (LogEnd{.size = size,
                                    .frames_end = log.Frames(0, size).size(),
                                    .time_rows = times.size() / 24,
                                    .time = time}));
    ASSERT_EQ(writer.range().Root(), log.Root(0, size));
    ASSERT_EQ(directory_.Read("entries/0"), log.Frames(0, size));
    ASSERT_EQ(directory_.Read("entries/0.index"), Index(log, 0, size));
    ASSERT_EQ(directory_.Read("times"), times);
    for (int level = 0; level < kTileLevels; ++level) {
      ASSERT_EQ(directory_.Read("hashes/" + std::to_string(level)),
                log.Tile(level, 0, static_cast<int>(NodeCount(level, size))));
    }
    ASSERT_TRUE(writer.files()->CheckLengths(writer.end()).has_value());
    ASSERT_TRUE(writer.files()->CheckTimes(size).has_value());
    ExpectReads(*writer.files(), log, size);
    ExpectReads(*LogFiles::Open(disk_.get(), Access::kRead).value(), log, size);
    ASSERT_TRUE(writer.files()->Sync(0, size).has_value());
  }
  // What was true of a smaller log stays true.
  for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{16}, uint64_t{999}}) {
    if (size != 0) ExpectReads(*writer.files(), log, size);
  }
  std::vector<Hash> nodes(2);
  ASSERT_TRUE(writer.files()->ReadNodes(1, 1, nodes).has_value());
  EXPECT_EQ(nodes[1], log.Root(512, 768));
  EXPECT_EQ(writer.files()->ReadNodes(1, 2, nodes).error().code, Code::kCorrupt);
}

TEST_F(LogFilesTest, TimeIsThatOfTheBatch) {
  const ReferenceLog log = ReferenceLog::OfSize(50);
  LogFilesWriter writer(disk_.get());
  EXPECT_EQ(writer.files()->Time(0).error().code, Code::kCorrupt);
  for (uint64_t size = 1; size <= 50; ++size) {
    ASSERT_TRUE(writer.Append(log, size, static_cast<int64_t>(100 + size / 7)).has_value());
    for (uint64_t i = 0; i < size; ++i) {
      ASSERT_EQ(writer.files()->Time(i).value(), static_cast<int64_t>(100 + (i + 1) / 7));
    }
  }
  // A row that another process is just appending.
  directory_.Write("times", directory_.Read("times") + std::string(15, '\xff'));
  EXPECT_EQ(writer.files()->Time(49).value(), 107);
  EXPECT_TRUE(writer.files()->CheckTimes(50).has_value());
  for (size_t place = 0; place < 24; ++place) {
    directory_.Flip("times", place);
    EXPECT_EQ(writer.files()->Time(0).error().code, Code::kCorrupt);
    EXPECT_EQ(writer.files()->CheckTimes(50).error().code, Code::kCorrupt);
    directory_.Flip("times", place);
  }
}

TEST_F(LogFilesTest, ABatchSpansSegments) {
  ReferenceLog log = ReferenceLog::OfSize(100);
  while (log.size() < 200'100) log.Add("");
  LogFilesWriter writer(disk_.get());
  ASSERT_TRUE(writer.Append(log, 100, 1).has_value());
  ASSERT_TRUE(writer.Append(log, 200'100, 2).has_value());
  EXPECT_EQ(disk_->List("entries").value().size(), 8u);
  for (uint64_t n = 0; n < 4; ++n) {
    const uint64_t end = std::min<uint64_t>((n + 1) * kSegmentEntries, log.size());
    EXPECT_EQ(directory_.Read(SegmentName(n)), log.Frames(n * kSegmentEntries, end));
    EXPECT_EQ(directory_.Read(SegmentIndexName(n)), Index(log, n * kSegmentEntries, end));
  }
  EXPECT_EQ(directory_.Read("hashes/2"), log.Tile(2, 0, 3));
  ASSERT_TRUE(writer.files()->Sync(0, log.size()).has_value());
  ASSERT_TRUE(writer.files()->CheckLengths(writer.end()).has_value());

  const auto files = LogFiles::Open(disk_.get(), Access::kRead).value();
  EXPECT_EQ(files->ReadFrames(60'000, 140'000, log.size()).value(), log.Frames(60'000, 200'000));
  for (const uint64_t i :
       std::vector<uint64_t>{99, 100, 65'535, 65'536, 65'537, 131'072, 196'607, 196'608, 200'100}) {
    const uint64_t offset = log.Frames(0, i).size();
    EXPECT_EQ(files->FrameOffset(i, log.size()).value(), offset);
    if (i < log.size()) {
      EXPECT_EQ(files->FindText(offset - i, log.size()).value(), i);
    }
  }
  for (const uint64_t size :
       std::vector<uint64_t>{65'536, 131'072}) {  // Sizes at which a segment is just complete.
    EXPECT_EQ(files->FrameOffset(size, size).value(), log.Frames(0, size).size());
    EXPECT_EQ(files->FindText(log.Frames(0, size).size() - size, size).error().code,
              Code::kInvalid);
  }
}

TEST_F(LogFilesTest, ReservesAheadAndGivesBackWithTheSegment) {
  ReferenceLog log = ReferenceLog::OfSize(1);
  while (log.size() < kSegmentEntries + 1) log.Add("some text that takes a bit of room");
  const auto blocks = [&](const std::string& name) {
    struct stat info;
    EXPECT_EQ(stat((directory_.path() / name).c_str(), &info), 0);
    return static_cast<uint64_t>(info.st_blocks) * 512;
  };
  LogFilesWriter writer(disk_.get());
  ASSERT_TRUE(writer.Append(log, 1, 1).has_value());
  if (blocks("hashes/0") < 1 << 20) GTEST_SKIP() << "this filesystem reserves nothing";
  EXPECT_GE(blocks("entries/0"), 1u << 20);
  EXPECT_LT(blocks("entries/0"), 2u << 20);
  EXPECT_GE(blocks("entries/0.index"), 32u << 10);
  ASSERT_TRUE(writer.Append(log, kSegmentEntries, 1).has_value());
  ASSERT_TRUE(writer.files()->Sync(0, kSegmentEntries).has_value());
  EXPECT_LT(blocks("entries/0"), directory_.Read("entries/0").size() + 64 * 1024);
  ASSERT_TRUE(writer.Append(log, kSegmentEntries + 1, 1).has_value());
  EXPECT_GE(blocks("entries/1"), 1u << 20);
}

TEST(LogFilesOnAFullDisk, NoSpaceIsFoundByReserveAlone) {
  const ReferenceLog log = RandomLog(400, 2000, 3);
  int full = 0;
  for (uint64_t capacity = 64 << 10; capacity < 6 << 20; capacity += 201 << 10) {
    SimDisk machine;
    const auto disk = machine.NewProcess();
    ASSERT_TRUE(LogFiles::Create(disk.get()).has_value());
    machine.SetCapacity(capacity);
    LogFilesWriter writer(disk.get());
    for (uint64_t size = 10; size <= log.size(); size += 10) {
      // What remains is taken by somebody else between Reserve and Write: there is no need of it.
      machine.Observe([&](const tlogfs_test::SimOperation& operation) {
        if (operation.kind == tlogfs_test::SimKind::kWrite) machine.SetCapacity(4096);
      });
      const Status status = writer.Append(log, size, 1);
      machine.Observe({});
      machine.SetCapacity(capacity);
      if (status.has_value()) continue;
      EXPECT_EQ(status.error().code, Code::kNoSpace);
      EXPECT_TRUE(status.error().message.find("alloc") != std::string::npos)
          << status.error().message;
      ++full;
      ASSERT_TRUE(writer.files()->CheckLengths(writer.end()).has_value());
      break;
    }
    ExpectReads(*writer.files(), log, writer.end().size);
  }
  EXPECT_GT(full, 5);
}

TEST_F(LogFilesTest, PartialBlocksBringBackWhatATornWriteHurt) {
  const ReferenceLog log = RandomLog(1000, 300, 4);
  LogFilesWriter writer(disk_.get());
  EXPECT_TRUE(writer.files()->PartialBlocks(writer.end()).value().empty());
  for (const uint64_t size : {3u, 256u, 700u, 1000u}) {
    ASSERT_TRUE(writer.Append(log, size, static_cast<int64_t>(size)).has_value());
    const auto blocks = writer.files()->PartialBlocks(writer.end()).value();
    EXPECT_FALSE(blocks.empty());
    for (const Block& block : blocks) {
      const std::string before = directory_.Read(block.name);
      EXPECT_EQ(block.offset + block.bytes.size(), before.size()) << block.name;
      EXPECT_EQ(block.bytes, before.substr(block.offset));
      directory_.Flip(block.name, block.offset + block.bytes.size() / 2);
      ASSERT_TRUE(writer.files()->WriteBlocks({&block, 1}).has_value());
      EXPECT_EQ(directory_.Read(block.name), before);
    }
  }
  for (const Block& bad : {Block{"config", 0, "x"}, Block{"entries/../config", 0, "x"},
                           Block{"entries/1", 0, "x"}, Block{"hashes/8", 0, "x"},
                           Block{"times", 1, "x"}, Block{"times", 0, std::string(4096, 'x')}}) {
    EXPECT_EQ(writer.files()->WriteBlocks({&bad, 1}).error().code, Code::kCorrupt) << bad.name;
  }
}

TEST_F(LogFilesTest, NothingMayGoOnAfterTheEnd) {
  const ReferenceLog log = ReferenceLog::OfSize(300);
  LogFilesWriter writer(disk_.get());
  ASSERT_TRUE(writer.Append(log, 300, 1).has_value());
  directory_.Write("entries/1", "");  // As a commit leaves it that failed for want of room.
  directory_.Write("entries/1.index", "");
  ASSERT_TRUE(writer.files()->CheckLengths(writer.end()).has_value());
  for (const char* name : {"entries/0", "entries/0.index", "hashes/0", "hashes/1", "hashes/2",
                           "times", "entries/1", "entries/1.index"}) {
    const std::string before = directory_.Read(name);
    directory_.Write(name, before + "x");
    const Status status = writer.files()->CheckLengths(writer.end());
    ASSERT_FALSE(status.has_value()) << name;
    EXPECT_EQ(status.error().code, Code::kCorrupt);
    EXPECT_TRUE(status.error().message.starts_with(std::string(name) + " at byte "));
    directory_.Write(name, before);
  }
  EXPECT_TRUE(writer.files()->CheckLengths(writer.end()).has_value());
}

TEST_F(LogFilesTest, OffsetsOfABundleAreComparedWithItsRows) {
  const ReferenceLog log = ReferenceLog::OfSize(700);
  LogFilesWriter writer(disk_.get());
  ASSERT_TRUE(writer.Append(log, 700, 1).has_value());
  const auto check = [&](uint64_t first, std::span<const uint64_t> offsets) {
    return writer.files()->CheckOffsets(first, offsets);
  };
  std::vector<uint64_t> offsets;
  for (uint64_t i = 256; i < 512; ++i) offsets.push_back(log.Frames(0, i).size());
  EXPECT_TRUE(check(256, offsets).has_value());
  EXPECT_TRUE(check(256, {}).has_value());
  for (size_t from = 0; from < offsets.size(); from += 5) {
    EXPECT_TRUE(check(256 + from, std::span(offsets).subspan(from)).has_value()) << from;
  }
  for (size_t i = 0; i < offsets.size(); ++i) {
    offsets[i] += 1;
    EXPECT_EQ(check(256, offsets).has_value(), i % kIndexStride != 0) << i;
    offsets[i] -= 1;
  }
  EXPECT_EQ(check(512, offsets).error().code, Code::kCorrupt);  // 12 rows are there.
  directory_.Flip("entries/0.index", 8 * 20);
  EXPECT_EQ(check(256, offsets).error().message, "entries/0.index at byte 160: no possible offset");
  std::string index = directory_.Read("entries/0.index");
  StoreBigEndian<uint64_t>(20 * 16 * kFrameHeaderLength - 1, index.data() + 160);
  directory_.Write("entries/0.index", index);
  EXPECT_EQ(check(320, std::span(offsets).subspan(64)).error().code, Code::kCorrupt);
}

TEST_F(LogFilesTest, MissingAndShortFilesAreCorrupt) {
  const ReferenceLog log = ReferenceLog::OfSize(300);
  LogFilesWriter writer(disk_.get());
  ASSERT_TRUE(writer.Append(log, 300, 1).has_value());
  const auto files = LogFiles::Open(disk_.get(), Access::kRead).value();
  std::filesystem::resize_file(directory_.path() / "entries/0", log.Frames(0, 299).size() + 3);
  EXPECT_EQ(files->ReadFrames(299, 1, 300).error().code, Code::kCorrupt);
  EXPECT_TRUE(files->ReadFrames(298, 1, 300).has_value());
  EXPECT_EQ(files->FrameOffset(300, 300).error().message,
            "entries/0 at byte " + std::to_string(log.Frames(0, 299).size()) +
                ": the length of entry 299 leads outside");
  std::filesystem::resize_file(directory_.path() / "entries/0.index", 18 * 8 + 7);
  EXPECT_EQ(files->FrameOffset(290, 300).error().code, Code::kCorrupt);

  std::filesystem::remove(directory_.path() / "entries/0");
  const auto fresh = LogFiles::Open(disk_.get(), Access::kRead).value();
  EXPECT_EQ(fresh->ReadFrames(0, 1, 300).error().code, Code::kCorrupt);
  for (const char* name : {"hashes/7", "times"}) {
    std::filesystem::remove(directory_.path() / name);
    EXPECT_EQ(LogFiles::Open(disk_.get(), Access::kReadWrite).error().code, Code::kCorrupt) << name;
    // To be read, the rest of it opens.
    const auto rest = LogFiles::Open(disk_.get(), Access::kRead).value();
    ASSERT_EQ(rest->lost().size(), 1u);
    EXPECT_EQ(rest->lost()[0].message, "open " + std::string(name) + ": No such file or directory");
    Hash node;
    EXPECT_EQ(rest->ReadNodes(7, 0, std::span(&node, 1)).error().code, Code::kCorrupt);
    EXPECT_EQ(rest->Time(0).has_value(), std::string(name) != "times");
    EXPECT_EQ(rest->CheckWhole(300).error().code, Code::kCorrupt);
    directory_.Write(name, "");
  }
  // A segment that was lost is not made anew.
  EXPECT_EQ(LogFilesWriter(disk_.get()).files()->FrameOffset(16, 300).error().code, Code::kCorrupt);
  EXPECT_FALSE(std::filesystem::exists(directory_.path() / "entries/0"));
}

// Whatever the index says, nothing reads outside, hangs or crashes.
TEST_F(LogFilesTest, ASpoiledByteIsAnErrorOrAnotherAnswer) {
  const ReferenceLog log = RandomLog(120, 40, 5);
  LogFilesWriter writer(disk_.get());
  ASSERT_TRUE(writer.Append(log, 120, 1).has_value());
  int errors = 0;
  for (const char* name : {"entries/0", "entries/0.index", "times"}) {
    const size_t length = directory_.Read(name).size();
    for (size_t i = 0; i < length; i += 1 + length / 200) {
      directory_.Flip(name, i);
      const auto files = LogFiles::Open(disk_.get(), Access::kRead).value();
      for (uint64_t index = 0; index < 120; index += 7) {
        const auto frames = files->ReadFrames(index, 120 - index, 120);
        const auto found = files->FindText(index * 20, 120);
        const auto time = files->Time(index);
        for (const bool failed : {!frames.has_value(), !found.has_value(), !time.has_value()}) {
          errors += failed ? 1 : 0;
        }
        if (!frames.has_value()) {
          ASSERT_EQ(frames.error().code, Code::kCorrupt);
        }
      }
      directory_.Flip(name, i);
    }
  }
  EXPECT_GT(errors, 100);
}

TEST_F(LogFilesTest, KeepsFewSegmentsOpen) {
  constexpr uint64_t kSegments = kMaxOpenSegments + 20;
  const std::string frames(kSegmentEntries * kFrameHeaderLength, '\0');
  for (uint64_t n = 0; n < kSegments; ++n) {
    std::string rows;
    for (uint64_t i = 0; i < kSegmentEntries; i += kIndexStride) {
      AppendBigEndian(&rows, n * frames.size() + i * kFrameHeaderLength);
    }
    directory_.Write(SegmentName(n), frames);
    directory_.Write(SegmentIndexName(n), rows);
  }
  const uint64_t size = kSegments * kSegmentEntries;
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto files = LogFiles::Open(disk_.get(), Access::kRead).value();
  const auto before = open_files();
  for (int round = 0; round < 2; ++round) {
    for (uint64_t n = 0; n < kSegments; ++n) {
      const uint64_t first = n * kSegmentEntries + 5;
      ASSERT_EQ(files->ReadFrames(first, 1, size).value(), std::string(2, '\0'));
      ASSERT_EQ(files->FindText(first, size).value(), first);
    }
  }
  EXPECT_LE(open_files(), before + 2 * static_cast<ptrdiff_t>(kMaxOpenSegments));
}

TEST_F(LogFilesTest, ManyReadersBesideOneWriter) {
  const ReferenceLog log = RandomLog(3000, 30, 6);
  std::vector<uint64_t> offsets = {0};
  for (uint64_t i = 0; i < log.size(); ++i) offsets.push_back(offsets[i] + 2 + log.entry(i).size());
  const std::string frames = log.Frames(0, log.size());
  LogFilesWriter writer(disk_.get());
  std::atomic<uint64_t> size = 0;
  const auto files = LogFiles::Open(disk_.get(), Access::kRead).value();
  std::vector<std::thread> readers;
  for (unsigned seed = 0; seed < 3; ++seed) {
    readers.emplace_back([&, seed] {
      std::mt19937 random(seed);
      for (uint64_t now = 0; now < log.size();) {
        now = size;
        if (now == 0) continue;
        const uint64_t first = random() % now;
        const uint64_t count = 1 + random() % (now - first);
        const auto read = files->ReadFrames(first, count, now);
        ASSERT_TRUE(read.has_value()) << read.error().message;
        ASSERT_EQ(*read, frames.substr(offsets[first], offsets[first + count] - offsets[first]));
        ASSERT_EQ(files->FindText(offsets[first] - first, now).value(), first);
        ASSERT_EQ(files->Time(first).value(), static_cast<int64_t>(first / 50));
      }
    });
  }
  for (uint64_t next = 50; next <= log.size(); next += 50) {
    ASSERT_TRUE(writer.Append(log, next, static_cast<int64_t>(next / 50 - 1)).has_value());
    size = next;
  }
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace logcore
