#include "logcore/tlog/entry_bundle.h"

#include <gtest/gtest.h>

#include "logcore/tlog/hash.h"

namespace logcore {
namespace {

std::string Frames(const std::vector<std::string>& entries) {
  std::string frames;
  for (const std::string& entry : entries) AppendFrame(&frames, entry);
  return frames;
}

const std::vector<std::string>& Entries() {
  static const std::vector<std::string> entries = {
      "one", "", std::string("\0\1\n", 3), std::string(300, 'x'), "", "last"};
  return entries;
}

TEST(EntryBundleTest, PublishedBundle) {
  EXPECT_EQ(HexEncode(Frames({"one", "two", "three"})), "00036f6e65000374776f00057468726565");
  EXPECT_EQ(HexEncode(Frames({""})), "0000");
}

TEST(EntryBundleTest, LongestEntry) {
  const std::string entry(kMaxEntryLength, 'e');
  const std::string frames = Frames({entry});
  EXPECT_EQ(frames.substr(0, 2), "\xff\xff");
  std::string_view rest = frames;
  EXPECT_EQ(TakeFrame(&rest).value(), entry);
  EXPECT_TRUE(rest.empty());
  std::string out;
  EXPECT_DEATH(AppendFrame(&out, std::string(kMaxEntryLength + 1, 'e')), "kMaxEntryLength");
}

TEST(EntryBundleTest, TakesFramesOneByOne) {
  const std::string frames = Frames(Entries());
  std::string_view rest = frames;
  for (const std::string& entry : Entries()) EXPECT_EQ(TakeFrame(&rest).value(), entry);
  EXPECT_TRUE(rest.empty());
  EXPECT_EQ(TakeFrame(&rest).error().code, Code::kInvalid);
}

TEST(EntryBundleTest, FailedTakeMovesNothing) {
  for (const std::string_view cut : {std::string_view("\0", 1), std::string_view("\0\1", 2)}) {
    std::string_view rest = cut;
    EXPECT_EQ(TakeFrame(&rest).error().code, Code::kInvalid);
    EXPECT_EQ(rest.data(), cut.data());
    EXPECT_EQ(rest.size(), cut.size());
  }
}

// Every length that the frames may be cut to.
TEST(EntryBundleTest, CutAnywhere) {
  const std::string frames = Frames(Entries());
  for (size_t length = 0; length <= frames.size(); ++length) {
    const std::string cut = frames.substr(0, length);
    uint64_t count = 0;
    size_t whole_length = 0;
    for (const std::string& entry : Entries()) {
      if (whole_length + kFrameHeaderLength + entry.size() > length) break;
      whole_length += kFrameHeaderLength + entry.size();
      ++count;
    }
    const WholeFrames whole = CountFrames(cut);
    EXPECT_EQ(whole.count, count) << length;
    EXPECT_EQ(whole.length, whole_length) << length;
    EXPECT_EQ(ParseFrames(cut, count).has_value(), whole_length == length) << length;
  }
}

TEST(EntryBundleTest, ParsesExactlyTheCount) {
  const std::string frames = Frames(Entries());
  const auto entries = ParseFrames(frames, Entries().size());
  ASSERT_TRUE(entries.has_value());
  EXPECT_EQ(std::vector<std::string>(entries->begin(), entries->end()), Entries());
  for (const uint64_t count :
       {uint64_t{0}, Entries().size() - 1, Entries().size() + 1, uint64_t{1} << 40, UINT64_MAX}) {
    const auto wrong = ParseFrames(frames, count);
    ASSERT_FALSE(wrong.has_value()) << count;
    EXPECT_EQ(wrong.error().code, Code::kInvalid);
  }
  EXPECT_TRUE(ParseFrames("", 0).value().empty());
  EXPECT_FALSE(ParseFrames("", 1).has_value());
}

}  // namespace
}  // namespace logcore
