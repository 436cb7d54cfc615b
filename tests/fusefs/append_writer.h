// For tests of AppendFile: an open file whose entries are committed at once, and who uses it.

#ifndef TESTS_FUSEFS_APPEND_WRITER_H_
#define TESTS_FUSEFS_APPEND_WRITER_H_

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fusefs/append_file.h"
#include "logcore/tlog/entry_bundle.h"

namespace fusefs {

inline constexpr Process kOpener{.id = 100, .instance = 1};
inline constexpr Process kChild{.id = 200, .instance = 2};
inline constexpr Process kUnknown;

// An open file and a log that takes what it gives, at once.
class Writer {
 public:
  explicit Writer(Framing framing, AppendFileOptions options = {}, Process opener = kOpener)
      : file(With(std::move(options), framing, opener)) {}

  // write(2), which takes all or a part. -1 and `error` if it takes nothing.
  ssize_t Write(std::string_view bytes, Process writer = kOpener) {
    logcore::Result<Piece> piece = file.Take(bytes, true);
    if (!piece.has_value()) {
      error = piece.error().code;
      return -1;
    }
    if (file.has_tail()) file.SetTailWriter(writer);
    const auto length = static_cast<ssize_t>(piece->taken.length);
    EXPECT_LT(0, length);
    if (piece->taken.count > 0) Commit(*piece);
    return length;
  }
  // As shells and stdio do it: again with the rest, until an error.
  ssize_t WriteAll(std::string_view bytes) {
    const auto length = static_cast<ssize_t>(bytes.size());
    while (!bytes.empty()) {
      const ssize_t taken = Write(bytes);
      if (taken < 0) return -1;
      bytes.remove_prefix(static_cast<size_t>(taken));
    }
    return length;
  }
  // 0 or -1, as close(2).
  int Close(Process process = kOpener, bool killed = false) { return Close({process, killed}); }
  int Close(const AppendFile::Closer& closer) {
    logcore::Result<std::optional<Piece>> tail = file.OnClose(closer);
    if (!tail.has_value()) {
      error = tail.error().code;
      return -1;
    }
    if (tail->has_value()) Commit(**tail);
    return 0;
  }
  void Release() {
    if (const std::optional<Piece> tail = file.OnRelease()) Commit(*tail);
  }
  void Commit(const Piece& piece) {
    std::vector<logcore::Hash> hashes;
    const auto taken = logcore::ParseFrames(piece.taken.frames, piece.taken.count);
    ASSERT_TRUE(taken.has_value());
    for (const std::string_view entry : *taken) {
      entries.emplace_back(entry);
      hashes.push_back(logcore::HashLeaf(entry));
    }
    file.Settle(piece, logcore::Appended{entries.size() - hashes.size(), hashes});
  }

  AppendFile file;
  std::vector<std::string> entries;
  logcore::Code error = logcore::Code::kNotFound;

 private:
  static AppendFileOptions With(AppendFileOptions options, Framing framing, Process opener) {
    options.framing = framing;
    options.opener = opener;
    return options;
  }
};

using Entries = std::vector<std::string>;

inline std::string Framed(const Entries& entries) {
  std::string frames;
  for (const std::string& entry : entries) logcore::AppendFrame(&frames, entry);
  return frames;
}

}  // namespace fusefs

#endif  // TESTS_FUSEFS_APPEND_WRITER_H_
