// The log's clock, over steps of the machine's both ways.

#include "logcore/posix/commit/log_clock.h"

#include <gtest/gtest.h>

namespace logcore {
namespace {

class LogClockTest : public testing::Test {
 protected:
  // Seconds pass, and an entry is integrated.
  int64_t After(double seconds) {
    const auto passed = static_cast<int64_t>(seconds * static_cast<double>(kNanoseconds));
    clock_ += passed;
    uptime_ += passed;
    return newest_ = log_clock_.SecondAfter(newest_);
  }
  void Step(int64_t seconds) { clock_ += seconds * kNanoseconds; }

  int64_t clock_ = 1000 * kNanoseconds;
  int64_t uptime_ = 77 * kNanoseconds;
  int64_t newest_ = 0;
  LogClock log_clock_{[this] { return clock_; }, [this] { return uptime_; }};
};

TEST_F(LogClockTest, IsTheMachines) {
  EXPECT_EQ(After(0), 1000);
  EXPECT_EQ(After(0.9), 1000);
  EXPECT_EQ(After(0.1), 1001);
  Step(500);
  EXPECT_EQ(After(1), 1502);
}

TEST_F(LogClockTest, NeverGoesBackAndCatchesUp) {
  Step(100);
  EXPECT_EQ(After(0), 1100);
  Step(-100);
  EXPECT_EQ(After(1), 1100);
  EXPECT_EQ(After(10), 1105);
  EXPECT_EQ(After(50), 1130);
  for (int64_t seconds = 62; seconds < 300; ++seconds) {
    const int64_t right = 1000 + seconds;
    const bool is_behind = right < newest_;
    EXPECT_EQ(After(1), is_behind ? 1100 + (seconds - 1) / 2 : right) << seconds;
  }
}

TEST_F(LogClockTest, BeginsAnewAfterEachStep) {
  Step(100);
  EXPECT_EQ(After(0), 1100);
  Step(-100);
  EXPECT_EQ(After(0), 1100);
  EXPECT_EQ(After(20), 1110);
  Step(200);
  EXPECT_EQ(After(0), 1220);
  Step(-30);
  EXPECT_EQ(After(0), 1220);
  EXPECT_EQ(After(20), 1230);
  Step(-1000);
  EXPECT_EQ(After(2), 1231);
}

TEST_F(LogClockTest, AnotherProcessMayBeAhead) {
  EXPECT_EQ(After(0), 1000);
  newest_ = 1100;
  EXPECT_EQ(After(0), 1100);
  EXPECT_EQ(After(10), 1105);
  newest_ = 1150;
  EXPECT_EQ(After(10), 1150);
}

}  // namespace
}  // namespace logcore
