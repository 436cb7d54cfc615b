// Signed notes and their keys: C2SP signed-note, https://c2sp.org/signed-note.
//
// A note is text and one or more signatures on it:
//
//   This is an example message.                                  text: lines, each ended by \n
//                                                                an empty line
//   — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnag...             signatures, a line each
//
// What is signed is the text with its last newline, without the empty line. A signature line is an
// em dash (U+2014), a space, the key's name, a space, and base64 of a 4-byte big-endian key ID
// followed by the signature. The key ID tells keys of one name apart:
//
//   key ID = SHA-256(name || 0x0A || type || public key)[:4]     type 0x01: Ed25519 on the text
//
// Keys are text, too; the private form is Go's, which every tool of this field reads:
//
//   vkey  example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k
//   skey  PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz
//
// A name is not empty and has no Unicode space and no '+'. Signatures by unknown keys (the pair of
// name and key ID decides) are ignored; a known key's line must verify, or the note is refused.
//
// note.cc is the only user of Ed25519. Values; any thread. Tested by
// tests/logcore/tlog/note_test.cc.

#ifndef LOGCORE_TLOG_NOTE_H_
#define LOGCORE_TLOG_NOTE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "logcore/util/result.h"

namespace logcore {

using KeyId = uint32_t;

// Types of keys and signatures that this library speaks; all others are carried and ignored.
inline constexpr uint8_t kEd25519Type = 0x01;
inline constexpr uint8_t kCosignatureEd25519Type = 0x04;

inline constexpr size_t kMaxNoteLength = 1'000'000;
inline constexpr size_t kMaxNoteSignatures = 100;
inline constexpr size_t kMaxKeyNameLength = 255;

bool IsValidKeyName(std::string_view name);
// UTF-8 without control characters but newline: what all of a note must be.
bool HasNoteCharacters(std::string_view bytes);
KeyId ComputeKeyId(std::string_view name, uint8_t type, std::string_view public_key);

// An Ed25519 verifier key: name, type (0x01, or 0x04 for a cosigner) and public key.
class VerifierKey {
 public:
  // kInvalid for anything but the exact text that ToString() prints.
  static Result<VerifierKey> Parse(std::string_view vkey);

  const std::string& name() const { return name_; }
  KeyId id() const { return id_; }
  uint8_t type() const { return type_; }
  std::string ToString() const;
  // Whether `signature` (64 bytes) is this key's on exactly `message`.
  bool Verify(std::string_view message, std::string_view signature) const;
  bool operator==(const VerifierKey&) const = default;

 private:
  friend class SignerKey;
  VerifierKey(std::string name, uint8_t type, std::string_view public_key);

  std::string name_;
  uint8_t type_;
  KeyId id_;
  std::array<uint8_t, 32> public_key_;
};

// An Ed25519 signer key, type 0x01. The seed is wiped when the last copy goes.
class SignerKey {
 public:
  // kInvalid for anything but the exact text that ToString() prints. The message quotes nothing of
  // it, and says whether it is a private key of a kind that is not supported (ML-DSA).
  static Result<SignerKey> Parse(std::string_view skey);
  // A new random key. kInvalid if the name is not valid.
  static Result<SignerKey> Generate(std::string_view name);

  std::string ToString() const;  // The private key itself: for the key file only.
  const VerifierKey& verifier() const { return verifier_; }
  // 64 bytes; deterministic (RFC 8032): the same message always gives the same signature.
  std::string Sign(std::string_view message) const;

 private:
  SignerKey(std::string name, std::string_view seed);
  struct Secret;
  std::shared_ptr<const Secret> secret_;
  VerifierKey verifier_;
};

// Wipes a text that a private key was read into or printed to.
void WipeSecret(std::string* text);

struct NoteSignature {
  std::string name;
  KeyId id = 0;
  std::string signature;  // without the key ID; never empty
  bool operator==(const NoteSignature&) const = default;
};

struct Note {
  std::string text;  // with its final newline
  std::vector<NoteSignature> signatures;

  // Parses the form, verifies nothing. Strict: UTF-8, no control character but newline, at most
  // kMaxNoteLength bytes and kMaxNoteSignatures signatures.
  static Result<Note> Parse(std::string_view bytes);
  std::string ToString() const;
};

// A note of `text` with this key's signature. The signature is verified before it is returned.
Note SignNote(std::string_view text, const SignerKey& key);

// Parses `bytes` and verifies them: every line by one of `keys` must verify, and at least one must
// be there. kInvalid else. Cosigner keys (type 0x04) verify by the rules of cosignature.h.
Result<Note> OpenNote(std::string_view bytes, std::span<const VerifierKey> keys);

}  // namespace logcore

#endif  // LOGCORE_TLOG_NOTE_H_
