// Rebuild: what the entries alone give: the roots of a log, and the bytes of every file of it that
// follows from them, in pieces. What `tlogfs repair` compares the files with, and makes them from.
//
// Reads each frame once, and keeps one piece of the log in memory at a time. Reads only. One
// thread. Tested by tests/crash/repair_test.cc.

#ifndef LOGCORE_POSIX_CHECK_REBUILD_H_
#define LOGCORE_POSIX_CHECK_REBUILD_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/tlog/merkle.h"
#include "logcore/util/result.h"

namespace logcore {

struct RebuildOptions {
  uint64_t size = 0;            // entries
  std::set<uint64_t> stops;     // sizes, at most `size`, whose trees are wanted
  std::span<const Block> kept;  // blocks of frames that count for what the files hold there
  std::function<void(uint64_t done, uint64_t total)> progress;  // entries; may be empty
};

// The log when it had a certain size.
struct LogPoint {
  CompactRange range;
  uint64_t frames_end = 0;
};

struct Rebuilt {
  std::map<uint64_t, LogPoint> points;  // of each stop, and of `size`
  std::vector<uint64_t> segment_bases;  // global offset of each segment's first frame
};

// Called with the next bytes of a file; those of one file come in order. Files whose bytes were
// none are not named.
using TakeBytes =
    std::function<Status(const std::string& name, uint64_t offset, std::string_view bytes)>;

// kCorrupt where frames are missing, cut short, or go on after a segment's last one; the message
// names file, byte and entry. Whether the frames are the right ones their root must tell.
Result<Rebuilt> Rebuild(Disk* disk, const RebuildOptions& options, const TakeBytes& take);

}  // namespace logcore

#endif  // LOGCORE_POSIX_CHECK_REBUILD_H_
