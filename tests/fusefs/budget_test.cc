// What open files may keep together: the budget, and an AppendFile that has used it up; and what is
// left of entries of which a piece was refused, for want of room here or on the disk.

#include "fusefs/budget.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fusefs/append_file.h"
#include "logcore/tlog/entry_bundle.h"

namespace fusefs {
namespace {

using logcore::Appended;
using logcore::Code;
using logcore::Fail;
using logcore::Hash;

using std::string_literals::operator""s;

constexpr Process kOpener{.id = 1, .instance = 1};

constexpr uid_t kUser = 1000;

TEST(Budget, GivesAUserHalfAndTakesItBack) {
  Budget budget(200);
  EXPECT_TRUE(budget.Take(kUser, 60));
  EXPECT_FALSE(budget.Take(kUser, 41));
  EXPECT_TRUE(budget.Take(kUser, 40));
  EXPECT_FALSE(budget.Take(kUser, 1));
  EXPECT_FALSE(budget.Take(kUser, ~size_t{0}));
  budget.Return(kUser, 100);
  EXPECT_TRUE(budget.Take(kUser, 100));
}

// Each of many may hold as much as is left after all of them.
TEST(Budget, LeavesRoomForAnotherUser) {
  constexpr size_t kLength = 1 << 20;
  for (uid_t users = 1; users < 50; ++users) {
    Budget budget(kLength);
    std::vector<size_t> held(users);
    for (bool more = true; more;) {
      more = false;
      for (uid_t user = 0; user < users; ++user) {
        if (!budget.Take(user, 100)) continue;
        held[user] += 100;
        more = true;
      }
    }
    for (const size_t length : held) {
      EXPECT_LE(length, kLength / (users + 1) + 100) << users;
      EXPECT_GE(length, kLength / (users + 1) - 200) << users;
    }
    EXPECT_TRUE(budget.Take(users, kLength / (users + 1) / 2 - 200));
  }
}

TEST(Share, HasALittleOfItsOwn) {
  const auto budget = std::make_shared<Budget>(200);
  Share first(budget, kUser);
  Share other(budget, kUser + 1);
  {
    Share second(budget, kUser);
    EXPECT_TRUE(first.Resize(kOwnLength + 100));
    EXPECT_TRUE(second.Resize(kOwnLength));
    EXPECT_FALSE(second.Resize(kOwnLength + 1));
    EXPECT_TRUE(other.Resize(kOwnLength + 50));
    EXPECT_TRUE(other.Resize(kOwnLength));
    EXPECT_TRUE(first.Resize(kOwnLength + 99));
    EXPECT_TRUE(second.Resize(kOwnLength + 1));
    EXPECT_FALSE(first.Resize(kOwnLength + 100));
  }
  EXPECT_TRUE(first.Resize(kOwnLength + 100));  // What is gone holds nothing.
  Share unlimited(nullptr, kUser);
  EXPECT_TRUE(unlimited.Resize(size_t{1} << 40));
}

// What is on its way is counted whole and never refused; who has too much of it may not begin more.
TEST(Budget, CountsWhatIsOnItsWay) {
  constexpr uid_t kOther = kUser + 1;
  const auto budget = std::make_shared<Budget>(300);
  EXPECT_TRUE(budget->Take(kUser, 150));
  EXPECT_TRUE(budget->MayBegin(kUser));  // What is in files does not matter: each has its own.
  EXPECT_TRUE(budget->Take(kOther, 60));
  budget->Return(kUser, 150);
  {
    const OnItsWay first(budget, kUser, 120);
    EXPECT_TRUE(budget->MayBegin(kUser));
    EXPECT_FALSE(budget->Take(kUser, 1));
    EXPECT_TRUE(budget->Take(kOther, 0));
    const OnItsWay second(budget, kUser, 1000);
    EXPECT_FALSE(budget->MayBegin(kUser));
    EXPECT_TRUE(budget->MayBegin(kOther));
    EXPECT_FALSE(budget->Take(kOther, 1));
  }
  EXPECT_TRUE(budget->MayBegin(kUser));
  EXPECT_TRUE(budget->Take(kUser, 120));
  EXPECT_FALSE(budget->Take(kUser, 1));
  const Share unlimited(nullptr, kUser);
  EXPECT_TRUE(unlimited.MayBegin());
  EXPECT_EQ(unlimited.SetOut(100), nullptr);
}

// Two files of a user and a budget with room for one long tail for each of two users.
class AppendFileWithBudget : public testing::TestWithParam<Framing> {
 protected:
  static constexpr size_t kLong = 40'000;

  AppendFile* Open(bool receipts = false) {
    files_.push_back(
        std::make_unique<AppendFile>(AppendFileOptions{.framing = GetParam(),
                                                       .receipts = receipts,
                                                       .opener = kOpener,
                                                       .most = {.frames = size_t{1} << 20},
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

  const std::shared_ptr<Budget> budget_ = std::make_shared<Budget>(2 * kLong + 200);
  std::vector<std::unique_ptr<AppendFile>> files_;
};

TEST_P(AppendFileWithBudget, RefusesTheHalfAndTakesWhatIsWhole) {
  ASSERT_TRUE(Open()->Take(Half(), true).has_value());
  AppendFile* const file = Open();
  auto refused = file->Take(Half(), true);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kBusy);
  EXPECT_FALSE(file->has_tail());

  AppendFile* const another = Open();
  const std::string whole = Text("one") + Text("two");
  auto taken = another->Take(whole + Half(), true);  // as if it were a short write
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->taken.length, whole.size());
  EXPECT_EQ(taken->taken.count, 2u);
  EXPECT_FALSE(another->has_tail());
  another->Settle(*taken, Appended{});
  EXPECT_FALSE(another->Take(Half(), true).has_value());
  AppendFile* const little = Open();
  EXPECT_TRUE(little->Take(Text(std::string(300, 'x')).substr(0, 200), true).has_value());
  EXPECT_TRUE(little->has_tail());  // A little is its own.
}

// A piece of an entry is refused: written again when there is room, the entry is whole.
TEST_P(AppendFileWithBudget, ARefusedPieceCanBeWrittenAgain) {
  for (const size_t begun : {size_t{0}, size_t{100}}) {
    AppendFile* const greedy = Open();
    ASSERT_TRUE(greedy->Take(Half(), true).has_value());
    AppendFile* const file = Open();
    if (begun != 0) {
      ASSERT_TRUE(file->Take(Half().substr(0, begun), true).has_value());
    }
    for (int i = 0; i < 3; ++i) {
      const auto refused = file->Take(Half().substr(begun), true);
      ASSERT_FALSE(refused.has_value());
      EXPECT_EQ(refused.error().code, Code::kBusy);
    }
    const auto made = greedy->Take(OtherHalf(), false);
    ASSERT_TRUE(made.has_value());
    ASSERT_TRUE(file->Take(Half().substr(begun), true).has_value());
    const auto whole = file->Take(OtherHalf(), true);
    ASSERT_TRUE(whole.has_value());
    EXPECT_EQ(whole->taken.frames, made->taken.frames);
    EXPECT_EQ(whole->taken.count, 1u);
    files_.clear();
  }
}

// What comes instead of a refused piece does not make an entry with what was before it.
TEST_P(AppendFileWithBudget, ARefusedPieceLeavesNoHalfEntry) {
  ASSERT_TRUE(Open()->Take(Half(), true).has_value());
  for (const size_t begun : {size_t{0}, size_t{100}}) {
    AppendFile* const file = Open();
    const auto refuse = [&] {
      if (begun != 0) {
        ASSERT_TRUE(file->Take(Half().substr(0, begun), true).has_value());
      }
      file->SetTailWriter(kOpener);
      EXPECT_EQ(file->Take(Half().substr(begun), true).error().code, Code::kBusy);
    };
    refuse();
    const std::string rest = "the end" + Text("next");
    if (GetParam() == Framing::kBundle) {  // Nothing says where the next frame begins.
      EXPECT_EQ(file->Take(rest, true).error().code, Code::kInvalid);
      EXPECT_EQ(file->OnClose({.process = kOpener}).has_value(), begun == 0);
      EXPECT_FALSE(file->OnRelease().has_value());
      continue;
    }
    const auto nothing = file->Take("more of it", true);
    ASSERT_TRUE(nothing.has_value());
    EXPECT_EQ(nothing->taken.count, 0u);
    const auto after = file->Take("the end\nnext\n", true);
    ASSERT_TRUE(after.has_value());
    EXPECT_EQ(after->taken.frames, "\0\4next"s);
    file->Settle(*after, Appended{});
    refuse();  // And then nothing comes.
    EXPECT_FALSE(file->OnClose({.process = kOpener}).value().has_value());
    refuse();
    EXPECT_FALSE(file->OnRelease().has_value());
  }
}

// The write whose entries could not be committed began inside of an entry, or ended in one.
TEST_P(AppendFileWithBudget, AFailedWriteLeavesNoHalfEntry) {
  const std::string text = Text("one") + Text("two") + Text("three");
  const size_t two_end = Text("one").size() * 2;
  for (const size_t begun : {size_t{0}, size_t{2}}) {
    for (const size_t cut : {size_t{0}, size_t{1}}) {
      AppendFile* const file = Open();
      if (begun != 0) {
        ASSERT_TRUE(file->Take(text.substr(0, begun), true).has_value());
      }
      const auto failed = file->Take(text.substr(begun, two_end - begun + cut), true);
      ASSERT_TRUE(failed.has_value());
      file->Settle(*failed, Fail(Code::kNoSpace, "full"));
      const auto next = file->Take(text.substr(two_end + cut) + Text("next"), true);
      if (GetParam() == Framing::kBundle && begun + cut != 0) {
        ASSERT_FALSE(next.has_value());
        EXPECT_EQ(next.error().code, Code::kInvalid);
        continue;
      }
      ASSERT_TRUE(next.has_value());
      std::string whole;
      if (cut == 0) logcore::AppendFrame(&whole, "three");
      logcore::AppendFrame(&whole, "next");
      EXPECT_EQ(next->taken.frames, whole) << begun << " " << cut;
      file->Settle(*next, Appended{});
      EXPECT_FALSE(file->OnRelease().has_value());
    }
  }
}

// Nor if nothing comes: the line's end could not be committed.
TEST_P(AppendFileWithBudget, TheBeginningOfAnEntryWhoseEndFailedIsNone) {
  AppendFile* const file = Open();
  const std::string text = Text("begun and ended");
  ASSERT_TRUE(file->Take(text.substr(0, 5), true).has_value());
  const auto failed = file->Take(text.substr(5), true);
  ASSERT_TRUE(failed.has_value());
  file->Settle(*failed, Fail(Code::kNoSpace, "full"));
  if (GetParam() == Framing::kLines) {
    EXPECT_FALSE(file->OnClose({.process = kOpener}).value().has_value());
  } else {
    EXPECT_FALSE(file->OnClose({.process = kOpener}).has_value());
  }
  EXPECT_FALSE(file->OnRelease().has_value());
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

// A tail that its close has ended is counted until the log has it, though its file is gone.
TEST_P(AppendFileWithBudget, ATailOnItsWayIsCounted) {
  if (GetParam() == Framing::kBundle) return;  // What is not a whole frame is never added.
  const auto begins = [this](size_t length) {
    const bool taken = Open()->Take(Half().substr(0, length), true).has_value();
    files_.pop_back();
    return taken;
  };
  for (const bool by_release : {false, true}) {
    AppendFile* const file = Open();
    ASSERT_TRUE(file->Take(Half(), true).has_value());
    std::optional<Piece> piece =
        by_release ? file->OnRelease() : file->OnClose({.process = kOpener}).value();
    ASSERT_TRUE(piece);
    files_.clear();
    EXPECT_FALSE(begins(kLong));
    EXPECT_FALSE(begins(1));
    AppendFile* const whole = Open();
    EXPECT_TRUE(whole->Take(Text("one"), true).has_value());  // Only what is not whole has to wait.
    Piece copy = *piece;
    piece.reset();
    EXPECT_FALSE(begins(1));
    copy = {};
    EXPECT_TRUE(begins(1));
    EXPECT_TRUE(begins(kLong));
    files_.clear();
  }
  // Short ones count, too, with what waits for them.
  std::vector<Piece> pieces;
  while (begins(1)) {
    AppendFile* const file = Open();
    ASSERT_TRUE(file->Take("x", true).has_value());
    pieces.push_back(file->OnRelease().value());
    files_.clear();
    ASSERT_LT(pieces.size(), 1000u);
  }
  EXPECT_LT(kLong / kWaitingFileLength, pieces.size() + 2);
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
  const std::string text = file->Read(0, 100'000);
  EXPECT_EQ(text.substr(0, text.find('\n')), "lost 4096");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
  EXPECT_EQ(text.substr(text.size() - 10), "lost 1000\n");
  append(10);
  EXPECT_TRUE(file->Read(0, 100'000).starts_with("0 "));
  EXPECT_FALSE(file->has_receipts());
}

INSTANTIATE_TEST_SUITE_P(Framings, AppendFileWithBudget,
                         testing::Values(Framing::kLines, Framing::kBundle));

}  // namespace
}  // namespace fusefs
