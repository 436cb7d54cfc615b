// Scan: entries of a snapshot, one after the other, in pieces that are read at once into a buffer
// that is used again. Nothing is looked up or allocated for a single entry.
//
// Verified, as all reading is, it gives no byte that was not hashed up to the published root, by it
// or by an earlier read (Verified). As stored, it gives what lies in the storage: that lengths fit
// together is checked, the hashes are not. For who compares what he reads with hashes of his own.
//
// One thread; the views live until the next call. Tested by tests/logcore/log/scan_test.cc.

#ifndef LOGCORE_LOG_SCAN_H_
#define LOGCORE_LOG_SCAN_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "logcore/log/snapshot.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/result.h"

namespace logcore {

struct ScanOptions {
  bool verified = true;      // false: as stored
  size_t piece = 256 << 10;  // bytes read at once; at least kMinScanPiece
};
inline constexpr size_t kMinScanPiece = kFrameHeaderLength + kMaxEntryLength;

class Scan {
 public:
  // Of entries [first, end).
  Scan(std::shared_ptr<const Snapshot> snapshot, uint64_t first, uint64_t end,
       const ScanOptions& options);

  // Index of the first entry that Next() will give.
  uint64_t index() const { return index_; }
  // The next entries; none at the end. kNotFound if the tree is smaller than `end`. After an error
  // it can be called again, and tries the same entries.
  Result<std::span<const std::string_view>> Next();

 private:
  Status Begin();
  Status ReadPiece();
  Result<size_t> CountVerified();

  const std::shared_ptr<const Snapshot> snapshot_;
  const uint64_t end_;
  const ScanOptions options_;
  uint64_t index_;           // of the next entry
  uint64_t offset_ = 0;      // global, of its frame
  uint64_t end_offset_ = 0;  // of the frame at `end_`
  size_t buffer_length_ = 0;
  std::unique_ptr<char[]> buffer_;         // none before the first piece
  std::vector<std::string_view> entries_;  // in it
};

}  // namespace logcore

#endif  // LOGCORE_LOG_SCAN_H_
