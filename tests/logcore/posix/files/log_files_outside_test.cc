// Frames that are written before the rest of an append: which they are, and what becomes of them.

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "logcore/posix/disk/posix_disk.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/segments.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/support/temp_log.h"

namespace {

using namespace logcore;
using tlogfs_test::LogFilesWriter;
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
      LogFilesWriter writer(disk.get(), 0);
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
      append.direct = files->DirectPartOf(end, 1, frames.size()).value();
      const auto [skip, direct] = append.direct;
      const uint64_t place = end.frames_end;
      const uint64_t from = RoundUpToBlock(place);
      const uint64_t to = (place + frames.size()) / kBlockLength * kBlockLength;
      ASSERT_EQ(direct, from < to ? to - from : 0) << before << " " << length;
      if (direct == 0) continue;
      ASSERT_EQ(skip, from - place);
      std::string read(direct, '\0');
      EXPECT_FALSE(files->ReadDirect(end, append.direct, read.data()).value());
      ASSERT_TRUE(files->WriteDirect(end, append).has_value());
      EXPECT_TRUE(files->ReadDirect(end, append.direct, read.data()).value());
      EXPECT_EQ(read, frames.substr(skip, direct));
      EXPECT_TRUE(files->CheckLengthsBeforeCut(end).has_value());
      EXPECT_EQ(files->CheckLengths(end).error().code, Code::kCorrupt);
      ASSERT_TRUE(files->CutAfter(end).has_value());
      EXPECT_TRUE(files->CheckLengths(end).has_value());
      ASSERT_TRUE(files->WriteDirect(end, append).has_value());
      ASSERT_TRUE(files->Write(end, append).has_value());
      EXPECT_EQ(directory.Read("entries/0"), log.Frames(0, log.size()));
    }
  }
}

// Entries that were committed after an end, whatever they are, are not taken for what an append
// that died has left behind it: a journal that was rolled back would cut them off.
TEST(LogFilesOutside, CommittedEntriesAreNotTakenForIt) {
  const std::string zeros(kMaxEntryLength, '\0');
  const std::vector<std::vector<std::string>> batches = {{""},
                                                         {"x"},
                                                         {zeros},
                                                         {"x", zeros},
                                                         {"", "", zeros, ""},
                                                         {std::string(4093, 'y')},
                                                         std::vector<std::string>(2048, ""),
                                                         std::vector<std::string>(40'000, ""),
                                                         std::vector<std::string>(5, zeros)};
  for (const uint64_t before : {0u, 1u, 4094u, 4095u, 4096u, 5000u}) {
    for (const uint64_t empty : {0u, 10u, 60'000u}) {
      for (const std::vector<std::string>& batch : batches) {
        const TempDirectory directory;
        const auto disk = OpenPosixDisk(directory.path()).value();
        ASSERT_TRUE(LogFiles::Create(disk.get()).has_value());
        LogFilesWriter writer(disk.get());
        ReferenceLog log;
        if (before != 0) log.Add(std::string(before, 'b'));
        for (uint64_t i = 0; i < empty; ++i) log.Add("");
        if (log.size() != 0) {
          ASSERT_TRUE(writer.Append(log, log.size(), 1).has_value());
        }
        const LogEnd end = writer.end();
        EXPECT_TRUE(writer.files()->CheckLengthsBeforeCut(end).has_value());
        std::map<std::string, std::string> others;  // files that are rolled back
        for (const std::string name : {"entries/0.index", "hashes/0", "hashes/1", "times"}) {
          if (log.size() != 0 || !name.starts_with("entries")) others[name] = directory.Read(name);
        }
        for (const std::string& entry : batch) {
          if (log.size() < kSegmentEntries) log.Add(entry);
        }
        ASSERT_TRUE(writer.Append(log, log.size(), 1).has_value());
        for (const auto& [name, bytes] : others) directory.Write(name, bytes);
        const Status found = writer.files()->CheckLengthsBeforeCut(end);
        ASSERT_FALSE(found.has_value()) << before << " " << empty << " " << batch.size();
        EXPECT_EQ(found.error().code, Code::kCorrupt);
      }
    }
  }
}

// A batch of the length that a store leaves outside, behind its gap.
TEST(LogFilesOutside, WhatIsBehindTheGapIsCutOff) {
  for (const uint64_t before : {0u, 1u, 5000u}) {
    const TempDirectory directory;
    const auto disk = OpenPosixDisk(directory.path()).value();
    ASSERT_TRUE(LogFiles::Create(disk.get()).has_value());
    LogFilesWriter writer(disk.get());
    ReferenceLog log;
    if (before != 0) {
      log.Add(std::string(before, 'b'));
      ASSERT_TRUE(writer.Append(log, 1, 1).has_value());
    }
    const LogEnd end = writer.end();
    const uint64_t first = log.size();
    for (int i = 0; i < 10; ++i) log.Add(std::string(60'000, 'x'));
    const std::string frames = log.Frames(first, log.size());
    std::vector<Hash> leaf_hashes;
    for (uint64_t i = first; i < log.size(); ++i) leaf_hashes.push_back(log.LeafHash(i));
    const Prepared prepared = Prepare(writer.range(), end.frames_end, frames, leaf_hashes);
    LogAppend append{
        .frames = frames, .leaf_hashes = leaf_hashes, .prepared = &prepared, .time = 2};
    LogFiles* const files = writer.files().get();
    ASSERT_TRUE(files->Reserve(end, append).has_value());
    append.direct = files->DirectPartOf(end, leaf_hashes.size(), frames.size()).value();
    EXPECT_GT(append.direct.skip, kMaxEntryLength + 2 * (kSegmentEntries - end.size));
    EXPECT_GT(append.direct.length, 300'000u);
    ASSERT_TRUE(files->WriteDirect(end, append).has_value());
    EXPECT_TRUE(files->CheckLengthsBeforeCut(end).has_value());
    ASSERT_TRUE(files->CutAfter(end).has_value());
    EXPECT_EQ(directory.Read("entries/0"), log.Frames(0, first));
    ASSERT_TRUE(files->WriteDirect(end, append).has_value());
    ASSERT_TRUE(files->Write(end, append).has_value());
    EXPECT_EQ(directory.Read("entries/0"), log.Frames(0, log.size()));
  }
}

TEST(LogFilesOutside, FramesOfTwoSegmentsHaveNothingOutside) {
  const TempDirectory directory;
  const auto disk = OpenPosixDisk(directory.path()).value();
  ASSERT_TRUE(LogFiles::Create(disk.get()).has_value());
  LogFilesWriter writer(disk.get(), 0);
  const ReferenceLog log = ReferenceLog::OfManyLengths(kSegmentEntries);
  ASSERT_TRUE(writer.Append(log, kSegmentEntries - 2, 1).has_value());
  const LogFiles& files = *writer.files();
  EXPECT_NE(files.DirectPartOf(writer.end(), 2, 100'000).value().length, 0u);
  EXPECT_EQ(files.DirectPartOf(writer.end(), 3, 100'000).value().length, 0u);
  ASSERT_TRUE(writer.Append(log, kSegmentEntries, 1).has_value());
  // A segment that is not there yet begins with a block.
  EXPECT_EQ(files.DirectPartOf(writer.end(), 1, 10'000).value().skip, 0u);
  EXPECT_EQ(files.DirectPartOf(writer.end(), 1, 10'000).value().length, 8192u);
  EXPECT_TRUE(writer.files()->CutAfter(writer.end()).has_value());
}

}  // namespace
