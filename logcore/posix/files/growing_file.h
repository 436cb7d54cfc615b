// GrowingFile: a file of a backup that is appended to. The block in which it ended holds bytes of
// the older backup, which a power cut may tear while the block is written. So it is left alone
// until Join: then everything after it is durable, and readers have been warned.
//
// One thread. Tested by tests/logcore/posix/check/backup_test.cc and
// tests/crash/backup_crash_test.cc.

#ifndef LOGCORE_POSIX_FILES_GROWING_FILE_H_
#define LOGCORE_POSIX_FILES_GROWING_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "logcore/posix/disk/disk.h"
#include "logcore/util/result.h"

namespace logcore {

class GrowingFile {
 public:
  // To be appended to from `end` on, whatever an earlier try has left there.
  GrowingFile(std::unique_ptr<File> file, uint64_t end)
      : file_(std::move(file)), joint_offset_(end), place_(RoundUpToBlock(end)) {}

  // In large pieces, past the page cache.
  Status Append(std::string_view bytes);
  // Makes durable what was appended, but for the rest of the block in which the file ended. Nothing
  // may be appended after.
  Status Flush();
  // Whether there is such a rest, for Join.
  bool has_joint() const { return !joint_.empty(); }
  // Makes that durable, too.
  Status Join();

 private:
  Status WriteOut();
  Status EndAt(uint64_t end);

  std::unique_ptr<File> file_;
  uint64_t joint_offset_;
  std::string joint_;   // what goes there: up to the end of the block
  uint64_t place_;      // where `buffer_` goes: the beginning of a block
  std::string buffer_;  // what is not written yet
  bool has_blocks_ = false;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_FILES_GROWING_FILE_H_
