#include "logcore/log/edge.h"

#include <span>
#include <string>
#include <utility>

#include "logcore/tlog/entry_bundle.h"
#include "logcore/tlog/tile.h"
#include "logcore/util/check.h"

namespace logcore {

namespace {

Result<std::vector<Hash>> ReadEdgeTile(const StoredLog& log, int level, uint64_t size) {
  std::vector<Hash> nodes(static_cast<size_t>(PartialWidth(level, size)));
  if (nodes.empty()) return nodes;
  RETURN_IF_ERROR(log.ReadNodes(level, FullTiles(level, size) * kTileWidth, nodes));
  return nodes;
}

}  // namespace

Result<EdgeTiles> ReadEdgeTiles(const StoredLog& log, uint64_t size) {
  EdgeTiles tiles;
  for (int level = 0; level < kTileLevels; ++level) {
    ASSIGN_OR_RETURN(tiles[static_cast<size_t>(level)], ReadEdgeTile(log, level, size));
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

namespace {

// The nodes of a level's partial tile, from what is below them; they need not be right.
Result<std::vector<Hash>> ComputeEdgeTile(const StoredLog& log, int level, uint64_t size) {
  std::vector<Hash> nodes(static_cast<size_t>(PartialWidth(level, size)));
  const uint64_t first = FullTiles(level, size) * kTileWidth;
  if (level == 0) {
    ASSIGN_OR_RETURN(const std::string frames, log.ReadFrames(first, nodes.size(), size));
    const WholeFrames whole = CountFrames(frames);
    if (whole.count != nodes.size() || whole.length != frames.size()) {
      return Fail(Code::kCorrupt, "entries: the last bundle is not whole");
    }
    HashLeafFrames(frames, nodes);
    return nodes;
  }
  std::vector<Hash> below(kTileWidth);
  for (size_t i = 0; i < nodes.size(); ++i) {
    RETURN_IF_ERROR(log.ReadNodes(level - 1, (first + i) * kTileWidth, below));
    nodes[i] = PerfectRoot(below);
  }
  return nodes;
}

// Appends what is not damage; returns what hinders.
Status AddUnlessCorrupt(Result<std::vector<Hash>> nodes, std::vector<std::vector<Hash>>* tiles) {
  if (nodes.has_value()) {
    tiles->push_back(std::move(*nodes));
  } else if (nodes.error().code != Code::kCorrupt) {
    return tl::unexpected<Error>(nodes.error());
  }
  return {};
}

}  // namespace

Result<ProvenEdge> ProveEdge(const StoredLog& log, const TreeHead& head) {
  const auto gives_root = [&head](const EdgeTiles& tiles) {
    return CoverOf(tiles, head.size).Root() == head.root;
  };
  ProvenEdge edge;
  const Result<EdgeTiles> stored = ReadEdgeTiles(log, head.size);
  if (stored.has_value() && gives_root(*stored)) {
    edge.tiles = *stored;
    edge.is_stored.fill(true);
    return edge;
  }
  if (!stored.has_value() && stored.error().code != Code::kCorrupt) {
    return tl::unexpected<Error>(stored.error());
  }
  // Of each level the stored nodes and the computed ones, or one of the two: one choice must do.
  std::array<std::vector<std::vector<Hash>>, kTileLevels> choices;
  uint64_t count = 1;
  for (int level = 0; level < kTileLevels; ++level) {
    auto& tiles = choices[static_cast<size_t>(level)];
    if (PartialWidth(level, head.size) == 0) {
      tiles.emplace_back();
    } else {
      RETURN_IF_ERROR(AddUnlessCorrupt(ReadEdgeTile(log, level, head.size), &tiles));
      RETURN_IF_ERROR(AddUnlessCorrupt(ComputeEdgeTile(log, level, head.size), &tiles));
    }
    count *= tiles.size();
  }
  for (uint64_t choice = 0; choice < count; ++choice) {
    uint64_t rest = choice;
    for (size_t level = 0; level < kTileLevels; ++level) {
      edge.tiles[level] = choices[level][rest % choices[level].size()];
      rest /= choices[level].size();
    }
    if (!gives_root(edge.tiles)) continue;
    for (int level = 0; level < kTileLevels; ++level) {
      const auto present = ReadEdgeTile(log, level, head.size);
      const size_t i = static_cast<size_t>(level);
      edge.is_stored[i] = present.has_value() && *present == edge.tiles[i];
    }
    return edge;
  }
  return Fail(Code::kCorrupt, "hashes: the right edge of the tree of size " +
                                  std::to_string(head.size) + " does not give the published root");
}

bool Contradicts(const StoredLog& log, const TreeHead& head) {
  EdgeTiles tiles;
  for (int level = 0; level < kTileLevels; ++level) {
    const auto stored = ReadEdgeTile(log, level, head.size);
    if (!stored.has_value()) return false;
    tiles[static_cast<size_t>(level)] = *stored;
    if (stored->empty()) continue;
    const auto computed = ComputeEdgeTile(log, level, head.size);
    if (!computed.has_value() || *computed != *stored) return false;
  }
  return CoverOf(tiles, head.size).Root() != head.root;
}

Result<CompactRange> ReadEdge(const StoredLog& log, uint64_t size) {
  ASSIGN_OR_RETURN(const EdgeTiles tiles, ReadEdgeTiles(log, size));
  return CoverOf(tiles, size);
}

}  // namespace logcore
