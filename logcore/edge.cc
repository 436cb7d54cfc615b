#include "logcore/edge.h"

#include <span>
#include <utility>

#include "logcore/check.h"
#include "logcore/tile.h"

namespace logcore {

Result<EdgeTiles> ReadEdgeTiles(const LogFiles& files, uint64_t size) {
  EdgeTiles tiles;
  for (int level = 0; level < kTileLevels; ++level) {
    std::vector<Hash>& nodes = tiles[static_cast<size_t>(level)];
    nodes.resize(static_cast<size_t>(PartialWidth(level, size)));
    if (nodes.empty()) continue;
    RETURN_IF_ERROR(files.ReadNodes(level, FullTiles(level, size) * kTileWidth, nodes));
  }
  return tiles;
}

// The bits of a tile's width say which perfect subtrees it is made of, largest first; and so do the
// levels, the highest first.
CompactRange CoverOf(const EdgeTiles& tiles, uint64_t size) {
  std::vector<Hash> cover;
  for (int level = kTileLevels - 1; 0 <= level; --level) {
    std::vector<Hash> nodes = tiles[static_cast<size_t>(level)];
    std::span<Hash> rest = nodes;
    for (size_t run = kTileWidth / 2; run != 0; run /= 2) {
      if ((nodes.size() & run) == 0) continue;
      cover.push_back(PerfectRoot(rest.first(run)));
      rest = rest.subspan(run);
    }
  }
  Result<CompactRange> range = CompactRange::FromHashes(size, std::move(cover));
  CHECK(range.has_value());
  return std::move(*range);
}

Result<CompactRange> ReadEdge(const LogFiles& files, uint64_t size) {
  ASSIGN_OR_RETURN(const EdgeTiles tiles, ReadEdgeTiles(files, size));
  return CoverOf(tiles, size);
}

}  // namespace logcore
