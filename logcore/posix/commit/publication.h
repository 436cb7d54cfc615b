// Publication: what stands between a tree that was committed and a checkpoint that readers see.
//
// One thread, which holds the publish lock (lock_file.h). Tested by
// tests/logcore/posix/commit/store_test.cc, publication_test.cc and tests/crash.

#ifndef LOGCORE_POSIX_COMMIT_PUBLICATION_H_
#define LOGCORE_POSIX_COMMIT_PUBLICATION_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/published.h"
#include "logcore/util/result.h"

namespace logcore {

// What a checkpoint needs beyond the log: it is signed, and dated (publication_time.h).
struct CheckpointMaker {
  std::function<std::string(const TreeHead&)> sign;  // gives the note
  std::function<int64_t()> clock;                    // as of StoreOptions
  std::function<int64_t()> uptime;                   // as of Disk
};

// Reads the right edge of the tree of `log` back, compares it with the committed range, and writes
// the slot after `newest`, for the boot `boot_id`; both slots if there is no `newest`, as both were
// torn. kCorrupt, and nothing is signed, if the two ways to the root differ.
Result<Published> PublishLog(const LogFiles& files, PublishedFile* published,
                             const std::optional<PublishedFile::Slot>& newest, const LogState& log,
                             std::string_view boot_id, const CheckpointMaker& maker);

// Before the first record after a slot said that all is on the disk: from now on a power cut may
// tear what it covers. It may also bring back what an unsynced slot held before; so both slots are
// written and synced, one after the other.
Status TakeCompleteBack(PublishedFile* published, const std::string& boot_id);

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_PUBLICATION_H_
