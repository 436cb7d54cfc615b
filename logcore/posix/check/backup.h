// Backup: a copy of a store that others may be appending to, as of its newest checkpoint; or, into
// an older backup, what has come since. What it is on the disk is told in backup_files.h.
//
// Nothing is asked of the writers: the source is read as any reader reads it, and every byte of
// entries and hashes that is written was hashed up to the published root.
//
// Killed at any point, or after a power cut, there is the older backup or the new one:
//
//   1. the new bytes -> the files, after the block that the older backup ends in; synced
//   2. checkpoint := unfinished, both slots, each synced
//   3. what comes into that block; synced. The replay slot keeps the old bytes
//   4. the other replay slot := the new end; synced
//   5. checkpoint := the new one, complete, as in 2
//
// Between 2 and 5 a power cut may leave a backup that readers refuse (kBusy) until the next run, or
// an adoption, has put it right (SettleBackup). A first backup has no `format`, and so is no store,
// before all of this is done; the next run begins it again.
//
// One thread. Tested by tests/logcore/posix/check/backup_test.cc and
// tests/crash/backup_crash_test.cc.

#ifndef LOGCORE_POSIX_CHECK_BACKUP_H_
#define LOGCORE_POSIX_CHECK_BACKUP_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "logcore/posix/disk/disk.h"
#include "logcore/tlog/merkle.h"
#include "logcore/util/result.h"

namespace logcore {

struct BackupReport {
  TreeHead head;             // of the backup now
  uint64_t new_entries = 0;  // since the older one
  // Why the signing key is not in it: who may back up need not be allowed to read it, or it is
  // damaged. An adoption needs it.
  std::optional<Error> no_key;
};

// Refuses a `dest` that is neither empty nor a backup of this log (kExists), or that is newer than
// the source or a fork of it (kInvalid), and changes nothing. Room is taken in step 1, in all steps
// where a filesystem never writes in place. After kNoSpace the older backup is as it was, and the
// room that the new one took is given back, if the disk lets itself be written for that; or the new
// one is there, if readers may have seen it. While another run goes into `dest`, it waits.
// `progress` (of entries) may be empty.
Result<BackupReport> Backup(Disk* source, Disk* dest,
                            const std::function<void(uint64_t done, uint64_t total)>& progress);

}  // namespace logcore

#endif  // LOGCORE_POSIX_CHECK_BACKUP_H_
