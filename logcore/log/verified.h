// Verified: which tiles and bundles have been verified up to a published root. A bit for each full
// one; a width for the partial one at the right edge. Grows by 1 bit a tile.
//
// Any thread, without a lock: every read asks it. Tested by tests/logcore/log/verified_test.cc.

#ifndef LOGCORE_LOG_VERIFIED_H_
#define LOGCORE_LOG_VERIFIED_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "logcore/tlog/merkle.h"
#include "logcore/tlog/tile.h"
#include "logcore/util/check.h"
#include "logcore/util/growing_array.h"

namespace logcore {

class Verified {
 public:
  // How many of the tile's (or bundle's) nodes (or entries) were verified, from its first on.
  int Width(int level, uint64_t index) const {
    const Level& tiles = levels_[static_cast<size_t>(level + 1)];
    const std::atomic<uint64_t>* const bits = tiles.full.Find(index / 64);
    if (bits != nullptr && (bits->load() >> (index % 64) & 1) != 0) return kTileWidth;
    const uint64_t edge = tiles.edge.load();
    return edge >> 8 == index ? static_cast<int>(edge & 0xff) : 0;
  }
  bool Covers(const TileId& id) const { return id.width <= Width(id.level, id.index); }

  void Add(const TileId& id) {
    CHECK(id.index >> 56 == 0 && 0 < id.width && id.width <= kTileWidth);
    Level& tiles = levels_[static_cast<size_t>(id.level + 1)];
    if (id.width == kTileWidth) {
      tiles.full.Make(id.index / 64).fetch_or(uint64_t{1} << (id.index % 64));
      return;
    }
    // An older snapshot's edge is not worth a place: in newer ones it is part of a full tile.
    const uint64_t edge = id.index << 8 | static_cast<uint64_t>(id.width);
    uint64_t newest = tiles.edge.load();
    while (newest < edge && !tiles.edge.compare_exchange_weak(newest, edge)) continue;
  }

 private:
  struct Level {
    GrowingArray<std::atomic<uint64_t>> full;  // 64 tiles each
    std::atomic<uint64_t> edge = 0;            // index << 8 | width
  };
  std::array<Level, kTileLevels + 1> levels_;  // [0] is the bundles
};

}  // namespace logcore

#endif  // LOGCORE_LOG_VERIFIED_H_
