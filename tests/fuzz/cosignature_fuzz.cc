// logcore/tlog/cosignature.h: a cosignature says the bytes that it was read from; one that a
// witness made is found, of each witness once, and one with any bit changed is not.

#include "logcore/tlog/cosignature.h"
#include "logcore/util/bytes.h"

#include "logcore/tlog/hash.h"
#include "logcore/util/base64.h"
#include "tests/fuzz/fuzz.h"

namespace {

using logcore::Note;
using logcore::NoteSignature;
using logcore::VerifierKey;

constexpr char kSigner[] =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
constexpr size_t kSignatureLength = 64;

// The same key, as a cosigner's.
VerifierKey CosignerOf(const VerifierKey& key) {
  const std::string text = key.ToString();
  std::string typed =
      *logcore::Base64Decode(text.substr(text.find('+', key.name().size() + 1) + 1));
  typed[0] = static_cast<char>(logcore::kCosignatureEd25519Type);
  std::string id;
  logcore::AppendBigEndian(
      &id, logcore::ComputeKeyId(key.name(), logcore::kCosignatureEd25519Type, typed.substr(1)));
  return VerifierKey::Parse(key.name() + "+" + logcore::HexEncode(id) + "+" +
                            logcore::Base64Encode(typed))
      .value();
}

void ReadSignature(std::string_view bytes, const VerifierKey& key) {
  const NoteSignature line{key.name(), key.id(), std::string(bytes)};
  const auto cosignature = logcore::ParseCosignature(line, key);
  if (!cosignature) {
    const bool has_form =
        bytes.size() == sizeof(uint64_t) + kSignatureLength && (bytes[0] & 0x80) == 0;
    CHECK(!has_form);
    return;
  }
  std::string printed;
  logcore::AppendBigEndian(&printed, cosignature->time);
  CHECK(printed + cosignature->signature == bytes);
  CHECK(!logcore::VerifyCosignature(*cosignature, bytes, key));
}

void SignAndFind(std::string_view input, const logcore::SignerKey& signer, const VerifierKey& key) {
  logcore::ByteReader reader(input);
  const uint64_t time = reader.Integer<uint64_t>() >> 1;
  const size_t change = reader.Integer<uint16_t>();
  const std::string text(reader.rest());
  std::string bytes;
  logcore::AppendBigEndian(&bytes, time);
  bytes += signer.Sign(logcore::CosignatureMessage(text, time));
  const NoteSignature line{key.name(), key.id(), bytes};
  const auto found = logcore::FindCosignatures(Note{text, {line, line}}, {&key, 1});
  CHECK(found.size() == 1 && found[0].time == time);

  NoteSignature changed = line;
  const size_t bit = change % (8 * bytes.size());
  changed.signature[bit / 8] = static_cast<char>(changed.signature[bit / 8] ^ (1 << bit % 8));
  CHECK(logcore::FindCosignatures(Note{text, {changed}}, {&key, 1}).empty());
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const logcore::SignerKey signer = logcore::SignerKey::Parse(kSigner).value();
  static const VerifierKey key = CosignerOf(signer.verifier());
  const std::string_view input = tlogfs_test::InputBytes(data, size);
  ReadSignature(input, key);
  SignAndFind(input, signer, key);
  if (const auto note = Note::Parse(input); note.has_value()) {
    CHECK(logcore::FindCosignatures(*note, {&key, 1}).size() <= 1);
  }
  return 0;
}
