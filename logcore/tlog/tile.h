// Tiles and entry bundles by name: C2SP tlog-tiles, https://c2sp.org/tlog-tiles.
//
// Tile (level L, index n, width w) holds w nodes of tile level L (height 8 L), from node 256 n on.
// Full tiles are 256 wide; narrower ones are *partial*, on the right edge of some tree. The entry
// bundle of index n and width w holds the entries of the level-0 tile (0, n, w), framed.
//
//   tile/<L>/<N>[.p/<W>]          L: 0..63     W: 1..255, only when partial
//   tile/entries/<N>[.p/<W>]      N: 3-digit groups, all but the last prefixed x: x001/x234/067
//
// Every name has one spelling; parsing is strict. Pure; any thread. Tested by
// tests/logcore/tlog/tile_test.cc.

#ifndef LOGCORE_TLOG_TILE_H_
#define LOGCORE_TLOG_TILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "logcore/util/result.h"

namespace logcore {

inline constexpr int kTileWidth = 256;
inline constexpr int kMaxTileLevel = 63;  // By the spec; 7 is the highest that can hold anything.
inline constexpr int kEntriesLevel = -1;  // TileId::level of an entry bundle.

struct TileId {
  int level = 0;  // 0..63, or kEntriesLevel
  uint64_t index = 0;
  int width = kTileWidth;  // 1..256
  bool operator==(const TileId&) const = default;
};

// "067", "x001/x234/067": how tlog-tiles spells a number in a path.
std::string IndexPath(uint64_t index);
// The exact inverse; nothing for any other spelling or an index over 2^64 - 1.
std::optional<uint64_t> ParseIndexPath(std::string_view path);

// "tile/0/x001/067.p/8". The id must be valid (CHECKed).
std::string TilePath(const TileId& id);
// The exact inverse; kNotFound for anything else.
Result<TileId> ParseTilePath(std::string_view path);

// How many full tiles level L (or kEntriesLevel) has in a tree of `size`, and how wide the partial
// one after them is (0: there is none).
uint64_t FullTiles(int level, uint64_t size);
int PartialWidth(int level, uint64_t size);
// Nodes of tile level L in a tree of `size`: floor(size / 256^L).
uint64_t NodeCount(int level, uint64_t size);
// Whether every node (or entry) of the tile is in a tree of `size`.
bool TileExists(const TileId& id, uint64_t size);

}  // namespace logcore

#endif  // LOGCORE_TLOG_TILE_H_
