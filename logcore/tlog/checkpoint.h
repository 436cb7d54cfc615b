// Checkpoints: C2SP tlog-checkpoint, https://c2sp.org/tlog-checkpoint. The text of a note that says
// what a log's tree is:
//
//   example.com/log/testdata                          origin: whose tree it is
//   15                                                size, decimal
//   rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=      root hash, base64
//   (extension lines: not empty, not recommended, never written by this log)
//
// The name of the key that signs it should be the origin, but need not be: "go.sum database tree"
// is signed by sum.golang.org. So an origin goes with the key where checkpoints are signed and
// opened.
//
// Values; any thread. Tested by tests/logcore/tlog/checkpoint_test.cc.

#ifndef LOGCORE_TLOG_CHECKPOINT_H_
#define LOGCORE_TLOG_CHECKPOINT_H_

#include <string>
#include <string_view>

#include "logcore/tlog/merkle.h"
#include "logcore/tlog/note.h"
#include "logcore/util/result.h"

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

// Whether a log may have this origin: one line of a note (note.h), and no longer than
// tlog-cosignature has room for, where one byte says its length.
inline constexpr size_t kMaxOriginLength = 255;
bool IsValidOrigin(std::string_view origin);

// The signed note of a tree head: what `checkpoint` shows. `origin` must be valid (CHECKed).
std::string SignCheckpoint(std::string_view origin, const TreeHead& head, const SignerKey& key);
// Verifies `note` with the log's key, and that it is of this origin.
Result<Checkpoint> OpenCheckpoint(std::string_view note, std::string_view origin,
                                  const VerifierKey& key);

}  // namespace logcore

#endif  // LOGCORE_TLOG_CHECKPOINT_H_
