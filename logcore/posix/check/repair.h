// Repair: makes the files of a store again that follow from others: entries/<n>.index, hashes/<L>,
// `times` and `checkpoint`, where they are lost, cut or damaged. What `tlogfs repair` runs.
//
// The frames (entries/<n>), the journal, the key and the configuration follow from nothing: if they
// are damaged it refuses, and names what is. What it makes must be what was committed and published
// before. So the tree that the frames give must be
//
//   - the journal's: the writer state's, if that is of this boot, and otherwise its newest replay
//     point's;
//   - the one of the signed checkpoint that is in the store, if a slot of it is valid;
//   - the one of `newest`, if given. It must be, if the store has no valid checkpoint: a journal
//     that was rolled back looks like one that is whole, and only who has seen a newer checkpoint
//     can tell.
//
// What was committed and not published is in these trees too, and stays. After a power cut the end
// of the files is recovery's (recovery.h): here they are made whole up to the replay point.
//
// A file that goes on after the end of the log is how an opening knows that journal and checkpoint
// were rolled back. So the repair refuses if what follows is what this log would have there. If it
// is any other whole row or node, `newest` must be given.
//
// The order, in which a kill leaves every file as it was or whole, and nothing lost:
//
//   read and compare everything
//   files are written beside the damaged ones, and synced
//   the store as it will be with them is opened and audited, in memory (repair_view.h)
//     a refusal or failure up to here has changed no file, and removes the new ones
//   the replay slots of the journal, if the block of `times` that they keep became another one
//   a damaged file gets a second name, NAME.damaged; directories synced
//   the new ones are renamed over the damaged ones; directories synced
//   at home, with its key, the store is opened and closed
//
// A store of which nothing is damaged is opened and audited in memory, too.
//
// It refuses (kBusy) while a process has the store open for appending, or backs up into it. Readers
// that have it open keep the damaged files.
//
// One thread. Memory does not grow with the log. Tested by tests/crash/repair_test.cc and
// repair_refusal_test.cc.

#ifndef LOGCORE_POSIX_CHECK_REPAIR_H_
#define LOGCORE_POSIX_CHECK_REPAIR_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/store_config.h"
#include "logcore/tlog/merkle.h"
#include "logcore/util/result.h"

namespace logcore {

struct RepairOptions {
  std::optional<std::string> newest;  // a signed checkpoint: the newest that anybody saw
  std::function<int64_t()> clock;     // as of StoreOptions
  std::function<void(uint64_t done, uint64_t total)> progress;  // entries; may be empty
  uint64_t gap_limit = kNoGapLimit;                             // store_config.h
};

struct RepairReport {
  TreeHead head;                      // of the log that was compared; if it was opened, published
  std::vector<std::string> repaired;  // files, in order; none: nothing was to be done
  uint64_t lost_times = 0;            // rows of `times` that could not be made again
  // False: it is a copy or a backup, or has no key, and the next opening recovers it.
  bool was_opened = false;
};

Result<RepairReport> Repair(Disk* disk, const RepairOptions& options);

}  // namespace logcore

#endif  // LOGCORE_POSIX_CHECK_REPAIR_H_
