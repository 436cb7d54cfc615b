#include "logcore/tlog/hash.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "logcore/tlog/entry_bundle.h"
#include "logcore/tlog/sha256_lanes.h"
#include "logcore/util/check.h"

namespace logcore {

constinit const Hash kEmptyRoot = {{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                                    0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                                    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                                    0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}};

namespace {

// RFC 6962: leaves and nodes are told apart by their first byte.
constexpr char kLeafPrefix = '\x00';
constexpr char kNodePrefix = '\x01';
// So many messages are looked up before they are hashed.
constexpr size_t kGroup = 64;

// Looking the algorithm up costs three times what hashing a node does, so it is done once.
const EVP_MD* Sha256Algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  CHECK(algorithm != nullptr);
  return algorithm;
}

// One SHA-256 computation after another in one OpenSSL context. Not for several threads at once.
class Hasher {
 public:
  Hasher() : context_(EVP_MD_CTX_new()), algorithm_(Sha256Algorithm()) {
    CHECK(context_ != nullptr);
  }
  ~Hasher() { EVP_MD_CTX_free(context_); }
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void Begin() { CHECK(EVP_DigestInit_ex2(context_, algorithm_, nullptr) == 1); }
  void Update(std::string_view bytes) {
    CHECK(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1);
  }
  void Finish(Hash* out) {
    unsigned length = 0;
    CHECK(EVP_DigestFinal_ex(context_, out->bytes.data(), &length) == 1);
    CHECK(length == kHashLength);
  }

  // `out` may overlap `message`.
  void Prefixed(char prefix, std::string_view message, Hash* out) {
    Begin();
    Update({&prefix, 1});
    Update(message);
    Finish(out);
  }

 private:
  EVP_MD_CTX* const context_;
  const EVP_MD* const algorithm_;
};

// Making a context costs as much as hashing a node: each thread keeps one.
Hasher& ThreadHasher() {
  static thread_local Hasher hasher;
  return hasher;
}

// hashes[i] = SHA-256(prefix || messages[i]).
void HashGroup(char prefix, std::span<const std::string_view> messages, std::span<Hash> hashes) {
  if (1 < messages.size() && HasSha256Lanes()) {
    Sha256Lanes(prefix, messages, hashes);
    return;
  }
  Hasher& hasher = ThreadHasher();
  for (size_t i = 0; i < messages.size(); ++i) hasher.Prefixed(prefix, messages[i], &hashes[i]);
}

// Two hashes that lie one after the other.
std::string_view PairBytes(const Hash* left) {
  return {reinterpret_cast<const char*>(left), 2 * kHashLength};
}

}  // namespace

Hash HashFromBytes(std::string_view bytes) {
  CHECK(bytes.size() == kHashLength);
  Hash hash;
  std::memcpy(hash.bytes.data(), bytes.data(), kHashLength);
  return hash;
}

std::string HexEncode(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 0xf];
  }
  return text;
}

Hash Sha256(std::initializer_list<std::string_view> parts) {
  Hasher& hasher = ThreadHasher();
  hasher.Begin();
  for (const std::string_view part : parts) hasher.Update(part);
  Hash hash;
  hasher.Finish(&hash);
  return hash;
}

Hash HashLeaf(std::string_view entry) {
  Hash hash;
  ThreadHasher().Prefixed(kLeafPrefix, entry, &hash);
  return hash;
}

Hash HashChildren(const Hash& left, const Hash& right) {
  const Hash children[] = {left, right};
  Hash hash;
  ThreadHasher().Prefixed(kNodePrefix, PairBytes(children), &hash);
  return hash;
}

void HashLeafFrames(std::string_view frames, std::span<Hash> leaf_hashes) {
  std::array<std::string_view, kGroup> entries;
  while (!leaf_hashes.empty()) {
    const size_t count = std::min(kGroup, leaf_hashes.size());
    for (size_t i = 0; i < count; ++i) {
      const Result<std::string_view> entry = TakeFrame(&frames);
      CHECK(entry.has_value());
      entries[i] = *entry;
    }
    HashGroup(kLeafPrefix, std::span(entries).first(count), leaf_hashes.first(count));
    leaf_hashes = leaf_hashes.subspan(count);
  }
  CHECK(frames.empty());
}

// In ascending order, so that a parent overwrites only children that were read.
void HashPairs(std::span<const Hash> children, std::span<Hash> parents) {
  CHECK(children.size() == 2 * parents.size());
  std::array<std::string_view, kGroup> pairs;
  for (size_t done = 0; done < parents.size(); done += kGroup) {
    const size_t count = std::min(kGroup, parents.size() - done);
    for (size_t i = 0; i < count; ++i) pairs[i] = PairBytes(&children[2 * (done + i)]);
    HashGroup(kNodePrefix, std::span(pairs).first(count), parents.subspan(done, count));
  }
}

}  // namespace logcore
