// Base64 of RFC 4648 section 4, with padding, one text per value: decoding accepts only what
// encoding prints (canonical trailing bits, no line breaks). Pure; any thread. Tested by
// tests/logcore/util/base64_test.cc.

#ifndef LOGCORE_UTIL_BASE64_H_
#define LOGCORE_UTIL_BASE64_H_

#include <optional>
#include <string>
#include <string_view>

namespace logcore {

std::string Base64Encode(std::string_view bytes);
std::optional<std::string> Base64Decode(std::string_view text);

}  // namespace logcore

#endif  // LOGCORE_UTIL_BASE64_H_
