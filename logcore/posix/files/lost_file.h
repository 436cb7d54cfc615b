// LostFile: stands for a file that cannot be opened. Whatever is asked of it ends with the error
// that says why, so that the rest of a damaged log can be read.
//
// Any thread. Tested by tests/logcore/posix/files/log_files_test.cc.

#ifndef LOGCORE_POSIX_FILES_LOST_FILE_H_
#define LOGCORE_POSIX_FILES_LOST_FILE_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "logcore/posix/disk/disk.h"
#include "logcore/util/result.h"

namespace logcore {

class LostFile final : public File {
 public:
  explicit LostFile(Error why) : why_(std::move(why)) {}

  Result<size_t> ReadAt(uint64_t, char*, size_t) const override { return Why(); }
  Status WriteAt(uint64_t, std::string_view) override { return Why(); }
  Status Allocate(uint64_t) override { return Why(); }
  Status Cut(uint64_t) override { return Why(); }
  Status Sync() override { return Why(); }
  Result<uint64_t> Length() const override { return Why(); }
  Result<std::shared_ptr<const char>> Map(uint64_t) const override { return Why(); }
  Status Lock(int) override { return Why(); }
  Result<bool> TryLock(int, LockKind) override { return Why(); }
  void Unlock(int) override {}

 private:
  tl::unexpected<Error> Why() const { return tl::unexpected<Error>(why_); }
  const Error why_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_FILES_LOST_FILE_H_
