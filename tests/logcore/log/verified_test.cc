// Verified, and the array that grows under it: what they remember, alone and under many threads.

#include "logcore/log/verified.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "logcore/util/growing_array.h"

namespace logcore {
namespace {

// In every part of the array, and at its edges.
std::vector<uint64_t> Places() {
  std::vector<uint64_t> places = {0, 1, 62, 63};
  for (uint64_t edge = 64; edge <= uint64_t{1} << 20; edge *= 2) {
    for (const uint64_t place : {edge - 1, edge, edge + 1}) places.push_back(place);
  }
  return places;
}

TEST(GrowingArrayTest, ElementsAreMadeOnceAndStay) {
  GrowingArray<std::atomic<uint64_t>> array;
  for (const uint64_t place : Places()) EXPECT_EQ(array.Find(place), nullptr) << place;
  EXPECT_EQ(array.Find(~uint64_t{0}), nullptr);
  std::set<std::atomic<uint64_t>*> seen;
  const std::vector<uint64_t> places = Places();
  const std::set<uint64_t> different(places.begin(), places.end());
  for (const uint64_t place : different) {
    std::atomic<uint64_t>& element = array.Make(place);
    EXPECT_EQ(element, 0u);
    element = place + 1;
    EXPECT_TRUE(seen.insert(&element).second) << place;
  }
  for (const uint64_t place : different) {
    ASSERT_NE(array.Find(place), nullptr);
    EXPECT_EQ(*array.Find(place), place + 1);
    EXPECT_EQ(&array.Make(place), array.Find(place));
  }
  EXPECT_EQ(array.Find(uint64_t{1} << 22), nullptr);
}

TEST(GrowingArrayTest, ThreadsMakeTheSameElements) {
  for (int round = 0; round < 500; ++round) {
    GrowingArray<std::atomic<uint64_t>> array;
    std::atomic<int> ready = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        ++ready;
        while (ready < 3) std::this_thread::yield();
        for (uint64_t place = 0; place < 5000; place += 50) ++array.Make(place);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (uint64_t place = 0; place < 5000; place += 50) ASSERT_EQ(*array.Find(place), 3u);
  }
}

TEST(VerifiedTest, KnowsFullTilesAndOneEdge) {
  Verified verified;
  EXPECT_FALSE(verified.Covers({0, 0, 1}));
  verified.Add({0, 5, kTileWidth});
  EXPECT_TRUE(verified.Covers({0, 5, kTileWidth}));
  EXPECT_TRUE(verified.Covers({0, 5, 1}));
  EXPECT_FALSE(verified.Covers({0, 4, 1}));
  EXPECT_FALSE(verified.Covers({0, 6, 1}));
  EXPECT_FALSE(verified.Covers({1, 5, 1}));
  EXPECT_FALSE(verified.Covers({kEntriesLevel, 5, 1}));
  verified.Add({0, 6, 10});
  verified.Add({0, 6, 9});
  EXPECT_TRUE(verified.Covers({0, 6, 10}));
  EXPECT_FALSE(verified.Covers({0, 6, 11}));
  verified.Add({0, 7, 3});
  verified.Add({0, 6, 200});  // An older snapshot's.
  EXPECT_TRUE(verified.Covers({0, 7, 3}));
  EXPECT_FALSE(verified.Covers({0, 7, 4}));
  EXPECT_FALSE(verified.Covers({0, 6, 1}));
  verified.Add({kEntriesLevel, 0, kTileWidth});
  EXPECT_TRUE(verified.Covers({kEntriesLevel, 0, 256}));
}

TEST(VerifiedTest, KnowsTilesOfTheLargestLogs) {
  Verified verified;
  const uint64_t last = (uint64_t{1} << 55) - 1;
  verified.Add({kEntriesLevel, last, 255});
  EXPECT_TRUE(verified.Covers({kEntriesLevel, last, 255}));
  EXPECT_FALSE(verified.Covers({kEntriesLevel, last, 256}));
  EXPECT_FALSE(verified.Covers({kEntriesLevel, last - 1, 1}));
  EXPECT_FALSE(verified.Covers({kEntriesLevel, last & 0xffffffff, 1}));
}

TEST(VerifiedTest, ThreadsDoNotForgetEachOthers) {
  constexpr uint64_t kTiles = 4000;
  Verified verified;
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 4; ++i) {
    threads.emplace_back([&verified, i] {
      // Neighbours in one word, by different threads; what was added is known from then on.
      for (uint64_t tile = i; tile < kTiles; tile += 4) {
        verified.Add({0, tile, kTileWidth});
        ASSERT_TRUE(verified.Covers({0, tile, kTileWidth}));
        verified.Add({1, tile, static_cast<int>(1 + tile % 255)});
        ASSERT_LE(verified.Width(1, tile), static_cast<int>(1 + tile % 255));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint64_t tile = 0; tile < kTiles; ++tile) {
    ASSERT_TRUE(verified.Covers({0, tile, kTileWidth})) << tile;
  }
  EXPECT_EQ(verified.Width(1, kTiles - 1), static_cast<int>(1 + (kTiles - 1) % 255));
}

}  // namespace
}  // namespace logcore
