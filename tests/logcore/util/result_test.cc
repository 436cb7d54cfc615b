#include "logcore/util/result.h"

#include <gtest/gtest.h>

#include <memory>

#include "logcore/util/check.h"

namespace {

using namespace logcore;

Result<std::unique_ptr<int>> Half(int value) {
  if (value % 2 != 0) return Fail(Code::kInvalid, "odd");
  return std::make_unique<int>(value / 2);
}

Result<int> Quarter(int value) {
  ASSIGN_OR_RETURN(const std::unique_ptr<int> half, Half(value));
  ASSIGN_OR_RETURN(const std::unique_ptr<int> quarter, Half(*half));
  return *quarter;
}

Status CanQuarter(int value) {
  RETURN_IF_ERROR(Quarter(value));
  return {};
}

TEST(ResultTest, MacrosPassValuesAndErrorsOn) {
  EXPECT_EQ(Quarter(12).value(), 3);
  EXPECT_TRUE(CanQuarter(12).has_value());
  for (const int value : {13, 14}) {
    EXPECT_EQ(Quarter(value).error().code, Code::kInvalid) << value;
    EXPECT_EQ(CanQuarter(value).error().message, "odd") << value;
  }
}

TEST(ResultTest, AnErrorWithinSomething) {
  const Status status = Within("lock", Error{Code::kCorrupt, "is short"});
  EXPECT_EQ(status.error().code, Code::kCorrupt);
  EXPECT_EQ(status.error().message, "lock: is short");
}

TEST(CheckDeathTest, ABrokenInvariantEndsTheProcess) {
  CHECK(1 + 1 == 2);
  EXPECT_DEATH(CHECK(1 + 1 == 3),
               "tlogfs: internal error at .*result_test.cc:[0-9]*: 1 \\+ 1 == 3");
}

}  // namespace
