// The right edge of the tree, read from its tiles: what a root is computed from, the second way.
// The first is the compact range that a writer carries in memory; before anything is signed, the
// two must agree. Any thread. Tested by tests/logcore/store_test.cc
// and snapshot_test.cc.

#ifndef LOGCORE_EDGE_H_
#define LOGCORE_EDGE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "logcore/log_files.h"
#include "logcore/merkle.h"
#include "logcore/result.h"

namespace logcore {

// The nodes of the partial tile of each level: at most 255 of each. Works for every size that the
// files ever had.
using EdgeTiles = std::array<std::vector<Hash>, kTileLevels>;
Result<EdgeTiles> ReadEdgeTiles(const LogFiles& files, uint64_t size);

// The compact range that they make.
CompactRange CoverOf(const EdgeTiles& tiles, uint64_t size);

// Both.
Result<CompactRange> ReadEdge(const LogFiles& files, uint64_t size);

}  // namespace logcore

#endif  // LOGCORE_EDGE_H_
