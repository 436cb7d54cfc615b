#include "logcore/util/bytes.h"

#include <gtest/gtest.h>

#include <limits>

namespace {

using namespace logcore;

TEST(BytesTest, IntegersAreBigEndian) {
  std::string bytes;
  AppendBigEndian<uint8_t>(&bytes, 0xfe);
  AppendBigEndian<uint16_t>(&bytes, 0x0102);
  AppendBigEndian<int64_t>(&bytes, -2);
  EXPECT_EQ(bytes, std::string("\xfe\x01\x02\xff\xff\xff\xff\xff\xff\xff\xfe"));
  EXPECT_EQ(LoadBigEndian<uint8_t>(bytes.data()), 0xfe);
  EXPECT_EQ(LoadBigEndian<uint16_t>(bytes.data() + 1), 0x0102);
  EXPECT_EQ(LoadBigEndian<int64_t>(bytes.data() + 3), -2);
}

TEST(BytesTest, AReaderGivesNothingBeyondTheEnd) {
  const std::string bytes("\x00\x07rest", 6);
  ByteReader reader(bytes);
  EXPECT_EQ(reader.Integer<uint16_t>(), 7);
  EXPECT_EQ(reader.Take(2), "re");
  EXPECT_EQ(reader.rest(), "st");
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.Integer<uint32_t>(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.Take(1), "") << "after a field that was missing there is none";
  EXPECT_EQ(reader.Take(0), "");
  EXPECT_FALSE(reader.ok());
}

TEST(BytesTest, Zeros) {
  EXPECT_TRUE(IsZeros(""));
  EXPECT_TRUE(IsZeros(std::string(1000, '\0')));
  for (const size_t place : {0u, 1u, 500u, 999u}) {
    std::string bytes(1000, '\0');
    bytes[place] = 1;
    EXPECT_FALSE(IsZeros(bytes)) << place;
  }
}

TEST(BytesTest, ADecimalHasOneSpelling) {
  EXPECT_EQ(ParseDecimal("0"), 0u);
  EXPECT_EQ(ParseDecimal("18446744073709551615"), std::numeric_limits<uint64_t>::max());
  for (const char* text : {"", "00", "01", "+1", "-1", " 1", "1 ", "1\n", "0x1", "1e3", "a",
                           "18446744073709551616", "99999999999999999999999"}) {
    EXPECT_EQ(ParseDecimal(text), std::nullopt) << text;
  }
}

}  // namespace
