// Opening: what is done before a store takes appends. It looks at what the last writer left (the
// writer state in `lock`, the journal, the log's files and the checkpoint), and mends what a crash
// leaves, as recovery.h says.
//
//   the writer state is of this       all four must be of one moment; nothing is done
//   boot, and idle
//   its writer died in a commit       recovery of the one record under way, from the writer state
//   or a sync failed, or the replay   recovery from the replay slot that the writer state names
//   point was being moved
//   the writer state is of another    recovery from the newest replay slot
//   boot
//   it is not of this boot, but the   lock, journal and checkpoint were put back, from different
//   checkpoint is; or it is idle,     moments: as in another boot; then everything is synced, as
//   its replay slot is gone, and an   nobody knows who wrote it
//   older one leads to it
//
// What `lock` says counts in the boot that wrote it. In any boot it is evidence: records that it
// knows were acknowledged, and a journal that does not have them was rolled back.
//
// The caller holds the locks (lock_file.h) and passes a StagedDisk, unless the writer state is
// idle: so a refusal changes nothing. One thread. Tested by tests/crash.

#ifndef LOGCORE_POSIX_COMMIT_OPENING_H_
#define LOGCORE_POSIX_COMMIT_OPENING_H_

#include <optional>
#include <string>
#include <utility>

#include "logcore/posix/commit/publication.h"
#include "logcore/posix/commit/recovery.h"
#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/published.h"
#include "logcore/util/result.h"

namespace logcore {

enum class OpeningMode : int {
  kIfIdle,  // False, and nothing is done, if anything is to be mended.
  kMend,
  kMendCopy,  // What `lock` says is evidence alone: it was copied at another time than the rest.
};

// What an opening has to do.
enum class OpeningPlan {
  kNothing,        // The store is idle. What was left must be of one moment.
  kReplayRecord,   // The one record that may be under way is looked at: its writer died.
  kReplay,         // Recovery, from the replay point that the writer state names.
  kReplayNewest,   // Recovery, from the newest replay point: the writer state does not count.
  kReplayPutBack,  // The same; then everything is synced, as nobody knows who wrote it. It
                   // is refused, too, if there is no replay point at all.
  kRefuse,         // There is no replay point to recover from.
};

// What that depends on.
struct OpeningFacts {
  // What `lock` says, or null: nothing that counts, as it is torn, of another boot, or was copied.
  const WriterState* writer = nullptr;
  // Whether the journal has the replay point that the writer state names; without one, any.
  bool has_replay_point = false;
  // Whether `checkpoint` says that it was published here, in this boot. Of a copy that says
  // nothing, and with a writer state it decides nothing: false then.
  bool is_published = false;
};

// Pure. Tested by tests/logcore/posix/commit/opening_test.cc.
OpeningPlan PlanOpening(const OpeningFacts& facts);

class Opening {
 public:
  // All outlive this. `maker` makes the checkpoint whose slots a power cut has torn; without it,
  // null, such a store is kCorrupt.
  Opening(Disk* disk, File* lock, File* journal, LogFiles* files, PublishedFile* published,
          const CheckpointMaker* maker)
      : disk_(disk),
        lock_(lock),
        journal_(journal),
        files_(files),
        published_(published),
        maker_(maker) {}

  // kCorrupt: it is damaged, or was rolled back in part.
  Result<bool> Run(OpeningMode mode);

  // After Run returned true.
  const ReplayPoint& replay_point() const { return replay_point_; }
  const WriterState& writer() const { return writer_; }
  const std::string& boot_id() const { return boot_id_; }

 private:
  Status CheckIdle() const;
  // `writer`: if it counts. `known`: what `lock` says, in any case.
  Status Mend(OpeningPlan plan, std::optional<WriterState> writer,
              const std::optional<WriterState>& known);
  Status MendCheckpoint(const LogState& log);
  Status MakePutBackDurable();

  Disk* const disk_;
  File* const lock_;
  File* const journal_;
  LogFiles* const files_;
  PublishedFile* const published_;
  const CheckpointMaker* const maker_;
  std::string boot_id_;
  ReplayPoint replay_point_;
  WriterState writer_;
};

// kCorrupt if the slot says that all is on the disk, and so that nothing was appended after it, and
// the log has gone on.
Status CheckComplete(const PublishedFile::Slot& slot, const LogState& log);
// Syncs every file of the store, and their names, whichever process wrote them.
Status SyncStore(Disk* disk, LogFiles* files, uint64_t size);

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_OPENING_H_
