#include "logcore/tlog/cosignature.h"

#include <algorithm>

#include "logcore/util/bytes.h"

namespace logcore {
namespace {

constexpr size_t kSignatureLength = 64;
constexpr uint64_t kMaxTime = (uint64_t{1} << 63) - 1;

}  // namespace

std::optional<Cosignature> ParseCosignature(const NoteSignature& signature,
                                            const VerifierKey& key) {
  if (key.type() != kCosignatureEd25519Type) return std::nullopt;
  if (signature.name != key.name() || signature.id != key.id()) return std::nullopt;
  ByteReader reader(signature.signature);
  const auto time = reader.Integer<uint64_t>();
  if (!reader.ok() || time > kMaxTime || reader.rest().size() != kSignatureLength) {
    return std::nullopt;
  }
  return Cosignature{signature.name, signature.id, time, std::string(reader.rest())};
}

std::string CosignatureMessage(std::string_view checkpoint_text, uint64_t time) {
  return "cosignature/v1\ntime " + std::to_string(time) + "\n" + std::string(checkpoint_text);
}

bool VerifyCosignature(const Cosignature& cosignature, std::string_view checkpoint_text,
                       const VerifierKey& key) {
  return key.type() == kCosignatureEd25519Type && cosignature.name == key.name() &&
         cosignature.id == key.id() && cosignature.time <= kMaxTime &&
         key.Verify(CosignatureMessage(checkpoint_text, cosignature.time), cosignature.signature);
}

std::vector<Cosignature> FindCosignatures(const Note& note, std::span<const VerifierKey> keys) {
  std::vector<Cosignature> found;
  for (const NoteSignature& signature : note.signatures) {
    const auto same_key = [&signature](const Cosignature& other) {
      return other.name == signature.name && other.id == signature.id;
    };
    if (std::any_of(found.begin(), found.end(), same_key)) continue;
    for (const VerifierKey& key : keys) {
      const std::optional<Cosignature> cosignature = ParseCosignature(signature, key);
      if (!cosignature || !VerifyCosignature(*cosignature, note.text, key)) continue;
      found.push_back(*cosignature);
      break;
    }
  }
  return found;
}

}  // namespace logcore
