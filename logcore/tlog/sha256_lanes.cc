#include "logcore/tlog/sha256_lanes.h"

#include "logcore/util/check.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "logcore/util/bytes.h"

// What the functions below may use, whatever the rest of the program is built for.
#define TLOGFS_SHA __attribute__((target("sha,ssse3,sse4.1")))

namespace logcore {
namespace {

constexpr size_t kLanes = 4;  // Six are no faster: there are 16 registers.
constexpr size_t kBlock = 64;

// FIPS 180-4, section 4.2.2.
alignas(16) constexpr uint32_t kConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// Section 5.3.3, as the instructions want the words a to h: ABEF and CDGH, the first one on top.
alignas(16) constexpr uint32_t kInitialAbef[4] = {0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667};
alignas(16) constexpr uint32_t kInitialCdgh[4] = {0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372};

// One message on its way: its state, and where its blocks are. The first block has the prefix in
// it and the last ones the padding, so these are copies; those between are read where they lie.
class Lane {
 public:
  TLOGFS_SHA void Start(char prefix, std::string_view message, Hash* hash) {
    hash_ = hash;
    message_ = reinterpret_cast<const uint8_t*>(message.data());
    abef = _mm_load_si128(reinterpret_cast<const __m128i*>(kInitialAbef));
    cdgh = _mm_load_si128(reinterpret_cast<const __m128i*>(kInitialCdgh));
    const size_t length = 1 + message.size();
    block_ = 0;
    full_ = length / kBlock;
    const size_t rest = length % kBlock;
    const size_t tail_length = rest + 9 <= kBlock ? kBlock : 2 * kBlock;
    blocks_ = full_ + tail_length / kBlock;
    std::memset(tail_, 0, tail_length);
    uint8_t* const first = full_ == 0 ? tail_ : head_;
    first[0] = static_cast<uint8_t>(prefix);
    if (full_ == 0) {
      if (!message.empty()) std::memcpy(tail_ + 1, message_, message.size());
    } else {
      std::memcpy(head_ + 1, message_, kBlock - 1);
      std::memcpy(tail_, message_ + kBlock * full_ - 1, rest);
    }
    tail_[rest] = 0x80;
    StoreBigEndian(8 * uint64_t{length}, reinterpret_cast<char*>(tail_ + tail_length - 8));
  }

  const uint8_t* block() const {
    if (full_ <= block_) return tail_ + kBlock * (block_ - full_);
    return block_ == 0 ? head_ : message_ + kBlock * block_ - 1;
  }

  // To the next block; false if that was the last one, and the hash is written.
  TLOGFS_SHA bool Advance() {
    if (++block_ < blocks_) return true;
    // ABEF, CDGH -> A to H, each big-endian.
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
    const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    const __m128i dcba = _mm_blend_epi16(feba, dchg, 0xf0);
    const __m128i hgfe = _mm_alignr_epi8(dchg, feba, 8);
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    auto* const out = reinterpret_cast<__m128i*>(hash_->bytes.data());
    _mm_storeu_si128(out, _mm_shuffle_epi8(dcba, swap));
    _mm_storeu_si128(out + 1, _mm_shuffle_epi8(hgfe, swap));
    return false;
  }

  __m128i abef, cdgh;

 private:
  Hash* hash_ = nullptr;
  const uint8_t* message_ = nullptr;
  size_t block_ = 0;
  size_t full_ = 0;    // blocks of the message alone
  size_t blocks_ = 0;  // with the padding
  uint8_t head_[kBlock];
  uint8_t tail_[2 * kBlock];
};

// Section 6.2.2, for one block of each of N lanes: four rounds at a time, lane after lane.
template <size_t N>
TLOGFS_SHA void Compress(Lane* const* lanes) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i words[4][N];  // of the message schedule: the last 16
  __m128i abef[N];
  __m128i cdgh[N];
  const __m128i* blocks[N];
  for (size_t lane = 0; lane < N; ++lane) {
    abef[lane] = lanes[lane]->abef;
    cdgh[lane] = lanes[lane]->cdgh;
    blocks[lane] = reinterpret_cast<const __m128i*>(lanes[lane]->block());
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < 16; ++i) {
    const __m128i constants = _mm_load_si128(reinterpret_cast<const __m128i*>(kConstants) + i);
    __m128i input[N];
#pragma GCC unroll 4
    for (size_t lane = 0; lane < N; ++lane) {
      __m128i* const newest = &words[i % 4][lane];
      if (i < 4) {
        *newest = _mm_shuffle_epi8(_mm_loadu_si128(blocks[lane] + i), swap);
      } else {
        const __m128i last = words[(i + 3) % 4][lane];
        const __m128i shifted = _mm_alignr_epi8(last, words[(i + 2) % 4][lane], 4);
        const __m128i sum = _mm_sha256msg1_epu32(*newest, words[(i + 1) % 4][lane]);
        *newest = _mm_sha256msg2_epu32(_mm_add_epi32(sum, shifted), last);
      }
      input[lane] = _mm_add_epi32(*newest, constants);
    }
#pragma GCC unroll 4
    for (size_t lane = 0; lane < N; ++lane) {
      cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], input[lane]);
    }
#pragma GCC unroll 4
    for (size_t lane = 0; lane < N; ++lane) {
      const __m128i upper = _mm_shuffle_epi32(input[lane], 0x0e);
      abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], upper);
    }
  }
  for (size_t lane = 0; lane < N; ++lane) {
    lanes[lane]->abef = _mm_add_epi32(lanes[lane]->abef, abef[lane]);
    lanes[lane]->cdgh = _mm_add_epi32(lanes[lane]->cdgh, cdgh[lane]);
  }
}

bool AskProcessor() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return false;
  if ((c & bit_SSSE3) == 0 || (c & bit_SSE4_1) == 0) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0;
}

}  // namespace

bool HasSha256Lanes() {
  static const bool has = AskProcessor();
  return has;
}

void Sha256Lanes(char prefix, std::span<const std::string_view> messages, std::span<Hash> hashes) {
  CHECK(HasSha256Lanes());
  CHECK(messages.size() == hashes.size());
  Lane storage[kLanes];
  std::array<Lane*, kLanes> lanes{};  // The first `active` are at work.
  size_t active = 0;
  size_t next = 0;
  for (; active < kLanes && next < messages.size(); ++active, ++next) {
    lanes[active] = &storage[active];
    lanes[active]->Start(prefix, messages[next], &hashes[next]);
  }
  while (active != 0) {
    switch (active) {
      case 1:
        Compress<1>(lanes.data());
        break;
      case 2:
        Compress<2>(lanes.data());
        break;
      case 3:
        Compress<3>(lanes.data());
        break;
      default:
        Compress<kLanes>(lanes.data());
    }
    for (size_t i = active; i-- != 0;) {
      if (lanes[i]->Advance()) continue;
      if (next < messages.size()) {
        lanes[i]->Start(prefix, messages[next], &hashes[next]);
        ++next;
      } else {
        std::swap(lanes[i], lanes[--active]);
      }
    }
  }
}

}  // namespace logcore

#else  // Another processor.

namespace logcore {

bool HasSha256Lanes() {
  return false;
}

void Sha256Lanes(char, std::span<const std::string_view>, std::span<Hash>) {
  CHECK(HasSha256Lanes());
}

}  // namespace logcore

#endif
