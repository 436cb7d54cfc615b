// WriterStateFile: the locks of a store's writers, and what each commit leaves for the next: the
// writer state in the file `lock` (journal.h), read by whoever holds the commit lock, of whichever
// process. If the one that held it died, the next one recovers here. Part of StoreWriter
// (store_writer.h).
//
// The locks are taken in this order; each process also has a mutex for each, as the lock is the
// process's:
//
//   replay     moving the replay point, sync and all
//   turnstile  in line for the next one: the first to wait here is the first to commit
//   commit     reading and writing the writer state, and a commit
//   publish    publishing
//
// Any thread; what is said to be under a lock, by its holder. Tested by tests/crash/crash_test.cc.

#ifndef LOGCORE_POSIX_COMMIT_WRITER_STATE_FILE_H_
#define LOGCORE_POSIX_COMMIT_WRITER_STATE_FILE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "logcore/posix/commit/publication.h"
#include "logcore/posix/commit/recovery.h"
#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/lock_file.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/published.h"
#include "logcore/tlog/hash.h"
#include "logcore/util/result.h"

namespace logcore {

enum class OpeningMode : int;  // opening.h

class WriterStateFile {
 public:
  // All outlive this.
  static Result<std::unique_ptr<WriterStateFile>> Open(Disk* disk, LogFiles* files,
                                                       PublishedFile* published);
  // Finds out what the last writer left, as opening.h says; to be called first. False: it did not
  // leave the store idle, and `mode` is kIfIdle.
  Result<bool> Run(Disk* disk, OpeningMode mode, const CheckpointMaker* maker);

  // ---- After Run returned true.

  // The log as of the opening.
  const LogState& opened() const { return opened_; }
  const std::string& boot_id() const { return boot_id_; }
  const Hash& mac_key() const { return mac_key_; }
  File* journal() const { return journal_.get(); }
  uint64_t journal_length() const { return journal_length_; }

  Result<std::unique_ptr<Held>> HoldReplayPoint() {
    return Held::Take(&replay_point_, lock_.get(), kReplayPoint);
  }
  Result<std::unique_ptr<Held>> HoldCommit() { return Held::Take(&commit_, lock_.get(), kCommit); }
  Result<std::unique_ptr<Held>> HoldPublish() {
    return Held::Take(&publish_, lock_.get(), kPublish);
  }

  // ---- Under the commit lock.

  // What the next commit goes after. Recovers first if the process that was in a commit died.
  // kReadOnly if a process has stopped the log.
  Result<WriterState> ReadToAppend();
  // Mends, under the replay point lock, too, what a process left that died while it moved the
  // replay point.
  Status RecoverFromReplayPoint(WriterState* writer);
  // As it stands, whatever has happened.
  Result<WriterState> Read() const;
  Status Write(const WriterState& writer) { return WriteWriterState(lock_.get(), writer); }
  // Stops the log in every process, until a new one has recovered. To the caller it is damage
  // (kCorrupt) or an error of the disk, whose outcome is unknown (kIo).
  tl::unexpected<Error> Poison(WriterState writer, Error why);

  // ---- Without it.

  // Another process may be writing it: reads until it is not torn.
  Result<WriterState> ReadAsReader() const;
  // Whether this process has to stop, and the error that it gives then.
  bool stopped() const { return stopped_; }
  void Stop() { stopped_ = true; }
  static Error Stopped();
  // How much is to be replayed, as LogWriter says, as of the last NoteUse.
  double replay_length() const { return replay_length_.load(std::memory_order_relaxed); }
  void NoteUse(const WriterState& writer);

 private:
  WriterStateFile(LogFiles* files, PublishedFile* published)
      : files_(files), published_(published) {}
  Result<Recovered> RunRecovery(WriterState* writer, RecoverFrom from);

  LogFiles* const files_;
  PublishedFile* const published_;
  std::unique_ptr<File> lock_;
  std::unique_ptr<File> journal_;
  std::mutex replay_point_;
  std::mutex commit_;
  std::mutex publish_;
  uint64_t recoveries_ = 0;  // that files_ knows of; under the commit lock
  std::atomic<bool> stopped_ = false;
  std::atomic<double> replay_length_ = 0;

  // From Run on.
  std::string boot_id_;
  Hash mac_key_;
  uint64_t journal_length_ = 0;
  LogState opened_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_WRITER_STATE_FILE_H_
