// Frames that are written before the rest of an append: which they are, and what becomes of them.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "logcore/log_files.h"
#include "logcore/posix_disk.h"
#include "tests/support/temp_log.h"

namespace {

using namespace logcore;
using tlogfs_test::LogWriter;
using tlogfs_test::ReferenceLog;
using tlogfs_test::TempDirectory;

// Wherever a batch begins in a block, and however long it is: what is outside are the whole blocks;
// it is read back before the rest is there; the file is the same as if all had been written at
// once; and what nobody needs is cut off again.
TEST(LogFilesOutside, WholeBlocksAreWrittenOnTheirOwn) {
  for (const uint64_t before : {0u, 1u, 1000u, 4093u, 4094u, 4095u, 5000u}) {
    for (const uint64_t length : {1u, 4000u, 4094u, 8190u, 12'000u, 60'000u}) {
      const TempDirectory directory;
      const auto disk = OpenPosixDisk(directory.path()).value();
      ASSERT_TRUE(LogFiles::Create(disk.get()).has_value());
      LogWriter writer(disk.get());
      ReferenceLog log;
      if (before != 0) {
        log.Add(std::string(before, 'b'));
        ASSERT_TRUE(writer.Append(log, 1, 1).has_value());
      }
      const uint64_t first = log.size();
      log.Add(std::string(length, 'x'));
      const LogEnd end = writer.end();
      const std::string frames = log.Frames(first, first + 1);
      const std::vector<Hash> leaf_hashes = {log.LeafHash(first)};
      const Prepared prepared = Prepare(writer.range(), end.frames_end, frames, leaf_hashes);
      LogAppend append{
          .frames = frames, .leaf_hashes = leaf_hashes, .prepared = &prepared, .time = 2};
      LogFiles* const files = writer.files().get();
      ASSERT_TRUE(files->Reserve(end, append).has_value());
      append.outside = files->OutsideOf(end, 1, frames.size()).value();
      const auto [skip, outside] = append.outside;
      const uint64_t place = end.frames_end;
      const uint64_t from = (place + kBlockLength - 1) / kBlockLength * kBlockLength;
      const uint64_t to = (place + frames.size()) / kBlockLength * kBlockLength;
      ASSERT_EQ(outside, from < to ? to - from : 0) << before << " " << length;
      if (outside == 0) continue;
      ASSERT_EQ(skip, from - place);
      std::string read(outside, '\0');
      EXPECT_FALSE(files->ReadOutside(end, append.outside, read.data()).value());
      ASSERT_TRUE(files->WriteOutside(end, append).has_value());
      EXPECT_TRUE(files->ReadOutside(end, append.outside, read.data()).value());
      EXPECT_EQ(read, frames.substr(skip, outside));
      EXPECT_TRUE(files->CheckLengthsBeforeCut(end).has_value());
      EXPECT_EQ(files->CheckLengths(end).error().code, Code::kCorrupt);
      ASSERT_TRUE(files->CutAfter(end).has_value());
      EXPECT_TRUE(files->CheckLengths(end).has_value());
      ASSERT_TRUE(files->WriteOutside(end, append).has_value());
      ASSERT_TRUE(files->Write(end, append).has_value());
      EXPECT_EQ(directory.Read("entries/0"), log.Frames(0, log.size()));
    }
  }
}

TEST(LogFilesOutside, FramesOfTwoSegmentsHaveNothingOutside) {
  const TempDirectory directory;
  const auto disk = OpenPosixDisk(directory.path()).value();
  ASSERT_TRUE(LogFiles::Create(disk.get()).has_value());
  LogWriter writer(disk.get());
  const ReferenceLog log = ReferenceLog::OfManyLengths(kSegmentEntries);
  ASSERT_TRUE(writer.Append(log, kSegmentEntries - 2, 1).has_value());
  const LogFiles& files = *writer.files();
  EXPECT_NE(files.OutsideOf(writer.end(), 2, 100'000).value().length, 0u);
  EXPECT_EQ(files.OutsideOf(writer.end(), 3, 100'000).value().length, 0u);
  ASSERT_TRUE(writer.Append(log, kSegmentEntries, 1).has_value());
  // A segment that is not there yet begins with a block.
  EXPECT_EQ(files.OutsideOf(writer.end(), 1, 10'000).value().skip, 0u);
  EXPECT_EQ(files.OutsideOf(writer.end(), 1, 10'000).value().length, 8192u);
  EXPECT_TRUE(writer.files()->CutAfter(writer.end()).has_value());
}

}  // namespace
