// fusefs/framing.h: however writes cut a text, it becomes the entries of the text in one piece.
//
//   input: kind 1 | seed of the cuts 4 | text, in which 0x1e and a uint16 stand for so many x
//
// The writer is a careful one: after an error it goes on behind the line that was refused.

#include "fusefs/framing.h"

#include <string>
#include <vector>

#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/bytes.h"
#include "tests/fuzz/fuzz.h"

namespace {

using fusefs::Framing;
using fusefs::Tail;
using logcore::Code;
using logcore::kMaxEntryLength;

constexpr char kRun = 0x1e;
constexpr size_t kMaxText = 200'000;  // Three of the longest lines.
constexpr int kMaxCuts = 100;

struct Entries {
  std::vector<std::string> entries;
  size_t refused = 0;
  std::string rest;  // a frame cut short
};

// What the text is, by its definition.
Entries SplitLines(std::string_view text) {
  Entries split;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (end > kMaxEntryLength) {
      ++split.refused;
    } else {
      split.entries.emplace_back(text.substr(0, end));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return split;
}

Entries SplitFrames(std::string_view text) {
  Entries split;
  while (text.size() >= 2) {
    const size_t length = 256 * static_cast<size_t>(static_cast<unsigned char>(text[0])) +
                          static_cast<unsigned char>(text[1]);
    if (text.size() < 2 + length) break;
    split.entries.emplace_back(text.substr(2, length));
    text.remove_prefix(2 + length);
  }
  split.rest = text;
  return split;
}

// A program that writes the text, cut by cut.
class Program {
 public:
  Program(Framing framing, uint32_t seed) : framing_(framing), state_(seed) {
    most_.frames = logcore::kFrameHeaderLength + kMaxEntryLength + Random() % 70'000;
    if (Random() % 2 == 0) most_.count = 1 + Random() % 100;
  }

  // False if the text cannot be told from a repeated write: see Tail::end.
  bool Write(std::string_view text) {
    static constexpr size_t kScales[] = {1, 8, 200, 5000, 70'000, kMaxText};
    const size_t scale = kScales[Random() % std::size(kScales)];
    for (int cuts = 0; !text.empty(); ++cuts) {
      // Small pieces among those of the scale, and few enough that a long text takes no longer.
      size_t length = 1 + Random() % (Random() % 2 == 0 ? 8 : scale);
      if (kMaxCuts <= cuts) length = text.size();
      length = std::min(length, text.size());
      if (!WritePiece(text.substr(0, length))) return false;
      text.remove_prefix(length);
    }
    return true;
  }

  const Entries& Close() {
    if (!fusefs::HasBytes(tail_)) return written_;
    const std::string left = tail_.bytes;
    const auto taken = fusefs::EndTail(framing_, &tail_);
    if (framing_ == Framing::kBundle) {
      CHECK(!taken.has_value() && taken.error().code == Code::kInvalid);
      written_.rest = left;
    } else {
      Keep(*taken);
      CHECK(!fusefs::HasBytes(tail_));
    }
    return written_;
  }

 private:
  bool WritePiece(std::string_view bytes) {
    while (!bytes.empty()) {
      if (!refused_.empty() && bytes.starts_with(refused_)) return false;
      refused_.clear();
      const bool had_bytes = fusefs::HasBytes(tail_);
      const auto taken = Take(bytes);
      if (taken.has_value()) {
        CHECK(0 < taken->length && taken->length <= bytes.size());
        Keep(*taken);
        bytes.remove_prefix(taken->length);
        continue;
      }
      CHECK(framing_ == Framing::kLines && taken.error().code == Code::kTooLarge);
      ++written_.refused;
      const size_t newline = std::min(bytes.find('\n'), bytes.size() - 1);
      const bool ends = bytes[newline] == '\n';
      if (ends && Random() % 2 == 0) CHECK(!Take(bytes).has_value());  // Again: refused again.
      if (ends && had_bytes) refused_ = bytes.substr(0, newline + 1);
      bytes.remove_prefix(newline + 1);
    }
    return true;
  }

  logcore::Result<fusefs::Taken> Take(std::string_view bytes) {
    Tail before{.bytes = "untouched", .discarding = false, .end = {}, .missing = {}};
    bool has_room = Random() % 4 != 0;
    const size_t kept = tail_.bytes.size();
    auto taken = fusefs::TakeBytes(framing_, bytes, most_, &tail_, &before, has_room);
    if (!taken.has_value() && taken.error().code == Code::kBusy) {
      CHECK(!has_room && tail_.bytes.size() == kept);
      has_room = true;
      taken = fusefs::TakeBytes(framing_, bytes, most_, &tail_, &before);
    }
    CHECK(has_room || !taken.has_value() || taken->count == 0 || !fusefs::HasBytes(tail_));
    CHECK(tail_.bytes.size() <= logcore::kFrameHeaderLength + kMaxEntryLength);
    if (!taken.has_value() || taken->count == 0) {
      CHECK(before.bytes == "untouched");
      return taken;
    }
    // Had its entries not become durable, the write would be repeated after the tail of before.
    Tail tail = before;
    const auto again = fusefs::TakeBytes(framing_, bytes, most_, &tail, &before, has_room);
    CHECK(again.has_value() && again->frames == taken->frames && tail.bytes == tail_.bytes);
    return taken;
  }

  void Keep(const fusefs::Taken& taken) {
    CHECK(taken.frames.size() <= most_.frames && taken.count <= most_.count);
    const Entries split = SplitFrames(taken.frames);
    CHECK(split.entries.size() == taken.count && split.rest.empty());
    written_.entries.insert(written_.entries.end(), split.entries.begin(), split.entries.end());
  }

  uint32_t Random() { return state_ = state_ * 1664525 + 1013904223, state_ >> 8; }

  const Framing framing_;
  uint32_t state_;
  fusefs::Most most_;
  Tail tail_;
  std::string refused_;  // the end of a line that began in an earlier write, until the next one
  Entries written_;
};

std::string Expand(std::string_view input) {
  std::string text;
  while (!input.empty() && text.size() < kMaxText) {
    if (input[0] == kRun && input.size() >= 3) {
      text.append(logcore::LoadBigEndian<uint16_t>(input.data() + 1), 'x');
      input.remove_prefix(3);
    } else {
      text += input[0];
      input.remove_prefix(1);
    }
  }
  return text;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  logcore::ByteReader reader(tlogfs_test::InputBytes(data, size));
  const bool is_lines = reader.Integer<uint8_t>() % 2 == 0;
  Program program(is_lines ? Framing::kLines : Framing::kBundle, reader.Integer<uint32_t>());
  const std::string text = Expand(reader.rest());
  if (!program.Write(text)) return 0;
  const Entries expected = is_lines ? SplitLines(text) : SplitFrames(text);
  const Entries& written = program.Close();
  CHECK(written.entries == expected.entries);
  CHECK(written.refused == expected.refused);
  CHECK(written.rest == expected.rest);
  return 0;
}
