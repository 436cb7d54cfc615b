// Every inclusion and consistency proof of every size up to kMaxSize, and each of them spoiled in
// every way that fits, against the recursive definition (tests/support/reference_log.h). Growing
// and sizes near 2^63 follow at the end.

#include "logcore/tlog/merkle.h"

#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>

#include "tests/support/reference_log.h"

namespace logcore {
namespace {

using tlogfs_test::ReferenceLog;

constexpr uint64_t kMaxSize = 257;
// Up to this size a proof is tried at every other place, not only at near ones.
constexpr uint64_t kEveryPlace = 24;

Hash Flipped(Hash hash, size_t bit) {
  bit %= 8 * kHashLength;
  hash.bytes[bit / 8] = static_cast<uint8_t>(hash.bytes[bit / 8] ^ (1u << (bit % 8)));
  return hash;
}

// Calls `visit` with every spoiled form of a proof. Hashes must differ, or a swap changes nothing.
void ForEachSpoiled(const std::vector<Hash>& proof, size_t seed,
                    const std::function<void(const std::vector<Hash>&, const char*)>& visit) {
  ASSERT_EQ(std::set<Hash>(proof.begin(), proof.end()).size(), proof.size());
  for (size_t i = 0; i < proof.size(); ++i) {
    std::vector<Hash> flipped = proof;
    flipped[i] = Flipped(flipped[i], seed * 31 + i);
    visit(flipped, "flipped");
    std::vector<Hash> swapped = proof;
    std::swap(swapped[i], swapped[(i + 1) % proof.size()]);
    if (swapped != proof) visit(swapped, "swapped");
    std::vector<Hash> dropped = proof;
    dropped.erase(dropped.begin() + static_cast<ptrdiff_t>(i));
    visit(dropped, "dropped");
  }
  for (const Hash& extra : {Hash{}, kEmptyRoot, proof.empty() ? HashLeaf("") : proof.back()}) {
    std::vector<Hash> longer = proof;
    longer.push_back(extra);
    visit(longer, "longer at the end");
    longer = proof;
    longer.insert(longer.begin(), extra);
    visit(longer, "longer at the start");
  }
}

// Left and right turns from the root to entry `index` of a tree of `size`. Nothing in a proof binds
// it to more than these: at another place with the same turns it leads to the same root.
std::string InclusionTurns(uint64_t index, uint64_t size) {
  if (size == 1) return "";
  const uint64_t split = std::bit_floor(size - 1);
  return index < split ? "l" + InclusionTurns(index, split)
                       : "r" + InclusionTurns(index - split, size - split);
}

// The same for the subtree that ends where the old tree ends, and whether that is the old tree.
std::string ConsistencyTurns(uint64_t from, uint64_t to) {
  if (from == to) return "";
  const uint64_t split = std::bit_floor(to - 1);
  return from <= split ? "l" + ConsistencyTurns(from, split)
                       : "r" + ConsistencyTurns(from - split, to - split);
}

class MerkleTest : public testing::Test {
 protected:
  // Reads nodes of the first `size` entries, and fails where a node is not wholly inside.
  NodeReader Reader(uint64_t size) const {
    return [this, size](int height, uint64_t index) -> Result<Hash> {
      EXPECT_LE((index + 1) << height, size);
      return log_.Root(index << height, (index + 1) << height);
    };
  }

  const ReferenceLog log_ = ReferenceLog::OfSize(kMaxSize);
  // The turns, remembered: [index or from][size or to].
  std::map<std::pair<uint64_t, uint64_t>, std::string> inclusion_turns_;
  std::map<std::pair<uint64_t, uint64_t>, std::string> consistency_turns_;
};

TEST_F(MerkleTest, RootsAndCovers) {
  CompactRange grown;
  for (uint64_t size = 0; size <= kMaxSize; ++size) {
    EXPECT_EQ(grown.Head(), log_.Head(size));
    const auto read = ReadCompactRange(Reader(size), size);
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(*read, grown) << size;
    const auto again = CompactRange::FromHashes(
        size, std::vector<Hash>(grown.hashes().begin(), grown.hashes().end()));
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(*again, grown);
    if (size < kMaxSize) grown.Append(log_.LeafHash(size));
  }
}

TEST_F(MerkleTest, InclusionProofs) {
  for (uint64_t size = 1; size <= kMaxSize; ++size) {
    const TreeHead head = log_.Head(size);
    for (uint64_t index = 0; index < size; ++index) {
      const auto proof = ProveInclusion(Reader(size), index, size);
      ASSERT_TRUE(proof.has_value());
      ASSERT_EQ(*proof, log_.Inclusion(index, size)) << index << " in " << size;
      ASSERT_TRUE(VerifyInclusion(*proof, index, log_.LeafHash(index), head).has_value())
          << index << " in " << size;
    }
    EXPECT_EQ(ProveInclusion(Reader(size), size, size).error().code, Code::kInvalid);
  }
}

TEST_F(MerkleTest, SpoiledInclusionProofs) {
  for (uint64_t size = 1; size <= kMaxSize; ++size) {
    const TreeHead head = log_.Head(size);
    for (uint64_t index = 0; index < size; ++index) {
      const InclusionProof proof = log_.Inclusion(index, size);
      const Hash leaf = log_.LeafHash(index);
      const auto passes = [&](const InclusionProof& spoiled) {
        return VerifyInclusion(spoiled, index, leaf, head).has_value();
      };
      ForEachSpoiled(proof, size + index, [&](const std::vector<Hash>& spoiled, const char* how) {
        ASSERT_FALSE(passes(spoiled)) << index << " in " << size << ": " << how;
      });
      ASSERT_FALSE(VerifyInclusion(proof, index, Flipped(leaf, size + index), head).has_value());
      ASSERT_FALSE(VerifyInclusion(proof, index, head.root, head).has_value() && size > 1);
      ASSERT_FALSE(
          VerifyInclusion(proof, index, leaf, {size, Flipped(head.root, index)}).has_value());
    }
  }
}

TEST_F(MerkleTest, InclusionProofsElsewhere) {
  const auto turns = [this](uint64_t index, uint64_t size) -> const std::string& {
    const auto [found, is_new] = inclusion_turns_.try_emplace({index, size});
    if (is_new) found->second = InclusionTurns(index, size);
    return found->second;
  };
  for (uint64_t size = 1; size <= kMaxSize; ++size) {
    const uint64_t reach = size <= kEveryPlace ? kEveryPlace : 1;
    for (uint64_t index = 0; index < size; ++index) {
      const InclusionProof proof = log_.Inclusion(index, size);
      const Hash root = log_.Root(0, size);
      for (uint64_t other_size = size - std::min(size, reach); other_size <= size + reach;
           ++other_size) {
        for (uint64_t other = index - std::min(index, reach); other <= index + reach; ++other) {
          const bool passes =
              VerifyInclusion(proof, other, log_.LeafHash(index), {other_size, root}).has_value();
          const bool same = other < other_size && turns(other, other_size) == turns(index, size);
          ASSERT_EQ(passes, same) << index << " in " << size << " as " << other << " in "
                                  << other_size;
          ASSERT_FALSE(same && other_size == size && other != index);
        }
      }
    }
  }
}

TEST_F(MerkleTest, ConsistencyProofs) {
  for (uint64_t to = 0; to <= kMaxSize; ++to) {
    for (uint64_t from = 0; from <= to; ++from) {
      const auto proof = ProveConsistency(Reader(to), from, to);
      ASSERT_TRUE(proof.has_value());
      ASSERT_EQ(*proof, log_.Consistency(from, to)) << from << " to " << to;
      ASSERT_TRUE(VerifyConsistency(*proof, log_.Head(from), log_.Head(to)).has_value())
          << from << " to " << to;
    }
    EXPECT_EQ(ProveConsistency(Reader(to), to + 1, to).error().code, Code::kInvalid);
  }
}

TEST_F(MerkleTest, SpoiledConsistencyProofs) {
  for (uint64_t to = 0; to <= kMaxSize; ++to) {
    const TreeHead to_head = log_.Head(to);
    for (uint64_t from = 0; from <= to; ++from) {
      const TreeHead from_head = log_.Head(from);
      const ConsistencyProof proof = log_.Consistency(from, to);
      ForEachSpoiled(proof, from + to, [&](const std::vector<Hash>& spoiled, const char* how) {
        ASSERT_FALSE(VerifyConsistency(spoiled, from_head, to_head).has_value())
            << from << " to " << to << ": " << how;
      });
      ASSERT_FALSE(
          VerifyConsistency(proof, {from, Flipped(from_head.root, to)}, to_head).has_value());
      // Every tree follows from the empty one, so nothing is shown about its root.
      const bool other_root_passes =
          VerifyConsistency(proof, from_head, {to, Flipped(to_head.root, from)}).has_value();
      ASSERT_EQ(other_root_passes, from == 0 && to != 0) << from << " to " << to;
      if (from != to) {
        ASSERT_FALSE(VerifyConsistency(proof, to_head, from_head).has_value());
      }
    }
  }
}

TEST_F(MerkleTest, ConsistencyProofsElsewhere) {
  const auto turns = [this](uint64_t from, uint64_t to) -> const std::string& {
    const auto [found, is_new] = consistency_turns_.try_emplace({from, to});
    if (is_new) found->second = ConsistencyTurns(from, to);
    return found->second;
  };
  for (uint64_t to = 1; to <= kMaxSize; ++to) {
    const uint64_t reach = to <= kEveryPlace ? kEveryPlace : 1;
    for (uint64_t from = 1; from < to; ++from) {
      const ConsistencyProof proof = log_.Consistency(from, to);
      const Hash from_root = log_.Root(0, from);
      const Hash to_root = log_.Root(0, to);
      for (uint64_t other_to = to - std::min(to, reach); other_to <= to + reach; ++other_to) {
        for (uint64_t other = from - std::min(from, reach); other <= from + reach; ++other) {
          const bool passes =
              VerifyConsistency(proof, {other, from_root}, {other_to, to_root}).has_value();
          const bool same =
              0 < other && other < other_to && turns(other, other_to) == turns(from, to);
          ASSERT_EQ(passes, same) << from << " to " << to << " as " << other << " to " << other_to;
        }
      }
    }
  }
}

TEST(CompactRangeTest, RefusesWrongCovers) {
  for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{5}, uint64_t{255}, kMaxTreeSize}) {
    const auto right = static_cast<size_t>(std::popcount(size));
    for (size_t count = 0; count <= 70; ++count) {
      const auto range = CompactRange::FromHashes(size, std::vector<Hash>(count));
      EXPECT_EQ(range.has_value(), count == right) << size << " " << count;
      if (!range) {
        EXPECT_EQ(range.error().code, Code::kInvalid);
      }
    }
  }
  EXPECT_FALSE(CompactRange::FromHashes(kMaxTreeSize + 1, std::vector<Hash>(1)).has_value());
  EXPECT_FALSE(CompactRange::FromHashes(UINT64_MAX, std::vector<Hash>(64)).has_value());
}

std::vector<Hash> SomeLeafHashes(size_t count) {
  std::vector<Hash> hashes(count);
  for (size_t i = 0; i < count; ++i) hashes[i] = HashLeaf(std::to_string(i));
  return hashes;
}

// Every old size with every number of new leaves.
TEST(CompactRangeTest, ExtendIsAppendMany) {
  const std::vector<Hash> leaves = SomeLeafHashes(2 * 70);
  CompactRange old_range;
  for (size_t size = 0; size <= 70; ++size) {
    CompactRange appended = old_range;
    for (size_t count = 0; count <= 70; ++count) {
      CompactRange extended = old_range;
      CompletedNodes completed;
      extended.Extend(std::span(leaves).subspan(size, count), &completed);
      ASSERT_EQ(extended, appended) << size << " + " << count;
      ASSERT_EQ(completed[0].size(), count);
      appended.Append(leaves[size + count]);
      if (size + count + 1 == leaves.size()) break;
    }
    old_range.Append(leaves[size]);
  }
}

// A log that grows in random steps over the edge of tile level 2, and what it completes.
TEST(CompactRangeTest, CompletedNodesOfRandomSplits) {
  constexpr size_t kSize = 70000;
  const std::vector<Hash> leaves = SomeLeafHashes(kSize);
  std::vector<Hash> level1;
  for (size_t i = 0; i + 256 <= kSize; i += 256) {
    CompactRange tile;
    for (size_t j = i; j < i + 256; ++j) tile.Append(leaves[j]);
    level1.push_back(tile.Root());
  }
  CompactRange level2;
  for (size_t i = 0; i < 256; ++i) level2.Append(level1[i]);
  CompactRange appended;
  for (const Hash& leaf : leaves) appended.Append(leaf);

  std::mt19937_64 random(20240229);
  for (const size_t longest : {size_t{3}, size_t{300}, size_t{3000}, kSize}) {
    CompactRange range;
    CompletedNodes completed;
    size_t size = 0;
    while (size < kSize) {
      const size_t count = std::min(kSize - size, static_cast<size_t>(random() % (longest + 1)));
      range.Extend(std::span(leaves).subspan(size, count), &completed);
      size += count;
      ASSERT_EQ(completed[1].size(), size / 256);
      ASSERT_EQ(completed[2].size(), size / 65536);
    }
    EXPECT_EQ(range, appended);
    EXPECT_EQ(completed[0], leaves);
    EXPECT_EQ(completed[1], level1);
    EXPECT_EQ(completed[2], std::vector<Hash>{level2.Root()});
    for (size_t level = 3; level < completed.size(); ++level) EXPECT_TRUE(completed[level].empty());
  }
}

// A log of any size whose entries are all equal: the nodes of one height are, too.
class EqualEntries {
 public:
  EqualEntries() {
    nodes_[0] = HashLeaf("again");
    for (size_t i = 1; i < nodes_.size(); ++i) {
      nodes_[i] = HashChildren(nodes_[i - 1], nodes_[i - 1]);
    }
  }
  Hash Node(int height) const { return nodes_[static_cast<size_t>(height)]; }
  NodeReader Reader(uint64_t size) const {
    return [this, size](int height, uint64_t index) -> Result<Hash> {
      EXPECT_TRUE(0 <= height && height < 63);
      EXPECT_LT(index, size >> height) << "height " << height;
      return Node(height);
    };
  }
  TreeHead Head(uint64_t size) const { return ReadCompactRange(Reader(size), size).value().Head(); }

 private:
  std::array<Hash, 63> nodes_;
};

const std::vector<uint64_t>& HugeSizes() {
  static const std::vector<uint64_t> sizes = [] {
    std::vector<uint64_t> all = {kMaxTreeSize - 1, kMaxTreeSize, 0x5555555555555555,
                                 0x2aaaaaaaaaaaaaaa, 0x7edcba9876543210};
    for (int bit = 31; bit < 63; ++bit) {
      for (const uint64_t delta : {uint64_t{0}, uint64_t{1}, uint64_t{2}}) {
        all.push_back((uint64_t{1} << bit) + delta - 1);
      }
    }
    return all;
  }();
  return sizes;
}

TEST(HugeTreeTest, Inclusion) {
  const EqualEntries log;
  for (const uint64_t size : HugeSizes()) {
    const TreeHead head = log.Head(size);
    for (const uint64_t index :
         {uint64_t{0}, uint64_t{1}, size / 3, size / 2, size - 2, size - 1}) {
      const auto proof = ProveInclusion(log.Reader(size), index, size);
      ASSERT_TRUE(proof.has_value());
      ASSERT_TRUE(VerifyInclusion(*proof, index, log.Node(0), head).has_value())
          << index << " in " << size;
      InclusionProof spoiled = *proof;
      spoiled.back() = Flipped(spoiled.back(), 100);
      ASSERT_FALSE(VerifyInclusion(spoiled, index, log.Node(0), head).has_value());
      spoiled = *proof;
      spoiled.push_back(proof->back());
      ASSERT_FALSE(VerifyInclusion(spoiled, index, log.Node(0), head).has_value());
      ASSERT_FALSE(VerifyInclusion(*proof, size, log.Node(0), head).has_value());
    }
  }
}

TEST(HugeTreeTest, Consistency) {
  const EqualEntries log;
  for (const uint64_t to : HugeSizes()) {
    for (const uint64_t from : HugeSizes()) {
      const auto proof = ProveConsistency(log.Reader(to), from, to);
      ASSERT_EQ(proof.has_value(), from <= to);
      if (!proof) continue;
      ASSERT_LE(proof->size(), 64u);
      ASSERT_TRUE(VerifyConsistency(*proof, log.Head(from), log.Head(to)).has_value())
          << from << " to " << to;
      if (from == to) continue;
      ConsistencyProof spoiled = *proof;
      spoiled.back() = Flipped(spoiled.back(), 200);
      ASSERT_FALSE(VerifyConsistency(spoiled, log.Head(from), log.Head(to)).has_value());
    }
  }
}

TEST(HugeTreeTest, Growth) {
  const EqualEntries log;
  for (const uint64_t size : HugeSizes()) {
    if (size > kMaxTreeSize - 300) continue;
    CompactRange range = ReadCompactRange(log.Reader(size), size).value();
    CompactRange appended = range;
    CompletedNodes completed;
    range.Extend(std::vector<Hash>(300, log.Node(0)), &completed);
    for (int i = 0; i < 300; ++i) appended.Append(log.Node(0));
    ASSERT_EQ(range, appended);
    ASSERT_EQ(range.Head(), log.Head(size + 300));
    for (int level = 0; level < kTileLevels; ++level) {
      const uint64_t count = ((size + 300) >> (8 * level)) - (size >> (8 * level));
      ASSERT_EQ(completed[static_cast<size_t>(level)],
                std::vector<Hash>(count, count == 0 ? Hash{} : log.Node(8 * level)))
          << size << " " << level;
    }
  }
}

TEST(HugeTreeTest, TooLarge) {
  const EqualEntries log;
  const TreeHead head = log.Head(kMaxTreeSize);
  for (const uint64_t size : {kMaxTreeSize + 1, kMaxTreeSize + 2, UINT64_MAX}) {
    EXPECT_EQ(ReadCompactRange(log.Reader(size), size).error().code, Code::kInvalid);
    EXPECT_EQ(ProveInclusion(log.Reader(size), 0, size).error().code, Code::kInvalid);
    EXPECT_EQ(ProveConsistency(log.Reader(size), 1, size).error().code, Code::kInvalid);
    EXPECT_EQ(ProveConsistency(log.Reader(size), 0, size).error().code, Code::kInvalid);
    EXPECT_FALSE(VerifyInclusion({}, 0, head.root, {size, head.root}).has_value());
    EXPECT_FALSE(VerifyConsistency({}, {size, head.root}, {size, head.root}).has_value());
    EXPECT_FALSE(VerifyConsistency({}, {0, kEmptyRoot}, {size, head.root}).has_value());
  }
  // A proof that is right, of a tree that nobody may have.
  InclusionProof proof;
  for (int height = 0; height < 63; ++height) proof.push_back(log.Node(height));
  const Hash root = HashChildren(log.Node(62), log.Node(62));
  EXPECT_FALSE(VerifyInclusion(proof, 0, log.Node(0), {kMaxTreeSize + 1, root}).has_value());
  EXPECT_FALSE(VerifyConsistency({log.Node(62)}, {kMaxTreeSize / 2 + 1, log.Node(62)},
                                 {kMaxTreeSize + 1, root})
                   .has_value());
  CompactRange full = ReadCompactRange(log.Reader(kMaxTreeSize), kMaxTreeSize).value();
  CompletedNodes completed;
  full.Extend({}, &completed);
  EXPECT_EQ(full.Head(), head);
  EXPECT_DEATH(full.Append(log.Node(0)), "kMaxTreeSize");
  EXPECT_DEATH(full.Extend(std::vector<Hash>(1), &completed), "kMaxTreeSize");
}

TEST(NodeReaderTest, ItsErrorIsTheAnswer) {
  const NodeReader broken = [](int, uint64_t) -> Result<Hash> {
    return Fail(Code::kCorrupt, "broken");
  };
  EXPECT_EQ(ReadCompactRange(broken, 5).error().code, Code::kCorrupt);
  EXPECT_EQ(ProveInclusion(broken, 3, 5).error().code, Code::kCorrupt);
  EXPECT_EQ(ProveConsistency(broken, 3, 5).error().code, Code::kCorrupt);
  EXPECT_TRUE(ProveInclusion(broken, 0, 1).value().empty());
  EXPECT_TRUE(ProveConsistency(broken, 0, 5).value().empty());
  EXPECT_TRUE(ProveConsistency(broken, 5, 5).value().empty());
}

}  // namespace
}  // namespace logcore
