// The file `times`: when entries were integrated.
//
//   row: first index 8 | POSIX second 8 | SHA-256 of the two [:8]
//
// Big-endian; indexes and seconds both increase. Entries from `first index` on, up to the next
// row's, were integrated in that second, by the log's clock (log_clock.h). Nothing else says when,
// so a row carries its own checksum.
//
// Pure but for reading. Any thread. Tested by tests/logcore/posix/files/log_files_test.cc.

#ifndef LOGCORE_POSIX_FILES_TIME_ROWS_H_
#define LOGCORE_POSIX_FILES_TIME_ROWS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "logcore/posix/disk/disk.h"
#include "logcore/util/result.h"

namespace logcore {

inline constexpr uint64_t kTimeRowLength = 24;
inline constexpr char kTimesName[] = "times";

struct TimeRow {
  uint64_t first = 0;
  int64_t second = 0;
};

std::string EncodeTimeRow(const TimeRow& row);
// kCorrupt unless row `number` is there, and right.
Result<TimeRow> ReadTimeRow(const File& times, uint64_t number);
// Nothing unless these are the bytes of one possible row.
std::optional<TimeRow> DecodeTimeRow(std::string_view bytes);

// The second in which entry `index` was integrated; kCorrupt if no row says so.
Result<int64_t> FindTime(const File& times, uint64_t index);

// kCorrupt unless every row that says something of an entry below `size` is right.
Status CheckTimeRows(const File& times, uint64_t size);

}  // namespace logcore

#endif  // LOGCORE_POSIX_FILES_TIME_ROWS_H_
