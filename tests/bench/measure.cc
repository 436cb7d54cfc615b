#include "tests/bench/measure.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace bench {

void Latencies::Add(const Latencies& others) {
  nanoseconds_.insert(nanoseconds_.end(), others.nanoseconds_.begin(), others.nanoseconds_.end());
}

double Latencies::Microseconds(double quantile) {
  if (nanoseconds_.empty()) return 0;
  std::sort(nanoseconds_.begin(), nanoseconds_.end());
  const auto last = static_cast<double>(nanoseconds_.size() - 1);
  return static_cast<double>(nanoseconds_[static_cast<size_t>(last * quantile)]) / 1000;
}

Report& Report::Add(std::string_view name, double value) {
  char number[64];
  std::snprintf(number, sizeof(number), "%.10g", value);
  fields_ += (fields_.empty() ? "\"" : ",\"") + std::string(name) + "\":" + number;
  return *this;
}

Report& Report::Add(Latencies* latencies) {
  Add("p50_us", latencies->Microseconds(0.5));
  Add("p99_us", latencies->Microseconds(0.99));
  return Add("max_us", latencies->Microseconds(1));
}

Report& Report::Rate(double count, double seconds) {
  return Add("rate", count / seconds).Add("count", count).Add("seconds", seconds);
}

void Report::Print() const {
  std::printf("{%s}\n", fields_.c_str());
}

void Fail(const std::string& what) {
  std::fprintf(stderr, "bench: %s\n", what.c_str());
  std::exit(1);
}

std::string MakeLine(uint64_t number, size_t length) {
  std::string line = std::to_string(number) + " ";
  uint64_t state = number;
  while (line.size() < length) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    line += static_cast<char>('a' + (state >> 33) % 26);
  }
  line.resize(length);
  return line;
}

uint64_t AnonymousMemory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8)) * 1024;
  }
  return 0;
}

}  // namespace bench
