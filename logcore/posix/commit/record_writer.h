// RecordWriter: commits. Part of StoreWriter (store_writer.h). The whole order, under the commit
// lock, as a trace of what reaches the kernel; what is in brackets is not part of every commit:
//
//   lock     turnstile, commit; turnstile let go
//   lock     read the writer state       [its writer died: recover first (recovery.h)]
//   files    room for all that follows is reserved: fallocate. [A new segment, its index, and
//            their names: fsync entries/.] A full disk is met here, and nothing has happened
//   journal  is there room for the record?   [no: let go, move the replay point, begin again]
//   -------- here it is decided that this record is the next one
//   checkpoint   [it says that all is on the disk: that is taken back in both slots, each written
//            and synced, under the publish lock]
//   lock     state := committing
//   entries  [of a long batch, the frames that fill whole blocks: written past the cache, synced]
//   journal  the record is written, and synced. It is DURABLE: it will be acknowledged
//   lock     state := committing, and this record is known to be on the disk
//   entries, entries/*.index, hashes/*, times   written, unsynced
//   lock     state := idle, with the log as it is after it; commit let go
//
// Up to the first write to `lock`, an error that IsOfOneAppend (result.h) is of this append alone,
// and any other stops this process. An error of a recovery, of what is taken back in `checkpoint`,
// and of all that follows the first write stops every process (WriterStateFile::Poison).
//
// Threads: Commit from one at a time; PrepareNext and Coming from two others. Tested by
// tests/crash/crash_test.cc and sabotage_test.cc, which leaves each of these steps out.

#ifndef LOGCORE_POSIX_COMMIT_RECORD_WRITER_H_
#define LOGCORE_POSIX_COMMIT_RECORD_WRITER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "logcore/log/batch.h"
#include "logcore/posix/commit/checkpoint_writer.h"
#include "logcore/posix/commit/log_clock.h"
#include "logcore/posix/commit/replay_point_writer.h"
#include "logcore/posix/commit/writer_state_file.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/tlog/merkle.h"
#include "logcore/util/result.h"

namespace logcore {

class RecordWriter {
 public:
  // After WriterStateFile::Run. `direct_length`: as in StoreOptions.
  RecordWriter(WriterStateFile* state, CheckpointWriter* checkpoints,
               ReplayPointWriter* replay_points, LogFiles* files, LogClock clock,
               uint64_t direct_length);

  // The first index. Errors and `on_flush` as LogWriter says.
  Result<uint64_t> Commit(Batch* batch, const std::function<void()>& on_flush);
  // Computes what the batch will add after the commit under way. Nothing if other processes commit
  // in between as well: it would be in vain.
  void PrepareNext(Batch* batch);
  // The tree that the commit under way is going to give, or that the newest one gave; nothing
  // before the first one.
  std::optional<TreeHead> Coming();
  // Bytes.
  uint64_t max_frames_length() const;
  // The record of this process's last commit; before the first, the newest one of the opening.
  uint64_t newest() const { return newest_; }

 private:
  Result<uint64_t> TryCommit(Batch* batch, const std::function<void()>& on_flush);
  // Where the record of `append` goes, if there is room.
  std::optional<uint64_t> Place(const WriterState& writer, const LogAppend& append) const;
  void NoteComing(const LogAppend& append);
  // All that follows the decision: the batch becomes the record after `writer`, and its entries
  // part of the log's files.
  Result<uint64_t> WriteRecord(WriterState writer, Batch* batch, LogAppend append, uint64_t offset);
  Status MakeDurable(const LogState& log, const LogAppend& append, uint64_t offset,
                     std::string_view record);
  // What follows from a record that is durable: the files, and the state for the next commit.
  Status Apply(WriterState writer, const RecordHeader& header, const LogAppend& append,
               uint64_t offset);

  WriterStateFile* const state_;
  CheckpointWriter* const checkpoints_;
  ReplayPointWriter* const replay_points_;
  LogFiles* const files_;
  LogClock clock_;  // under the commit lock
  const uint64_t direct_length_;
  std::string short_record_;  // without the frames outside of it
  std::atomic<uint64_t> newest_;

  std::mutex coming_mutex_;
  // Of the newest commit, from before its flush on.
  CompactRange coming_;
  uint64_t coming_frames_end_ = 0;
  bool alone_ = false;  // It began where the one before it ended: nobody else commits.
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_RECORD_WRITER_H_
