// Bytes: std::string_view for bytes that are read, std::string for bytes that are owned; any
// values, not only text. Here: big-endian integers into and out of them, and strict decimals.
// Pure; any thread. Tested by tests/logcore/util/bytes_test.cc.

#ifndef LOGCORE_UTIL_BYTES_H_
#define LOGCORE_UTIL_BYTES_H_

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "logcore/util/check.h"

namespace logcore {

// Big-endian, `sizeof(T)` bytes at `out`.
template <typename T>
inline void StoreBigEndian(T value, char* out) {
  for (int i = static_cast<int>(sizeof(T)) - 1; i >= 0; --i) {
    out[i] = static_cast<char>(value & 0xff);
    if constexpr (sizeof(T) > 1) value = static_cast<T>(value >> 8);
  }
}

template <typename T>
inline T LoadBigEndian(const char* in) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    if constexpr (sizeof(T) > 1) value = static_cast<T>(value << 8);
    value = static_cast<T>(value | static_cast<unsigned char>(in[i]));
  }
  return value;
}

template <typename T>
inline void AppendBigEndian(std::string* out, T value) {
  char buffer[sizeof(T)];
  StoreBigEndian(value, buffer);
  out->append(buffer, sizeof(T));
}

// Takes fixed-size fields off the front of bytes; once anything is missing, ok() is false and all
// further fields are zero or empty.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  T Integer() {
    const std::string_view field = Take(sizeof(T));
    return ok_ ? LoadBigEndian<T>(field.data()) : T{0};
  }
  std::string_view Take(size_t length) {
    if (length > rest_.size()) ok_ = false;
    if (!ok_) return {};
    const std::string_view field = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return field;
  }
  std::string_view rest() const { return rest_; }
  bool ok() const { return ok_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// At the speed of memcmp: the first byte is one, and each is equal to the one before it.
inline bool IsZeros(std::string_view bytes) {
  return bytes.empty() ||
         (bytes[0] == '\0' && bytes.substr(1) == bytes.substr(0, bytes.size() - 1));
}

// Decimal without sign, leading zeros or anything else, as C2SP writes sizes and indexes.
inline std::optional<uint64_t> ParseDecimal(std::string_view text) {
  if (text.empty() || (text[0] == '0' && text.size() > 1) || text[0] == '+') return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace logcore

#endif  // LOGCORE_UTIL_BYTES_H_
