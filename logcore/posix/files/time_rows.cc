#include "logcore/posix/files/time_rows.h"

#include <algorithm>

#include "logcore/posix/files/segments.h"
#include "logcore/tlog/hash.h"
#include "logcore/util/bytes.h"

namespace logcore {

Result<TimeRow> ReadTimeRow(const File& times, uint64_t number) {
  char bytes[kTimeRowLength];
  RETURN_IF_ERROR(ReadExactly(times, kTimesName, number * kTimeRowLength, bytes, sizeof(bytes)));
  const std::optional<TimeRow> row = DecodeTimeRow({bytes, sizeof(bytes)});
  if (!row) return FailCorrupt(kTimesName, number * kTimeRowLength, "no possible row");
  return *row;
}

std::string EncodeTimeRow(const TimeRow& row) {
  std::string bytes;
  AppendBigEndian(&bytes, row.first);
  AppendBigEndian(&bytes, static_cast<uint64_t>(row.second));
  bytes.append(Sha256({bytes}).view().substr(0, 8));
  return bytes;
}

std::optional<TimeRow> DecodeTimeRow(std::string_view bytes) {
  if (bytes.size() != kTimeRowLength) return std::nullopt;
  const TimeRow row{LoadBigEndian<uint64_t>(bytes.data()),
                    static_cast<int64_t>(LoadBigEndian<uint64_t>(bytes.data() + 8))};
  if (row.second < 0 || EncodeTimeRow(row) != bytes) return std::nullopt;
  return row;
}

// Binary search for the last row that begins at or before the index. Rows that another process is
// appending right now begin after every index that is asked for.
Result<int64_t> FindTime(const File& times, uint64_t index) {
  ASSIGN_OR_RETURN(const uint64_t length, times.Length());
  uint64_t low = 0;
  uint64_t high = std::max<uint64_t>(length / kTimeRowLength, 1) - 1;
  while (low < high) {
    const uint64_t middle = high - (high - low) / 2;
    ASSIGN_OR_RETURN(const TimeRow row, ReadTimeRow(times, middle));
    if (row.first <= index) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  ASSIGN_OR_RETURN(const TimeRow row, ReadTimeRow(times, low));
  if (index < row.first) return FailCorrupt(kTimesName, low * kTimeRowLength, "begins too late");
  return row.second;
}

Status CheckTimeRows(const File& times, uint64_t size) {
  ASSIGN_OR_RETURN(const uint64_t length, times.Length());
  std::optional<TimeRow> before;
  for (uint64_t number = 0; (number + 1) * kTimeRowLength <= length; ++number) {
    ASSIGN_OR_RETURN(const TimeRow row, ReadTimeRow(times, number));
    if (size <= row.first) break;
    if (before ? row.first <= before->first || row.second <= before->second : row.first != 0) {
      return FailCorrupt(kTimesName, number * kTimeRowLength, "does not go on from the row before");
    }
    before = row;
  }
  if (size != 0 && !before) return FailCorrupt(kTimesName, 0, "has no row");
  return {};
}

}  // namespace logcore
