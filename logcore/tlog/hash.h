// Hash: a SHA-256 value, and the two domain-separated hashes of RFC 6962 section 2.1. hash.cc is
// the only place that computes SHA-256, with OpenSSL or sha256_lanes.h.
//
//   leaf hash  = SHA-256(0x00 || entry)
//   node hash  = SHA-256(0x01 || left || right)
//   empty root = SHA-256("")
//
// The many-at-once forms are the ones the log uses: they are three times as fast.
// Pure; any thread. Tested by tests/logcore/tlog/hash_test.cc.

#ifndef LOGCORE_TLOG_HASH_H_
#define LOGCORE_TLOG_HASH_H_

#include <array>
#include <compare>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "logcore/util/result.h"

namespace logcore {

inline constexpr size_t kHashLength = 32;

struct Hash {
  std::array<uint8_t, kHashLength> bytes{};

  std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  auto operator<=>(const Hash&) const = default;
};
static_assert(sizeof(Hash) == kHashLength);  // Arrays of Hash are read and written as file bytes.

extern const Hash kEmptyRoot;

// `bytes` must be exactly 32 long (CHECKed).
Hash HashFromBytes(std::string_view bytes);
std::string HexEncode(std::string_view bytes);  // lowercase

// SHA-256 over the parts, one after the other.
Hash Sha256(std::initializer_list<std::string_view> parts);

Hash HashLeaf(std::string_view entry);
Hash HashChildren(const Hash& left, const Hash& right);

// Leaf hashes of `frames`: entries as they lie in an entry bundle (big-endian uint16 length, then
// the bytes). Exactly leaf_hashes.size() entries and not a byte more (CHECKed: parse first).
void HashLeafFrames(std::string_view frames, std::span<Hash> leaf_hashes);

// parents[i] = HashChildren(children[2i], children[2i + 1]); children.size() == 2 * parents.size().
// `parents` may begin at the same address as `children`.
void HashPairs(std::span<const Hash> children, std::span<Hash> parents);

}  // namespace logcore

#endif  // LOGCORE_TLOG_HASH_H_
