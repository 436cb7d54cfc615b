#include "logcore/posix/check/mend_times.h"
#include "logcore/posix/files/log_files.h"

#include <gtest/gtest.h>

#include <random>

#include "logcore/posix/disk/posix_disk.h"
#include "tests/support/temp_log.h"

namespace logcore {
namespace {

using tlogfs_test::TempDirectory;

constexpr uint64_t kRows = 400;

class MendTimesTest : public testing::Test {
 protected:
  MendTimesTest() {
    for (uint64_t i = 0; i < kRows; ++i) {
      rows_.push_back({3 * i, 1000 + 10 * static_cast<int64_t>(i)});
      bytes_ += EncodeTimeRow(rows_.back());
    }
    replay_point_ = {
        .size = 3 * kRows, .frames_end = 0, .time_rows = kRows, .time = rows_.back().second};
    block_.name = kTimesName;
    block_.offset = bytes_.size() / kBlockLength * kBlockLength;
    block_.bytes = bytes_.substr(block_.offset);
  }

  // Mends a file of these bytes; nothing: it is lost. The result is a possible file.
  MendedTimes Mend(const std::optional<std::string>& present, const Block* block,
                   const std::vector<TimeRow>& newer = {}) {
    std::unique_ptr<File> file;
    if (present) {
      directory_.Write("present", *present);
      file = disk_->Open("present", Access::kRead).value();
    }
    mended_.clear();
    const Result<MendedTimes> result =
        MendTimes(file.get(), {replay_point_, block, newer},
                  [this](uint64_t offset, std::string_view bytes) -> Status {
                    EXPECT_EQ(offset, mended_.size());
                    mended_ += bytes;
                    return {};
                  });
    EXPECT_TRUE(result.has_value());
    EXPECT_EQ(mended_.size(), (kRows + newer.size()) * kTimeRowLength);
    directory_.Write("mended", mended_);
    const auto again = disk_->Open("mended", Access::kRead).value();
    EXPECT_TRUE(CheckTimeRows(*again, replay_point_.size + 1).has_value());
    EXPECT_EQ(FindTime(*again, replay_point_.size - 1).value(), replay_point_.time);
    if (block != nullptr) {
      EXPECT_EQ(result->block, mended_.substr(block->offset, block->bytes.size()));
    }
    return *result;
  }
  TimeRow Row(uint64_t number) const {
    return *DecodeTimeRow(
        std::string_view(mended_).substr(number * kTimeRowLength, kTimeRowLength));
  }

  const TempDirectory directory_;
  const std::unique_ptr<Disk> disk_ = OpenPosixDisk(directory_.path()).value();
  std::vector<TimeRow> rows_;
  std::string bytes_;
  LogEnd replay_point_;
  Block block_;
  std::string mended_;
};

TEST_F(MendTimesTest, WhatIsWholeStays) {
  for (const Block* const block : std::initializer_list<const Block*>{nullptr, &block_}) {
    EXPECT_EQ(Mend(bytes_, block).lost, 0u);
    EXPECT_EQ(mended_, bytes_);
    EXPECT_EQ(Mend(bytes_ + "more", block).lost, 0u);
    EXPECT_EQ(mended_, bytes_);
  }
}

TEST_F(MendTimesTest, RowsThatTheBaseKeepsAreNotLost) {
  std::string cut = bytes_.substr(0, block_.offset);
  EXPECT_EQ(Mend(cut, &block_).lost, block_.offset % kTimeRowLength == 0 ? 0u : 1u);
  cut += std::string(block_.bytes.size(), '\0');
  cut.replace(block_.offset, 16, block_.bytes, 0, 16);
  EXPECT_EQ(Mend(cut, &block_).lost, 0u);
  EXPECT_EQ(mended_, bytes_);
}

// Entries of lost rows have the second of a row before them.
TEST_F(MendTimesTest, LostRowsBecomeOthersBetweenTheirNeighbours) {
  std::string spoiled = bytes_;
  for (const uint64_t row : {0u, 1u, 50u, 51u, 52u, 200u, 399u}) spoiled[row * kTimeRowLength] ^= 1;
  EXPECT_EQ(Mend(spoiled, nullptr).lost, 7u);
  for (uint64_t number = 0; number < kRows; ++number) {
    const TimeRow row = Row(number);
    if (number == 0 || number == 1) {
      EXPECT_EQ(row.first, number);
    } else if (number == 399) {
      EXPECT_EQ(row.first, replay_point_.size - 1);
    } else if (50 <= number && number <= 52) {
      EXPECT_EQ(row.first, 3 * 53 - (53 - number));
    } else if (number != 200) {
      EXPECT_EQ(row.first, 3 * number);
    }
    // Of those before which no row is known, the second is the latest there can have been.
    if (1 < number) {
      EXPECT_LE(row.second, rows_[number].second);
    }
  }
}

// Whatever the rows are, and whichever of them are lost, but the first one.
TEST_F(MendTimesTest, NobodysTimeIsLaterThanItWas) {
  std::mt19937 random(7);
  for (int turn = 0; turn < 200; ++turn) {
    rows_.assign(1, {0, 100});
    while (rows_.size() < kRows) {
      rows_.push_back({rows_.back().first + 1 + random() % 30,
                       rows_.back().second + 1 + static_cast<int64_t>(random() % 1000)});
    }
    std::string bytes;
    for (const TimeRow& row : rows_) {
      bytes += EncodeTimeRow(row);
      if (row.first != 0 && random() % 3 == 0) bytes.back() = static_cast<char>(~bytes.back());
    }
    replay_point_.size = rows_.back().first + 1 + random() % 30;
    replay_point_.time = rows_.back().second;
    Mend(bytes, nullptr);
    size_t was = 0;
    size_t is = 0;
    for (uint64_t index = 0; index < replay_point_.size; ++index) {
      while (was + 1 < kRows && rows_[was + 1].first <= index) ++was;
      while (is + 1 < kRows && Row(is + 1).first <= index) ++is;
      ASSERT_LE(Row(is).second, rows_[was].second) << index;
    }
  }
}

TEST_F(MendTimesTest, AFileThatIsLost) {
  const MendedTimes alone = Mend(std::nullopt, nullptr);
  EXPECT_EQ(alone.lost, kRows);
  // Nearly all entries have the newest one's second.
  EXPECT_EQ(Row(kRows - 1).first, kRows - 1);
  const MendedTimes with_block = Mend(std::nullopt, &block_);
  EXPECT_EQ(with_block.lost, (block_.offset + kTimeRowLength - 1) / kTimeRowLength);
  EXPECT_NE(with_block.block, block_.bytes);  // of its first row it had only the end
  const MendedTimes with_newer = Mend(std::nullopt, nullptr, {{3 * kRows, 9000}});
  EXPECT_EQ(with_newer.rows, kRows + 1);
  EXPECT_EQ(Row(kRows).second, 9000);
}

// Rows of another time or place are no rows of this file.
TEST_F(MendTimesTest, RowsThatCannotBe) {
  std::string other;
  for (uint64_t i = 0; i < kRows; ++i) other += EncodeTimeRow({900 + i, 5});
  EXPECT_EQ(Mend(other, nullptr).lost, kRows);
  // Two rows are missing in the middle.
  const std::string joined =
      bytes_.substr(0, 100 * kTimeRowLength) + bytes_.substr(102 * kTimeRowLength);
  EXPECT_LE(Mend(joined, nullptr).lost, 4u);
  std::string negative = bytes_;
  negative.replace(0, kTimeRowLength, EncodeTimeRow({0, 1 << 30}));
  EXPECT_EQ(Mend(negative, nullptr).lost, 1u);
}

}  // namespace
}  // namespace logcore
