// The limits of the machine, without a log: nothing that hashes and flushes can be faster.

#ifndef TESTS_BENCH_LIMITS_H_
#define TESTS_BENCH_LIMITS_H_

#include <cstdint>
#include <string>

namespace bench {

// Leaf hashes of entries of that length, and all nodes above them, in one thread: entries/s.
void MeasureHash(size_t entry_length, double seconds);

// Writes `bytes` into `file` in pieces, syncing each: bytes/s. `prewritten`: the file already had
// those bytes (so it does not grow), which is not part of the time.
void MeasureDisk(const std::string& file, uint64_t bytes, size_t piece, bool prewritten);

// One write of 4 KiB into a prewritten file and one sync, again and again: flushes/s.
void MeasureFlush(const std::string& file, double seconds);

// `writers` threads that each wait for their own record; another thread writes all that wait into a
// prewritten file, and syncs once: records/s. What a group commit is without a log.
void MeasureGroup(const std::string& file, size_t entry_length, int writers, double seconds);

}  // namespace bench

#endif  // TESTS_BENCH_LIMITS_H_
