#include "logcore/hash.h"

#include <openssl/evp.h>

#include <cstring>

#include "logcore/check.h"
#include "logcore/entry_bundle.h"

namespace logcore {

constinit const Hash kEmptyRoot = {{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                                    0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                                    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                                    0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}};

namespace {

// RFC 6962: leaves and nodes are told apart by their first byte.
constexpr std::string_view kLeafPrefix("\x00", 1);
constexpr char kNodePrefix = '\x01';

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

  void Leaf(std::string_view entry, Hash* out) {
    Begin();
    Update(kLeafPrefix);
    Update(entry);
    Finish(out);
  }
  // `out` may be one of the children: they are copied before it is written.
  void Children(const Hash& left, const Hash& right, Hash* out) {
    char message[1 + 2 * kHashLength];
    message[0] = kNodePrefix;
    std::memcpy(message + 1, left.bytes.data(), kHashLength);
    std::memcpy(message + 1 + kHashLength, right.bytes.data(), kHashLength);
    Begin();
    Update({message, sizeof(message)});
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
  ThreadHasher().Leaf(entry, &hash);
  return hash;
}

Hash HashChildren(const Hash& left, const Hash& right) {
  Hash hash;
  ThreadHasher().Children(left, right, &hash);
  return hash;
}

void HashLeafFrames(std::string_view frames, std::span<Hash> leaf_hashes) {
  Hasher& hasher = ThreadHasher();
  for (Hash& leaf_hash : leaf_hashes) {
    const Result<std::string_view> entry = TakeFrame(&frames);
    CHECK(entry.has_value());
    hasher.Leaf(*entry, &leaf_hash);
  }
  CHECK(frames.empty());
}

// In ascending order, parent i overwrites only children that it has read or that are done with: a
// kernel that works on several lanes must read the children of all of them before it writes.
void HashPairs(std::span<const Hash> children, std::span<Hash> parents) {
  CHECK(children.size() == 2 * parents.size());
  Hasher& hasher = ThreadHasher();
  for (size_t i = 0; i < parents.size(); ++i) {
    hasher.Children(children[2 * i], children[2 * i + 1], &parents[i]);
  }
}

}  // namespace logcore
