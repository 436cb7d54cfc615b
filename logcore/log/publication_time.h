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
// How long is told by the machine's uptime, which never steps (disk.h); what was published in
// another boot has settled. While the clock is behind, as it was ahead before, times go on: at half
// the speed of time at least, but no faster than it.
//
// Known holes: in two cases a version gets an earlier time than one that was seen before.
//
//   A power cut takes back publications that the kernel had not written out, as publishing does not
//   sync. The next version gets a time after those that are left; after the newest entry's second,
//   if both slots were torn. A lost time is later than that if the clock was ahead, and was set
//   back.
//   A writer that is stopped for a second between choosing a time and writing it, which is the next
//   thing that it does, lets the version before settle meanwhile, at a later time than the chosen.
//
// Pure; any thread. Tested by tests/logcore/log/publication_time_test.cc and publication_test.cc.

#ifndef LOGCORE_LOG_PUBLICATION_TIME_H_
#define LOGCORE_LOG_PUBLICATION_TIME_H_

#include <cstdint>
#include <string_view>

namespace logcore {

inline constexpr int64_t kNanoseconds = 1'000'000'000;  // in a second

// A moment of a machine: 15 bits that tell its boots apart, made from the id of the boot, and 48
// bits of the uptime in microseconds.
int64_t MomentOf(std::string_view boot_id, int64_t uptime);

// In nanoseconds since the epoch of POSIX, but for the moment.
struct PublicationTime {
  int64_t at = 0;
  int64_t settled = 0;  // `at`, or the begin of the second after it
  int64_t moment = 0;   // MomentOf then
  bool operator==(const PublicationTime&) const = default;
};

// Whether NextPublicationTime can have made it.
bool IsPublicationTime(const PublicationTime& time);

// The time of a version before which no other is known, in a log whose newest entry is of this
// second (0 if there is none). It is later than that, as that entry may have been published before.
PublicationTime FirstPublicationTime(int64_t newest_entry, int64_t clock, int64_t moment);
// The time of the version that follows the one of `before`. To be called just before it is written.
PublicationTime NextPublicationTime(const PublicationTime& before, int64_t clock, int64_t moment);
// What readers see at this moment.
int64_t ShownTime(const PublicationTime& time, int64_t moment);

}  // namespace logcore

#endif  // LOGCORE_LOG_PUBLICATION_TIME_H_
