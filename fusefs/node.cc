#include "fusefs/node.h"

#include "logcore/tlog/merkle.h"
#include "logcore/util/check.h"

namespace fusefs {
namespace {

constexpr int kKindShift = 58;
constexpr int kLevelShift = 54;
constexpr int kWidthShift = 46;
constexpr uint64_t kLastKind = static_cast<uint64_t>(Kind::kEntry);

bool IsOfTiles(Kind kind) {
  return kind == Kind::kTileShard || kind == Kind::kPartialDirectory || kind == Kind::kTile;
}

// Kinds of which there is one node only.
bool IsSingle(Kind kind) {
  return kind == Kind::kRoot || kind == Kind::kLog || kind == Kind::kVkey ||
         kind == Kind::kTileDirectory;
}

}  // namespace

bool HasNumber(const Node& node) {
  if (static_cast<uint64_t>(node.kind) > kLastKind) return false;
  if (!IsOfTiles(node.kind)) {
    const uint64_t max_index = IsSingle(node.kind) ? 0 : kMaxIndex;
    return node.level == 0 && node.width == 0 && node.index <= max_index;
  }
  const bool width_fits = node.kind == Kind::kTile
                              ? 1 <= node.width && node.width <= logcore::kTileWidth
                              : node.width == 0;
  return logcore::kEntriesLevel <= node.level && node.level < logcore::kTileLevels && width_fits &&
         node.index <= kMaxTileIndex;
}

uint64_t NodeNumber(const Node& node) {
  CHECK(HasNumber(node));
  if (node.kind == Kind::kRoot) return kRootNumber;
  uint64_t number = static_cast<uint64_t>(node.kind) << kKindShift | node.index;
  if (IsOfTiles(node.kind)) {
    number |= static_cast<uint64_t>(node.level + 1) << kLevelShift;
    if (node.kind == Kind::kTile) number |= static_cast<uint64_t>(node.width - 1) << kWidthShift;
  }
  return number;
}

uint64_t InodeNumber(const Node& node, const logcore::Hash& log) {
  if (node.kind != Kind::kAdd && node.kind != Kind::kAddBundle) return NodeNumber(node);
  uint64_t index = 0;
  for (const char byte : log.view().substr(0, 8)) {
    index = index << 8 | static_cast<unsigned char>(byte);
  }
  return NodeNumber({.kind = node.kind, .index = index & kMaxIndex});
}

std::optional<Node> ParseNodeNumber(uint64_t number) {
  if (number == kRootNumber) return Node{};
  const uint64_t kind = number >> kKindShift;
  if (kind == 0 || kLastKind < kind) return std::nullopt;
  Node node{.kind = static_cast<Kind>(kind), .index = number & kMaxIndex};
  if (IsOfTiles(node.kind)) {
    node.index = number & kMaxTileIndex;
    node.level = static_cast<int>(number >> kLevelShift & 0xf) - 1;
    if (node.kind == Kind::kTile) node.width = static_cast<int>(number >> kWidthShift & 0xff) + 1;
  }
  if (!HasNumber(node) || NodeNumber(node) != number) return std::nullopt;
  return node;
}

logcore::TileId TileIdOf(const Node& node) {
  CHECK(node.kind == Kind::kTile);
  return {.level = node.level, .index = node.index, .width = node.width};
}

}  // namespace fusefs
