#include "logcore/tlog/entry_bundle.h"

#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

// Length of the frame that `bytes` begins with, its header included; 0 if it is cut short.
size_t FrameLength(std::string_view bytes) {
  if (bytes.size() < kFrameHeaderLength) return 0;
  const size_t length = kFrameHeaderLength + LoadBigEndian<uint16_t>(bytes.data());
  return length <= bytes.size() ? length : 0;
}

}  // namespace

void AppendFrame(std::string* frames, std::string_view entry) {
  CHECK(entry.size() <= kMaxEntryLength);
  AppendBigEndian(frames, static_cast<uint16_t>(entry.size()));
  frames->append(entry);
}

Result<std::string_view> TakeFrame(std::string_view* frames) {
  const size_t length = FrameLength(*frames);
  if (length == 0) {
    return Fail(Code::kInvalid, "parse entries: the last one is cut short, or missing");
  }
  const std::string_view entry = frames->substr(kFrameHeaderLength, length - kFrameHeaderLength);
  frames->remove_prefix(length);
  return entry;
}

WholeFrames CountFrames(std::string_view bytes) {
  WholeFrames whole;
  while (const size_t length = FrameLength(bytes.substr(whole.length))) {
    ++whole.count;
    whole.length += length;
  }
  return whole;
}

Result<std::vector<std::string_view>> ParseFrames(std::string_view frames, uint64_t count) {
  // Believe `count` only as far as the bytes can hold it: it may come from a damaged file.
  if (count > frames.size() / kFrameHeaderLength) {
    return Fail(Code::kInvalid, "parse entries: " + std::to_string(count) + " cannot be in " +
                                    std::to_string(frames.size()) + " bytes");
  }
  std::vector<std::string_view> entries;
  entries.reserve(count);
  while (entries.size() < count) {
    ASSIGN_OR_RETURN(const std::string_view entry, TakeFrame(&frames));
    entries.push_back(entry);
  }
  if (!frames.empty()) {
    return Fail(Code::kInvalid, "parse entries: " + std::to_string(frames.size()) +
                                    " bytes follow the last of " + std::to_string(count));
  }
  return entries;
}

}  // namespace logcore
