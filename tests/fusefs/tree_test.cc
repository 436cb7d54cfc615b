#include "fusefs/tree.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "logcore/tlog/tile.h"

namespace fusefs {
namespace {

using logcore::kEntriesLevel;
using logcore::TileId;
using logcore::TilePath;

Shape Writable(uint64_t size) {
  return {.size = size, .appendable = true};
}

// The node of a path, as the kernel walks it.
std::optional<Node> Walk(const std::string& path, const Shape& shape) {
  Node node;
  size_t at = 0;
  while (at <= path.size()) {
    const size_t slash = std::min(path.find('/', at), path.size());
    const std::optional<Node> next = Lookup(node, path.substr(at, slash - at), shape);
    if (!next) return std::nullopt;
    node = *next;
    at = slash + 1;
  }
  return node;
}

// Everything that listings show below a directory; checks each name on the way.
void ListAll(const Node& directory, const std::string& path, const Shape& shape,
             std::map<std::string, Node>* files, std::set<uint64_t>* directories) {
  ASSERT_TRUE(directories->insert(NodeNumber(directory)).second) << path << " has two names";
  uint64_t cookie = 0;
  while (const std::optional<Child> child = ListFrom(directory, cookie, shape)) {
    const std::string name = path + child->name;
    ASSERT_LT(cookie, child->next) << name;
    cookie = child->next;
    ASSERT_TRUE(Exists(child->node, shape)) << name;
    ASSERT_EQ(Lookup(directory, child->name, shape), child->node) << name;
    if (NatureOf(child->node.kind) == Nature::kDirectory) {
      ASSERT_EQ(Parent(child->node), directory) << name;
      ListAll(child->node, name + "/", shape, files, directories);
    } else {
      ASSERT_TRUE(files->emplace(name, child->node).second) << name << " is listed twice";
    }
  }
}

std::map<std::string, Node> ListAll(const Shape& shape) {
  std::map<std::string, Node> files;
  std::set<uint64_t> directories;
  ListAll(Node{}, "", shape, &files, &directories);
  return files;
}

// What a tree of `size` must list, written down from the specification's names.
std::map<std::string, Node> Expected(uint64_t size) {
  std::map<std::string, Node> files = {
      {"add", {.kind = Kind::kAdd}},
      {"add.bundle", {.kind = Kind::kAddBundle}},
      {"checkpoint", {.kind = Kind::kCheckpoint, .index = size}},
      {"log", {.kind = Kind::kLog}},
      {"vkey", {.kind = Kind::kVkey}},
  };
  for (int level = kEntriesLevel; level <= 2; ++level) {
    uint64_t nodes = size;
    for (int i = 0; i < level; ++i) nodes /= 256;
    for (uint64_t index = 0; 256 * index < nodes; ++index) {
      const int width = static_cast<int>(std::min<uint64_t>(256, nodes - 256 * index));
      files.emplace(TilePath({level, index, width}), Node{Kind::kTile, level, width, index});
    }
  }
  for (uint64_t index = 0; index < size; ++index) {
    files.emplace("entries/" + logcore::IndexPath(index),
                  Node{.kind = Kind::kEntry, .index = index});
  }
  return files;
}

class TreeOfSize : public testing::TestWithParam<uint64_t> {};

TEST_P(TreeOfSize, ListsFullTilesNewestPartialOnesAndEntries) {
  EXPECT_EQ(ListAll(Writable(GetParam())), Expected(GetParam()));
}

TEST_P(TreeOfSize, EveryTileThatWasEverTrueResolvesAndNoOther) {
  const uint64_t size = GetParam();
  for (int level = kEntriesLevel; level <= 3; ++level) {
    const uint64_t tiles = logcore::FullTiles(level, size) + 2;
    // All at the edge, and some before it.
    for (uint64_t index = 0; index < tiles; index += index + 4 < tiles ? 1 + tiles / 5 : 1) {
      for (int width = 1; width <= 256; ++width) {
        const TileId id{level, index, width};
        const std::optional<Node> node = Walk(TilePath(id), Writable(size));
        ASSERT_EQ(node.has_value(), logcore::TileExists(id, size)) << TilePath(id);
        if (node) {
          ASSERT_EQ(*node, (Node{Kind::kTile, level, width, index}));
        }
      }
    }
  }
}

TEST_P(TreeOfSize, EntriesHaveTwoNames) {
  const uint64_t size = GetParam();
  for (const uint64_t index : {uint64_t{0}, uint64_t{7}, uint64_t{67}, uint64_t{123}, uint64_t{999},
                               uint64_t{1000}, uint64_t{1001}, size - 1, size, size + 1}) {
    for (const std::string& name : {std::to_string(index), logcore::IndexPath(index)}) {
      const std::optional<Node> node = Walk("entries/" + name, Writable(size));
      ASSERT_EQ(node.has_value(), index < size) << name;
      if (node) {
        EXPECT_EQ(*node, (Node{.kind = Kind::kEntry, .index = index}));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, TreeOfSize,
                         testing::Values(0, 1, 2, 254, 255, 256, 257, 512, 999, 1000, 1001, 2000,
                                         65535, 65536, 65537, 70000, 256256));

TEST(Tree, OtherSpellingsAreNothing) {
  // Large enough that each of them would be something, if spelled well.
  const Shape shape = Writable(uint64_t{1} << 40);
  for (const char* name : {"",
                           "Add",
                           "add ",
                           "checkpoint/",
                           "tile/00",
                           "tile/64",
                           "tile/8",
                           "tile/-1",
                           "tile/+0",
                           "tile/Entries",
                           "tile/0/1",
                           "tile/0/01",
                           "tile/0/0000",
                           "tile/0/0a1",
                           "tile/0/x000",
                           "tile/0/X001",
                           "tile/0/x1",
                           "tile/0/x0001",
                           "tile/0/000.p/",
                           "tile/0/000.p/0",
                           "tile/0/000.p/256",
                           "tile/0/000.p/01",
                           "tile/0/000.p/1000",
                           "tile/0/000.P",
                           "tile/0/000.p.p",
                           "tile/0/.p",
                           "tile/0/x001.p",
                           "tile/0/00.p",
                           "entries/01",
                           "entries/0067",
                           "entries/-1",
                           "entries/+1",
                           "entries/1 ",
                           "entries/x000",
                           "entries/000.p",
                           "entries/18446744073709551615",
                           "entries/18446744073709551616",
                           "entries/99999999999999999999999",
                           "entries/x001/1067",
                           "entries/x001/1",
                           "entries/x001/x00",
                           "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
                           "put",
                           "proof",
                           "log/x",
                           "vkey/."}) {
    EXPECT_EQ(Walk(name, shape), std::nullopt) << name;
  }
}

TEST(Tree, ShardsDeepDown) {
  const Shape shape = Writable(uint64_t{1} << 40);
  EXPECT_EQ(Walk("entries/x001/x234/067", shape), (Node{.kind = Kind::kEntry, .index = 1234067}));
  EXPECT_EQ(Walk("entries/1234067", shape), (Node{.kind = Kind::kEntry, .index = 1234067}));
  EXPECT_EQ(Walk("entries/x001/x000", shape), (Node{.kind = Kind::kEntryShard, .index = 1000}));
  EXPECT_EQ(Walk("tile/1/x001/x234/067", shape), (Node{Kind::kTile, 1, 256, 1234067}));
  EXPECT_EQ(Parent({.kind = Kind::kEntryShard, .index = 1234}),
            (Node{.kind = Kind::kEntryShard, .index = 1}));
  EXPECT_EQ(Parent({.kind = Kind::kEntryShard}), Node{});
  EXPECT_EQ(Parent({.kind = Kind::kTileShard, .level = 3}), (Node{.kind = Kind::kTileDirectory}));
  // At the end of all numbers nothing wraps around.
  const Node last{.kind = Kind::kEntryShard, .index = kMaxIndex};
  EXPECT_EQ(Lookup(last, "999", shape), std::nullopt);
  EXPECT_FALSE(ListFrom(last, 0, shape));
}

TEST(Tree, ReadOnlyHasNothingToAppendTo) {
  const Shape shape{.size = 300, .appendable = false};
  std::map<std::string, Node> expected = Expected(300);
  expected.erase("add");
  expected.erase("add.bundle");
  EXPECT_EQ(ListAll(shape), expected);
  EXPECT_EQ(Walk("add", shape), std::nullopt);
  EXPECT_FALSE(Exists({.kind = Kind::kAdd}, shape));
}

// A static mount: what clients of tlog-tiles read, the same nodes as elsewhere, and nothing else.
TEST(Tree, AStaticSiteHasCheckpointTilesAndVkeyAlone) {
  const Shape shape{.size = 70000, .static_site = true};
  std::map<std::string, Node> expected = Expected(70000);
  std::erase_if(expected, [](const auto& file) {
    const std::string& name = file.first;
    return name != "checkpoint" && name != "vkey" && !name.starts_with("tile/");
  });
  EXPECT_EQ(ListAll(shape), expected);
  EXPECT_EQ(Walk("tile/entries/123.p/17", shape), (Node{Kind::kTile, kEntriesLevel, 17, 123}));
  for (const char* name : {"add", "add.bundle", "log", "entries", "entries/7", "entries/x001"}) {
    EXPECT_EQ(Walk(name, shape), std::nullopt) << name;
  }
  // Nor by a number that somebody kept from another mount.
  for (const Node& node : {Node{.kind = Kind::kLog}, Node{.kind = Kind::kAdd},
                           Node{.kind = Kind::kEntryShard}, Node{.kind = Kind::kEntry}}) {
    EXPECT_FALSE(Exists(node, shape)) << static_cast<int>(node.kind);
  }
}

// A listing that goes on while the log grows misses nothing that was there, and repeats nothing.
TEST(Tree, CookiesStayWhileTheLogGrows) {
  const Node shard{.kind = Kind::kTileShard, .level = 0};
  for (uint64_t step : {1u, 255u, 256u, 5000u}) {
    std::vector<std::string> names;
    uint64_t size = 100 * 256 + 17;
    uint64_t cookie = 0;
    while (const auto child = ListFrom(shard, cookie, Writable(size))) {
      names.push_back(child->name);
      cookie = child->next;
      if (size < 1100 * 256) size += step;
    }
    for (size_t i = 0; i < std::min<size_t>(names.size(), 1000); ++i) {
      const std::string name = logcore::IndexPath(i);
      ASSERT_TRUE(names[i] == name || (i + 1 == names.size() && names[i] == name + ".p")) << i;
    }
    ASSERT_LE(100u, names.size());
  }
}

TEST(Tree, PartialDirectoriesOfFullTilesAreThereButEmpty) {
  const Shape shape = Writable(600);
  const std::optional<Node> directory = Walk("tile/0/001.p", shape);
  ASSERT_TRUE(directory);
  EXPECT_FALSE(ListFrom(*directory, 0, shape));
  EXPECT_TRUE(Walk("tile/0/001.p/255", shape));
  EXPECT_EQ(ListFrom(*Walk("tile/0/002.p", shape), 0, shape)->name, "88");
}

TEST(Tree, FilesHaveNothingBelow) {
  for (const Kind kind : {Kind::kAdd, Kind::kCheckpoint, Kind::kLog, Kind::kVkey, Kind::kEntry}) {
    EXPECT_EQ(Lookup({.kind = kind}, "000", Writable(10)), std::nullopt);
    EXPECT_FALSE(ListFrom({.kind = kind}, 0, Writable(10)));
  }
  EXPECT_FALSE(Exists({.kind = Kind::kCheckpoint, .index = 11}, Writable(10)));
  EXPECT_TRUE(Exists({.kind = Kind::kCheckpoint, .index = 9}, Writable(10)));
}

}  // namespace
}  // namespace fusefs
