// The right edge of the tree, read from its tiles: what a root is computed from, the second way.
// The first is the compact range that a writer carries in memory; before anything is signed, the
// two must agree. Any thread. Tested by tests/logcore/posix/commit/store_test.cc
// and snapshot_test.cc.

#ifndef LOGCORE_LOG_EDGE_H_
#define LOGCORE_LOG_EDGE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "logcore/log/stored_log.h"
#include "logcore/tlog/merkle.h"
#include "logcore/util/result.h"

namespace logcore {

// The nodes of the partial tile of each level: at most 255 of each. Works for every size that the
// log ever had.
using EdgeTiles = std::array<std::vector<Hash>, kTileLevels>;
Result<EdgeTiles> ReadEdgeTiles(const StoredLog& log, uint64_t size);

// The compact range that they make.
CompactRange CoverOf(const EdgeTiles& tiles, uint64_t size);

// Both.
Result<CompactRange> ReadEdge(const StoredLog& log, uint64_t size);

// The edge that gives the root, for readers: every other tile is verified by way of it. So where
// the stored hashes are damaged just there, the level's nodes are computed from the level below,
// and those of the lowest one from the frames.
struct ProvenEdge {
  EdgeTiles tiles;
  std::array<bool, kTileLevels> is_stored{};  // That level's are stored, as they are.
};
// kCorrupt if what there is does not give the root.
Result<ProvenEdge> ProveEdge(const StoredLog& log, const TreeHead& head);
// Whether what is stored, the frames too, agrees about the edge of a tree of that size, and give
// another root: then it is not that which is damaged.
bool Contradicts(const StoredLog& log, const TreeHead& head);

}  // namespace logcore

#endif  // LOGCORE_LOG_EDGE_H_
