// Framing: how the bytes that are written to `add` and `add.bundle` become frames of entries
// (logcore/tlog/entry_bundle.h). Writes cut the bytes anywhere; what is not yet a whole entry is
// kept as the open file's *tail* until more comes, or the file is closed.
//
//   kLines   an entry is a line; its newline is not part of it. A line over 65,535 bytes is refused
//            (kTooLarge) and discarded through its newline, even if that comes in a later write.
//   kBundle  entries come framed, as in an entry bundle.
//
// What a write takes is a prefix of its bytes: as many whole entries as a piece may have, or those
// before a line that is too long (so that the error stands for that line alone), or all of them.
//
// Where there is no room for a tail, a piece that completes no entry is refused (kBusy). Its line
// must not become an entry without it. So either it is written again, and the line goes on; or what
// comes instead is discarded through its newline, as is what the line began with. Frames have no
// marks: after a refused piece nothing is taken (kInvalid) until it is written again. So it is with
// a write whose entries could not be committed, if it began or ended inside of an entry; and with
// what a write refused for a line that is too long has behind that line, if it ended inside of one.
//
// Pure; any thread. Tested by tests/fusefs/append_file_test.cc and budget_test.cc.

#ifndef FUSEFS_FRAMING_H_
#define FUSEFS_FRAMING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "logcore/tlog/hash.h"
#include "logcore/util/result.h"

namespace fusefs {

enum class Framing { kLines, kBundle };

// Bytes that were refused, or the first of them. Some programs write them again after an error.
struct Refused {
  size_t length = 0;
  logcore::Hash hash;
  bool cut = true;  // What comes after them may not begin an entry.
};

// What one piece may have at most.
struct Most {
  size_t frames = 65537;   // bytes of frames; not less than the longest entry's
  uint64_t count = 65536;  // entries: the hash of an empty one is much longer than its frame
};

// What is left over between two writes.
struct Tail {
  std::string bytes;        // at most a line or frame less its last byte
  bool discarding = false;  // the rest of the line, through its newline, is of one that was refused
  // A line that was too long, up to and with its newline, as far as it stood in the write that was
  // refused. Written again it is refused again: the line may have begun before that write, and its
  // end would become an entry.
  std::optional<Refused> end;
  // A piece for which there was no room, whose entries could not be committed, or that came in one
  // write behind a line that was too long: without it the entry that has begun is not whole.
  std::optional<Refused> missing;
};

struct Taken {
  size_t length = 0;   // of the bytes that were taken
  std::string frames;  // of the entries that became whole
  uint64_t count = 0;
};

// Takes bytes (at least one) off the front of `bytes`, and leaves in `tail` what is not whole. If
// any entry became whole, `before` is the tail to go on with if they cannot be committed; if none
// did, `before` is untouched. On an error nothing is taken, except that a line that is too long is
// discarded. Without `keep_rest` there is no room for a longer tail: what is whole is taken, and
// bytes that only begin an entry are kBusy.
logcore::Result<Taken> TakeBytes(Framing framing, std::string_view bytes, const Most& most,
                                 Tail* tail, Tail* before, bool keep_rest = true);

// Whether bytes are waiting for more of them.
inline bool HasBytes(const Tail& tail) {
  return !tail.bytes.empty();
}
// Forgets the tail, and gives its memory back, which assigning an empty string does not.
void Forget(Tail* tail);
// Ends the tail, which has bytes: a line's becomes an entry, without a newline, unless a piece of
// it is missing: then it is none, and gone. A frame's is kInvalid, and stays as it is.
logcore::Result<Taken> EndTail(Framing framing, Tail* tail);

}  // namespace fusefs

#endif  // FUSEFS_FRAMING_H_
