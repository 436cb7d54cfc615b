// The audit (audit.h) of the writer's own files, `journal` and `lock` (journal.h): both base slots,
// the chain from the base to beyond the published size, and that the log's files, the checkpoint
// and the head are of the same time: none of them was rolled back alone.
//
// One thread. Tested by tests/logcore/audit_test.cc and tests/crash/rot_test.cc.

#ifndef LOGCORE_JOURNAL_AUDIT_H_
#define LOGCORE_JOURNAL_AUDIT_H_

#include "logcore/disk.h"
#include "logcore/log_files.h"
#include "logcore/merkle.h"
#include "logcore/result.h"

namespace logcore {

// The first damage there is: kCorrupt or kNotFound, with the file's name. A store that is being
// appended to moves while it is read: what looks wrong is looked at again. The published root is
// compared if `has_sound_entries`. A backup (backup_files.h) has no head, its files may go on, and
// of its base slots only the newest counts. kBusy if a commit is under way, or its writer died in
// it, and all that does not fit may be due to that.
Status CheckJournal(Disk* disk, const LogFiles& files, const TreeHead& published,
                    bool has_sound_entries, bool is_backup);

}  // namespace logcore

#endif  // LOGCORE_JOURNAL_AUDIT_H_
