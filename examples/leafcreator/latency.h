// Latency: how long things took. Counts them in buckets, none wider than 1/64 of what it holds: 30
// KiB, however many there are. Mean, least and greatest are exact.
//
// A value; one thread. Tested by tests/examples/latency_test.cc.

#ifndef LEAFCREATOR_LATENCY_H_
#define LEAFCREATOR_LATENCY_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace leafcreator {

class Latency {
 public:
  using Duration = std::chrono::nanoseconds;

  void Add(Duration duration);
  uint64_t count() const { return count_; }
  // What `share` (0 to 1) of them did not exceed, at most 1/64 too large. Zero if there are none.
  Duration Percentile(double share) const;
  // "[Mean: 7.185ms Min: 0.104ms Max: 9.522ms p50: 6.910ms p99: 9.011ms]"; "--" if there are none.
  std::string ToString() const;

 private:
  static constexpr int kBits =
      6;  // of a duration's first ones that its bucket knows, but the first
  static constexpr size_t kBuckets = (64 - kBits + 1) << kBits;

  static size_t BucketOf(uint64_t nanoseconds);
  static uint64_t GreatestOf(size_t bucket);

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  uint64_t least_ = 0;
  uint64_t greatest_ = 0;
  double sum_ = 0;
};

}  // namespace leafcreator

#endif  // LEAFCREATOR_LATENCY_H_
