#include "logcore/tlog/merkle.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "logcore/util/check.h"

namespace logcore {
namespace {

constexpr int kMaxHeight = 63;  // Of any perfect subtree in a tree of up to kMaxTreeSize.
constexpr int kTileHeight = 8;

// The root of adjoining subtrees, largest first: RFC 6962 splits at the largest power of two, so
// the smaller ones join first.
Hash JoinCover(std::span<const Hash> cover) {
  if (cover.empty()) return kEmptyRoot;
  Hash root = cover.back();
  for (size_t i = cover.size() - 1; i > 0; --i) root = HashChildren(cover[i - 1], root);
  return root;
}

// The perfect subtrees that cover the leaves [begin, end), largest first. `begin` must be a
// multiple of a power of two that is at least end - begin, as it is for every subtree of RFC 6962.
Result<std::vector<Hash>> ReadCover(const NodeReader& reader, uint64_t begin, uint64_t end) {
  std::vector<Hash> cover;
  while (begin < end) {
    const int height = static_cast<int>(std::bit_width(end - begin)) - 1;
    ASSIGN_OR_RETURN(const Hash node, reader(height, begin >> height));
    cover.push_back(node);
    begin += uint64_t{1} << height;
  }
  return cover;
}

// MTH(D[begin:end]), under the same condition.
Result<Hash> ReadRoot(const NodeReader& reader, uint64_t begin, uint64_t end) {
  ASSIGN_OR_RETURN(const std::vector<Hash> cover, ReadCover(reader, begin, end));
  return JoinCover(cover);
}

// Where RFC 6962 splits the leaves [begin, end), of which there are at least two.
uint64_t SplitPoint(uint64_t begin, uint64_t end) {
  return begin + std::bit_floor(end - begin - 1);
}

tl::unexpected<Error> SizeError(uint64_t size) {
  return Fail(Code::kInvalid, "tree size " + std::to_string(size) + " is over 2^63 - 1");
}

tl::unexpected<Error> ProofError(std::string_view what) {
  return Fail(Code::kInvalid, "proof refused: " + std::string(what));
}

// How both verifications climb from a node to the root, on the path that the bits of `node`
// describe: from the right edge of the tree (`node` == `last`) a level without a sibling is passed
// over. RFC 9162 calls the two fn and sn.
class Climb {
 public:
  Climb(uint64_t node, uint64_t last) : node_(node), last_(last) {}

  bool AtRoot() const { return last_ == 0; }
  // Whether the next hash of the proof stands to the left.
  bool SiblingIsLeft() const { return (node_ & 1) == 1 || node_ == last_; }
  void Up() {
    if (node_ == last_) {
      while (node_ != 0 && (node_ & 1) == 0) Shift();
    }
    Shift();
  }
  void SkipRightChildren() {
    while ((node_ & 1) == 1) Shift();
  }

 private:
  void Shift() {
    node_ >>= 1;
    last_ >>= 1;
  }
  uint64_t node_;
  uint64_t last_;
};

}  // namespace

Hash PerfectRoot(std::span<Hash> nodes) {
  CHECK(std::has_single_bit(nodes.size()));
  while (1 < nodes.size()) {
    const std::span<Hash> parents = nodes.first(nodes.size() / 2);
    HashPairs(nodes, parents);
    nodes = parents;
  }
  return nodes.front();
}

Result<CompactRange> CompactRange::FromHashes(uint64_t size, std::vector<Hash> hashes) {
  if (size > kMaxTreeSize) return SizeError(size);
  if (static_cast<size_t>(std::popcount(size)) != hashes.size()) {
    return Fail(Code::kInvalid, std::to_string(hashes.size()) + " hashes cannot cover a tree of " +
                                    std::to_string(size));
  }
  CompactRange range;
  range.size_ = size;
  range.hashes_ = std::move(hashes);
  return range;
}

void CompactRange::Append(const Hash& leaf_hash) {
  CHECK(size_ < kMaxTreeSize);
  Hash node = leaf_hash;
  for (uint64_t rest = size_; (rest & 1) == 1; rest >>= 1) {
    node = HashChildren(hashes_.back(), node);
    hashes_.pop_back();
  }
  hashes_.push_back(node);
  ++size_;
}

// At each height, what is new are the nodes [first, first + count). If `first` is odd, its left
// sibling is the old cover's node of this height, and goes before them. Pairs of them are the new
// nodes of the next height; one that is left without a partner belongs to the new cover. All
// heights share one buffer, with room in front for a sibling at each of them.
void CompactRange::Extend(std::span<const Hash> leaf_hashes, CompletedNodes* completed) {
  CHECK(leaf_hashes.size() <= kMaxTreeSize - size_);
  std::vector<Hash> buffer(kMaxHeight + leaf_hashes.size());
  std::copy(leaf_hashes.begin(), leaf_hashes.end(), buffer.begin() + kMaxHeight);
  std::span<Hash> nodes(buffer.data() + kMaxHeight, leaf_hashes.size());
  std::vector<Hash> partnerless;  // smallest first

  for (int height = 0; !nodes.empty(); ++height) {
    if (height % kTileHeight == 0) {
      std::vector<Hash>& level = (*completed)[static_cast<size_t>(height / kTileHeight)];
      level.insert(level.end(), nodes.begin(), nodes.end());
    }
    if ((size_ >> height & 1) == 1) {
      nodes = {nodes.data() - 1, nodes.size() + 1};
      nodes.front() = hashes_.back();
      hashes_.pop_back();
    }
    if (nodes.size() % 2 == 1) {
      partnerless.push_back(nodes.back());
      nodes = nodes.first(nodes.size() - 1);
    }
    const std::span<Hash> parents = nodes.first(nodes.size() / 2);
    HashPairs(nodes, parents);
    nodes = parents;
  }

  hashes_.insert(hashes_.end(), partnerless.rbegin(), partnerless.rend());
  size_ += leaf_hashes.size();
  CHECK(hashes_.size() == static_cast<size_t>(std::popcount(size_)));
}

Hash CompactRange::Root() const {
  return JoinCover(hashes_);
}

Result<CompactRange> ReadCompactRange(const NodeReader& reader, uint64_t size) {
  if (size > kMaxTreeSize) return SizeError(size);
  ASSIGN_OR_RETURN(std::vector<Hash> cover, ReadCover(reader, 0, size));
  return CompactRange::FromHashes(size, std::move(cover));
}

// PATH(m, D[n]) of RFC 6962, from the root down; the proof is in the other order.
Result<InclusionProof> ProveInclusion(const NodeReader& reader, uint64_t index, uint64_t size) {
  if (size > kMaxTreeSize) return SizeError(size);
  if (index >= size) {
    return Fail(Code::kInvalid, "prove inclusion: a tree of " + std::to_string(size) +
                                    " has no entry " + std::to_string(index));
  }
  InclusionProof proof;
  uint64_t begin = 0;
  uint64_t end = size;
  while (end - begin > 1) {
    const uint64_t split = SplitPoint(begin, end);
    const bool left = index < split;
    ASSIGN_OR_RETURN(const Hash sibling,
                     left ? ReadRoot(reader, split, end) : ReadRoot(reader, begin, split));
    proof.push_back(sibling);
    (left ? end : begin) = split;
  }
  std::reverse(proof.begin(), proof.end());
  return proof;
}

// SUBPROOF(m, D[n], b) of RFC 6962, from the root down. The subtree that ends where the old tree
// ends is part of the proof unless it is the whole old tree, whose root the verifier has.
Result<ConsistencyProof> ProveConsistency(const NodeReader& reader, uint64_t from, uint64_t to) {
  if (to > kMaxTreeSize) return SizeError(to);
  if (from > to) {
    return Fail(Code::kInvalid, "prove consistency: from " + std::to_string(from) + " to " +
                                    std::to_string(to) + " is backwards");
  }
  if (from == 0) return ConsistencyProof{};
  ConsistencyProof proof;
  uint64_t begin = 0;
  uint64_t end = to;
  while (end != from) {
    const uint64_t split = SplitPoint(begin, end);
    const bool left = from <= split;
    ASSIGN_OR_RETURN(const Hash sibling,
                     left ? ReadRoot(reader, split, end) : ReadRoot(reader, begin, split));
    proof.push_back(sibling);
    (left ? end : begin) = split;
  }
  if (begin != 0) {
    ASSIGN_OR_RETURN(const Hash last, ReadRoot(reader, begin, end));
    proof.push_back(last);
  }
  std::reverse(proof.begin(), proof.end());
  return proof;
}

Status VerifyInclusion(const InclusionProof& proof, uint64_t index, const Hash& leaf_hash,
                       const TreeHead& head) {
  if (head.size > kMaxTreeSize) return SizeError(head.size);
  if (index >= head.size) return ProofError("the tree has no entry " + std::to_string(index));
  Climb climb(index, head.size - 1);
  Hash root = leaf_hash;
  for (const Hash& sibling : proof) {
    if (climb.AtRoot()) return ProofError("it is too long");
    root = climb.SiblingIsLeft() ? HashChildren(sibling, root) : HashChildren(root, sibling);
    climb.Up();
  }
  if (!climb.AtRoot()) return ProofError("it is too short");
  if (root != head.root) return ProofError("it leads to another root");
  return {};
}

Status VerifyConsistency(const ConsistencyProof& proof, const TreeHead& from, const TreeHead& to) {
  if (to.size > kMaxTreeSize) return SizeError(to.size);
  if (from.size > to.size) return ProofError("the tree shrank");
  if (from.size == 0 && from.root != kEmptyRoot) {
    return ProofError("an empty tree has no such root");
  }
  if (from.size == 0 || from.size == to.size) {
    if (!proof.empty()) return ProofError("it is too long");
    if (from.size == to.size && from.root != to.root) {
      return ProofError("trees of one size have different roots");
    }
    return {};
  }

  // The climb starts at the subtree that ends where the old tree ends. A perfect old tree is that
  // subtree itself, and is not in the proof.
  std::span<const Hash> siblings(proof);
  Hash from_root = from.root;
  if (!std::has_single_bit(from.size)) {
    if (proof.empty()) return ProofError("it is too short");
    from_root = proof.front();
    siblings = siblings.subspan(1);
  }
  Hash to_root = from_root;
  Climb climb(from.size - 1, to.size - 1);
  climb.SkipRightChildren();
  for (const Hash& sibling : siblings) {
    if (climb.AtRoot()) return ProofError("it is too long");
    if (climb.SiblingIsLeft()) {
      from_root = HashChildren(sibling, from_root);
      to_root = HashChildren(sibling, to_root);
    } else {
      to_root = HashChildren(to_root, sibling);
    }
    climb.Up();
  }
  if (!climb.AtRoot()) return ProofError("it is too short");
  if (from_root != from.root) return ProofError("it leads to another old root");
  if (to_root != to.root) return ProofError("it leads to another new root");
  return {};
}

}  // namespace logcore
