#include "fusefs/tree.h"

#include <array>

#include "logcore/tlog/merkle.h"
#include "logcore/util/bytes.h"

namespace fusefs {
namespace {

using logcore::FullTiles;
using logcore::kEntriesLevel;
using logcore::kTileWidth;
using logcore::NodeCount;
using logcore::PartialWidth;

constexpr uint64_t kShardWidth = 1000;
constexpr std::string_view kPartialSuffix = ".p";
constexpr std::string_view kEntriesName = "entries";

struct TopName {
  std::string_view name;
  Kind kind;
};
constexpr std::array kTopNames = {
    TopName{"add", Kind::kAdd},
    TopName{"add.bundle", Kind::kAddBundle},
    TopName{"checkpoint", Kind::kCheckpoint},
    TopName{kEntriesName, Kind::kEntryShard},
    TopName{"log", Kind::kLog},
    TopName{"tile", Kind::kTileDirectory},
    TopName{"vkey", Kind::kVkey},
};

// ---- Shards: three digits a name.

std::string ThreeDigits(uint64_t value) {
  std::string digits = "000";
  for (size_t i = digits.size(); i-- > 0; value /= 10) {
    digits[i] = static_cast<char>('0' + value % 10);
  }
  return digits;
}

std::optional<uint64_t> ParseThreeDigits(std::string_view text) {
  if (text.size() != 3) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || '9' < c) return std::nullopt;
    value = 10 * value + static_cast<uint64_t>(c - '0');
  }
  return value;
}

// How many things the shards of this kind and level hold: tiles, the partial one too, or entries.
uint64_t ThingCount(const Node& shard, uint64_t size) {
  if (shard.kind == Kind::kEntryShard) return size;
  return FullTiles(shard.level, size) + (PartialWidth(shard.level, size) > 0 ? 1 : 0);
}

// The shard of value `value`: it is there if it, or a shard below it, holds anything.
std::optional<Node> SubShard(const Node& shard, uint64_t value, uint64_t size) {
  if (value == 0 || value > kMaxIndex / kShardWidth) return std::nullopt;
  const Node below{.kind = shard.kind, .level = shard.level, .index = value};
  if (!HasNumber(below) || ThingCount(shard, size) <= value * kShardWidth) return std::nullopt;
  return below;
}

// The thing of number `index`, whole: an entry or a full tile.
std::optional<Node> WholeThing(const Node& shard, uint64_t index, const Shape& shape) {
  const Node thing = shard.kind == Kind::kEntryShard
                         ? Node{.kind = Kind::kEntry, .index = index}
                         : Node{Kind::kTile, shard.level, kTileWidth, index};
  if (!Exists(thing, shape)) return std::nullopt;
  return thing;
}

std::optional<Node> PartialDirectory(const Node& shard, uint64_t index, const Shape& shape) {
  const Node directory{.kind = Kind::kPartialDirectory, .level = shard.level, .index = index};
  if (shard.kind != Kind::kTileShard || !Exists(directory, shape)) return std::nullopt;
  return directory;
}

std::optional<Node> LookupInShard(const Node& shard, std::string_view name, const Shape& shape) {
  if (shard.index > kMaxIndex / kShardWidth) return std::nullopt;
  const uint64_t first = shard.index * kShardWidth;
  if (const auto digits = ParseThreeDigits(name)) return WholeThing(shard, first + *digits, shape);
  if (name.starts_with('x')) {
    const auto digits = ParseThreeDigits(name.substr(1));
    return digits ? SubShard(shard, first + *digits, shape.size) : std::nullopt;
  }
  if (name.ends_with(kPartialSuffix)) {
    const auto digits = ParseThreeDigits(name.substr(0, name.size() - kPartialSuffix.size()));
    return digits ? PartialDirectory(shard, first + *digits, shape) : std::nullopt;
  }
  if (shard.kind == Kind::kEntryShard && shard.index == 0) {
    const std::optional<uint64_t> index = logcore::ParseDecimal(name);
    return index ? WholeThing(shard, *index, shape) : std::nullopt;
  }
  return std::nullopt;
}

// Slots 0 to 999 are the things, then come the shards. When the first shard appears, all things
// before it are there: slots that are filled follow each other.
std::optional<Child> ListShard(const Node& shard, uint64_t cookie, const Shape& shape) {
  if (shard.index > kMaxIndex / kShardWidth) return std::nullopt;
  for (uint64_t slot = cookie; slot < 2 * kShardWidth; ++slot) {
    const uint64_t digits = slot % kShardWidth;
    const uint64_t value = shard.index * kShardWidth + digits;
    if (slot < kShardWidth) {
      if (const auto thing = WholeThing(shard, value, shape)) {
        return Child{ThreeDigits(digits), *thing, slot + 1};
      }
      if (const auto partial = PartialDirectory(shard, value, shape)) {
        return Child{ThreeDigits(digits) + std::string(kPartialSuffix), *partial, slot + 1};
      }
      slot = kShardWidth - 1;  // Nothing more; the shards are next.
    } else if (const auto below = SubShard(shard, value, shape.size)) {
      return Child{"x" + ThreeDigits(digits), *below, slot + 1};
    } else if (value != 0) {
      break;
    }
  }
  return std::nullopt;
}

// ---- The other directories.

std::optional<Node> TopNode(const TopName& top, const Shape& shape) {
  const Node node{.kind = top.kind, .index = top.kind == Kind::kCheckpoint ? shape.size : 0};
  if (!Exists(node, shape)) return std::nullopt;
  return node;
}

std::optional<Node> LookupAtTop(std::string_view name, const Shape& shape) {
  for (const TopName& top : kTopNames) {
    if (top.name == name) return TopNode(top, shape);
  }
  return std::nullopt;
}

std::optional<Child> ListTop(uint64_t cookie, const Shape& shape) {
  for (uint64_t slot = cookie; slot < kTopNames.size(); ++slot) {
    const TopName& top = kTopNames[slot];
    if (const auto node = TopNode(top, shape)) return Child{std::string(top.name), *node, slot + 1};
  }
  return std::nullopt;
}

std::optional<Node> LevelNode(int level, const Shape& shape) {
  const Node node{.kind = Kind::kTileShard, .level = level};
  if (!Exists(node, shape)) return std::nullopt;
  return node;
}

std::optional<Node> LookupLevel(std::string_view name, const Shape& shape) {
  if (name == kEntriesName) return LevelNode(kEntriesLevel, shape);
  const std::optional<uint64_t> level = logcore::ParseDecimal(name);
  if (!level || *level >= logcore::kTileLevels) return std::nullopt;
  return LevelNode(static_cast<int>(*level), shape);
}

// Slot 0 is `entries`, slot 1 + L is level L.
std::optional<Child> ListLevels(uint64_t cookie, const Shape& shape) {
  if (cookie > logcore::kTileLevels) return std::nullopt;
  const int level = static_cast<int>(cookie) - 1;
  const auto node = LevelNode(level, shape);
  if (!node) return std::nullopt;  // Nor is there any level above.
  const std::string name =
      level == kEntriesLevel ? std::string(kEntriesName) : std::to_string(level);
  return Child{name, *node, cookie + 1};
}

std::optional<Node> PartialTile(const Node& directory, uint64_t width, const Shape& shape) {
  if (width == 0 || kTileWidth <= width) return std::nullopt;
  const Node tile{Kind::kTile, directory.level, static_cast<int>(width), directory.index};
  if (!Exists(tile, shape)) return std::nullopt;
  return tile;
}

// The one width of the newest checkpoint; none once the tile is full.
std::optional<Child> ListPartial(const Node& directory, uint64_t cookie, const Shape& shape) {
  if (cookie != 0 || directory.index != FullTiles(directory.level, shape.size)) return std::nullopt;
  const auto width = static_cast<uint64_t>(PartialWidth(directory.level, shape.size));
  const auto tile = PartialTile(directory, width, shape);
  if (!tile) return std::nullopt;
  return Child{std::to_string(width), *tile, 1};
}

// What clients of tlog-tiles read, and the directories above it.
bool IsOfSite(Kind kind) {
  switch (kind) {
    case Kind::kRoot:
    case Kind::kCheckpoint:
    case Kind::kVkey:
    case Kind::kTileDirectory:
    case Kind::kTileShard:
    case Kind::kPartialDirectory:
    case Kind::kTile:
      return true;
    case Kind::kAdd:
    case Kind::kAddBundle:
    case Kind::kLog:
    case Kind::kEntryShard:
    case Kind::kEntry:
      return false;
  }
  return false;
}

}  // namespace

Nature NatureOf(Kind kind) {
  switch (kind) {
    case Kind::kRoot:
    case Kind::kTileDirectory:
    case Kind::kTileShard:
    case Kind::kPartialDirectory:
    case Kind::kEntryShard:
      return Nature::kDirectory;
    case Kind::kAdd:
    case Kind::kAddBundle:
      return Nature::kAppend;
    case Kind::kCheckpoint:
      return Nature::kVersion;
    case Kind::kLog:
      return Nature::kGrowing;
    case Kind::kVkey:
    case Kind::kTile:
    case Kind::kEntry:
      return Nature::kImmutable;
  }
  return Nature::kImmutable;
}

bool Exists(const Node& node, const Shape& shape) {
  if (!HasNumber(node) || (shape.static_site && !IsOfSite(node.kind))) return false;
  switch (node.kind) {
    case Kind::kRoot:
    case Kind::kTileDirectory:
    case Kind::kLog:
    case Kind::kVkey:
      return true;
    case Kind::kAdd:
    case Kind::kAddBundle:
      return shape.appendable;
    case Kind::kCheckpoint:
      return node.index <= shape.size;
    case Kind::kEntry:
      return node.index < shape.size;
    case Kind::kTile:
      return logcore::TileExists(TileIdOf(node), shape.size);
    case Kind::kPartialDirectory:
      return node.index * kTileWidth < NodeCount(node.level, shape.size);
    case Kind::kEntryShard:
    case Kind::kTileShard:
      if (node.index != 0) {
        const Node top{.kind = node.kind, .level = node.level};
        return SubShard(top, node.index, shape.size).has_value();
      }
      return node.kind == Kind::kEntryShard || NodeCount(node.level, shape.size) > 0;
  }
  return false;
}

std::optional<Node> Lookup(const Node& directory, std::string_view name, const Shape& shape) {
  switch (directory.kind) {
    case Kind::kRoot:
      return LookupAtTop(name, shape);
    case Kind::kTileDirectory:
      return LookupLevel(name, shape);
    case Kind::kTileShard:
    case Kind::kEntryShard:
      return LookupInShard(directory, name, shape);
    case Kind::kPartialDirectory: {
      const std::optional<uint64_t> width = logcore::ParseDecimal(name);
      return width ? PartialTile(directory, *width, shape) : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

Node Parent(const Node& directory) {
  switch (directory.kind) {
    case Kind::kPartialDirectory:
      return {.kind = Kind::kTileShard,
              .level = directory.level,
              .index = directory.index / kShardWidth};
    case Kind::kTileShard:
      if (directory.index == 0) return {.kind = Kind::kTileDirectory};
      return {
          .kind = directory.kind, .level = directory.level, .index = directory.index / kShardWidth};
    case Kind::kEntryShard:
      if (directory.index == 0) return {};
      return {.kind = directory.kind, .index = directory.index / kShardWidth};
    default:
      return {};
  }
}

std::optional<Child> ListFrom(const Node& directory, uint64_t cookie, const Shape& shape) {
  switch (directory.kind) {
    case Kind::kRoot:
      return ListTop(cookie, shape);
    case Kind::kTileDirectory:
      return ListLevels(cookie, shape);
    case Kind::kTileShard:
    case Kind::kEntryShard:
      return ListShard(directory, cookie, shape);
    case Kind::kPartialDirectory:
      return ListPartial(directory, cookie, shape);
    default:
      return std::nullopt;
  }
}

}  // namespace fusefs
