#include "logcore/posix/check/mend_times.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "logcore/util/check.h"

namespace logcore {
namespace {

constexpr uint64_t kPieceRows = 2730;

// A row and its number.
struct Known {
  uint64_t number = 0;
  TimeRow row;
};

// Whether there is room between the two for the rows that lie between them.
bool FitsBefore(const Known& earlier, const Known& later) {
  const uint64_t steps = later.number - earlier.number;
  return steps <= later.row.first && earlier.row.first <= later.row.first - steps &&
         static_cast<int64_t>(steps) <= later.row.second &&
         earlier.row.second <= later.row.second - static_cast<int64_t>(steps);
}

class Mender {
 public:
  Mender(const File* present, const TimesEvidence& evidence,
         const std::function<Status(uint64_t offset, std::string_view bytes)>& take)
      : present_(present),
        evidence_(evidence),
        take_(take),
        rows_(evidence.replay_point.time_rows),
        end_{rows_, {evidence.replay_point.size, evidence.replay_point.time + 1}} {}

  Result<MendedTimes> Run() {
    mended_.rows = rows_ + evidence_.newer.size();
    for (uint64_t number = 0; number < rows_; ++number) {
      ASSIGN_OR_RETURN(const std::optional<TimeRow> row, Find(number));
      if (!row) continue;
      RETURN_IF_ERROR(Fill({number, *row}));
      RETURN_IF_ERROR(Give(*row));
      before_ = Known{number, *row};
    }
    RETURN_IF_ERROR(Fill(end_));
    for (const TimeRow& row : evidence_.newer) RETURN_IF_ERROR(Give(row));
    RETURN_IF_ERROR(Flush());
    return std::move(mended_);
  }

 private:
  // The row, if it is known: the replay point's block, which nobody writes over, before the file.
  Result<std::optional<TimeRow>> Find(uint64_t number) {
    if (const std::optional<TimeRow> row = FindInBlock(number)) return row;
    std::optional<TimeRow> none;
    if (present_ == nullptr) return none;
    ASSIGN_OR_RETURN(const std::string_view bytes, Read(number));
    const std::optional<TimeRow> row = DecodeTimeRow(bytes);
    if (!row || (number == 0) != (row->first == 0)) return none;
    const Known known{number, *row};
    // Before the first one that is known there are rows from index and second 0 on, at least.
    const Known earlier = before_.value_or(Known{});
    if (number != 0 && !FitsBefore(earlier, known)) return none;
    if (!FitsBefore(known, NextInBlock(number))) return none;
    // The second of the replay point's last row is known.
    if (number + 1 == rows_ && row->second != evidence_.replay_point.time) return none;
    return row;
  }

  std::optional<TimeRow> FindInBlock(uint64_t number) const {
    const uint64_t offset = number * kTimeRowLength;
    if (evidence_.block == nullptr || offset < evidence_.block->offset) return std::nullopt;
    const std::string_view block = evidence_.block->bytes;
    return DecodeTimeRow(block.substr(offset - evidence_.block->offset).substr(0, kTimeRowLength));
  }

  // The first row from `number` on that is in the block; after its last one, the end.
  Known NextInBlock(uint64_t number) const {
    if (evidence_.block == nullptr) return end_;
    const uint64_t first = (evidence_.block->offset + kTimeRowLength - 1) / kTimeRowLength;
    const std::optional<TimeRow> row = FindInBlock(std::max(first, number));
    return row ? Known{std::max(first, number), *row} : end_;
  }

  // A row's bytes; fewer where the file ends.
  Result<std::string_view> Read(uint64_t number) {
    const uint64_t offset = number * kTimeRowLength;
    if (offset < window_offset_ || window_offset_ + kWindowLength <= offset) {
      window_.resize(kWindowLength);
      window_offset_ = offset;
      ASSIGN_OR_RETURN(const size_t length,
                       present_->ReadAt(offset, window_.data(), window_.size()));
      window_.resize(length);
    }
    const size_t begin = std::min<size_t>(offset - window_offset_, window_.size());
    return std::string_view(window_).substr(begin, kTimeRowLength);
  }

  // Rows for the lost ones before `next`.
  Status Fill(const Known& next) {
    for (uint64_t number = before_ ? before_->number + 1 : 0; number < next.number; ++number) {
      ++mended_.lost;
      RETURN_IF_ERROR(Give(RowBetween(number, next)));
    }
    return {};
  }

  // Begins as late as it can have, with the earliest second there can have been then. If no row is
  // known before it, the other way round.
  TimeRow RowBetween(uint64_t number, const Known& next) const {
    const uint64_t to_next = next.number - number;
    const int64_t latest = next.row.second - static_cast<int64_t>(to_next);
    if (!before_) return {number, latest};
    // The second of the replay point's last row is known.
    const bool is_last = number + 1 == rows_;
    const int64_t earliest = before_->row.second + static_cast<int64_t>(number - before_->number);
    return {next.row.first - to_next, is_last ? latest : earliest};
  }

  Status Give(const TimeRow& row) {
    piece_ += EncodeTimeRow(row);
    return piece_.size() < kPieceRows * kTimeRowLength ? Status() : Flush();
  }

  Status Flush() {
    if (piece_.empty()) return {};
    RETURN_IF_ERROR(take_(given_, piece_));
    // Of the rows up to the replay point, those bytes that its block has.
    const uint64_t begin = evidence_.block == nullptr ? ~uint64_t{0} : evidence_.block->offset;
    const uint64_t from = std::max(given_, begin);
    const uint64_t to = std::min(given_ + piece_.size(), rows_ * kTimeRowLength);
    if (from < to) mended_.block += piece_.substr(from - given_, to - from);
    given_ += piece_.size();
    piece_.clear();
    return {};
  }

  static constexpr uint64_t kWindowLength = kPieceRows * kTimeRowLength;
  const File* const present_;
  const TimesEvidence& evidence_;
  const std::function<Status(uint64_t offset, std::string_view bytes)>& take_;
  const uint64_t rows_;  // up to the replay point
  const Known end_;      // of them: no row begins there, or later
  MendedTimes mended_;
  std::optional<Known> before_;  // the newest row that is known
  std::string window_;           // what was read of the file
  uint64_t window_offset_ = ~uint64_t{0} - kWindowLength;
  std::string piece_;  // to be given
  uint64_t given_ = 0;
};

}  // namespace

Result<MendedTimes> MendTimes(
    const File* present, const TimesEvidence& evidence,
    const std::function<Status(uint64_t offset, std::string_view bytes)>& take) {
  return Mender(present, evidence, take).Run();
}

}  // namespace logcore
