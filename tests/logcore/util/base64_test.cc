#include "logcore/util/base64.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace logcore {
namespace {

// RFC 4648 section 10, and a value that uses the last two characters of the alphabet.
TEST(Base64Test, PublishedValues) {
  const std::vector<std::pair<std::string, std::string>> cases = {{"", ""},
                                                                  {"f", "Zg=="},
                                                                  {"fo", "Zm8="},
                                                                  {"foo", "Zm9v"},
                                                                  {"foob", "Zm9vYg=="},
                                                                  {"fooba", "Zm9vYmE="},
                                                                  {"foobar", "Zm9vYmFy"},
                                                                  {"\xfb\xff\xfe", "+//+"}};
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(Base64Encode(bytes), text);
    EXPECT_EQ(Base64Decode(text), bytes);
  }
}

TEST(Base64Test, EveryByteAtEveryPlace) {
  for (size_t length = 1; length <= 7; ++length) {
    for (size_t i = 0; i < length; ++i) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string bytes(length, '\xa5');
        bytes[i] = static_cast<char>(byte);
        ASSERT_EQ(Base64Decode(Base64Encode(bytes)), bytes);
      }
    }
  }
}

TEST(Base64Test, Malformed) {
  for (const char* text :
       {"Z",    "Zg",       "Zg=",   "Zg===",    "=",      "==",         "====",
        "Z===", "Zg==Zg==", "Zm9v=", "Zm9v====", "Zm8=\n", "\nZm8",      "Zm9v\n",
        "Zm 9", "Zm-_",     "Zm9*",  "Zg=a",     "=Zg=",   "Zm9vYg\n==", "\x80m9v"}) {
    EXPECT_EQ(Base64Decode(text), std::nullopt) << text;
  }
  EXPECT_EQ(Base64Decode(std::string_view("Zm9\0", 4)), std::nullopt);
}

// Of all texts of four characters with padding, exactly those decode that encoding prints.
TEST(Base64Test, OnlyCanonicalTexts) {
  int accepted = 0;
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      for (const char* start : {"", "Z"}) {
        const std::string text =
            std::string(start) + static_cast<char>(a) + static_cast<char>(b) + "==";
        const std::string padded = text.substr(0, 4);
        if (const auto bytes = Base64Decode(padded)) {
          ASSERT_EQ(Base64Encode(*bytes), padded);
          ++accepted;
        }
      }
    }
  }
  // One byte: 64 * 4 texts. Two bytes, beginning with Z: 64 * 16. One byte, beginning with Z: 4.
  EXPECT_EQ(accepted, 64 * 4 + 64 * 16 + 4);
  EXPECT_EQ(Base64Decode("Zh=="), std::nullopt);
  EXPECT_EQ(Base64Decode("Zm9="), std::nullopt);
}

}  // namespace
}  // namespace logcore
