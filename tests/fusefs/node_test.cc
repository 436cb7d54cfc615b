#include "fusefs/node.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace fusefs {
namespace {

// One of each kind, at the ends of its ranges.
std::vector<Node> Samples() {
  std::vector<Node> nodes;
  for (const Kind kind : {Kind::kRoot, Kind::kLog, Kind::kVkey, Kind::kTileDirectory}) {
    nodes.push_back({.kind = kind});
  }
  for (const Kind kind :
       {Kind::kAdd, Kind::kAddBundle, Kind::kCheckpoint, Kind::kEntryShard, Kind::kEntry}) {
    for (const uint64_t index : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 40, kMaxIndex}) {
      nodes.push_back({.kind = kind, .index = index});
    }
  }
  for (int level = logcore::kEntriesLevel; level < 8; ++level) {
    for (const uint64_t index : {uint64_t{0}, uint64_t{67}, kMaxTileIndex}) {
      nodes.push_back({.kind = Kind::kTileShard, .level = level, .index = index});
      nodes.push_back({.kind = Kind::kPartialDirectory, .level = level, .index = index});
      for (int width = 1; width <= 256; ++width) {
        nodes.push_back({Kind::kTile, level, width, index});
      }
    }
  }
  return nodes;
}

TEST(Node, NumbersAreDistinctAndParseBack) {
  std::set<uint64_t> numbers;
  for (const Node& node : Samples()) {
    ASSERT_TRUE(HasNumber(node));
    const uint64_t number = NodeNumber(node);
    EXPECT_TRUE(numbers.insert(number).second) << number;
    EXPECT_LT(0u, number);
    EXPECT_EQ(number >> 63, 0u);
    EXPECT_EQ(ParseNodeNumber(number), node);
  }
}

// They are kept in NFS handles and backups: these must never change.
TEST(Node, NumbersStayAsTheyAre) {
  EXPECT_EQ(NodeNumber({}), 1u);
  EXPECT_EQ(NodeNumber({.kind = Kind::kCheckpoint, .index = 15}), 0x0c0000000000000fu);
  EXPECT_EQ(NodeNumber({.kind = Kind::kLog}), 0x1000000000000000u);
  EXPECT_EQ(NodeNumber({.kind = Kind::kEntry, .index = 1234067}), 0x2c0000000012d493u);
  EXPECT_EQ(NodeNumber({Kind::kTile, 0, 256, 0}), 0x247fc00000000000u);
  EXPECT_EQ(NodeNumber({Kind::kTile, logcore::kEntriesLevel, 8, 67}), 0x2401c00000000043u);
}

TEST(Node, ForgedNumbersAreNothing) {
  for (const uint64_t number :
       {uint64_t{0}, uint64_t{2}, uint64_t{1} << 57, uint64_t{12} << 58, uint64_t{31} << 58,
        uint64_t{1} << 63, ~uint64_t{0}, uint64_t{4} << 58 | 1, uint64_t{6} << 58 | 9,
        uint64_t{9} << 58 | uint64_t{9} << 54, uint64_t{8} << 58 | uint64_t{1} << 46,
        uint64_t{7} << 58 | uint64_t{15} << 54}) {
    EXPECT_EQ(ParseNodeNumber(number), std::nullopt) << std::hex << number;
  }
}

TEST(Node, WhateverParsesIsThatNumber) {
  std::mt19937_64 random(1);
  int parsed = 0;
  for (int i = 0; i < 100000; ++i) {
    const uint64_t number = random();
    const std::optional<Node> node = ParseNodeNumber(number);
    if (!node) continue;
    ++parsed;
    ASSERT_TRUE(HasNumber(*node));
    ASSERT_EQ(NodeNumber(*node), number);
  }
  EXPECT_LT(1000, parsed);
}

TEST(Node, AllOpeningsOfAFileHaveOneInodeAndTwoLogsTwo) {
  const logcore::Hash log = logcore::Sha256({"one"});
  const logcore::Hash other = logcore::Sha256({"other"});
  const uint64_t inode = InodeNumber({.kind = Kind::kAdd}, log);
  EXPECT_EQ(InodeNumber({.kind = Kind::kAdd, .index = 7}, log), inode);
  EXPECT_NE(InodeNumber({.kind = Kind::kAdd}, other), inode);
  EXPECT_NE(InodeNumber({.kind = Kind::kAddBundle}, log), inode);
  EXPECT_EQ(ParseNodeNumber(inode)->kind, Kind::kAdd);
  const Node entry{.kind = Kind::kEntry, .index = 7};
  EXPECT_EQ(InodeNumber(entry, log), NodeNumber(entry));
  EXPECT_EQ(InodeNumber(entry, other), NodeNumber(entry));
}

TEST(Node, WhatIsOutOfRangeHasNoNumber) {
  EXPECT_FALSE(HasNumber({.kind = Kind::kEntry, .index = kMaxIndex + 1}));
  EXPECT_FALSE(HasNumber({.kind = Kind::kLog, .index = 1}));
  EXPECT_FALSE(HasNumber({Kind::kTile, 8, 256, 0}));
  EXPECT_FALSE(HasNumber({Kind::kTile, -2, 256, 0}));
  EXPECT_FALSE(HasNumber({Kind::kTile, 0, 0, 0}));
  EXPECT_FALSE(HasNumber({Kind::kTile, 0, 257, 0}));
  EXPECT_FALSE(HasNumber({Kind::kTile, 0, 1, kMaxTileIndex + 1}));
  EXPECT_FALSE(HasNumber({Kind::kTileShard, 0, 1, 0}));
}

}  // namespace
}  // namespace fusefs
