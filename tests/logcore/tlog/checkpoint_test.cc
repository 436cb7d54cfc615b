// Published checkpoints: Tessera's testdata/log, sum.golang.org, transparency-dev/merkle.

#include "logcore/tlog/checkpoint.h"

#include <gtest/gtest.h>

#include <vector>

#include "logcore/util/base64.h"

namespace logcore {
namespace {

const std::string kRoot15 = "rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=";
const std::string kOrigin = "example.com/log/testdata";
const std::string kText15 = kOrigin + "\n15\n" + kRoot15 + "\n";
const std::string kEmptyRootText = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
const std::string kSkey =
    "PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg";
const std::string kNote15 =
    kText15 +
    "\n— example.com/log/testdata "
    "M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/uEWP6zdkdIQzd/fmwlM/dlPWF74ewI="
    "\n";

TEST(CheckpointTest, PublishedCheckpoints) {
  const Checkpoint checkpoint = Checkpoint::Parse(kText15).value();
  EXPECT_EQ(checkpoint.origin, "example.com/log/testdata");
  EXPECT_EQ(checkpoint.head.size, 15u);
  EXPECT_EQ(checkpoint.head.root.view(), Base64Decode(kRoot15).value());
  EXPECT_EQ(checkpoint.extension, "");
  EXPECT_EQ(checkpoint.ToString(), kText15);

  // An origin with spaces is some other log's right.
  const std::string sumdb =
      "go.sum database tree\n35225469\nvt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=\n";
  EXPECT_EQ(Checkpoint::Parse(sumdb).value().origin, "go.sum database tree");
  EXPECT_EQ(Checkpoint::Parse(sumdb).value().head.size, 35225469u);

  EXPECT_EQ(Checkpoint::Parse("o\n0\n" + kEmptyRootText + "\n").value().head, TreeHead{});
}

TEST(CheckpointTest, Extensions) {
  for (const char* extension : {"one\n", "one\ntwo\n", " \n", "— \n"}) {
    const auto checkpoint = Checkpoint::Parse(kText15 + extension);
    ASSERT_TRUE(checkpoint.has_value()) << extension;
    EXPECT_EQ(checkpoint->extension, extension);
    EXPECT_EQ(checkpoint->ToString(), kText15 + extension);
  }
  for (const char* extension : {"\n", "one", "one\n\n", "\none\n", "one\n\ntwo\n", "one\ntwo"}) {
    EXPECT_FALSE(Checkpoint::Parse(kText15 + extension).has_value()) << extension;
  }
}

TEST(CheckpointTest, Sizes) {
  const auto parse = [](const std::string& size) {
    return Checkpoint::Parse("o\n" + size + "\n" + kRoot15 + "\n");
  };
  EXPECT_EQ(parse("1").value().head.size, 1u);
  EXPECT_EQ(parse("9223372036854775807").value().head.size, kMaxTreeSize);
  for (const char* size :
       {"", "0", "00", "0257", "-1", "+1", " 1", "1 ", "1.0", "0x1", "1e3", "9223372036854775808",
        "18446744073709551616", "99999999999999999999999", "one", "1\r", "١"}) {
    const auto checkpoint = parse(size);
    ASSERT_FALSE(checkpoint.has_value()) << size;
    EXPECT_EQ(checkpoint.error().code, Code::kInvalid);
  }
}

TEST(CheckpointTest, Malformed) {
  const std::string short_root = Base64Encode(std::string(31, 'r'));
  const std::string long_root = Base64Encode(std::string(33, 'r'));
  std::string loose_root = kRoot15;  // The same bytes, but for bits that padding cuts off.
  loose_root[42] = 't';
  for (const std::string& text : std::vector<std::string>{
           "", "\n", "o\n", "o\n1\n", "\n1\n" + kRoot15 + "\n", "o\n1\n" + kRoot15,
           "o\n1\n" + short_root + "\n", "o\n1\n" + long_root + "\n", "o\n1\n" + loose_root + "\n",
           "o\n1\n\n", "o\n\n1\n", "o\n1\n" + kRoot15 + " \n",
           "o\n1\n" + kRoot15.substr(0, 43) + "\n", "o\n1\r\n" + kRoot15 + "\r\n",
           kRoot15 + "\n1\no\n"}) {
    EXPECT_FALSE(Checkpoint::Parse(text).has_value()) << text;
  }
}

TEST(CheckpointTest, EveryCutAndEveryPrintedForm) {
  for (size_t length = 0; length < kText15.size(); ++length) {
    EXPECT_FALSE(Checkpoint::Parse(kText15.substr(0, length)).has_value()) << length;
  }
  for (size_t i = 0; i < kText15.size(); ++i) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string other = kText15;
      other[i] = static_cast<char>(byte);
      if (const auto checkpoint = Checkpoint::Parse(other)) {
        ASSERT_EQ(checkpoint->ToString(), other);
      }
    }
  }
}

TEST(CheckpointTest, SignAndOpen) {
  const SignerKey key = SignerKey::Parse(kSkey).value();
  const Checkpoint checkpoint = Checkpoint::Parse(kText15).value();
  EXPECT_EQ(SignCheckpoint(kOrigin, checkpoint.head, key), kNote15);
  EXPECT_EQ(OpenCheckpoint(kNote15, kOrigin, key.verifier()).value(), checkpoint);

  EXPECT_FALSE(OpenCheckpoint(kText15, kOrigin, key.verifier()).has_value());
  const SignerKey other = SignerKey::Generate("example.com/log/testdata").value();
  EXPECT_FALSE(OpenCheckpoint(kNote15, kOrigin, other.verifier()).has_value());
}

// A valid note by the log's key is not yet a checkpoint of the log.
TEST(CheckpointTest, OpenRefusesOtherTexts) {
  const SignerKey key = SignerKey::Parse(kSkey).value();
  const auto opens = [&key](const std::string& text) {
    return OpenCheckpoint(SignNote(text, key).ToString(), kOrigin, key.verifier()).has_value();
  };
  EXPECT_TRUE(opens(kText15));
  EXPECT_TRUE(opens(kText15 + "extension\n"));
  EXPECT_FALSE(opens("example.com/log\n15\n" + kRoot15 + "\n"));
  EXPECT_FALSE(opens("example.com/log/testdata\n015\n" + kRoot15 + "\n"));
  EXPECT_FALSE(opens("hello\n"));
}

TEST(CheckpointTest, SignRefusesWhatNoLogHas) {
  const SignerKey key = SignerKey::Parse(kSkey).value();
  EXPECT_DEATH(SignCheckpoint(kOrigin, {kMaxTreeSize + 1, kEmptyRoot}, key), "Parse");
  EXPECT_DEATH(SignCheckpoint(kOrigin, {0, Hash{}}, key), "Parse");
  EXPECT_DEATH(SignCheckpoint("two\nlines", {}, key), "IsValidOrigin");
}

TEST(CheckpointTest, Origins) {
  for (const std::string& origin :
       {std::string("example.com/log"), std::string("go.sum database tree"), std::string("a+b"),
        std::string(" "), std::string("— "), std::string("l’histoire\u2028\u0085"),
        std::string(255, 'x')}) {
    EXPECT_TRUE(IsValidOrigin(origin)) << origin;
  }
  for (const std::string& origin :
       {std::string(), std::string("\n"), std::string("a\n"), std::string("a\nb"),
        std::string("a\rb"), std::string("\t"), std::string(1, '\0'), std::string("\xff"),
        std::string("\xed\xa0\x80"), std::string(256, 'x')}) {
    EXPECT_FALSE(IsValidOrigin(origin)) << origin;
  }
}

// As of the Go checksum database: its key is sum.golang.org's.
TEST(CheckpointTest, TheKeyMayHaveAnotherNameThanTheLog) {
  const SignerKey key = SignerKey::Parse(kSkey).value();
  const TreeHead head = Checkpoint::Parse(kText15).value().head;
  for (const std::string origin : {"go.sum database tree", "a+b", " ", "log 42 — ü"}) {
    const std::string note = SignCheckpoint(origin, head, key);
    EXPECT_EQ(note.substr(0, note.find('\n')), origin);
    const Checkpoint opened = OpenCheckpoint(note, origin, key.verifier()).value();
    EXPECT_EQ(opened.origin, origin);
    EXPECT_EQ(opened.head, head);
    EXPECT_EQ(OpenNote(note, {&key.verifier(), 1}).value().signatures[0].name, kOrigin);
    for (const std::string& other : {kOrigin, std::string("go.sum database"), origin + " "}) {
      EXPECT_EQ(OpenCheckpoint(note, other, key.verifier()).error().code, Code::kInvalid);
    }
  }
}

}  // namespace
}  // namespace logcore
