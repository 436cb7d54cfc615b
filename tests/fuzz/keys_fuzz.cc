// The keys of logcore/tlog/note.h: a key prints as it was; one with any character changed is no
// key.

#include "logcore/tlog/hash.h"
#include "logcore/tlog/note.h"
#include "logcore/util/base64.h"
#include "logcore/util/bytes.h"
#include "tests/fuzz/fuzz.h"

namespace {

using logcore::SignerKey;
using logcore::VerifierKey;

constexpr std::string_view kSigner =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
constexpr std::string_view kVerifier =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
constexpr size_t kKeyLength = 32;

// A key ID is a hash, which no fuzzer guesses. So here is one that is right, of any name and key.
void ParseMadeKey(std::string_view input) {
  logcore::ByteReader reader(input);
  const auto type = reader.Integer<uint8_t>();
  const std::string_view key = reader.Take(kKeyLength);
  if (!reader.ok()) return;
  const std::string_view name = reader.rest();
  std::string id;
  logcore::AppendBigEndian(&id, logcore::ComputeKeyId(name, type, key));
  const std::string text =
      std::string(name) + "+" + logcore::HexEncode(id) + "+" +
      logcore::Base64Encode(std::string(1, static_cast<char>(type)) + std::string(key));
  const auto parsed = VerifierKey::Parse(text);
  const bool is_type = type == logcore::kEd25519Type || type == logcore::kCosignatureEd25519Type;
  CHECK(parsed.has_value() == (is_type && logcore::IsValidKeyName(name)));
  if (!parsed.has_value()) return;
  CHECK(parsed->ToString() == text && parsed->name() == name && parsed->type() == type);
  CHECK(!parsed->Verify(input, input));
}

// Puts the second byte of the input where the first one says.
std::string Change(std::string_view text, std::string_view input) {
  std::string changed(text);
  if (input.size() >= 2) changed[static_cast<unsigned char>(input[0]) % changed.size()] = input[1];
  return changed;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input = tlogfs_test::InputBytes(data, size);
  if (const auto key = VerifierKey::Parse(input); key.has_value()) CHECK(key->ToString() == input);
  if (const auto key = SignerKey::Parse(input); key.has_value()) {
    CHECK(key->ToString() == input);
    CHECK(key->verifier().Verify("message", key->Sign("message")));
    CHECK(!key->verifier().Verify("massage", key->Sign("message")));
  }
  ParseMadeKey(input);
  const std::string signer = Change(kSigner, input);
  CHECK(SignerKey::Parse(signer).has_value() == (signer == kSigner));
  const std::string verifier = Change(kVerifier, input);
  CHECK(VerifierKey::Parse(verifier).has_value() == (verifier == kVerifier));
  return 0;
}
