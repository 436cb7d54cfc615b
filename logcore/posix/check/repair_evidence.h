// RepairEvidence: what is known of a log beside its own files: the journal, the writer state in
// `lock`, the signed checkpoint, and one that somebody kept elsewhere. How long the log is, and
// what its tree must be, is decided here; repair.h says by which rules.
//
// Reads only. One thread. Tested by tests/crash/repair_test.cc and
// repair_refusal_test.cc.

#ifndef LOGCORE_POSIX_CHECK_REPAIR_EVIDENCE_H_
#define LOGCORE_POSIX_CHECK_REPAIR_EVIDENCE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/published.h"
#include "logcore/posix/files/time_rows.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/util/result.h"

namespace logcore {

// What one record of the journal says; whether its frames are whole is not looked at.
struct JournalStep {
  uint64_t sequence = 0;
  Hash mac;
  uint64_t start_size = 0;
  TreeHead head;
  LogEnd end;
};

struct RepairEvidence {
  explicit RepairEvidence(StoreConfig its_config) : config(std::move(its_config)) {}

  StoreConfig config;
  bool is_home = false;
  ReplayPoint replay_point;
  std::vector<JournalStep> steps;     // after the replay point
  std::optional<WriterState> writer;  // of this boot, at home
  // The log up to where its files have been written, and are on the disk or in the page cache.
  LogState log;
  // The files end there. If not, recovery will go on, at most to the end of the steps.
  bool at_rest = false;

  std::optional<PublishedFile::Slot> slot;  // the newest valid one that the log has signed
  bool checkpoint_is_damaged = false;
  // What `newest` is, and its bytes.
  std::optional<Checkpoint> newest;
  std::string newest_note;

  // Where the files may end.
  LogEnd LastEnd() const { return at_rest || steps.empty() ? log.end : steps.back().end; }
  // The steps' head of that size, which is over the log's.
  const JournalStep* StepOf(uint64_t size) const;
  // The block of `times` that the replay point keeps; null: the file ended with a block.
  const Block* TimesBlock() const;
  // Rows of `times` that were added after the replay point, up to `log`.
  std::vector<TimeRow> NewerTimes() const;
};

// kCorrupt if there is too little evidence, or it contradicts itself.
Result<RepairEvidence> GatherEvidence(Disk* disk, const std::optional<std::string>& newest);

}  // namespace logcore

#endif  // LOGCORE_POSIX_CHECK_REPAIR_EVIDENCE_H_
