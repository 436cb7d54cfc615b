// The same test on two storages: the files of a store, and memory (memory_log.h). What holds for
// both holds for what stands behind the doors of logcore/log, whatever it is. One thread, but for
// what the doors allow.

#ifndef TESTS_SUPPORT_EITHER_LOG_H_
#define TESTS_SUPPORT_EITHER_LOG_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "logcore/log/log_writer.h"
#include "logcore/log/published_log.h"
#include "logcore/log/snapshot.h"
#include "logcore/log/verified.h"
#include "logcore/posix/check/audit.h"
#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/posix/files/log_files.h"
#include "tests/support/memory_log.h"
#include "tests/support/reference_log.h"
#include "tests/support/temp_log.h"

namespace tlogfs_test {

enum class Storage { kFiles, kMemory };

// For INSTANTIATE_TEST_SUITE_P.
inline const auto kBothStorages = testing::Values(Storage::kFiles, Storage::kMemory);
inline std::string StorageName(const testing::TestParamInfo<Storage>& info) {
  return info.param == Storage::kFiles ? "Files" : "Memory";
}

// Stored bytes behind the door for reading, filled from a reference log. All of it is published.
class EitherStoredLog {
 public:
  explicit EitherStoredLog(Storage storage) : storage_(storage) {
    if (storage_ == Storage::kMemory) return;
    EXPECT_TRUE(logcore::LogFiles::Create(disk_.get()).has_value());
    files_ = std::make_unique<LogFilesWriter>(disk_.get());
  }

  // One batch: the reference log's entries up to `size`.
  logcore::Status Append(const ReferenceLog& log, uint64_t size, int64_t time) {
    if (storage_ == Storage::kFiles) return files_->Append(log, size, time);
    std::vector<logcore::Hash> leaf_hashes;
    const uint64_t first = memory_->range().size();
    for (uint64_t i = first; i < size; ++i) leaf_hashes.push_back(log.LeafHash(i));
    memory_->Append(log.Frames(first, size), leaf_hashes, time);
    memory_->Publish(size);
    return {};
  }
  std::shared_ptr<const logcore::Snapshot> Take(
      std::shared_ptr<logcore::Verified> verified = nullptr) const {
    if (verified == nullptr) verified = std::make_shared<logcore::Verified>();
    if (storage_ == Storage::kFiles) {
      // A reader of its own: it must not know more than the files say.
      return std::make_shared<const logcore::Snapshot>(
          files_->published(), logcore::LogFiles::Open(disk_.get(), logcore::Access::kRead).value(),
          verified);
    }
    const uint64_t size = memory_->range().size();
    const logcore::Published published{.sequence = 1,
                                       .head = memory_->range().Head(),
                                       .frames_end = memory_->frames_end(),
                                       .time = size == 0 ? 0 : memory_->Time(size - 1).value(),
                                       .note = "a note"};
    return std::make_shared<const logcore::Snapshot>(published, memory_, verified);
  }

 private:
  const Storage storage_;
  const TempDirectory directory_;
  const std::unique_ptr<logcore::Disk> disk_ = logcore::OpenPosixDisk(directory_.path()).value();
  std::unique_ptr<LogFilesWriter> files_;
  const std::shared_ptr<MemoryBytes> memory_ = std::make_shared<MemoryBytes>();
};

// A log behind both doors, open for appending.
class EitherLog {
 public:
  // `clock`: nanoseconds.
  EitherLog(Storage storage, const logcore::InitOptions& init, std::function<int64_t()> clock) {
    if (storage == Storage::kMemory) {
      memory_ = std::make_unique<MemoryLog>(init.origin, std::move(clock));
      return;
    }
    const logcore::StoreOptions options{.clock = std::move(clock)};
    EXPECT_TRUE(logcore::InitStore(disk_.get(), init, options).has_value());
    store_ = logcore::StoreWriter::Open(disk_.get(), options).value();
  }

  logcore::LogWriter& writer() {
    if (memory_ != nullptr) return *memory_;
    return *store_;
  }
  logcore::PublishedLog& published() {
    if (memory_ != nullptr) return *memory_;
    return store_->reader();
  }
  // Of the files; memory has checked itself all the time.
  void ExpectSound() const {
    if (memory_ != nullptr) return;
    const auto report = logcore::Audit(disk_.get(), {});
    ASSERT_TRUE(report.has_value()) << report.error().message;
    EXPECT_TRUE(report->damages.empty());
  }
  const TempDirectory& directory() const { return directory_; }
  logcore::Disk* disk() const { return disk_.get(); }

 private:
  const TempDirectory directory_;
  const std::unique_ptr<logcore::Disk> disk_ = logcore::OpenPosixDisk(directory_.path()).value();
  std::unique_ptr<logcore::StoreWriter> store_;
  std::unique_ptr<MemoryLog> memory_;
};

}  // namespace tlogfs_test

#endif  // TESTS_SUPPORT_EITHER_LOG_H_
