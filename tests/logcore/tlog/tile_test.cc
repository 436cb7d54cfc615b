#include "logcore/tlog/tile.h"

#include <gtest/gtest.h>

#include <vector>

namespace logcore {
namespace {

TEST(TileTest, IndexPaths) {
  const std::vector<std::pair<uint64_t, std::string>> cases = {
      {0, "000"},
      {1, "001"},
      {67, "067"},
      {255, "255"},
      {999, "999"},
      {1000, "x001/000"},
      {1001, "x001/001"},
      {123456, "x123/456"},
      {1000000, "x001/x000/000"},
      {1234067, "x001/x234/067"},
      {123456789, "x123/x456/789"},
      {72057594037927935, "x072/x057/x594/x037/x927/935"},
      {UINT64_MAX, "x018/x446/x744/x073/x709/x551/615"},
  };
  for (const auto& [index, path] : cases) {
    EXPECT_EQ(IndexPath(index), path);
    EXPECT_EQ(ParseIndexPath(path), index) << path;
  }
}

TEST(TileTest, OtherSpellingsOfIndexes) {
  for (const char* path : {"",
                           "0",
                           "00",
                           "0000",
                           "1",
                           "x000",
                           "x000/000",
                           "x000/001",
                           "x001",
                           "x001/",
                           "/001",
                           "001/",
                           "x001/00",
                           "x001/0000",
                           "x001/x000",
                           "001/000",
                           "x01/000",
                           "x001//000",
                           "X001/000",
                           "-01",
                           "+01",
                           " 01",
                           "01 ",
                           "0x1",
                           "x0x1/000",
                           "x001/000/",
                           "/x001/000",
                           "12a",
                           "xxx",
                           "///",
                           "x018/x446/x744/x073/x709/x551/616",
                           "x999/x999/x999/x999/x999/x999/999",
                           "x001/x018/x446/x744/x073/x709/x551/615"}) {
    EXPECT_EQ(ParseIndexPath(path), std::nullopt) << path;
  }
  EXPECT_EQ(ParseIndexPath(std::string_view("00\0", 3)), std::nullopt);
  EXPECT_EQ(ParseIndexPath(std::string(1 << 20, '0')), std::nullopt);
}

TEST(TileTest, TilePaths) {
  const std::vector<std::pair<TileId, std::string>> cases = {
      {{0, 0, 256}, "tile/0/000"},
      {{0, 1234067, 8}, "tile/0/x001/x234/067.p/8"},
      {{kEntriesLevel, 1234067, 8}, "tile/entries/x001/x234/067.p/8"},
      {{kEntriesLevel, 255, 256}, "tile/entries/255"},
      {{7, 0, 1}, "tile/7/000.p/1"},
      {{63, UINT64_MAX, 255}, "tile/63/x018/x446/x744/x073/x709/x551/615.p/255"},
  };
  for (const auto& [id, path] : cases) {
    EXPECT_EQ(TilePath(id), path);
    const auto parsed = ParseTilePath(path);
    ASSERT_TRUE(parsed.has_value()) << path;
    EXPECT_EQ(*parsed, id) << path;
  }
}

TEST(TileTest, EveryWidthAndLevel) {
  for (int level = kEntriesLevel; level <= kMaxTileLevel; ++level) {
    for (int width = 1; width <= kTileWidth; ++width) {
      const TileId id{level, 999 + static_cast<uint64_t>(width), width};
      const auto parsed = ParseTilePath(TilePath(id));
      ASSERT_TRUE(parsed.has_value()) << TilePath(id);
      ASSERT_EQ(*parsed, id);
    }
  }
}

TEST(TileTest, OtherSpellingsOfTiles) {
  for (const char* path : {"",
                           "tile",
                           "tile/",
                           "tile/0",
                           "tile/0/",
                           "tile/0/1",
                           "tile/0/0000",
                           "tile/00/000",
                           "tile/01/000",
                           "tile/64/000",
                           "tile/-1/000",
                           "tile/+1/000",
                           "tile/data/000",
                           "tile/entries",
                           "tile/entries/",
                           "tile/Entries/000",
                           "tile//000",
                           "/tile/0/000",
                           "tile/0//000",
                           "tile/0/000/",
                           "tile/0/x000/001",
                           "tile/0/000.p",
                           "tile/0/000.p/",
                           "tile/0/000.p/0",
                           "tile/0/000.p/256",
                           "tile/0/000.p/01",
                           "tile/0/000.p/+1",
                           "tile/0/000.p/1/",
                           "tile/0/000.p/1.p/1",
                           "tile/0/.p/1",
                           "tile/0/000.P/1",
                           "tile/0/..",
                           "tile/0/../0/000",
                           "Tile/0/000",
                           "tile/0/000 ",
                           " tile/0/000",
                           "tile/0/000\n",
                           "tile/999999999999999999999/000",
                           "tile/0/000.p/99999999999999999999999"}) {
    const auto parsed = ParseTilePath(path);
    ASSERT_FALSE(parsed.has_value()) << path;
    EXPECT_EQ(parsed.error().code, Code::kNotFound) << path;
  }
}

// A name that differs in one byte is another tile's, or none.
TEST(TileTest, OneSpellingEach) {
  for (const std::string& path : {std::string("tile/0/x001/067.p/8"), std::string("tile/12/999"),
                                  std::string("tile/entries/x010/x000/001.p/255")}) {
    for (size_t i = 0; i < path.size(); ++i) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string other = path;
        other[i] = static_cast<char>(byte);
        if (const auto id = ParseTilePath(other)) {
          ASSERT_EQ(TilePath(*id), other);
        }
      }
      std::string shorter = path;
      shorter.erase(i, 1);
      if (const auto id = ParseTilePath(shorter)) {
        ASSERT_EQ(TilePath(*id), shorter);
      }
    }
  }
}

TEST(TileDeathTest, InvalidIds) {
  EXPECT_DEATH(TilePath({64, 0, 256}), "IsValid");
  EXPECT_DEATH(TilePath({-2, 0, 256}), "IsValid");
  EXPECT_DEATH(TilePath({0, 0, 0}), "IsValid");
  EXPECT_DEATH(TilePath({0, 0, 257}), "IsValid");
  EXPECT_DEATH(TileExists({0, 0, 0}, 1), "IsValid");
  EXPECT_DEATH(NodeCount(64, 1), "kMaxTileLevel");
}

struct Shape {
  uint64_t full;
  int partial;
};

// The table of the tiles that a tree of each size needs.
TEST(TileTest, TilesOfASize) {
  const std::vector<std::pair<uint64_t, std::vector<Shape>>> cases = {
      {0, {{0, 0}, {0, 0}, {0, 0}}},          {1, {{0, 1}, {0, 0}, {0, 0}}},
      {255, {{0, 255}, {0, 0}, {0, 0}}},      {256, {{1, 0}, {0, 1}, {0, 0}}},
      {257, {{1, 1}, {0, 1}, {0, 0}}},        {65535, {{255, 255}, {0, 255}, {0, 0}}},
      {65536, {{256, 0}, {1, 0}, {0, 1}}},    {65537, {{256, 1}, {1, 0}, {0, 1}}},
      {70000, {{273, 112}, {1, 17}, {0, 1}}},
  };
  for (const auto& [size, levels] : cases) {
    EXPECT_EQ(FullTiles(kEntriesLevel, size), levels[0].full);
    EXPECT_EQ(PartialWidth(kEntriesLevel, size), levels[0].partial);
    EXPECT_EQ(NodeCount(kEntriesLevel, size), size);
    for (int level = 0; level < 3; ++level) {
      const Shape& shape = levels[static_cast<size_t>(level)];
      EXPECT_EQ(FullTiles(level, size), shape.full) << size << " " << level;
      EXPECT_EQ(PartialWidth(level, size), shape.partial) << size << " " << level;
      EXPECT_EQ(NodeCount(level, size),
                shape.full * kTileWidth + static_cast<uint64_t>(shape.partial));
    }
    EXPECT_EQ(NodeCount(3, size), 0u);
  }
}

TEST(TileTest, LargestTree) {
  EXPECT_EQ(NodeCount(0, UINT64_MAX), UINT64_MAX);
  EXPECT_EQ(NodeCount(7, UINT64_MAX), 255u);
  EXPECT_EQ(FullTiles(7, UINT64_MAX), 0u);
  EXPECT_EQ(PartialWidth(7, UINT64_MAX), 255);
  for (int level = 8; level <= kMaxTileLevel; ++level) EXPECT_EQ(NodeCount(level, UINT64_MAX), 0u);
}

TEST(TileTest, Exists) {
  for (uint64_t size = 0; size <= 600; ++size) {
    for (uint64_t index = 0; index < 4; ++index) {
      for (int width = 1; width <= kTileWidth; ++width) {
        const bool exists = index * kTileWidth + static_cast<uint64_t>(width) <= size;
        ASSERT_EQ(TileExists({0, index, width}, size), exists) << size << " " << index;
        ASSERT_EQ(TileExists({kEntriesLevel, index, width}, size), exists);
      }
    }
    EXPECT_EQ(TileExists({1, 0, 1}, size), 256 <= size);
    EXPECT_EQ(TileExists({1, 0, 2}, size), 512 <= size);
  }
  EXPECT_FALSE(TileExists({0, UINT64_MAX, 256}, UINT64_MAX));
  EXPECT_FALSE(TileExists({0, UINT64_MAX / 256 + 1, 1}, UINT64_MAX));
  EXPECT_FALSE(TileExists({63, 0, 1}, UINT64_MAX));
}

}  // namespace
}  // namespace logcore
