// ReplayPointWriter: moves the replay point, which frees the journal before it. Part of StoreWriter
// (store_writer.h). The order, under the replay point lock:
//
//   lock     state: the replay point is being moved; the state is noted   under the commit lock
//   files    synced up to the noted end, with their names
//   files    the last blocks are read back, which later writes could tear
//   lock     is the state doubtful? A commit that died meanwhile may have been told of a failed
//            write, and the syncs not: again, from a recovery on             under the commit lock
//   journal  this replay point is written over the older slot, and synced
//   lock     state: this replay point; it is not being moved                under the commit lock
//
// Commits go on meanwhile. Any thread: the lock is the first thing that it takes. Tested by
// tests/crash/crash_test.cc and sabotage_test.cc, which leaves each of these steps out.

#ifndef LOGCORE_POSIX_COMMIT_REPLAY_POINT_WRITER_H_
#define LOGCORE_POSIX_COMMIT_REPLAY_POINT_WRITER_H_

#include <cstdint>
#include <memory>

#include "logcore/posix/commit/writer_state_file.h"
#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/util/result.h"

namespace logcore {

class ReplayPointWriter {
 public:
  // All outlive this.
  static Result<std::unique_ptr<ReplayPointWriter>> Open(Disk* disk, WriterStateFile* state,
                                                         LogFiles* files);
  // Moves it to the end of the log, unless it is at the record `sequence` by now, or after it, by
  // whichever process.
  Status AdvanceTo(uint64_t sequence);

 private:
  ReplayPointWriter(WriterStateFile* state, LogFiles* files) : state_(state), files_(files) {}
  // Says in the writer state that the replay point is being advanced, and notes it. False: there is
  // no need.
  Result<bool> Begin(uint64_t sequence, WriterState* noted);
  // Makes the files durable up to the noted end. The replay point says that they are.
  Status MakeDurable(const WriterState& noted, ReplayPoint* replay_point);
  Result<bool> IsDoubtful();
  // `status`: what became of it so far. Says in the writer state that it is done.
  Status End(const WriterState& noted, const Status& status);

  WriterStateFile* const state_;
  LogFiles* const files_;
  // Its own opening: the kernel reports a failed write once to each, and one must not take the
  // report from the other.
  std::unique_ptr<File> journal_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_REPLAY_POINT_WRITER_H_
