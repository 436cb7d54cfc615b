// The files of a backup: a store whose home is nowhere (store_config.h), so that nobody writes into
// it but `tlogfs backup` (backup.h), until it is adopted. They differ from those of any store
// (journal.h, published.h, log_files.h) in this:
//
//   journal     replay slots that say how far the backup goes. There are no records, and
//               no room for any but a hole in the file: an adoption fills it with zeros
//   lock        zeros: nobody ever committed anything here
//   checkpoint  the boot id is that of a run that is in the midst of writing what the older backup
//               ends in; or it is zero, and all that the slot covers is on the disk
//               only the newer slot counts; the other one may be torn
//   others      may go on after the end that the replay slot says: what a run has left that did not
//               finish. The next one writes over it, an adoption cuts it off, and readers do not
//               look
//
// One thread. Tested by tests/logcore/posix/check/backup_test.cc and
// tests/crash/backup_crash_test.cc.

#ifndef LOGCORE_POSIX_CHECK_BACKUP_FILES_H_
#define LOGCORE_POSIX_CHECK_BACKUP_FILES_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/lock_file.h"
#include "logcore/posix/files/published.h"
#include "logcore/util/result.h"

namespace logcore {

// Creates the file, or opens what an earlier run has left.
Result<std::unique_ptr<File>> MakeBackupFile(Disk* disk, const std::string& name, unsigned mode);

// Held by the one who changes a backup. Waits for another one.
class BackupLock {
 public:
  // `lock` is created, empty, if there is none.
  static Result<std::unique_ptr<BackupLock>> Take(Disk* disk);

 private:
  explicit BackupLock(std::unique_ptr<File> file) : file_(std::move(file)) {}
  const std::unique_ptr<File> file_;
  std::mutex mutex_;
  std::unique_ptr<Held> held_;
};

// How far a backup goes.
struct BackupState {
  ReplayPoint replay_point;
  std::optional<PublishedFile::Slot> newest;  // None: power cuts, one after the other, tore both.
  // False: a run was cut short, and a power cut may have torn what the log ends in.
  bool is_complete = false;
  // False: readers are not told of all of it yet, and the replay point may be in the page cache
  // alone.
  bool is_published = false;
};
Result<BackupState> ReadBackup(Disk* disk);

// kCorrupt unless the log's files hold what ends in `state`, as far as their ends can tell.
Status CheckBackupEnds(const LogFiles& files, const LogState& state);

// The rest are for the holder of the BackupLock, and durable when they return.

// Writes the files of an empty log, over what a first run has left that was cut short. There is no
// replay point yet, and nothing published.
Status CreateBackupFiles(Disk* disk, uint64_t journal_length);
// To be called before anything is written into a block that the backup's files end in.
Status MarkBackupUnfinished(Disk* disk);
// Says that the backup goes as far as the replay point, which follows the older backup's: that one
// stays in the other slot.
Status WriteBackupReplayPoint(Disk* disk, const ReplayPoint& replay_point);
// Says that all of it is there.
Status MarkBackupComplete(Disk* disk, Published published);
// After a run that was cut short: brings back what the files ended in, and cuts off the rest.
Status SettleBackup(Disk* disk);
// After a run into the backup of `older` that found no room: brings that back, and gives back what
// the new one took. If readers may have seen the new one, that is what it settles.
Status RetractBackup(Disk* disk, const ReplayPoint& older);
// Makes of a backup what is a store in all but its home, and the room of its journal.
Status PrepareAdoption(Disk* disk);
// Fills the journal's hole with zeros, which changes no byte that anybody reads.
Status FillJournal(Disk* disk);

}  // namespace logcore

#endif  // LOGCORE_POSIX_CHECK_BACKUP_FILES_H_
