// BlockBuffer: memory as O_DIRECT wants it, for all files of a disk; a huge page where there are
// any, as a request of one piece costs less than one of 512. Part of PosixDisk (posix_disk.h).
//
// Any thread. Tested by tests/logcore/posix/disk/posix_disk_test.cc.

#ifndef LOGCORE_POSIX_DISK_BLOCK_BUFFER_H_
#define LOGCORE_POSIX_DISK_BLOCK_BUFFER_H_

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>

namespace logcore {

class BlockBuffer {
 public:
  static constexpr size_t kLength = 2 << 20;

  // Calls `write` with each part of `bytes`, aligned, until one fails.
  template <typename Write>
  bool ForEachPart(std::string_view bytes, Write write) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!memory_) {
      memory_.reset(std::aligned_alloc(kLength, kLength));
      if (!memory_) return false;
      static_cast<void>(madvise(memory_.get(), kLength, MADV_HUGEPAGE));
    }
    for (size_t done = 0; done < bytes.size(); done += kLength) {
      const std::string_view part = bytes.substr(done, kLength);
      std::memcpy(memory_.get(), part.data(), part.size());
      if (!write(done, memory_.get(), part.size())) return false;
    }
    return true;
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<void, decltype(&std::free)> memory_{nullptr, &std::free};
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_DISK_BLOCK_BUFFER_H_
