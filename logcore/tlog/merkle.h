// Merkle trees of RFC 6962 section 2.1: the root of an append-only list, how it grows, and proofs.
//
// Everything is made of *perfect subtrees*: node (height, index) is the root of the 2^height leaves
// from index * 2^height on; height 0 is the leaf hashes. A tree of any size is covered by at most
// 64 of them (one for each one bit of the size), largest first: that cover is a CompactRange, and
// it is all a log needs in memory to go on.
//
// Building and verifying proofs is RFC 6962 section 2.1.1 and 2.1.2; verification follows RFC 9162
// sections 2.1.3.2 and 2.1.4.2. Pure; any thread. Tested by tests/logcore/tlog/merkle_test.cc,
// exhaustively for every size up to 257.

#ifndef LOGCORE_TLOG_MERKLE_H_
#define LOGCORE_TLOG_MERKLE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "logcore/tlog/hash.h"
#include "logcore/util/result.h"

namespace logcore {

// What a checkpoint commits to. Sizes stay below 2^63, as every client's parser requires.
struct TreeHead {
  uint64_t size = 0;
  Hash root = kEmptyRoot;
  bool operator==(const TreeHead&) const = default;
};

inline constexpr uint64_t kMaxTreeSize = (uint64_t{1} << 63) - 1;

// Tile levels: level L is height 8 * L. 256^7 = 2^56 leaves under one node of level 7.
inline constexpr int kTileLevels = 8;

// The new nodes of each tile level that an Extend completed, in order. The first of level L has
// index floor(old size / 256^L).
using CompletedNodes = std::array<std::vector<Hash>, kTileLevels>;

// The root of a perfect subtree from all its nodes of one height, which are overwritten. Their
// number is a power of two (CHECKed).
Hash PerfectRoot(std::span<Hash> nodes);

class CompactRange {
 public:
  CompactRange() = default;  // The empty tree.

  // `hashes`: the perfect subtrees that cover [0, size), largest (leftmost) first.
  // kInvalid unless there is exactly one for each one bit of `size`, and size <= kMaxTreeSize.
  static Result<CompactRange> FromHashes(uint64_t size, std::vector<Hash> hashes);

  void Append(const Hash& leaf_hash);

  // Appends many, level by level. What it completes on tile levels is appended to `completed`;
  // level 0 gets the leaf hashes themselves.
  void Extend(std::span<const Hash> leaf_hashes, CompletedNodes* completed);

  uint64_t size() const { return size_; }
  Hash Root() const;
  TreeHead Head() const { return {size_, Root()}; }
  std::span<const Hash> hashes() const { return hashes_; }
  bool operator==(const CompactRange&) const = default;

 private:
  uint64_t size_ = 0;
  std::vector<Hash> hashes_;
};

// Gives the root of the perfect subtree (height, index). Asked only for subtrees that lie wholly
// inside the tree.
using NodeReader = std::function<Result<Hash>(int height, uint64_t index)>;

// The cover of [0, size), read node by node.
Result<CompactRange> ReadCompactRange(const NodeReader& reader, uint64_t size);

// Proofs, in RFC 6962 order (nearest the leaf first).
using InclusionProof = std::vector<Hash>;
using ConsistencyProof = std::vector<Hash>;

// kInvalid unless index < size.
Result<InclusionProof> ProveInclusion(const NodeReader& reader, uint64_t index, uint64_t size);
// kInvalid unless from <= to. Empty for from == 0 and from == to.
Result<ConsistencyProof> ProveConsistency(const NodeReader& reader, uint64_t from, uint64_t to);

// OK only if the proof shows that `leaf_hash` is entry `index` of the tree `head`; else kInvalid.
Status VerifyInclusion(const InclusionProof& proof, uint64_t index, const Hash& leaf_hash,
                       const TreeHead& head);
// OK only if the proof shows that `from` is a prefix of `to`; else kInvalid. A tree of size 0 must
// have the empty root, and needs no proof.
Status VerifyConsistency(const ConsistencyProof& proof, const TreeHead& from, const TreeHead& to);

}  // namespace logcore

#endif  // LOGCORE_TLOG_MERKLE_H_
