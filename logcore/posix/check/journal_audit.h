// The audit (audit.h) of the writer's own files, `journal` and `lock` (journal.h): both replay
// slots, the chain from the replay point to beyond the published size; that the log's files, the
// checkpoint and the writer state are of the same time, so that none of them was rolled back alone;
// and that the store opens for appending, or the backup can be adopted: that is rehearsed.
//
// One thread. Tested by tests/logcore/posix/check/audit_test.cc and backup_audit_test.cc, and by
// tests/crash/rot_test.cc and rollback_test.cc.

#ifndef LOGCORE_POSIX_CHECK_JOURNAL_AUDIT_H_
#define LOGCORE_POSIX_CHECK_JOURNAL_AUDIT_H_

#include <cstdint>
#include <memory>

#include "logcore/posix/disk/disk.h"
#include "logcore/posix/disk/staged_disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/tlog/merkle.h"
#include "logcore/util/result.h"

namespace logcore {

struct JournalAuditOptions {
  TreeHead published;
  bool has_sound_entries = true;  // Only then is the published root compared.
  bool is_at_home = true;         // If not, `lock` may be a copy of another moment.
  // A backup (backup_files.h) has no writer state, its files may go on, and of its replay slots
  // only the newest counts. What is rehearsed is its adoption.
  bool is_backup = false;
  uint64_t gap_limit = kNoGapLimit;
};

// The log with all that is acknowledged, as an opening would leave it; in a backup, with all that
// an adoption would take, which a run that was cut short may not have published.
struct CommittedLog {
  std::unique_ptr<StagedDisk> disk;  // can be null
  LogState state;
};

// What an opening of a store, or an adoption of a backup, would leave; its error, if it would
// refuse. Of the options only `is_at_home`, `is_backup` and `gap_limit` count. To be called while
// nobody appends.
Result<CommittedLog> RehearseOpening(Disk* disk, const JournalAuditOptions& options);

// What it would leave of a store that its last writer did not leave at rest: it died, or the
// machine went down. Null where there is nothing to mend, or it cannot be mended.
Result<CommittedLog> RehearseMending(Disk* disk, const JournalAuditOptions& options);

// The first damage there is: kCorrupt or kNotFound, with the file's name. A store that is being
// appended to moves while it is read: what looks wrong is looked at again, and the log is null if
// it moves all the time. kBusy if a commit is under way, or its writer died in it, and all that
// does not fit may be due to that.
Result<CommittedLog> CheckJournal(Disk* disk, const LogFiles& files,
                                  const JournalAuditOptions& options);

}  // namespace logcore

#endif  // LOGCORE_POSIX_CHECK_JOURNAL_AUDIT_H_
