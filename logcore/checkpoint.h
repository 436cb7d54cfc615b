// Checkpoints: C2SP tlog-checkpoint, https://c2sp.org/tlog-checkpoint. The text of a note that says
// what a log's tree is:
//
//   example.com/log/testdata                          origin
//   15                                                size, decimal
//   rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=      root hash, base64
//   (extension lines: not empty, not recommended, never written by this log)
//
// Values; any thread. Tested by tests/logcore/checkpoint_test.cc.

#ifndef LOGCORE_CHECKPOINT_H_
#define LOGCORE_CHECKPOINT_H_

#include <string>
#include <string_view>

#include "logcore/merkle.h"
#include "logcore/note.h"
#include "logcore/result.h"

namespace logcore {

struct Checkpoint {
  std::string origin;
  TreeHead head;
  std::string extension;  // zero or more whole lines

  // Parses a note's text. Strict: printing it again gives the same bytes; size <= kMaxTreeSize;
  // size 0 only with the empty root.
  static Result<Checkpoint> Parse(std::string_view text);
  std::string ToString() const;
  bool operator==(const Checkpoint&) const = default;
};

// An origin that this log accepts for itself: a valid key name (note.h), so that the two are equal.
bool IsValidOrigin(std::string_view origin);

// The signed note of a tree head: what `checkpoint` shows.
std::string SignCheckpoint(const TreeHead& head, const SignerKey& key);
// Verifies `note` with the log's key and that its origin is the key's name.
Result<Checkpoint> OpenCheckpoint(std::string_view note, const VerifierKey& key);

}  // namespace logcore

#endif  // LOGCORE_CHECKPOINT_H_
