// LogModel: what a log must be, byte by byte: the entries that were appended, and from them every
// file of the store (logcore/posix/files/log_files.h) and the root of every tree that a batch
// ended. Built with two hash functions and the text of the formats; nothing else of logcore.
// Immutable, shared: a batch makes a new model. Any thread.

#ifndef TESTS_CRASH_LOG_MODEL_H_
#define TESTS_CRASH_LOG_MODEL_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "logcore/tlog/hash.h"
#include "tests/support/sim_disk.h"

namespace tlogfs_test {

class LogModel;
using LogModelPtr = std::shared_ptr<const LogModel>;

class LogModel {
 public:
  static LogModelPtr Empty();
  // The model after one more batch, integrated when the clock said `clock`.
  LogModelPtr Append(const std::vector<std::string>& entries, int64_t clock) const;

  uint64_t size() const { return size_; }
  std::string Entry(uint64_t index) const;
  int64_t Time(uint64_t index) const;  // the second of its integration
  // Of a size that a batch ended with; nothing for any other.
  std::optional<logcore::Hash> Root(uint64_t size) const;
  // Nothing if the files of the log on `disk` are exactly these; else the first that is not.
  std::optional<std::string> Difference(const SimDisk& disk) const;

 private:
  static constexpr size_t kLevels = 3;
  void AppendOne(const std::string& entry);
  void AddNode(size_t level, const logcore::Hash& node);
  uint64_t Offset(uint64_t index) const;
  logcore::Hash RootNow() const;

  struct Segment {
    SimBytes frames, index;
  };
  // The files, in blocks that are shared with the model before this one and with the disk that they
  // were last compared with: only what is new is copied and compared. Sharing is not seen from
  // outside, so a const model may do it.
  mutable std::vector<Segment> segments_;
  mutable std::array<SimBytes, kLevels> nodes_;
  mutable SimBytes times_file_;
  SimBytes offsets_;  // of each frame, and of the end: 8 bytes each
  uint64_t size_ = 0;
  uint64_t frames_end_ = 0;
  std::vector<std::pair<uint64_t, uint64_t>> times_;          // first index, second
  std::vector<std::pair<uint64_t, logcore::Hash>> frontier_;  // perfect subtrees: leaves, root
  std::vector<std::pair<uint64_t, logcore::Hash>> roots_;     // by size
};

}  // namespace tlogfs_test

#endif  // TESTS_CRASH_LOG_MODEL_H_
