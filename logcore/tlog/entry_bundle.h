// Entries as bytes: C2SP tlog-tiles, "Entry bundles". An entry of up to 65,535 bytes is *framed* by
// its length, big-endian uint16; a bundle is the frames of up to 256 consecutive entries.
//
//   +--------+----------------+--------+----------------+--
//   | length | entry ...      | length | entry ...      |
//   +--------+----------------+--------+----------------+--
//
// Pure; any thread. Tested by tests/logcore/tlog/entry_bundle_test.cc.

#ifndef LOGCORE_TLOG_ENTRY_BUNDLE_H_
#define LOGCORE_TLOG_ENTRY_BUNDLE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "logcore/util/result.h"

namespace logcore {

inline constexpr size_t kMaxEntryLength = 65535;
inline constexpr size_t kFrameHeaderLength = 2;

// CHECKs that the entry is not over kMaxEntryLength.
void AppendFrame(std::string* frames, std::string_view entry);

// The entry whose frame `frames` begins with, moving `frames` past it; kInvalid if it is cut short.
Result<std::string_view> TakeFrame(std::string_view* frames);

// Whole frames at the front of `bytes`: how many, and their length in bytes. What follows them is
// one frame cut short (or nothing). Never fails.
struct WholeFrames {
  uint64_t count = 0;
  size_t length = 0;
};
WholeFrames CountFrames(std::string_view bytes);

// Exactly `count` entries and not a byte more; else kInvalid. The views point into `frames`.
Result<std::vector<std::string_view>> ParseFrames(std::string_view frames, uint64_t count);

}  // namespace logcore

#endif  // LOGCORE_TLOG_ENTRY_BUNDLE_H_
