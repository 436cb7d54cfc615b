#include "latency.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

namespace leafcreator {
namespace {

std::string Milliseconds(double nanoseconds) {
  char text[64];
  std::snprintf(text, sizeof text, "%.3fms", nanoseconds / 1e6);
  return text;
}

}  // namespace

void Latency::Add(Duration duration) {
  const auto nanoseconds = static_cast<uint64_t>(std::max<int64_t>(duration.count(), 0));
  least_ = count_ == 0 ? nanoseconds : std::min(least_, nanoseconds);
  greatest_ = std::max(greatest_, nanoseconds);
  sum_ += static_cast<double>(nanoseconds);
  ++count_;
  ++buckets_[BucketOf(nanoseconds)];
}

// The first 2 << kBits buckets hold one duration each; from there on, each next 1 << kBits of them
// are twice as wide as those before.
size_t Latency::BucketOf(uint64_t nanoseconds) {
  const int shift = std::max(0, static_cast<int>(std::bit_width(nanoseconds)) - (kBits + 1));
  return (static_cast<size_t>(shift) << kBits) + (nanoseconds >> shift);
}

uint64_t Latency::GreatestOf(size_t bucket) {
  if (bucket < size_t{2} << kBits) return bucket;
  const size_t shift = (bucket >> kBits) - 1;
  const uint64_t first_bits = bucket - (shift << kBits);
  return ((first_bits + 1) << shift) - 1;
}

Latency::Duration Latency::Percentile(double share) const {
  const auto wanted = static_cast<uint64_t>(std::ceil(share * static_cast<double>(count_)));
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += buckets_[bucket];
    if (0 < seen && wanted <= seen) {
      return Duration(static_cast<int64_t>(std::min(GreatestOf(bucket), greatest_)));
    }
  }
  return Duration(static_cast<int64_t>(greatest_));
}

std::string Latency::ToString() const {
  if (count_ == 0) return "--";
  const auto percentile = [this](double share) {
    return Milliseconds(static_cast<double>(Percentile(share).count()));
  };
  return "[Mean: " + Milliseconds(sum_ / static_cast<double>(count_)) +
         " Min: " + Milliseconds(static_cast<double>(least_)) +
         " Max: " + Milliseconds(static_cast<double>(greatest_)) + " p50: " + percentile(0.5) +
         " p99: " + percentile(0.99) + "]";
}

}  // namespace leafcreator
