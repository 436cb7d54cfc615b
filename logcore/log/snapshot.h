// Snapshot: the log as it was published at one moment, and every byte that readers may have of it.
// Immutable; the log under it (stored_log.h) only grows. Cheap to copy around as a shared_ptr.
//
// Every byte given out was verified up to the published root: the first read of a tile or bundle
// hashes it and the tiles above it, and a bit remembers that (Verified, shared by all snapshots of
// a store: what led to an older published root leads to every later one). Bytes that do not verify
// are kCorrupt, never given.
//
// Any thread. Tested by tests/logcore/log/snapshot_test.cc.

#ifndef LOGCORE_LOG_SNAPSHOT_H_
#define LOGCORE_LOG_SNAPSHOT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "logcore/log/publication_time.h"
#include "logcore/log/stored_log.h"
#include "logcore/tlog/merkle.h"
#include "logcore/tlog/tile.h"
#include "logcore/util/result.h"

namespace logcore {

class Verified;     // verified.h
struct ProvenEdge;  // edge.h

// What a checkpoint slot of the store says (published.h).
struct Published {
  uint64_t sequence = 0;  // of the publication; 1 is the empty log's
  TreeHead head;
  uint64_t frames_end = 0;  // global frame offset after the last entry
  int64_t time = 0;         // second of the newest entry's integration, or of init
  PublicationTime publication{};
  std::string note;  // the signed checkpoint, exactly as served
  bool operator==(const Published&) const = default;
};

// Where Snapshot::Entries puts entries. To be used again: its memory is kept.
class EntryBuffer {
 private:
  friend class Snapshot;
  struct Copy {
    size_t slot;
    size_t begin;  // in bytes_
  };
  std::vector<std::string_view> entries_;
  std::vector<HeldEntry> held_;
  std::vector<Copy> copies_;
  std::string bytes_;
};

class Snapshot {
 public:
  Snapshot(Published published, std::shared_ptr<const StoredLog> stored,
           std::shared_ptr<Verified> verified);
  ~Snapshot();

  const Published& published() const { return published_; }
  uint64_t size() const { return published_.head.size; }
  uint64_t LogLength() const { return published_.frames_end - size(); }

  // All kNotFound where the tree is smaller than the thing asked for.
  Result<std::string> Tile(const TileId& id) const;    // hashes; level >= 0
  Result<std::string> Bundle(const TileId& id) const;  // frames; level == kEntriesLevel
  Result<std::string> Entry(uint64_t index) const;
  // Many at once, in the order of `indexes`, which may repeat. Those that the storage holds in
  // memory (StoreOptions::map_segments) are not copied, and found many times as fast. The views
  // live until the buffer is used again, and as long as the buffer and the snapshot. Entries one
  // after the other: scan.h.
  Result<std::span<const std::string_view>> Entries(std::span<const uint64_t> indexes,
                                                    EntryBuffer* buffer) const;
  Result<uint64_t> TileLength(const TileId& id) const;  // of tiles and of bundles, in bytes
  Result<uint64_t> EntryLength(uint64_t index) const;
  // Bytes [offset, offset + length) of the text of `log`; fewer only at its end.
  Result<std::string> Log(uint64_t offset, size_t length) const;
  Result<Hash> LeafHash(uint64_t index) const;
  // Integration time (POSIX seconds) of entry `index`.
  Result<int64_t> Time(uint64_t index) const;
  // A node for proofs; verified. Heights that are no tile level are computed from the tile below.
  Result<Hash> Node(int height, uint64_t index) const;

 private:
  friend class Scan;

  tl::unexpected<Error> FailEntries(uint64_t first, uint64_t end, std::string_view why) const;
  Status ReadNodes(int level, uint64_t first, std::span<Hash> out) const;
  Result<Hash> ReadParent(int level, uint64_t index) const;
  Result<const ProvenEdge*> VerifiedEdge() const;
  Result<std::string> ReadBundle(uint64_t bundle, int from, int to) const;
  Status VerifyBundle(uint64_t bundle, int width) const;
  Status CheckBundle(uint64_t bundle, int begin, int known, uint64_t offset,
                     std::span<const std::string_view> entries) const;
  Result<std::string> ReadEntries(uint64_t first, uint64_t end) const;

  const Published published_;
  const std::shared_ptr<const StoredLog> stored_;
  const std::shared_ptr<Verified> verified_;
  mutable std::mutex edge_mutex_;
  mutable std::atomic<bool> times_whole_ = false;
  mutable std::unique_ptr<const ProvenEdge> edge_;  // verified; once it is there it stays
};

}  // namespace logcore

#endif  // LOGCORE_LOG_SNAPSHOT_H_
