// What every measurement needs: a clock, how long single operations took, and one line of JSON for
// tests/bench/run. One thread, except where it says otherwise.

#ifndef TESTS_BENCH_MEASURE_H_
#define TESTS_BENCH_MEASURE_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

using Clock = std::chrono::steady_clock;

inline double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// How long each of many operations took.
class Latencies {
 public:
  void Add(Clock::time_point start) { Add(Clock::now() - start); }
  void Add(Clock::duration duration) {
    nanoseconds_.push_back(static_cast<uint64_t>(std::chrono::nanoseconds(duration).count()));
  }
  void Add(const Latencies& others);
  uint64_t count() const { return nanoseconds_.size(); }
  double Microseconds(double quantile);  // 0 to 1; sorts

 private:
  std::vector<uint64_t> nanoseconds_;
};

// {"name":number,...}, in the order of the calls.
class Report {
 public:
  Report& Add(std::string_view name, double value);
  Report& Add(Latencies* latencies);  // p50_us, p99_us, max_us
  // "count", "seconds" and "rate".
  Report& Rate(double count, double seconds);
  void Print() const;

 private:
  std::string fields_;
};

// Ends the program with one line: the workload broke.
[[noreturn]] void Fail(const std::string& what);

// `text` of `length` bytes, different for each `number`, without newlines.
std::string MakeLine(uint64_t number, size_t length);

// Of this process, in bytes: anonymous memory that is resident.
uint64_t AnonymousMemory();

}  // namespace bench

#endif  // TESTS_BENCH_MEASURE_H_
