// The names of logcore/tlog/tile.h: one spelling for each number and each tile, both ways.

#include "logcore/tlog/tile.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input = tlogfs_test::InputBytes(data, size);
  if (const auto index = logcore::ParseIndexPath(input)) {
    CHECK(logcore::IndexPath(*index) == input);
  }
  if (const auto id = logcore::ParseTilePath(input); id.has_value()) {
    CHECK(logcore::TilePath(*id) == input);
  }

  logcore::ByteReader reader(input);
  const auto index = reader.Integer<uint64_t>();
  CHECK(logcore::ParseIndexPath(logcore::IndexPath(index)) == index);
  const logcore::TileId id{.level = reader.Integer<uint8_t>() % (logcore::kMaxTileLevel + 2) - 1,
                           .index = index,
                           .width = reader.Integer<uint8_t>() + 1};
  CHECK(logcore::ParseTilePath(logcore::TilePath(id)).value() == id);
  return 0;
}
