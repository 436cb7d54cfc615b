// Reading the log in process: logcore alone, on a store that is there (MakeStore). Each figure with
// the processor time that an entry took, of all threads, in the program and in the kernel.

#ifndef TESTS_BENCH_READING_H_
#define TESTS_BENCH_READING_H_

#include <string>

namespace bench {

// All entries in order, from `scans` threads at once: entries/s of them all. "rate" is as stored,
// as logs without hashes read, again and again for so many seconds; "verified_rate" is of a first
// pass that hashes everything up to the published root, for so many seconds at most.
void MeasureStream(const std::string& directory, int scans, double seconds);

// Entries at random, 1,024 at a time, verified, where they lie mapped into memory: entries/s, for
// so many seconds each. "first_rate": most bundles are met for the first time, and hashed; "rate":
// after all were.
void MeasureRandom(const std::string& directory, double seconds);

}  // namespace bench

#endif  // TESTS_BENCH_READING_H_
