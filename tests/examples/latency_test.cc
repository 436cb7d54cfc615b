#include "examples/leafcreator/latency.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace leafcreator {
namespace {

// The share's element of the sorted ones, or up to 1/64 more, but not more than the greatest.
void ExpectPercentiles(std::vector<int64_t> durations) {
  Latency latency;
  for (const int64_t duration : durations) latency.Add(Latency::Duration(duration));
  ASSERT_EQ(latency.count(), durations.size());
  std::sort(durations.begin(), durations.end());
  const auto count = static_cast<double>(durations.size());
  for (const double share : {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<size_t>(std::max(1.0, std::ceil(share * count)));
    const int64_t exact = durations[rank - 1];
    const int64_t found = latency.Percentile(share).count();
    EXPECT_LE(exact, found) << share << " of " << count;
    EXPECT_LE(found - exact, exact / 64) << share << " of " << count;
    EXPECT_LE(found, durations.back()) << share << " of " << count;
  }
}

TEST(Latency, PercentilesAreThoseOfTheSortedDurations) {
  std::mt19937_64 random(1);
  for (const size_t count : {1u, 2u, 3u, 100u, 10'000u}) {
    std::vector<int64_t> durations;
    while (durations.size() < count) {
      durations.push_back(static_cast<int64_t>(random() >> (1 + random() % 63)));
    }
    ExpectPercentiles(durations);
  }
}

TEST(Latency, EachBucketIsAtMostASixtyFourthWide) {
  const int64_t longest = std::numeric_limits<int64_t>::max();
  for (int bit = 0; bit < 63; ++bit) {
    for (const int64_t around : {-1, 0, 1}) {
      const int64_t duration = (int64_t{1} << bit) + around;
      ExpectPercentiles({duration});
      ExpectPercentiles({duration, longest});
    }
  }
}

TEST(Latency, SaysWhatItCounted) {
  Latency latency;
  EXPECT_EQ(latency.ToString(), "--");
  EXPECT_EQ(latency.Percentile(0.5).count(), 0);
  for (const int milliseconds : {3, 1, 2}) latency.Add(std::chrono::milliseconds(milliseconds));
  EXPECT_EQ(latency.Percentile(1).count(), 3'000'000);
  EXPECT_EQ(latency.ToString().find("[Mean: 2.000ms Min: 1.000ms Max: 3.000ms p50: 2.0"), 0u);
}

}  // namespace
}  // namespace leafcreator
