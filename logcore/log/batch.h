// Batch: entries on their way into a log, which one record of its storage makes durable: their
// frames, in one piece, and their leaf hashes.
//
// One thread at a time. Tested by tests/logcore/log/prepare_test.cc and
// tests/logcore/posix/commit/store_test.cc.

#ifndef LOGCORE_LOG_BATCH_H_
#define LOGCORE_LOG_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "logcore/tlog/hash.h"

namespace logcore {

// What a writer has computed of a batch in advance (LogWriter::Prepare). Each kind of writer has
// its own.
class PreparedBatch {
 public:
  virtual ~PreparedBatch() = default;
};

class Batch {
 public:
  // Bytes before the frames, where a writer puts the header of the record, so that the frames need
  // not be copied.
  static constexpr size_t kHeaderLength = 152;

  Batch() { Clear(); }
  void Clear();
  // `frames` are `count` whole, valid frames (entry_bundle.h). Hashes them.
  void Append(std::string_view frames, uint64_t count);
  // For frames whose hashes are known (HashLeafFrames).
  void Append(std::string_view frames, std::span<const Hash> leaf_hashes);

  uint64_t count() const { return leaf_hashes_.size(); }
  std::string_view frames() const { return std::string_view(record_).substr(kHeaderLength); }
  std::span<const Hash> leaf_hashes() const { return leaf_hashes_; }
  // Null: nothing. LogWriter::Commit replaces it if something came in between.
  const PreparedBatch* prepared() const { return prepared_.get(); }

  // ---- For writers.

  void set_prepared(std::unique_ptr<PreparedBatch> prepared) { prepared_ = std::move(prepared); }
  // Bytes for the header, then the frames: as long after a commit as before, unless the log
  // stopped.
  std::string* record() { return &record_; }

 private:
  std::string record_;
  std::vector<Hash> leaf_hashes_;
  std::unique_ptr<PreparedBatch> prepared_;
};

}  // namespace logcore

#endif  // LOGCORE_LOG_BATCH_H_
