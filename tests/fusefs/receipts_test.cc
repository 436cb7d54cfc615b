// Receipts as the stream that they are, and for programs that put back what they did not use.

#include "fusefs/receipts.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace fusefs {
namespace {

using logcore::Hash;

constexpr size_t kAll = 1 << 20;

std::string Line(uint64_t index) {
  return std::to_string(index) + " " + logcore::HexEncode(Hash().view()) + "\n";
}

std::string Lines(uint64_t first, uint64_t end) {
  std::string text;
  for (uint64_t index = first; index < end; ++index) text += Line(index);
  return text;
}

void Add(Receipts* receipts, uint64_t first, uint64_t end, bool room = true) {
  receipts->Add(first, std::vector<Hash>(end - first), room);
}

TEST(Receipts, AreReadOnceAtAnyPosition) {
  for (const uint64_t step : {uint64_t{0}, uint64_t{1}, uint64_t{3 * 67}, uint64_t{1} << 40}) {
    Receipts receipts;
    Add(&receipts, 0, 100);
    std::string text;
    for (uint64_t at = 0; !receipts.empty(); at += step) text += receipts.Read(at, 3 * 67);
    EXPECT_EQ(text, Lines(0, 100)) << step;
    EXPECT_EQ(receipts.Read(0, kAll), "");
  }
}

TEST(Receipts, WhatIsPutBackByReadingAtALineIsGivenAgain) {
  for (const size_t ahead : {size_t{67}, size_t{128}, size_t{134}, size_t{4096}, kAll}) {
    Receipts receipts;
    Add(&receipts, 0, 100);
    uint64_t at = 6;
    for (uint64_t index = 0; index < 100; ++index) {
      const std::string text = receipts.Read(at, ahead);
      EXPECT_TRUE(text.starts_with(Line(index).substr(0, ahead))) << index << ": " << text;
      if (text.size() < Line(index).size()) {
        EXPECT_EQ(text + receipts.Read(at + text.size(), 1), Line(index));
      }
      at += Line(index).size();
    }
    EXPECT_EQ(receipts.Read(at, ahead), "");
    EXPECT_EQ(receipts.length(), 0u);
  }
}

TEST(Receipts, WhatIsPutBackByWritingAtALineIsGivenAgain) {
  Receipts receipts;
  Add(&receipts, 0, 3);
  EXPECT_EQ(receipts.Read(6, kAll), Lines(0, 3));
  receipts.GoOn(6 + Line(0).size());
  Add(&receipts, 3, 4);
  EXPECT_EQ(receipts.Read(6 + Line(0).size() + 2, kAll), Lines(1, 4));
}

TEST(Receipts, AWriteAnywhereElsePutsNothingBack) {
  for (const uint64_t at : {uint64_t{0}, uint64_t{6}, uint64_t{7}, 6 + Line(0).size() - 1,
                            6 + 3 * Line(0).size(), uint64_t{1} << 40, kNoPosition}) {
    Receipts receipts;
    Add(&receipts, 0, 3);
    EXPECT_EQ(receipts.Read(6, kAll), Lines(0, 3));
    receipts.GoOn(at);
    EXPECT_EQ(receipts.length(), 0u);
    Add(&receipts, 3, 4);
    EXPECT_EQ(receipts.Read(6, kAll), Line(3));
  }
}

TEST(Receipts, APartOfALineThatWasReadIsNotPutBack) {
  Receipts receipts;
  Add(&receipts, 0, 3);
  EXPECT_EQ(receipts.Read(0, 10), Line(0).substr(0, 10));
  EXPECT_EQ(receipts.Read(10, 10), Line(0).substr(10, 10));
  receipts.GoOn(kNoPosition);
  const std::string rest = receipts.Read(100, kAll);
  EXPECT_EQ(rest, Line(0).substr(20) + Lines(1, 3));
  // The lines after it are where the rest of it ends.
  EXPECT_EQ(receipts.Read(100 + Line(0).size() - 20, kAll), Lines(1, 3));
}

TEST(Receipts, WhatWasGivenDoesNotChange) {
  Receipts receipts;
  Add(&receipts, 0, 1);
  Add(&receipts, 1, 6, false);
  EXPECT_EQ(receipts.Read(0, kAll), Line(0) + "lost 5\n");
  Add(&receipts, 6, 8, false);
  EXPECT_EQ(receipts.Read(Line(0).size(), kAll), "lost 5\nlost 2\n");
  EXPECT_EQ(receipts.Read(0, 3), "");
  Add(&receipts, 8, 17, false);
  EXPECT_EQ(receipts.Read(0, 3), "los");
  Add(&receipts, 17, 18, false);
  EXPECT_EQ(receipts.Read(0, kAll), "t 9\nlost 1\n");
}

TEST(Receipts, WhatWasGivenTakesNoRoom) {
  Receipts receipts;
  Add(&receipts, 0, kMaxReceipts);
  EXPECT_EQ(receipts.Read(0, kAll), Lines(0, kMaxReceipts));
  Add(&receipts, kMaxReceipts, 2 * kMaxReceipts);
  EXPECT_EQ(receipts.Read(kAll, kAll), Lines(kMaxReceipts, 2 * kMaxReceipts));
  receipts.GoOn(kNoPosition);
  EXPECT_EQ(receipts.length(), 0u);
}

// Random readers and writers, compared with a program that keeps what it was given.
TEST(Receipts, OfARandomProgramAreAllOfThemInOrder) {
  std::mt19937 chance(1);
  const auto below = [&](uint64_t end) { return chance() % end; };
  for (int round = 0; round < 2000; ++round) {
    Receipts receipts;
    uint64_t added = 0;
    uint64_t position = below(100);
    std::string used;
    for (int step = 0; step < 30; ++step) {
      const uint64_t more = below(4);
      Add(&receipts, added, added + more);
      added += more;
      const std::string text = receipts.Read(position, 1 + below(300));
      // It uses all of it, or the lines up to one of them, and writes or goes on reading.
      size_t uses = text.size();
      if (const size_t end = text.find('\n', below(text.size() + 1)); end != std::string::npos) {
        if (below(2) == 0) uses = end + 1;
      }
      used += text.substr(0, uses);
      position += uses;
      if (below(3) == 0) {
        receipts.GoOn(position);
        position += below(100);
      }
    }
    used += receipts.Read(position, kAll);
    EXPECT_EQ(used, Lines(0, added)) << round;
  }
}

}  // namespace
}  // namespace fusefs
