// Snapshot: the log as it was published at one moment, and every byte that readers may have of it.
// Immutable; the files under it only grow. Cheap to copy around as a shared_ptr.
//
// Every byte given out was verified up to the published root: the first read of a tile or bundle
// hashes it and the tiles above it, and a bit remembers that (Verified, shared by all snapshots of
// a store: what led to an older published root leads to every later one). Bytes that do not verify
// are kCorrupt, never given.
//
// Any thread. Tested by tests/logcore/snapshot_test.cc.

#ifndef LOGCORE_SNAPSHOT_H_
#define LOGCORE_SNAPSHOT_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "logcore/edge.h"
#include "logcore/log_files.h"
#include "logcore/merkle.h"
#include "logcore/result.h"
#include "logcore/tile.h"

namespace logcore {

// What a checkpoint slot of the store says (published.h).
struct Published {
  uint64_t sequence = 0;     // of the publication; 1 is the empty log's
  TreeHead head;
  uint64_t frames_end = 0;   // global frame offset after the last entry
  int64_t time = 0;          // second of the newest entry's integration, or of init
  std::string note;          // the signed checkpoint, exactly as served
  bool operator==(const Published&) const = default;
};

// Which tiles and bundles have been verified. A bit for each full one; a width for the partial one
// at the right edge. Grows by 1 bit a tile. Any thread.
class Verified {
 public:
  // How many of the tile's (or bundle's) nodes (or entries) were verified, from its first on.
  int Width(int level, uint64_t index) const;
  bool Covers(const TileId& id) const { return id.width <= Width(id.level, id.index); }
  void Add(const TileId& id);

 private:
  struct Level {
    std::vector<bool> full;
    uint64_t edge_index = 0;
    int edge_width = 0;
  };
  mutable std::mutex mutex_;
  std::array<Level, kTileLevels + 1> levels_;  // [0] is the bundles
};

class Snapshot {
 public:
  Snapshot(Published published, std::shared_ptr<const LogFiles> files,
           std::shared_ptr<Verified> verified);

  const Published& published() const { return published_; }
  uint64_t size() const { return published_.head.size; }
  uint64_t LogLength() const { return published_.frames_end - size(); }

  // All kNotFound where the tree is smaller than the thing asked for.
  Result<std::string> Tile(const TileId& id) const;    // hashes; level >= 0
  Result<std::string> Bundle(const TileId& id) const;  // frames; level == kEntriesLevel
  Result<std::string> Entry(uint64_t index) const;
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
  // The partial tile of each level.

  Status ReadNodes(int level, uint64_t first, std::span<Hash> out) const;
  Result<const EdgeTiles*> VerifiedEdge() const;
  Result<std::string> ReadBundle(uint64_t bundle, int from, int to) const;
  Status VerifyBundle(uint64_t bundle, int width) const;
  Result<std::string> ReadEntries(uint64_t first, uint64_t end) const;

  const Published published_;
  const std::shared_ptr<const LogFiles> files_;
  const std::shared_ptr<Verified> verified_;
  mutable std::mutex edge_mutex_;
  mutable std::atomic<bool> times_whole_ = false;
  mutable std::optional<EdgeTiles> edge_;  // verified; once it is there it stays
};

}  // namespace logcore

#endif  // LOGCORE_SNAPSHOT_H_
