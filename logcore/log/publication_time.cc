#include "logcore/log/publication_time.h"

#include <algorithm>
#include <cstddef>

#include "logcore/util/bytes.h"

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

// The low bits of a moment are the uptime.
constexpr int kUptimeBits = 48;
constexpr int64_t kUptimeMask = (int64_t{1} << kUptimeBits) - 1;

// Since the version was published. A boot takes longer than anything that is asked here.
int64_t Elapsed(const PublicationTime& time, int64_t moment) {
  const bool is_of_this_boot = time.moment >> kUptimeBits == moment >> kUptimeBits;
  if (!is_of_this_boot || moment < time.moment) return kSettledForReaders;
  return (moment - time.moment) * 1000;
}

}  // namespace

int64_t MomentOf(std::string_view boot_id, int64_t uptime) {
  uint16_t boot = 0;
  for (size_t i = 0; i + 1 < boot_id.size(); i += 2) {
    boot = static_cast<uint16_t>(boot ^ LoadBigEndian<uint16_t>(boot_id.data() + i));
  }
  return int64_t{boot & 0x7fff} << kUptimeBits | std::clamp<int64_t>(uptime / 1000, 0, kUptimeMask);
}

bool IsPublicationTime(const PublicationTime& time) {
  return 0 <= time.at && time.at <= kMaxTime && 0 <= time.moment &&
         (time.settled == time.at || time.settled == NextSecond(time.at));
}

PublicationTime FirstPublicationTime(int64_t newest_entry, int64_t clock, int64_t moment) {
  const int64_t second = std::clamp<int64_t>(newest_entry, 0, kMaxTime / kNanoseconds - 1);
  const int64_t at = std::clamp(clock, NextSecond(second * kNanoseconds), kMaxTime);
  return {at, at, std::max<int64_t>(moment, 0)};
}

PublicationTime NextPublicationTime(const PublicationTime& before, int64_t clock, int64_t moment) {
  const int64_t elapsed = Elapsed(before, moment);
  const int64_t seen = kSettledForWriters <= elapsed ? before.settled : before.at;
  int64_t at = clock;
  if (clock < seen + kStep) {
    at = std::max(seen + kStep, before.at + std::min(elapsed, kNanoseconds) / 2);
    if (clock <= seen && kNanoseconds <= elapsed) at = NextSecond(seen);
  }
  at = std::min(at, kMaxTime);
  const bool shares_second = at / kNanoseconds == seen / kNanoseconds;
  return {at, shares_second ? NextSecond(at) : at, std::max<int64_t>(moment, 0)};
}

int64_t ShownTime(const PublicationTime& time, int64_t moment) {
  return kSettledForReaders <= Elapsed(time, moment) ? time.settled : time.at;
}

}  // namespace logcore
