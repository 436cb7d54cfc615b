// When a checkpoint was published: the time that its file has for readers. It tells versions apart:
// programs that copy or cache a file take it for unchanged if its length and its time are, and the
// notes of two versions are mostly of one length. So it is later for each version, whatever the
// clock does, and the same in every mount, as it is kept with the checkpoint (published.h).
//
// Some programs compare nanoseconds or microseconds. Others (rsync, nginx, HTTP's Last-Modified)
// compare whole seconds, and a log publishes many versions in one. So a version that shares its
// second with an earlier one does not keep it: once it has been the newest for two seconds, its
// time *settles* at the begin of the next second. Who compares seconds then sees a change at last.
//
//   version   published   shown at once   after two seconds
//   A         10.2        10.2            10.2      the first one of its second: it stays
//   B         10.7        10.7            11        if C had not come, and there is nothing after C
//   C         10.8        10.8            11
//
// How long is told by the machine's uptime, which never steps (disk.h). While the clock is behind,
// as it was ahead before, times go on: at half the speed of time at least, but no faster than it.
//
// Pure; any thread. Tested by tests/logcore/publication_time_test.cc.

#ifndef LOGCORE_PUBLICATION_TIME_H_
#define LOGCORE_PUBLICATION_TIME_H_

#include <cstdint>

namespace logcore {

inline constexpr int64_t kNanoseconds = 1'000'000'000;  // in a second

// All in nanoseconds; times since the epoch of POSIX.
struct PublicationTime {
  int64_t at = 0;
  int64_t settled = 0;  // `at`, or the begin of the second after it
  int64_t uptime = 0;   // of the machine, then
  bool operator==(const PublicationTime&) const = default;
};

// Whether NextPublicationTime can have made it.
bool IsPublicationTime(const PublicationTime& time);

// Of a version before which no other is known, in a log whose newest entry is of this second (0 if
// there is none). It is later than that, as that entry may have been published before.
PublicationTime FirstPublicationTime(int64_t newest_entry, int64_t clock, int64_t uptime);
// Of the version that follows the one of `before`, to be called just before it is written.
PublicationTime NextPublicationTime(const PublicationTime& before, int64_t clock, int64_t uptime);
// What readers see when the machine's uptime is this.
int64_t ShownTime(const PublicationTime& time, int64_t uptime);

}  // namespace logcore

#endif  // LOGCORE_PUBLICATION_TIME_H_
