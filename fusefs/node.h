// Nodes: what there is in the mount, as values, and their numbers: 64 bits that say everything, so
// that there is no table of nodes, forgetting one does nothing, and numbers are the same after a
// remount (NFS handles, rsync and backups rely on it, so kinds are never renumbered).
//
//    63 62     58 57                                                          0
//   +--+---------+-------------------------------------------------------------+
//   | 0|  kind   |  index                                                      |  most kinds
//   +--+---------+---------+-------------+-------------------------------------+
//   | 0|  kind   | level+1 |  width - 1  |  index (46 bits)                    |  kinds of tiles
//   +--+---------+---------+-------------+-------------------------------------+
//                 57     54 53         46
//
// The root directory is 1, as FUSE wants it.
//
// A *shard* is a directory of a number's 3-digit groups: the shard of value v is the path of v with
// an x before each group (`x001/x234` is shard 1234), and it holds the numbers 1000 v to
// 1000 v + 999, and the shards of the same values. Shard 0 is the top (`entries`, `tile/0`).
//
// Pure; any thread. Tested by tests/fusefs/node_test.cc.

#ifndef FUSEFS_NODE_H_
#define FUSEFS_NODE_H_

#include <cstdint>
#include <optional>

#include "logcore/tlog/hash.h"
#include "logcore/tlog/tile.h"

namespace fusefs {

enum class Kind : uint8_t {
  kRoot = 0,
  kAdd = 1,         // index: which opening of it; see fuse_filesystem.h
  kAddBundle = 2,   // the same
  kCheckpoint = 3,  // index: the size it is of
  kLog = 4,
  kVkey = 5,
  kTileDirectory = 6,     // tile
  kTileShard = 7,         // tile/<L>, tile/entries, and their x001; level, and the shard's value
  kPartialDirectory = 8,  // 067.p; level and index
  kTile = 9,              // a hash tile or entry bundle; level, index and width
  kEntryShard = 10,       // entries, and its x001; the shard's value
  kEntry = 11,
};

struct Node {
  Kind kind = Kind::kRoot;
  int level = 0;  // of the kinds of tiles: 0 to 7, or logcore::kEntriesLevel
  int width = 0;  // of kTile: 1 to 256
  uint64_t index = 0;
  bool operator==(const Node&) const = default;
};

inline constexpr uint64_t kRootNumber = 1;
inline constexpr uint64_t kMaxIndex = (uint64_t{1} << 58) - 1;
inline constexpr uint64_t kMaxTileIndex = (uint64_t{1} << 46) - 1;

// Whether the node has a number: its index and the rest are in range for its kind.
bool HasNumber(const Node& node);
// It must have one (CHECKed).
uint64_t NodeNumber(const Node& node);
// What stat(2) shows: a node's number, but one for all openings of `add` in this log, as cp(1)
// compares what it saw with what it has opened. The numbers of `add` in two logs differ.
uint64_t InodeNumber(const Node& node, const logcore::Hash& log);
// The exact inverse of NodeNumber; nothing for a number that it never gives.
std::optional<Node> ParseNodeNumber(uint64_t number);

// Of a kTile.
logcore::TileId TileIdOf(const Node& node);

}  // namespace fusefs

#endif  // FUSEFS_NODE_H_
