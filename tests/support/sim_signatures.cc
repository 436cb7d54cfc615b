// Ed25519 for the simulated machine: the same signatures, computed once. Most of the time of a
// crash test would go into signing and verifying the same few checkpoints again and again, as each
// of its thousands of copies of one moment publishes the same tree.
//
// The linker puts these functions between logcore/tlog/note.cc and OpenSSL (--wrap, see
// CMakeLists.txt). What was not seen before goes to OpenSSL; what was, is answered from memory:
// signing is deterministic, and who has signed a message need not compute that the signature
// verifies. Any other message, signature or key, by a single bit, is OpenSSL's to judge.

#include "tests/support/sim_signatures.h"

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace tlogfs_test {
namespace {

constexpr size_t kMaxRemembered = 1 << 16;
constexpr size_t kKeyLength = 32;

std::string_view View(const unsigned char* bytes, size_t length) {
  return {reinterpret_cast<const char*>(bytes), length};
}

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

struct Memory {
  std::unordered_map<std::string, std::unique_ptr<EVP_PKEY, FreeKey>> keys;  // by private bytes
  std::unordered_map<std::string, std::string> signatures;  // by public key and message
  std::unordered_set<std::string> valid;                    // public key, signature, message
};

// OpenSSL's functions have no place for it; each thread has its own.
Memory& Remembered() {
  static thread_local Memory memory;
  if (kMaxRemembered < memory.signatures.size()) memory.signatures.clear();
  if (kMaxRemembered < memory.valid.size()) memory.valid.clear();
  return memory;
}

std::string PublicKey(EVP_MD_CTX* context) {
  std::string bytes(kKeyLength, '\0');
  size_t length = bytes.size();
  EVP_PKEY* key = EVP_PKEY_CTX_get0_pkey(EVP_MD_CTX_get_pkey_ctx(context));
  if (EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(bytes.data()), &length) !=
      1) {
    return {};
  }
  return bytes;
}

}  // namespace

void RememberSignatures() {}

extern "C" {

EVP_PKEY* __real_EVP_PKEY_new_raw_private_key(int type, ENGINE* engine, const unsigned char* bytes,
                                              size_t length);
int __real_EVP_DigestSign(EVP_MD_CTX* context, unsigned char* signature, size_t* signature_length,
                          const unsigned char* message, size_t length);
int __real_EVP_DigestVerify(EVP_MD_CTX* context, const unsigned char* signature,
                            size_t signature_length, const unsigned char* message, size_t length);

EVP_PKEY* __wrap_EVP_PKEY_new_raw_private_key(int type, ENGINE* engine, const unsigned char* bytes,
                                              size_t length) {
  if (type != EVP_PKEY_ED25519) {
    return __real_EVP_PKEY_new_raw_private_key(type, engine, bytes, length);
  }
  auto& key = Remembered().keys[std::string(View(bytes, length))];
  if (key == nullptr) key.reset(__real_EVP_PKEY_new_raw_private_key(type, engine, bytes, length));
  if (key != nullptr) EVP_PKEY_up_ref(key.get());
  return key.get();
}

int __wrap_EVP_DigestSign(EVP_MD_CTX* context, unsigned char* signature, size_t* signature_length,
                          const unsigned char* message, size_t length) {
  const std::string key = PublicKey(context);
  std::string& known = Remembered().signatures[key + std::string(View(message, length))];
  if (known.empty()) {
    const int done = __real_EVP_DigestSign(context, signature, signature_length, message, length);
    if (done != 1 || signature == nullptr) return done;
    known = View(signature, *signature_length);
    Remembered().valid.insert(key + known + std::string(View(message, length)));
    return done;
  }
  if (*signature_length < known.size()) return 0;
  known.copy(reinterpret_cast<char*>(signature), known.size());
  *signature_length = known.size();
  return 1;
}

int __wrap_EVP_DigestVerify(EVP_MD_CTX* context, const unsigned char* signature,
                            size_t signature_length, const unsigned char* message, size_t length) {
  std::string all = PublicKey(context);
  all += View(signature, signature_length);
  all += View(message, length);
  if (Remembered().valid.contains(all)) return 1;
  const int valid = __real_EVP_DigestVerify(context, signature, signature_length, message, length);
  if (valid == 1) Remembered().valid.insert(std::move(all));
  return valid;
}

}  // extern "C"
}  // namespace tlogfs_test
