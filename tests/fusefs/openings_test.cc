// No number is given to two who may have it open at the same time.

#include "fusefs/openings.h"

#include <gtest/gtest.h>

namespace {

using fusefs::Openings;

TEST(Openings, EachLookupHasANumberOfItsOwn) {
  Openings openings;
  EXPECT_EQ(openings.Next(), 1u);
  EXPECT_EQ(openings.Next(), 2u);  // Who was given 1 may still open it.
  openings.Opened(1);
  openings.Closed(1);
  EXPECT_EQ(openings.Next(), 3u);  // Only the newest comes again.
}

TEST(Openings, TheNewestIsGivenAgainWhenItIsClosed) {
  Openings openings;
  EXPECT_EQ(openings.Next(), 1u);
  openings.Opened(1);
  EXPECT_EQ(openings.Next(), 2u);
  openings.Opened(2);
  openings.Closed(1);
  EXPECT_EQ(openings.Next(), 3u);
  openings.Opened(3);
  openings.Closed(2);
  openings.Closed(3);
  EXPECT_EQ(openings.Next(), 3u);
  EXPECT_EQ(openings.Next(), 4u);  // It was given, and may be opened.
}

TEST(Openings, AllWhoOpenedItMustHaveClosedIt) {
  Openings openings;
  EXPECT_EQ(openings.Next(), 1u);
  openings.Opened(1);
  openings.Opened(1);  // through /proc/self/fd
  openings.Closed(1);
  EXPECT_EQ(openings.Next(), 2u);
  openings.Closed(1);
  EXPECT_EQ(openings.Next(), 3u);
}

TEST(Openings, WhatWasGivenAgainIsNotGivenTwice) {
  Openings openings;
  EXPECT_EQ(openings.Next(), 1u);
  openings.Opened(1);
  openings.Closed(1);
  EXPECT_EQ(openings.Next(), 1u);
  openings.Opened(1);
  EXPECT_EQ(openings.Next(), 2u);
  openings.Closed(1);
  EXPECT_EQ(openings.Next(), 3u);
}

}  // namespace
