// A store that was copied while it was in use, by cp, tar or rsync, looks like a damaged one: its
// files are of different moments. It can be told that a store is a copy, and so what may be wrong.
//
// One thread. Tested by tests/mount/backup_test.py and tests/mountd/run_test.cc.

#ifndef MOUNTD_HOT_COPY_H_
#define MOUNTD_HOT_COPY_H_

#include "logcore/posix/disk/disk.h"
#include "logcore/util/result.h"

namespace mountd {

inline constexpr char kHotCopy[] =
    "was it copied while in use? tlogfs backup makes a consistent copy";

// Whether the store is not where it takes appends, and is no backup either.
bool IsPlainCopy(logcore::Disk* disk);

// The error, and where it may come from that the store is a copy, that too.
logcore::Error ExplainCopy(logcore::Disk* disk, logcore::Error error);

}  // namespace mountd

#endif  // MOUNTD_HOT_COPY_H_
