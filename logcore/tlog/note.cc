#include "logcore/tlog/note.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "logcore/tlog/cosignature.h"
#include "logcore/tlog/hash.h"
#include "logcore/util/base64.h"
#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

constexpr std::string_view kSignaturePrefix = "\xe2\x80\x94 ";  // em dash, space
constexpr std::string_view kSignerKeyPrefix = "PRIVATE+KEY+";
constexpr size_t kKeyLength =
    32;  // Of a public key, and of a seed, from which all of a key follows.
constexpr size_t kSignatureLength = 64;
constexpr size_t kKeyIdLength = sizeof(KeyId);
constexpr uint8_t kMlDsa44Type = 0x06;  // known by name only

// ---- Characters

// How many bytes the UTF-8 character that begins with `first` has; 0 if none begins so.
size_t CharacterLength(unsigned first) {
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return 2;
  if (first < 0xf0) return 3;
  return first < 0xf5 ? 4 : 0;
}

// Takes the first character off `text`: its code point, or nothing if it is not UTF-8 (overlong
// forms, surrogates and what is over U+10FFFF are not).
std::optional<uint32_t> TakeCharacter(std::string_view* text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>((*text)[i]); };
  const unsigned first = byte(0);
  const size_t length = CharacterLength(first);
  if (length == 0 || length > text->size()) return std::nullopt;
  uint32_t code = length == 1 ? first : first & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return std::nullopt;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = 0xd800 <= code && code <= 0xdfff;
  if (overlong || surrogate || code > 0x10ffff) return std::nullopt;
  text->remove_prefix(length);
  return code;
}

// The characters of Unicode's property White_Space.
bool IsSpace(uint32_t code) {
  return (0x09 <= code && code <= 0x0d) || code == 0x20 || code == 0x85 || code == 0xa0 ||
         code == 0x1680 || (0x2000 <= code && code <= 0x200a) || code == 0x2028 || code == 0x2029 ||
         code == 0x202f || code == 0x205f || code == 0x3000;
}

// ---- Keys

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using OpensslKey = std::unique_ptr<EVP_PKEY, FreeKey>;

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using OpensslContext = std::unique_ptr<EVP_MD_CTX, FreeContext>;

const unsigned char* Unsigned(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

// Bytes that hold a secret, wiped when they go.
struct SecretBytes {
  explicit SecretBytes(std::string value) : bytes(std::move(value)) {}
  ~SecretBytes() { WipeSecret(&bytes); }
  SecretBytes(SecretBytes&&) = default;
  SecretBytes(const SecretBytes&) = delete;

  std::string bytes;
};

std::string IdBytes(KeyId id) {
  std::string bytes;
  AppendBigEndian(&bytes, id);
  return bytes;
}

// <name>+<key ID>+<base64 of type and key>: both kinds of keys are written so. Allocates its result
// once, so that no half of a secret stays behind.
std::string KeyText(std::string_view prefix, const std::string& name, KeyId id, uint8_t type,
                    std::string_view key) {
  SecretBytes typed{std::string()};
  typed.bytes.reserve(1 + key.size());
  typed.bytes += static_cast<char>(type);
  typed.bytes += key;
  const SecretBytes encoded(Base64Encode(typed.bytes));
  const std::string head = std::string(prefix) + name + "+" + HexEncode(IdBytes(id)) + "+";
  std::string text;
  text.reserve(head.size() + encoded.bytes.size());
  text += head;
  text += encoded.bytes;
  return text;
}

// What a key's text says, before it is compared with what KeyText prints.
struct KeyParts {
  std::string_view name;
  SecretBytes typed_key;  // type, key
};

// Nothing unless `text` is a valid name, anything as the ID, and a type with 32 bytes of key.
std::optional<KeyParts> SplitKey(std::string_view text) {
  const size_t first = text.find('+');
  if (first == text.npos) return std::nullopt;
  const size_t second = text.find('+', first + 1);  // The base64 may have more of them.
  if (second == text.npos || !IsValidKeyName(text.substr(0, first))) return std::nullopt;
  SecretBytes typed_key(Base64Decode(text.substr(second + 1)).value_or(""));
  if (typed_key.bytes.size() != 1 + kKeyLength) return std::nullopt;
  return KeyParts{text.substr(0, first), std::move(typed_key)};
}

// ---- Notes

tl::unexpected<Error> NoteError(std::string_view what) {
  return Fail(Code::kInvalid, "parse note: " + std::string(what));
}

// A signature line without its newline.
std::optional<NoteSignature> ParseSignatureLine(std::string_view line) {
  if (!line.starts_with(kSignaturePrefix)) return std::nullopt;
  line.remove_prefix(kSignaturePrefix.size());
  const size_t space = line.find(' ');
  if (space == line.npos || !IsValidKeyName(line.substr(0, space))) return std::nullopt;
  const std::optional<std::string> bytes = Base64Decode(line.substr(space + 1));
  if (!bytes || bytes->size() <= kKeyIdLength) return std::nullopt;
  return NoteSignature{std::string(line.substr(0, space)), LoadBigEndian<KeyId>(bytes->data()),
                       bytes->substr(kKeyIdLength)};
}

bool IsBy(const NoteSignature& signature, const VerifierKey& key) {
  return signature.id == key.id() && signature.name == key.name();
}

bool VerifySignature(const Note& note, const NoteSignature& signature, const VerifierKey& key) {
  if (key.type() == kEd25519Type) return key.Verify(note.text, signature.signature);
  const std::optional<Cosignature> cosignature = ParseCosignature(signature, key);
  return cosignature && VerifyCosignature(*cosignature, note.text, key);
}

}  // namespace

bool IsValidKeyName(std::string_view name) {
  if (name.empty() || name.size() > kMaxKeyNameLength) return false;
  while (!name.empty()) {
    const std::optional<uint32_t> code = TakeCharacter(&name);
    if (!code || *code < 0x20 || *code == '+' || IsSpace(*code)) return false;
  }
  return true;
}

bool HasNoteCharacters(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::optional<uint32_t> code = TakeCharacter(&bytes);
    if (!code || (*code < 0x20 && *code != '\n')) return false;
  }
  return true;
}

KeyId ComputeKeyId(std::string_view name, uint8_t type, std::string_view public_key) {
  const char separator[] = {'\n', static_cast<char>(type)};
  const Hash hash = Sha256({name, {separator, sizeof(separator)}, public_key});
  return LoadBigEndian<KeyId>(hash.view().data());
}

// ---- VerifierKey

VerifierKey::VerifierKey(std::string name, uint8_t type, std::string_view public_key)
    : name_(std::move(name)), type_(type), id_(ComputeKeyId(name_, type, public_key)) {
  CHECK(public_key.size() == public_key_.size());
  std::memcpy(public_key_.data(), public_key.data(), public_key.size());
}

Result<VerifierKey> VerifierKey::Parse(std::string_view vkey) {
  const std::optional<KeyParts> parts = SplitKey(vkey);
  if (!parts) return Fail(Code::kInvalid, "parse verifier key: it is not NAME+ID+KEY");
  const std::string_view typed_key = parts->typed_key.bytes;
  const auto type = static_cast<uint8_t>(typed_key[0]);
  if (type != kEd25519Type && type != kCosignatureEd25519Type) {
    return Fail(Code::kInvalid, "parse verifier key: type " + std::to_string(type) +
                                    " is neither Ed25519 nor an Ed25519 cosigner");
  }
  VerifierKey key(std::string(parts->name), type, typed_key.substr(1));
  if (key.ToString() != vkey) {
    return Fail(Code::kInvalid, "parse verifier key: its key ID is not that of its key");
  }
  return key;
}

std::string VerifierKey::ToString() const {
  return KeyText("", name_, id_, type_,
                 {reinterpret_cast<const char*>(public_key_.data()), public_key_.size()});
}

bool VerifierKey::Verify(std::string_view message, std::string_view signature) const {
  if (signature.size() != kSignatureLength) return false;
  const OpensslKey key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, public_key_.data(),
                                                   public_key_.size()));
  const OpensslContext context(EVP_MD_CTX_new());
  CHECK(key != nullptr && context != nullptr);
  CHECK(EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  const bool valid = EVP_DigestVerify(context.get(), Unsigned(signature), signature.size(),
                                      Unsigned(message), message.size()) == 1;
  ERR_clear_error();  // A signature that does not verify is not the library's error.
  return valid;
}

// ---- SignerKey

struct SignerKey::Secret {
  explicit Secret(std::string_view seed_bytes)
      : seed(std::string(seed_bytes)),
        key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Unsigned(seed.bytes),
                                         seed.bytes.size())),
        signing(EVP_MD_CTX_new()) {
    CHECK(key != nullptr && signing != nullptr);
    CHECK(EVP_DigestSignInit(signing.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  }
  std::string PublicKey() const {
    std::array<unsigned char, kKeyLength> bytes;
    size_t length = bytes.size();
    CHECK(EVP_PKEY_get_raw_public_key(key.get(), bytes.data(), &length) == 1);
    return std::string(reinterpret_cast<const char*>(bytes.data()), length);
  }

  const SecretBytes seed;
  const OpensslKey key;          // OpenSSL wipes its copy itself.
  const OpensslContext signing;  // To be copied: that costs less than initializing another one.
};

SignerKey::SignerKey(std::string name, std::string_view seed)
    : secret_(std::make_shared<const Secret>(seed)),
      verifier_(std::move(name), kEd25519Type, secret_->PublicKey()) {}

// The messages quote nothing of the key: they may end in a log file.
Result<SignerKey> SignerKey::Parse(std::string_view skey) {
  const auto refuse = [](const char* why) {
    return Fail(Code::kInvalid,
                "not a private note key (PRIVATE+KEY+NAME+ID+KEY)" + std::string(why));
  };
  if (!skey.starts_with(kSignerKeyPrefix)) return refuse("");
  const std::optional<KeyParts> parts = SplitKey(skey.substr(kSignerKeyPrefix.size()));
  if (!parts) return refuse("");
  const std::string_view typed_key = parts->typed_key.bytes;
  const auto type = static_cast<uint8_t>(typed_key[0]);
  if (type == kMlDsa44Type) {
    return Fail(Code::kInvalid,
                "a private note key of type ML-DSA-44 (0x06), which is not "
                "supported: it must be of type Ed25519 (0x01)");
  }
  if (type != kEd25519Type) return refuse(" of type Ed25519 (0x01)");
  SignerKey key(std::string(parts->name), typed_key.substr(1));
  if (const SecretBytes text(key.ToString()); text.bytes != skey) {
    return refuse(": its ID is not that of its key");
  }
  return key;
}

Result<SignerKey> SignerKey::Generate(std::string_view name) {
  if (!IsValidKeyName(name)) {
    return Fail(Code::kInvalid, "generate key: \"" + std::string(name) + "\" is not a key name");
  }
  SecretBytes seed{std::string(kKeyLength, '\0')};
  if (RAND_priv_bytes(reinterpret_cast<unsigned char*>(seed.bytes.data()),
                      static_cast<int>(seed.bytes.size())) != 1) {
    return Fail(Code::kIo, "generate key: the system gives no random bytes");
  }
  return SignerKey(std::string(name), seed.bytes);
}

std::string SignerKey::ToString() const {
  return KeyText(kSignerKeyPrefix, verifier_.name(), verifier_.id(), kEd25519Type,
                 secret_->seed.bytes);
}

std::string SignerKey::Sign(std::string_view message) const {
  std::string signature(kSignatureLength, '\0');
  size_t length = signature.size();
  const OpensslContext context(EVP_MD_CTX_new());
  CHECK(context != nullptr);
  CHECK(EVP_MD_CTX_copy_ex(context.get(), secret_->signing.get()) == 1);
  CHECK(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length,
                       Unsigned(message), message.size()) == 1);
  CHECK(length == kSignatureLength);
  return signature;
}

void WipeSecret(std::string* text) {
  OPENSSL_cleanse(text->data(), text->size());
}

// ---- Note

Result<Note> Note::Parse(std::string_view bytes) {
  if (bytes.size() > kMaxNoteLength) {
    return Fail(Code::kTooLarge,
                "parse note: it is over " + std::to_string(kMaxNoteLength) + " bytes long");
  }
  if (!HasNoteCharacters(bytes)) return NoteError("it has bytes that no note may have");
  const size_t text_end = bytes.rfind("\n\n");  // The text itself may have empty lines.
  if (text_end == bytes.npos) return NoteError("no empty line ends its text");
  Note note;
  note.text = std::string(bytes.substr(0, text_end + 1));
  std::string_view lines = bytes.substr(text_end + 2);
  if (!lines.ends_with('\n')) return NoteError("it does not end with a signature line");

  while (!lines.empty()) {
    if (note.signatures.size() == kMaxNoteSignatures) return NoteError("too many signatures");
    const size_t line_end = lines.find('\n');
    std::optional<NoteSignature> signature = ParseSignatureLine(lines.substr(0, line_end));
    if (!signature) return NoteError("a signature line is malformed");
    note.signatures.push_back(std::move(*signature));
    lines.remove_prefix(line_end + 1);
  }
  return note;
}

std::string Note::ToString() const {
  std::string bytes = text + "\n";
  for (const NoteSignature& signature : signatures) {
    bytes += kSignaturePrefix;
    bytes += signature.name + " " + Base64Encode(IdBytes(signature.id) + signature.signature);
    bytes += '\n';
  }
  return bytes;
}

Note SignNote(std::string_view text, const SignerKey& key) {
  CHECK(text.ends_with('\n') && HasNoteCharacters(text));
  const std::string signature = key.Sign(text);
  CHECK(key.verifier().Verify(text, signature));
  return Note{std::string(text), {{key.verifier().name(), key.verifier().id(), signature}}};
}

Result<Note> OpenNote(std::string_view bytes, std::span<const VerifierKey> keys) {
  ASSIGN_OR_RETURN(Note note, Note::Parse(bytes));
  bool verified = false;
  for (const NoteSignature& signature : note.signatures) {
    const auto by = [&](const VerifierKey& key) { return IsBy(signature, key); };
    if (std::none_of(keys.begin(), keys.end(), by)) continue;
    // Different keys of one name may have one ID: it is only 32 bits long.
    verified = std::any_of(keys.begin(), keys.end(), [&](const VerifierKey& key) {
      return by(key) && VerifySignature(note, signature, key);
    });
    if (!verified) {
      return Fail(Code::kInvalid,
                  "open note: the signature by " + signature.name + " does not verify");
    }
  }
  if (!verified) return Fail(Code::kInvalid, "open note: no known key has signed it");
  return note;
}

}  // namespace logcore
