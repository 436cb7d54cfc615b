// SHA-256 of many short messages, several at a time: the instructions for it that x86-64 has take
// longer to answer than to start, so four messages in turns go nearly twice as fast as one (a node
// hash takes 37 ns; 67 ns alone, 131 ns through OpenSSL's interface). For hash.cc, which falls back
// to OpenSSL where there are no such instructions.
//
// Pure; any thread. Tested by tests/logcore/tlog/hash_test.cc, with OpenSSL as the oracle.

#ifndef LOGCORE_TLOG_SHA256_LANES_H_
#define LOGCORE_TLOG_SHA256_LANES_H_

#include <span>
#include <string_view>

#include "logcore/tlog/hash.h"

namespace logcore {

// Whether this machine can.
bool HasSha256Lanes();

// hashes[i] = SHA-256(prefix || messages[i]); as many hashes as messages. Only if
// HasSha256Lanes(). If all messages have the same length, of at most 64 bytes, then a hash may
// overwrite messages that do not come after its own.
void Sha256Lanes(char prefix, std::span<const std::string_view> messages, std::span<Hash> hashes);

}  // namespace logcore

#endif  // LOGCORE_TLOG_SHA256_LANES_H_
