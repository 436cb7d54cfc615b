#include "fusefs/framing.h"

#include <utility>

#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/check.h"

namespace fusefs {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::kFrameHeaderLength;
using logcore::kMaxEntryLength;
using logcore::Result;

// Puts a frame of an entry that comes in two parts.
void AppendFrame(std::string* frames, std::string_view begin, std::string_view end) {
  logcore::AppendFrame(frames, begin);
  const size_t length = begin.size() + end.size();
  const size_t header = frames->size() - begin.size() - kFrameHeaderLength;
  (*frames)[header] = static_cast<char>(length >> 8);
  (*frames)[header + 1] = static_cast<char>(length & 0xff);
  frames->append(end);
}

Refused RefusedBytes(std::string_view bytes, bool cut = true) {
  return {.length = bytes.size(), .hash = logcore::Sha256({bytes}), .cut = cut};
}

// The tail after a write: what was not whole of it. With nothing whole, bytes are added in place,
// so that a line that comes byte by byte costs no more than one that does not. `first`: the bytes
// up to the end of the first entry; `cut`: the write may have ended inside of one.
void KeepTail(std::string_view rest, std::string_view first, bool cut, Tail* tail, Tail* before) {
  if (first.empty()) {
    tail->bytes.append(rest);
    tail->discarding = false;
    tail->missing.reset();
    return;
  }
  *before = std::exchange(*tail, Tail());
  before->missing.reset();
  if (HasBytes(*before) || cut) before->missing = RefusedBytes(first, cut);
  tail->bytes = rest;
}

// Whether the piece is full before a frame of so many bytes.
bool IsEnough(const Taken& taken, size_t length, const Most& most) {
  if (taken.count == 0) return false;
  return most.count <= taken.count || most.frames < taken.frames.size() + length;
}

bool BeginsWith(std::string_view bytes, const Refused& refused) {
  return refused.length <= bytes.size() &&
         logcore::Sha256({bytes.substr(0, refused.length)}) == refused.hash;
}

tl::unexpected<logcore::Error> TooLong() {
  return Fail(Code::kTooLarge, "a line has more than 65,535 bytes");
}

tl::unexpected<logcore::Error> NoRoom(std::string_view bytes, Tail* tail) {
  tail->missing = RefusedBytes(bytes);
  return Fail(Code::kBusy, "there is no room for what is not whole");
}

// Forgets a line that is too long. `bytes` begin with it, or go on with it; what comes after its
// newline is refused with it. So if the bytes end inside of a later line, the writer has to go on
// behind the newline: from anywhere else the rest of that line would become an entry.
void RefuseLine(std::string_view bytes, size_t newline, Tail* tail) {
  Forget(tail);
  if (newline == bytes.npos) {
    tail->discarding = true;
    return;
  }
  tail->end = RefusedBytes(bytes.substr(0, newline + 1));
  if (bytes.back() != '\n') tail->missing = RefusedBytes(bytes.substr(newline + 1));
}

Result<Taken> TakeLines(std::string_view bytes, const Most& most, Tail* tail, Tail* before,
                        bool keep_rest) {
  if (tail->end && BeginsWith(bytes, *tail->end)) return TooLong();
  tail->end.reset();
  if (tail->missing && !BeginsWith(bytes, *tail->missing)) {
    const bool cut = tail->missing->cut;
    Forget(tail);
    tail->discarding = cut;
  }

  Taken taken;
  if (tail->discarding) {
    const size_t newline = bytes.find('\n');
    taken.length = newline == bytes.npos ? bytes.size() : newline + 1;
    if (newline == bytes.npos) return taken;
  }
  std::string_view begun = tail->bytes;  // what the first line began with
  std::string_view first;                // up to its end
  const bool cut = bytes.back() != '\n';
  while (taken.length < bytes.size()) {
    const std::string_view rest = bytes.substr(taken.length);
    const size_t newline = rest.find('\n');
    const std::string_view line = rest.substr(0, newline);
    const size_t length = begun.size() + line.size();
    if (length > kMaxEntryLength) {
      if (taken.length > 0) break;
      RefuseLine(rest, newline, tail);
      return TooLong();
    }
    if (newline == rest.npos) {
      if (!keep_rest && taken.length == 0) return NoRoom(bytes, tail);
      if (!keep_rest) break;
      KeepTail(rest, first, cut, tail, before);
      taken.length = bytes.size();
      return taken;
    }
    if (IsEnough(taken, kFrameHeaderLength + length, most)) break;
    AppendFrame(&taken.frames, begun, line);
    begun = {};
    taken.length += line.size() + 1;
    if (++taken.count == 1) first = bytes.substr(0, taken.length);
  }
  KeepTail({}, first, cut, tail, before);
  return taken;
}

// The length of the frame that begins with these bytes; nothing if its header is not whole.
std::optional<size_t> FrameLength(std::string_view begun, std::string_view rest) {
  if (begun.size() + rest.size() < kFrameHeaderLength) return std::nullopt;
  const auto byte = [&](size_t i) {
    return static_cast<unsigned char>(i < begun.size() ? begun[i] : rest[i - begun.size()]);
  };
  return kFrameHeaderLength + (static_cast<size_t>(byte(0)) << 8 | byte(1));
}

Result<Taken> TakeFrames(std::string_view bytes, const Most& most, Tail* tail, Tail* before,
                         bool keep_rest) {
  if (tail->missing && !BeginsWith(bytes, *tail->missing)) {
    return Fail(Code::kInvalid, "a piece of a frame was refused, and has not been written again");
  }
  Taken taken;
  std::string_view begun = tail->bytes;
  std::string_view first;
  while (taken.length < bytes.size()) {
    const std::string_view rest = bytes.substr(taken.length);
    const std::optional<size_t> length = FrameLength(begun, rest);
    if (!length || begun.size() + rest.size() < *length) {
      if (!keep_rest && taken.length == 0) return NoRoom(bytes, tail);
      if (!keep_rest) break;
      KeepTail(rest, first, true, tail, before);
      taken.length = bytes.size();
      return taken;
    }
    if (IsEnough(taken, *length, most)) break;
    const size_t more = *length - begun.size();
    taken.frames.append(begun).append(rest.substr(0, more));
    begun = {};
    taken.length += more;
    if (++taken.count == 1) first = bytes.substr(0, taken.length);
  }
  KeepTail({}, first, taken.length < bytes.size(), tail, before);
  return taken;
}

}  // namespace

void Forget(Tail* tail) {
  static_cast<void>(std::exchange(*tail, Tail()));
}

Result<Taken> TakeBytes(Framing framing, std::string_view bytes, const Most& most, Tail* tail,
                        Tail* before, bool keep_rest) {
  CHECK(!bytes.empty() && kFrameHeaderLength + kMaxEntryLength <= most.frames && 0 < most.count);
  Result<Taken> taken = framing == Framing::kLines
                            ? TakeLines(bytes, most, tail, before, keep_rest)
                            : TakeFrames(bytes, most, tail, before, keep_rest);
  // It is kept until it is committed: without the room that a growing string has in reserve.
  if (taken.has_value()) taken->frames.shrink_to_fit();
  return taken;
}

Result<Taken> EndTail(Framing framing, Tail* tail) {
  CHECK(HasBytes(*tail));
  if (framing == Framing::kBundle) {
    return Fail(Code::kInvalid, "the last frame is incomplete");
  }
  Taken taken;
  if (!tail->missing) {
    taken.count = 1;
    logcore::AppendFrame(&taken.frames, tail->bytes);
  }
  Forget(tail);
  return taken;
}

}  // namespace fusefs
