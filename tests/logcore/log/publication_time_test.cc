// Publications at all rates, over steps of the clock both ways and restarts of the machine: each is
// later than all that was shown before, and who compares whole seconds misses none for long.

#include "logcore/log/publication_time.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace logcore {
namespace {

constexpr int64_t kSecond = kNanoseconds;
constexpr int64_t kDay = 86'400 * kSecond;
constexpr int64_t kStart = 1'700'000'000 * kSecond;
constexpr int64_t kUp = 5'000 * kSecond;  // the machine's uptime at kStart

const std::string kBoot = "0123456789abcdef";
int64_t Moment(int64_t uptime) {
  return MomentOf(kBoot, uptime);
}
PublicationTime First(int64_t clock) {
  return FirstPublicationTime(0, clock, Moment(clock - kStart + kUp));
}
PublicationTime Next(const PublicationTime& before, int64_t clock) {
  return NextPublicationTime(before, clock, Moment(clock - kStart + kUp));
}

TEST(PublicationTimeTest, IsTheClocks) {
  const PublicationTime first = First(kStart + 5);
  EXPECT_EQ(first, (PublicationTime{kStart + 5, kStart + 5, Moment(kUp + 5)}));
  const PublicationTime later = Next(first, kStart + 7 * kSecond + 123);
  EXPECT_EQ(later.at, kStart + 7 * kSecond + 123);
  EXPECT_EQ(ShownTime(later, later.moment), later.at);
  EXPECT_EQ(ShownTime(later, Moment(kUp + 107 * kSecond)), later.at);
}

TEST(PublicationTimeTest, SettlesIfItSharesItsSecond) {
  const PublicationTime a = First(kStart + kSecond / 5);
  const PublicationTime b = Next(a, kStart + kSecond / 2);
  EXPECT_EQ(b.at, kStart + kSecond / 2);
  EXPECT_EQ(ShownTime(b, Moment(kUp + 5 * kSecond / 2) - 1), b.at);
  EXPECT_EQ(ShownTime(b, Moment(kUp + 5 * kSecond / 2)), kStart + kSecond);
  EXPECT_EQ(ShownTime(b, 0), kStart + kSecond);  // after a restart of the machine
  // In the second at whose begin `b` may have settled, there is another such.
  const PublicationTime c = Next(b, kStart + 9 * kSecond / 5);
  EXPECT_EQ(c.at, kStart + 9 * kSecond / 5);
  EXPECT_EQ(c.settled, kStart + 2 * kSecond);
  // Too early for that: nobody can have seen it so.
  const PublicationTime d = Next(b, kStart + 6 * kSecond / 5);
  EXPECT_EQ(d.settled, d.at);
}

// In whatever second of its uptime the other boot looks: what it sees has settled, and what it
// publishes is later than that.
TEST(PublicationTimeTest, AnotherBootFindsItSettled) {
  const PublicationTime a = First(kStart + kSecond / 5);
  const PublicationTime b = Next(a, kStart + kSecond / 2);
  ASSERT_LT(b.at, b.settled);
  for (int64_t uptime = 0; uptime < kUp + 5 * kSecond; uptime += kSecond / 10) {
    const int64_t moment = MomentOf("fedcba9876543210", uptime);
    EXPECT_EQ(ShownTime(b, moment), b.settled);
    EXPECT_LT(b.settled, NextPublicationTime(b, kStart - kDay, moment).at);
  }
}

TEST(PublicationTimeTest, AMomentIsOfItsBoot) {
  EXPECT_EQ(MomentOf(kBoot, 7'000), MomentOf(kBoot, 0) + 7);
  EXPECT_EQ(MomentOf(kBoot, -1), MomentOf(kBoot, 0));
  EXPECT_EQ(MomentOf(kBoot, INT64_MAX) - MomentOf(kBoot, 0), (int64_t{1} << 48) - 1);
  EXPECT_NE(MomentOf("0123456789abcdeg", 0), MomentOf(kBoot, 0));
  EXPECT_GE(MomentOf(std::string(16, '\xff'), INT64_MAX), 0);
}

TEST(PublicationTimeTest, AStoppedClockGivesMicroseconds) {
  const PublicationTime a = First(kStart);
  const PublicationTime b = NextPublicationTime(a, kStart, Moment(kUp));
  EXPECT_EQ(b.at, kStart + 1000);
  EXPECT_EQ(NextPublicationTime(b, kStart - kDay, Moment(kUp)).at, kStart + 2000);
}

TEST(PublicationTimeTest, NothingIsKnownOfTheOneBefore) {
  EXPECT_EQ(FirstPublicationTime(100, 200 * kSecond, 3).at, 200 * kSecond);
  EXPECT_EQ(FirstPublicationTime(100, 50 * kSecond, 3).at, 101 * kSecond);
  for (const int64_t extreme : {INT64_MIN, int64_t{-1}, int64_t{0}, INT64_MAX}) {
    const PublicationTime first = FirstPublicationTime(extreme, extreme, extreme);
    EXPECT_TRUE(IsPublicationTime(first));
    EXPECT_TRUE(IsPublicationTime(NextPublicationTime(first, extreme, extreme)));
  }
}

TEST(PublicationTimeTest, ParsesNoOther) {
  EXPECT_TRUE(IsPublicationTime({kStart + 1, kStart + 1, 0}));
  EXPECT_TRUE(IsPublicationTime({kStart + 1, kStart + kSecond, 7}));
  EXPECT_TRUE(IsPublicationTime({kStart, kStart + kSecond, 7}));
  EXPECT_FALSE(IsPublicationTime({-1, -1, 0}));
  EXPECT_FALSE(IsPublicationTime({1, 1, -1}));
  EXPECT_FALSE(IsPublicationTime({kStart + 1, kStart, 0}));
  EXPECT_FALSE(IsPublicationTime({kStart + 1, kStart + kSecond + 1, 0}));
  EXPECT_FALSE(IsPublicationTime({kStart + 1, kStart + 2 * kSecond, 0}));
  EXPECT_FALSE(IsPublicationTime({INT64_MAX, INT64_MAX, 0}));
}

// After a clock that was ahead: not stuck, and in the end right again.
TEST(PublicationTimeTest, AClockThatIsBehindCatchesUp) {
  const PublicationTime ahead = First(kStart + 100 * kSecond);
  for (const int64_t pause : {kSecond / 1000, kSecond / 3, 3 * kSecond}) {
    PublicationTime time{ahead.at, ahead.settled, Moment(kUp)};
    int64_t passed = 0;
    while (kStart + passed < time.at && passed < 1000 * kSecond) {
      passed += pause;
      time = NextPublicationTime(time, kStart + passed, Moment(kUp + passed));
      // Never faster than time itself, but for the rounding to seconds.
      ASSERT_LE(time.at, ahead.at + passed + kSecond);
      ASSERT_GE(time.at, ahead.at + std::min(passed, kSecond) / 3);
    }
    EXPECT_LT(passed, 250 * kSecond) << pause;
  }
}

// A reader that compares whole seconds, as rsync does: when the log rests, it has the newest.
TEST(PublicationTimeTest, NoReaderIsLeftBehind) {
  std::mt19937_64 random(1);
  const auto below = [&random](int64_t limit) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(limit));
  };
  for (int run = 0; run < 300; ++run) {
    int64_t clock = kStart;
    int64_t uptime = kUp;
    PublicationTime newest = FirstPublicationTime(0, clock, Moment(uptime));
    int version = 0;
    int copied_version = 0;
    int64_t copied_second = newest.at / kSecond;
    int64_t last_shown = newest.at;
    int last_shown_version = 0;
    const auto read = [&] {
      const int64_t shown = ShownTime(newest, Moment(uptime));
      if (last_shown_version != version) {
        ASSERT_LT(last_shown, shown) << run;
      } else {
        ASSERT_LE(last_shown, shown) << run;
      }
      last_shown = shown;
      last_shown_version = version;
      if (shown / kSecond != copied_second) {
        copied_second = shown / kSecond;
        copied_version = version;
      }
    };
    for (int step = 0; step < 400; ++step) {
      const int64_t pause = below(3) == 0 ? below(3 * kSecond) : below(kSecond / 50) + 1;
      clock += pause;
      uptime += pause;
      if (below(20) == 0)
        clock += below(2) == 0 ? below(2 * kDay) - kDay : below(kSecond) - kSecond / 2;
      if (below(3) != 0) {
        newest = NextPublicationTime(newest, clock, Moment(uptime));
        ASSERT_TRUE(IsPublicationTime(newest));
        ++version;
      }
      if (below(2) == 0) read();
      if (below(40) == 0) {  // The log rests; the reader goes on.
        if (below(2) == 0) clock -= kDay;
        for (int i = 0; i < 3; ++i, uptime += kSecond) read();
        ASSERT_EQ(copied_version, version) << run << ", " << step;
        clock += 3 * kSecond;
      }
    }
  }
}

}  // namespace
}  // namespace logcore
