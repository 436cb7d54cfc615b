// LogClock: the second in which entries are integrated. Seconds of a log never go back
// (time_rows.h), but clocks do. A clock that was ahead leaves the newest entry in the future. Once
// it is right again, the log's time goes on at half the speed of time, in the way of adjtime(3),
// until the clock has caught up: it is neither stuck nor wrong for ever. Nothing of this is kept:
// another process begins where the newest entry is.
//
// One thread. Tested by tests/logcore/posix/commit/log_clock_test.cc.

#ifndef LOGCORE_POSIX_COMMIT_LOG_CLOCK_H_
#define LOGCORE_POSIX_COMMIT_LOG_CLOCK_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "logcore/log/publication_time.h"

namespace logcore {

class LogClock {
 public:
  // Nanoseconds: since the epoch of POSIX, which may step; and the machine's uptime (disk.h).
  LogClock(std::function<int64_t()> clock, std::function<int64_t()> uptime)
      : clock_(std::move(clock)), uptime_(std::move(uptime)) {}

  // The POSIX second for entries after one of second `newest`, which it is not before.
  int64_t SecondAfter(int64_t newest) {
    const int64_t second = clock_() / kNanoseconds;
    if (newest <= second) {
      slow_since_.reset();
      return second;
    }
    const int64_t uptime = uptime_();
    if (!slow_since_) slow_since_ = Begin{.second = newest, .uptime = uptime};
    return std::max(newest,
                    slow_since_->second + (uptime - slow_since_->uptime) / 2 / kNanoseconds);
  }

 private:
  struct Begin {
    int64_t second;
    int64_t uptime;
  };
  std::function<int64_t()> clock_;
  std::function<int64_t()> uptime_;
  std::optional<Begin> slow_since_;  // while the clock is behind
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_LOG_CLOCK_H_
