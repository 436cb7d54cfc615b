#include "logcore/tlog/checkpoint.h"

#include <optional>

#include "logcore/util/base64.h"
#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

tl::unexpected<Error> CheckpointError(std::string_view what) {
  return Fail(Code::kInvalid, "parse checkpoint: " + std::string(what));
}

// Takes a line off `text`, without its newline; nothing if there is none.
std::optional<std::string_view> TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  if (end == text->npos) return std::nullopt;
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(end + 1);
  return line;
}

bool IsExtension(std::string_view lines) {
  while (!lines.empty()) {
    const std::optional<std::string_view> line = TakeLine(&lines);
    if (!line || line->empty()) return false;
  }
  return true;
}

}  // namespace

Result<Checkpoint> Checkpoint::Parse(std::string_view text) {
  const std::optional<std::string_view> origin = TakeLine(&text);
  if (!origin || origin->empty()) return CheckpointError("it has no origin");

  const std::optional<std::string_view> size_line = TakeLine(&text);
  const std::optional<uint64_t> size = size_line ? ParseDecimal(*size_line) : std::nullopt;
  if (!size || *size > kMaxTreeSize) return CheckpointError("its second line is not a tree size");

  const std::optional<std::string_view> root_line = TakeLine(&text);
  const std::optional<std::string> root = root_line ? Base64Decode(*root_line) : std::nullopt;
  if (!root || root->size() != kHashLength) {
    return CheckpointError("its third line is not a root hash");
  }

  if (!IsExtension(text)) return CheckpointError("its extension is not whole lines");
  const Checkpoint checkpoint{
      std::string(*origin), {*size, HashFromBytes(*root)}, std::string(text)};
  if (checkpoint.head.size == 0 && checkpoint.head.root != kEmptyRoot) {
    return CheckpointError("an empty tree has no such root");
  }
  return checkpoint;
}

std::string Checkpoint::ToString() const {
  return origin + "\n" + std::to_string(head.size) + "\n" + Base64Encode(head.root.view()) + "\n" +
         extension;
}

bool IsValidOrigin(std::string_view origin) {
  return !origin.empty() && origin.size() <= kMaxOriginLength && origin.find('\n') == origin.npos &&
         HasNoteCharacters(origin);
}

std::string SignCheckpoint(std::string_view origin, const TreeHead& head, const SignerKey& key) {
  CHECK(IsValidOrigin(origin));
  const std::string text = Checkpoint{std::string(origin), head, ""}.ToString();
  CHECK(Checkpoint::Parse(text).has_value());
  return SignNote(text, key).ToString();
}

Result<Checkpoint> OpenCheckpoint(std::string_view note, std::string_view origin,
                                  const VerifierKey& key) {
  ASSIGN_OR_RETURN(const Note opened, OpenNote(note, {&key, 1}));
  ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Parse(opened.text));
  if (checkpoint.origin != origin) {
    return Fail(Code::kInvalid, "open checkpoint: it is of \"" + checkpoint.origin +
                                    "\", not of \"" + std::string(origin) + "\"");
  }
  return checkpoint;
}

}  // namespace logcore
