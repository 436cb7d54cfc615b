// Cosignatures: C2SP tlog-cosignature v1, https://c2sp.org/tlog-cosignature. A witness's statement,
// with a time, that a checkpoint is consistent with all it saw of that log. In a note's signature
// line, after the key ID: big-endian uint64 POSIX seconds, then 64 bytes of Ed25519 over
//
//   cosignature/v1
//   time 1679315147
//   <the whole text of the checkpoint>
//
// The key's type is 0x04. Other kinds (0x06, ML-DSA-44, and whatever comes) are ignored, never
// refused. Pure; any thread. Tested by tests/logcore/tlog/cosignature_test.cc.

#ifndef LOGCORE_TLOG_COSIGNATURE_H_
#define LOGCORE_TLOG_COSIGNATURE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "logcore/tlog/note.h"

namespace logcore {

struct Cosignature {
  std::string name;
  KeyId id = 0;
  uint64_t time = 0;      // POSIX seconds, at most 2^63 - 1
  std::string signature;  // 64 bytes
  bool operator==(const Cosignature&) const = default;
};

// Reads a note's signature as a cosignature by `key` (type 0x04): nothing if it is another key's
// (name, key ID) or not 72 bytes.
std::optional<Cosignature> ParseCosignature(const NoteSignature& signature, const VerifierKey& key);
// The bytes that a cosignature signs.
std::string CosignatureMessage(std::string_view checkpoint_text, uint64_t time);
bool VerifyCosignature(const Cosignature& cosignature, std::string_view checkpoint_text,
                       const VerifierKey& key);
// The valid cosignatures of `note` by `keys`, in the note's order, and of each key only the first:
// two lines must not count as two witnesses. Others are left out.
std::vector<Cosignature> FindCosignatures(const Note& note, std::span<const VerifierKey> keys);

}  // namespace logcore

#endif  // LOGCORE_TLOG_COSIGNATURE_H_
