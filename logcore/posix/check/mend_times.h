// MendTimes: the file `times` (time_rows.h), as whole as it can be made again. When entries were
// integrated does not follow from them; what is known is
//
//   - rows that are whole, of the file and of the block of it that the newest replay point keeps;
//   - from the journal's records, the rows since that one;
//   - from the replay point: how many rows there were then, and the second of the last one.
//
// The number of rows must stay: the journal says where the next one goes. So each lost row becomes
// another one, that lies between its neighbours. It begins as late and has as early a second as the
// seconds of rows, which increase, allow. So nobody's time is later than it was, but where no row
// before the lost ones is known.
//
// Streams: the file may be long. One thread. Tested by tests/logcore/posix/check/mend_times_test.cc
// and tests/crash/repair_test.cc.

#ifndef LOGCORE_POSIX_CHECK_MEND_TIMES_H_
#define LOGCORE_POSIX_CHECK_MEND_TIMES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/time_rows.h"
#include "logcore/util/result.h"

namespace logcore {

struct TimesEvidence {
  LogEnd replay_point;         // where the log ended at the replay point
  const Block* block;          // the block that it keeps of the file; null: it ends with a block
  std::vector<TimeRow> newer;  // since then
};

struct MendedTimes {
  uint64_t rows = 0;
  uint64_t lost = 0;  // of them
  std::string block;  // what the replay point must keep of the file now
};

// `present`: the file, or null. `take` gets the bytes of all rows, in order, in pieces.
Result<MendedTimes> MendTimes(
    const File* present, const TimesEvidence& evidence,
    const std::function<Status(uint64_t offset, std::string_view bytes)>& take);

}  // namespace logcore

#endif  // LOGCORE_POSIX_CHECK_MEND_TIMES_H_
