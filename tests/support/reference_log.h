// ReferenceLog: the oracle. A log as RFC 6962 section 2.1 defines it, word for word and by
// recursion: no compact range, no tiles, no cleverness. It shares only the two hash functions with
// logcore, which hash_test compares with published values.
//
// Slow (each root of a range is computed once and remembered); entries can only be added. One
// thread. Used by merkle_test, golden_log_test, and every test that needs to know what is true.

#ifndef TESTS_SUPPORT_REFERENCE_LOG_H_
#define TESTS_SUPPORT_REFERENCE_LOG_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "logcore/tlog/hash.h"
#include "logcore/tlog/merkle.h"

namespace tlogfs_test {

class ReferenceLog {
 public:
  ReferenceLog() = default;
  explicit ReferenceLog(std::vector<std::string> entries) : entries_(std::move(entries)) {}

  // `size` entries, no two of them equal.
  static ReferenceLog OfSize(uint64_t size) {
    ReferenceLog log;
    while (log.size() < size) log.Add("entry " + std::to_string(log.size()));
    return log;
  }
  // The same, of short entries whose lengths follow no multiple of anything.
  static ReferenceLog OfManyLengths(uint64_t size) {
    ReferenceLog log;
    while (log.size() < size) {
      log.Add(std::string(log.size() % 5, 'x') + std::to_string(log.size()));
    }
    return log;
  }

  void Add(std::string entry) { entries_.push_back(std::move(entry)); }
  uint64_t size() const { return entries_.size(); }
  const std::string& entry(uint64_t index) const { return entries_.at(index); }

  logcore::Hash LeafHash(uint64_t index) const { return logcore::HashLeaf(entry(index)); }

  // MTH(D[begin:end]).
  logcore::Hash Root(uint64_t begin, uint64_t end) const {
    if (begin == end) return logcore::Sha256({});
    if (end - begin == 1) return LeafHash(begin);
    const auto known = roots_.find({begin, end});
    if (known != roots_.end()) return known->second;
    const uint64_t split = begin + LargestPowerBelow(end - begin);
    const logcore::Hash root = logcore::HashChildren(Root(begin, split), Root(split, end));
    roots_.emplace(std::pair(begin, end), root);
    return root;
  }
  logcore::TreeHead Head(uint64_t size) const { return {size, Root(0, size)}; }

  // PATH(index, D[size]).
  logcore::InclusionProof Inclusion(uint64_t index, uint64_t size) const {
    return Path(index, 0, size);
  }
  // PROOF(from, D[to]); empty where RFC 6962 defines none, for an empty old tree.
  logcore::ConsistencyProof Consistency(uint64_t from, uint64_t to) const {
    if (from == 0) return {};
    return Subproof(from, 0, to, true);
  }

  // The bytes of a hash tile: `width` nodes of the level from node 256 * index on.
  std::string Tile(int level, uint64_t index, int width) const {
    const uint64_t leaves = uint64_t{1} << (8 * level);
    std::string bytes;
    for (uint64_t node = 256 * index; node < 256 * index + static_cast<uint64_t>(width); ++node) {
      bytes += Root(node * leaves, (node + 1) * leaves).view();
    }
    return bytes;
  }
  // The bytes of entries [begin, end) as in an entry bundle.
  std::string Frames(uint64_t begin, uint64_t end) const {
    std::string bytes;
    for (uint64_t i = begin; i < end; ++i) {
      bytes += static_cast<char>(entry(i).size() / 256);
      bytes += static_cast<char>(entry(i).size() % 256);
      bytes += entry(i);
    }
    return bytes;
  }

 private:
  static uint64_t LargestPowerBelow(uint64_t n) {
    uint64_t power = 1;
    while (2 * power < n) power *= 2;
    return power;
  }

  // PATH(m, D[begin:end]), with m counted from the first entry of all.
  logcore::InclusionProof Path(uint64_t m, uint64_t begin, uint64_t end) const {
    if (end - begin == 1) return {};
    const uint64_t split = begin + LargestPowerBelow(end - begin);
    logcore::InclusionProof proof = m < split ? Path(m, begin, split) : Path(m, split, end);
    proof.push_back(m < split ? Root(split, end) : Root(begin, split));
    return proof;
  }

  // SUBPROOF(m, D[begin:end], whole), with m counted from the first entry of all.
  logcore::ConsistencyProof Subproof(uint64_t m, uint64_t begin, uint64_t end, bool whole) const {
    if (m == end && whole) return {};
    if (m == end) return {Root(begin, end)};
    const uint64_t split = begin + LargestPowerBelow(end - begin);
    logcore::ConsistencyProof proof =
        m <= split ? Subproof(m, begin, split, whole) : Subproof(m, split, end, false);
    proof.push_back(m <= split ? Root(split, end) : Root(begin, split));
    return proof;
  }

  std::vector<std::string> entries_;
  mutable std::map<std::pair<uint64_t, uint64_t>, logcore::Hash> roots_;
};

}  // namespace tlogfs_test

#endif  // TESTS_SUPPORT_REFERENCE_LOG_H_
