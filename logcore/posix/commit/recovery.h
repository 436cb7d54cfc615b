// Recovery: from what is on the disk to the state that the next record goes after. Run by a
// process that opens a store, or takes the commit lock, and finds that the last writer died.
//
//   1. a replay slot that is known to be on the disk; rewrite the partial blocks it kept; its right
//      edge must give its root
//   2. follow the chain of records: each must have the next sequence, the mac of the one before,
//      and the root that its frames give; adopt it: *rewrite* what it adds to the files, and itself
//      if it may be in the page cache alone. Not merely sync: after a failed sync the kernel has
//      marked the pages clean, and a later sync would succeed without writing anything
//   3. refuse where this is not a torn end but damage: a valid record of a later sequence anywhere,
//      files longer than the journal explains, a record that `lock` knows to be committed and the
//      journal does not have, a published checkpoint that is not covered
//   4. only then cut off what a commit that died has written outside its record; sync it all
//
// All that is for a new boot, and after a sync that failed. Where a writer merely died, the page
// cache still has what every commit before it wrote: recovery begins at the writer state, with the
// one record that may be under way.
//
// What is known to be on the disk is never written over: a power cut could tear it. The writer
// state of this boot says what is: its replay slot, and every record up to the one it names; and
// frames outside of a record are, if there is one. In a new boot all that can be read is on the
// disk, except what a recovery wrote that was killed: the files that it may have put blocks back
// into are synced even if the blocks are right.
//
// Idempotent: dying anywhere in it and running it again gives the same. Only what is proved by mac
// and root is ever written.
//
// One thread, which holds the commit lock. Tested by tests/crash/crash_test.cc.

#ifndef LOGCORE_POSIX_COMMIT_RECOVERY_H_
#define LOGCORE_POSIX_COMMIT_RECOVERY_H_

#include <functional>
#include <optional>

#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/published.h"
#include "logcore/util/result.h"

namespace logcore {

struct Recovered {
  ReplayPoint replay_point;  // the slot that it began from
  LogState state;            // after the last adopted record
};

enum class RecoverFrom {
  kReplayPoint,  // Under the replay point lock and the commit lock.
  kWriterState,  // Under the commit lock.
};

// `writer`: what `lock` says, if it was written in this boot; else null. `known`: what it says,
// whenever it was written: kCorrupt if the journal does not lead to what it knows.
// `note_durable` is called when a record has become known to be on the disk, before the files are
// written: from then on it must not be written over by another recovery.
Result<Recovered> Recover(File* journal, LogFiles* files, const PublishedFile& published,
                          const WriterState* writer, const std::optional<WriterState>& known,
                          RecoverFrom from,
                          const std::function<Status(uint64_t sequence)>& note_durable);

// The replay slots are the replay point lock's, in a backup the BackupLock's (backup_files.h).

// Writes the replay point into replay slot 0 or 1, and zeros after it, and syncs it.
Status WriteReplaySlot(File* journal, uint64_t number, const ReplayPoint& replay_point);
// Writes it over the replay slot that is not the one of `kept_sequence`, and syncs it.
Status WriteReplayPoint(File* journal, const ReplayPoint& replay_point, uint64_t kept_sequence);
// Writes zeros over the replay slot that does not hold it, and syncs it.
Status EraseOtherReplayPoint(File* journal, const ReplayPoint& replay_point);
// Writes zeros over what a power cut or a kill left of a replay slot. Without the lock a slot that
// looks torn may be one that another process is writing.
Status EraseTornReplayPoint(File* journal);

// kCorrupt unless the tree of `state` contains the one of `head`.
Status CheckCovers(const LogFiles& files, const LogState& state, const TreeHead& head);
// kCorrupt unless the files give `range` at their right edge.
Status CheckEdge(const LogFiles& files, const CompactRange& range);

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_RECOVERY_H_
