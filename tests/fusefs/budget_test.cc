// What open files may keep together: the budget, and an AppendFile that has used it up.

#include "fusefs/budget.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fusefs/append_file.h"
#include "logcore/entry_bundle.h"

namespace fusefs {
namespace {

using logcore::Appended;
using logcore::Code;
using logcore::Fail;
using logcore::Hash;

constexpr Process kOpener{.id = 1, .instance = 1};

TEST(Budget, GivesWhatThereIsAndTakesItBack) {
  Budget budget(100);
  EXPECT_TRUE(budget.Take(60));
  EXPECT_FALSE(budget.Take(41));
  EXPECT_TRUE(budget.Take(40));
  EXPECT_FALSE(budget.Take(1));
  budget.Return(100);
  EXPECT_TRUE(budget.Take(100));
}

TEST(Share, HasALittleOfItsOwn) {
  const auto budget = std::make_shared<Budget>(100);
  Share first(budget);
  {
    Share second(budget);
    EXPECT_TRUE(first.Resize(kOwnLength + 100));
    EXPECT_TRUE(second.Resize(kOwnLength));
    EXPECT_FALSE(second.Resize(kOwnLength + 1));
    EXPECT_TRUE(first.Resize(kOwnLength + 99));
    EXPECT_TRUE(second.Resize(kOwnLength + 1));
    EXPECT_FALSE(first.Resize(kOwnLength + 100));
  }
  EXPECT_TRUE(first.Resize(kOwnLength + 100));  // What is gone holds nothing.
  Share unlimited(nullptr);
  EXPECT_TRUE(unlimited.Resize(size_t{1} << 40));
}

// Two files and a budget with room for one long tail.
class AppendFileWithBudget : public testing::TestWithParam<Framing> {
 protected:
  static constexpr size_t kLong = 40'000;

  AppendFile* Open(bool receipts = false) {
    files_.push_back(std::make_unique<AppendFile>(AppendFileOptions{.framing = GetParam(),
                                                                    .receipts = receipts,
                                                                    .opener = kOpener,
                                                                    .max_frames = size_t{1} << 20,
                                                                    .budget = budget_}));
    return files_.back().get();
  }
  // An entry as it is written.
  static std::string Text(const std::string& entry) {
    if (GetParam() == Framing::kLines) return entry + "\n";
    std::string frame;
    logcore::AppendFrame(&frame, entry);
    return frame;
  }
  static std::string Half() { return Text(std::string(kLong, 'h')).substr(0, kLong); }
  static std::string OtherHalf() { return Text(std::string(kLong, 'h')).substr(kLong); }

  const std::shared_ptr<Budget> budget_ = std::make_shared<Budget>(kLong + 100);
  std::vector<std::unique_ptr<AppendFile>> files_;
};

TEST_P(AppendFileWithBudget, RefusesTheHalfAndTakesWhatIsWhole) {
  ASSERT_TRUE(Open()->Take(Half(), true).has_value());
  AppendFile* const file = Open();
  auto refused = file->Take(Half(), true);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kBusy);
  EXPECT_FALSE(file->has_tail());

  const std::string whole = Text("one") + Text("two");
  auto taken = file->Take(whole + Half(), true);  // as if it were a short write
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->taken.length, whole.size());
  EXPECT_EQ(taken->taken.count, 2u);
  EXPECT_FALSE(file->has_tail());
  file->Settle(*taken, Appended{});
  EXPECT_FALSE(file->Take(Half(), true).has_value());
  EXPECT_TRUE(file->Take(Text(std::string(300, 'x')).substr(0, 200), true).has_value());
  EXPECT_TRUE(file->has_tail());  // A little is its own.
}

TEST_P(AppendFileWithBudget, EveryEndOfATailMakesRoom) {
  AppendFile* file = Open();
  const auto other_fits = [this] {
    AppendFile* const other = Open();
    const bool fits = other->Take(Half(), true).has_value();
    files_.pop_back();
    return fits;
  };
  ASSERT_TRUE(file->Take(Half(), true).has_value());
  EXPECT_FALSE(other_fits());

  auto whole = file->Take(OtherHalf(), true);
  ASSERT_TRUE(whole.has_value());
  EXPECT_FALSE(other_fits());  // It would be needed again if the entry found no place.
  file->Settle(*whole, Fail(Code::kNoSpace, "full"));
  EXPECT_TRUE(file->has_tail());
  EXPECT_FALSE(other_fits());
  whole = file->Take(OtherHalf(), true);
  ASSERT_TRUE(whole.has_value());
  file->Settle(*whole, Appended{});
  EXPECT_TRUE(other_fits());

  ASSERT_TRUE(file->Take(Half(), true).has_value());
  ASSERT_TRUE(file->Take(OtherHalf(), false).has_value());  // Answered at once: no way back.
  EXPECT_TRUE(other_fits());

  ASSERT_TRUE(file->Take(Half(), true).has_value());
  if (GetParam() == Framing::kLines) {
    file->SetTailWriter(kOpener);
    ASSERT_TRUE(file->OnClose({.process = kOpener, .killed = true}).has_value());
    EXPECT_TRUE(other_fits());
    ASSERT_TRUE(file->Take(Half(), true).has_value());
    EXPECT_TRUE(file->OnClose({.process = kOpener}).value().has_value());
    EXPECT_TRUE(other_fits());
    ASSERT_TRUE(file->Take(Half(), true).has_value());
    EXPECT_TRUE(file->OnRelease().has_value());
    EXPECT_TRUE(other_fits());
    ASSERT_TRUE(file->Take(Half(), true).has_value());
  }
  EXPECT_FALSE(other_fits());
  files_.clear();
  EXPECT_TRUE(other_fits());
}

TEST_P(AppendFileWithBudget, ReceiptsWithoutRoomAreLost) {
  AppendFile* const file = Open(true);
  const std::vector<Hash> hashes(kMaxReceipts);
  const auto append = [&](size_t count) {
    std::string text;
    for (size_t i = 0; i < count; ++i) text += Text("");
    const auto piece = file->Take(text, true);
    ASSERT_TRUE(piece.has_value() && piece->taken.count == count);
    file->Settle(*piece, Appended{0, std::span(hashes).first(count)});
  };
  append(kMaxReceipts);  // More than the budget has.
  append(2);             // These are of the file's own.
  append(1000);
  const std::string text = file->Read(100'000);
  EXPECT_EQ(text.substr(0, text.find('\n')), "lost 4096");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
  EXPECT_EQ(text.substr(text.size() - 10), "lost 1000\n");
  append(10);
  EXPECT_TRUE(file->Read(100'000).starts_with("0 "));
  EXPECT_FALSE(file->has_receipts());
}

INSTANTIATE_TEST_SUITE_P(Framings, AppendFileWithBudget,
                         testing::Values(Framing::kLines, Framing::kBundle));

}  // namespace
}  // namespace fusefs
