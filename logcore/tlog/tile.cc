#include "logcore/tlog/tile.h"

#include <algorithm>

#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

constexpr std::string_view kTilePrefix = "tile/";
constexpr std::string_view kEntriesName = "entries";
constexpr std::string_view kPartialMark = ".p/";
constexpr size_t kMaxIndexPathLength = 33;  // x018/x446/x744/x073/x709/x551/615

bool IsValid(const TileId& id) {
  return kEntriesLevel <= id.level && id.level <= kMaxTileLevel && 1 <= id.width &&
         id.width <= kTileWidth;
}

std::string ThreeDigits(uint64_t value) {
  const std::string digits = std::to_string(value);
  return std::string(3 - digits.size(), '0') + digits;
}

// The three parts of a tile's name, as far as they have values; how they are spelled is for the
// caller to compare.
std::optional<TileId> ReadTilePath(std::string_view path) {
  if (!path.starts_with(kTilePrefix)) return std::nullopt;
  path.remove_prefix(kTilePrefix.size());

  TileId id;
  const size_t slash = path.find('/');
  if (slash == path.npos) return std::nullopt;
  if (const std::string_view level = path.substr(0, slash); level == kEntriesName) {
    id.level = kEntriesLevel;
  } else {
    const std::optional<uint64_t> value = ParseDecimal(level);
    if (!value || *value > kMaxTileLevel) return std::nullopt;
    id.level = static_cast<int>(*value);
  }
  path.remove_prefix(slash + 1);

  if (const size_t mark = path.find(kPartialMark); mark != path.npos) {
    const std::optional<uint64_t> width = ParseDecimal(path.substr(mark + kPartialMark.size()));
    if (!width || *width == 0 || *width >= kTileWidth) return std::nullopt;
    id.width = static_cast<int>(*width);
    path = path.substr(0, mark);
  }

  const std::optional<uint64_t> index = ParseIndexPath(path);
  if (!index) return std::nullopt;
  id.index = *index;
  return id;
}

}  // namespace

std::string IndexPath(uint64_t index) {
  std::string path = ThreeDigits(index % 1000);
  while (index >= 1000) {
    index /= 1000;
    path = "x" + ThreeDigits(index % 1000) + "/" + path;
  }
  return path;
}

std::optional<uint64_t> ParseIndexPath(std::string_view path) {
  if (path.size() > kMaxIndexPathLength) return std::nullopt;
  std::string digits;
  for (const char c : path) {
    if (c != 'x' && c != '/') digits += c;
  }
  // At least one digit stays: "000" is the name of index 0.
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.empty() ? 0 : digits.size() - 1));
  const std::optional<uint64_t> index = ParseDecimal(digits);
  if (!index || IndexPath(*index) != path) return std::nullopt;
  return index;
}

std::string TilePath(const TileId& id) {
  CHECK(IsValid(id));
  std::string path(kTilePrefix);
  path += id.level == kEntriesLevel ? std::string(kEntriesName) : std::to_string(id.level);
  path += "/" + IndexPath(id.index);
  if (id.width < kTileWidth) path += std::string(kPartialMark) + std::to_string(id.width);
  return path;
}

Result<TileId> ParseTilePath(std::string_view path) {
  const std::optional<TileId> id = ReadTilePath(path);
  if (!id || TilePath(*id) != path) {
    return Fail(Code::kNotFound, "\"" + std::string(path) + "\" is not the name of a tile");
  }
  return *id;
}

uint64_t FullTiles(int level, uint64_t size) {
  return NodeCount(level, size) / kTileWidth;
}

int PartialWidth(int level, uint64_t size) {
  return static_cast<int>(NodeCount(level, size) % kTileWidth);
}

uint64_t NodeCount(int level, uint64_t size) {
  CHECK(kEntriesLevel <= level && level <= kMaxTileLevel);
  const int height = level == kEntriesLevel ? 0 : 8 * level;
  return height < 64 ? size >> height : 0;
}

bool TileExists(const TileId& id, uint64_t size) {
  CHECK(IsValid(id));
  const uint64_t full = FullTiles(id.level, size);
  return id.index < full || (id.index == full && id.width <= PartialWidth(id.level, size));
}

}  // namespace logcore
