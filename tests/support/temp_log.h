// A directory of its own for a test, and the log's files (logcore/posix/files/log_files.h) in it,
// filled from a ReferenceLog. One thread.

#ifndef TESTS_SUPPORT_TEMP_LOG_H_
#define TESTS_SUPPORT_TEMP_LOG_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "logcore/log/snapshot.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/posix/files/log_files.h"
#include "tests/support/reference_log.h"

namespace tlogfs_test {

class TempDirectory {
 public:
  TempDirectory() {
    std::string path = std::filesystem::temp_directory_path() / "tlogfs_test_";
    path.append(6, 'X');  // for mkdtemp(3) to fill in
    if (mkdtemp(path.data()) == nullptr) abort();
    path_ = path;
  }
  TempDirectory& operator=(TempDirectory&&) = delete;
  ~TempDirectory() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

  std::string Read(const std::string& name) const {
    std::ifstream in(path_ / name, std::ios::binary);
    EXPECT_TRUE(in.is_open()) << name;
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
  }
  // Overwrites one byte by its complement; doing it again brings it back.
  void Flip(const std::string& name, uint64_t offset) const {
    std::fstream file(path_ / name, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(static_cast<std::streamoff>(offset));
    const char byte = static_cast<char>(~file.get());
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
  }

 private:
  std::filesystem::path path_;
};

// Appends entries of a reference log to LogFiles as a store does, without a journal.
class LogFilesWriter {
 public:
  // `disk` must hold the files.
  explicit LogFilesWriter(logcore::Disk* disk, uint64_t gap_limit = logcore::kNoGapLimit)
      : files_(logcore::LogFiles::Open(disk, logcore::Access::kReadWrite, gap_limit).value()) {}

  // One batch: the reference log's entries up to `size`.
  logcore::Status Append(const ReferenceLog& log, uint64_t size, int64_t time) {
    const std::string frames = log.Frames(end_.size, size);
    std::vector<logcore::Hash> leaf_hashes;
    for (uint64_t i = end_.size; i < size; ++i) leaf_hashes.push_back(log.LeafHash(i));
    const logcore::Prepared prepared =
        logcore::Prepare(range_, end_.frames_end, frames, leaf_hashes);
    const logcore::LogAppend append{
        .frames = frames, .leaf_hashes = leaf_hashes, .prepared = &prepared, .time = time};
    RETURN_IF_ERROR(files_->Reserve(end_, append));
    ASSIGN_OR_RETURN(const logcore::LogEnd end, files_->Write(end_, append));
    // Once more: replaying a journal must change nothing.
    ASSIGN_OR_RETURN(const logcore::LogEnd again, files_->Write(end_, append));
    EXPECT_EQ(again, end);
    end_ = end;
    range_ = prepared.after;
    return {};
  }

  // All that was appended, as if it had been published.
  logcore::Published published() const {
    return {.sequence = 1,
            .head = range_.Head(),
            .frames_end = end_.frames_end,
            .time = end_.time,
            .note = "a note"};
  }
  const logcore::LogEnd& end() const { return end_; }
  const logcore::CompactRange& range() const { return range_; }
  std::shared_ptr<logcore::LogFiles> files() const { return files_; }

 private:
  const std::shared_ptr<logcore::LogFiles> files_;
  logcore::LogEnd end_;
  logcore::CompactRange range_;
};

}  // namespace tlogfs_test

#endif  // TESTS_SUPPORT_TEMP_LOG_H_
