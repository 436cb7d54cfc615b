#include "logcore/publication_time.h"

#include <algorithm>

namespace logcore {
namespace {

// A writer takes a time for settled a second before readers do: another version is visible only a
// moment after its time was chosen.
constexpr int64_t kSettledForWriters = kNanoseconds;
constexpr int64_t kSettledForReaders = 2 * kNanoseconds;
// Servers and scripts round to microseconds.
constexpr int64_t kStep = 1000;
// Times of the clock and of files end in 2262.
constexpr int64_t kMaxTime = INT64_MAX - 2 * kNanoseconds;

int64_t NextSecond(int64_t time) {
  return time / kNanoseconds * kNanoseconds + kNanoseconds;
}

// Since the version was published. In another boot the uptime may be smaller: a boot takes longer
// than anything that is asked here.
int64_t Elapsed(const PublicationTime& time, int64_t uptime) {
  return time.uptime <= uptime ? uptime - time.uptime : kSettledForReaders;
}

}  // namespace

bool IsPublicationTime(const PublicationTime& time) {
  return 0 <= time.at && time.at <= kMaxTime && 0 <= time.uptime &&
         (time.settled == time.at || time.settled == NextSecond(time.at));
}

PublicationTime FirstPublicationTime(int64_t newest_entry, int64_t clock, int64_t uptime) {
  const int64_t second = std::clamp<int64_t>(newest_entry, 0, kMaxTime / kNanoseconds - 1);
  const int64_t at = std::clamp(clock, NextSecond(second * kNanoseconds), kMaxTime);
  return {at, at, std::max<int64_t>(uptime, 0)};
}

PublicationTime NextPublicationTime(const PublicationTime& before, int64_t clock, int64_t uptime) {
  const int64_t elapsed = Elapsed(before, uptime);
  const int64_t seen = kSettledForWriters <= elapsed ? before.settled : before.at;
  int64_t at = clock;
  if (clock < seen + kStep) {
    at = std::max(seen + kStep, before.at + std::min(elapsed, kNanoseconds) / 2);
    if (clock <= seen && kNanoseconds <= elapsed) at = NextSecond(seen);
  }
  at = std::min(at, kMaxTime);
  const bool shares_second = at / kNanoseconds == seen / kNanoseconds;
  return {at, shares_second ? NextSecond(at) : at, std::max<int64_t>(uptime, 0)};
}

int64_t ShownTime(const PublicationTime& time, int64_t uptime) {
  return kSettledForReaders <= Elapsed(time, uptime) ? time.settled : time.at;
}

}  // namespace logcore
