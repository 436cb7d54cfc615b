// The file `lock`: the locks that writers take (writer_state_file.h), one for a run of a backup
// (backup_files.h), which has no writer, and the writer state (journal.h).
//
// The writer state may be read without a lock: it can look torn then, for the moment of one small
// write.
//
// Any thread. Tested by tests/logcore/posix/commit/store_test.cc and tests/crash.

#ifndef LOGCORE_POSIX_FILES_LOCK_FILE_H_
#define LOGCORE_POSIX_FILES_LOCK_FILE_H_

#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/util/result.h"

namespace logcore {

// kOpened: shared by all who have the store open for appending, from before they open its files to
// their end. Exclusive, it says that nobody has: a repair takes it so, and kBackup.
enum LockNumber : int {
  kTurnstile = 0,
  kCommit = 1,
  kPublish = 2,
  kReplayPoint = 3,
  kOpened = 4,
  kBackup = 5
};

// One of the locks, with its mutex; released by the destructor.
class Held {
 public:
  static Result<std::unique_ptr<Held>> Take(std::mutex* mutex, File* file, int which) {
    std::unique_lock<std::mutex> in_process(*mutex);
    if (which == kCommit) RETURN_IF_ERROR(file->Lock(kTurnstile));
    const Status status = file->Lock(which);
    if (which == kCommit) file->Unlock(kTurnstile);
    RETURN_IF_ERROR(status);
    return std::unique_ptr<Held>(new Held(std::move(in_process), file, which));
  }
  ~Held() { file_->Unlock(which_); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  Held(std::unique_lock<std::mutex> in_process, File* file, int which)
      : in_process_(std::move(in_process)), file_(file), which_(which) {}
  std::unique_lock<std::mutex> in_process_;
  File* const file_;
  const int which_;
};

// Those of a commit, a replay point and a publication, and kOpened, shared: no other process
// appends to the store or repairs it meanwhile. A run of a backup does not ask for them, but for
// kBackup alone. kBusy if it is being repaired.
class AllHeld {
 public:
  static Result<std::unique_ptr<AllHeld>> Take(Disk* disk);

 private:
  AllHeld() = default;
  std::unique_ptr<File> lock_;
  std::mutex mutexes_[3];
  std::unique_ptr<Held> held_[3];
};

// kCorrupt unless the file has the length that a writer state has, always.
Status CheckWriterStateLength(const File& lock);
// Nothing if the file does not hold a writer state and, after it, zeros alone.
Result<std::optional<WriterState>> ReadWriterState(const File& lock);
Status WriteWriterState(File* lock, const WriterState& writer);
// kCorrupt, of a writer state that was put back alone.
tl::unexpected<Error> FailOldState();

}  // namespace logcore

#endif  // LOGCORE_POSIX_FILES_LOCK_FILE_H_
