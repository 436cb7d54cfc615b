// StoreWriter: a store as those who append have it open, and the log's one door for writing
// (log_writer.h). Any number of processes may: the lock file's locks are held for each commit, and
// what the last one left for the next is read from it (writer_state_file.h).
//
// It has a part for each thing that is written, each under a lock of its own:
//
//   record_writer.h         commits: records in the journal, then the log's files
//   checkpoint_writer.h     publishes: the file `checkpoint`
//   replay_point_writer.h   moves the replay point: the two replay slots of the journal
//
// Threads as LogWriter says. Tested by tests/logcore/posix/commit/store_test.cc, origins_test.cc,
// tests/logcore/log/prepare_test.cc and tests/crash.

#ifndef LOGCORE_POSIX_COMMIT_STORE_WRITER_H_
#define LOGCORE_POSIX_COMMIT_STORE_WRITER_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "logcore/log/log_writer.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/store_config.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/util/result.h"

namespace logcore {

class CheckpointWriter;
class RecordWriter;
class ReplayPointWriter;
class WriterStateFile;
enum class OpeningMode : int;  // opening.h

class StoreWriter final : public LogWriter {
 public:
  // Opens a store, and recovers first if the last writer died or the machine went down. Never
  // creates anything, and a refusal changes nothing. Refuses (kCorrupt) what is damaged or was
  // rolled back in part, (kReadOnly) a copy, (kDenied) a key that others can read, and (kBusy)
  // during a repair. The disk must outlive the writer.
  static Result<std::unique_ptr<StoreWriter>> Open(Disk* disk, const StoreOptions& options);
  ~StoreWriter() override;

  // What is published, by whichever process.
  StoreReader& reader() { return *reader_; }

  using LogWriter::Commit;
  uint64_t max_batch_length() const override;
  Result<Committed> Commit(Batch* batch, const std::function<void()>& on_flush) override;
  void Prepare(Batch* batch) override;
  void Presign() override;
  Result<uint64_t> Publish() override;
  double ReplayLength() const override;
  Status AdvanceReplayPoint() override;
  // Moves the replay point to the end of the log, whoever has committed it.
  Status AdvanceReplayPointToEnd();
  // Also says in `checkpoint` that all of it is on the disk.
  Status Close() override;

  // ---- For an adoption (logcore/posix/check/adopt.h).

  // Opens it wherever it is, as opening.h says. Null: the last writer did not leave it idle, and
  // `mode` is kIfIdle.
  static Result<std::unique_ptr<StoreWriter>> OpenAs(Disk* disk, const StoreConfig& config,
                                                     const StoreOptions& options, OpeningMode mode);
  // kCorrupt unless the log, as of the opening, contains the tree of `head`.
  Status CheckCovers(const TreeHead& head) const;
  // Syncs every file of the store, and their names, whichever process wrote them.
  Status SyncAll();

 private:
  StoreWriter();

  Disk* disk_ = nullptr;
  std::unique_ptr<File> opened_;  // holds kOpened (lock_file.h)
  std::shared_ptr<LogFiles> files_;
  std::shared_ptr<PublishedFile> published_;
  std::unique_ptr<StoreReader> reader_;
  std::unique_ptr<WriterStateFile> state_;
  std::unique_ptr<CheckpointWriter> checkpoints_;
  std::unique_ptr<ReplayPointWriter> replay_points_;
  std::unique_ptr<RecordWriter> records_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_STORE_WRITER_H_
