// The log in process: logcore alone, on a store that is made anew in `directory`, which must not
// exist. Durable means that an append has returned, or was called back; "drained" that the store
// was closed as well: all files synced.

#ifndef TESTS_BENCH_LOG_H_
#define TESTS_BENCH_LOG_H_

#include <cstdint>
#include <string>

namespace bench {

// Submissions of about `piece` bytes each, by one thread, `outstanding` at most: entries/s until
// all of `bytes` are drained, in "rate"; until the last one was durable and had its index, in
// "durable_rate"; and how long each submission took to be.
void MeasureBatches(const std::string& directory, size_t entry_length, size_t piece,
                    int outstanding, uint64_t bytes);

// `writers` threads, each waiting for its own entry: entries/s.
void MeasureWriters(const std::string& directory, size_t entry_length, int writers, double seconds);

// Makes a store of `size` entries and closes it; with `crash`, dies inside a commit instead.
void MakeStore(const std::string& directory, size_t entry_length, uint64_t size, bool crash);

// Opens the store for appending, and appends entries of 100 bytes one at a time: milliseconds of
// the opening, microseconds of an append, anonymous memory. Then closes it, or dies as above.
void MeasureOpening(const std::string& directory, uint64_t appends, bool crash);

}  // namespace bench

#endif  // TESTS_BENCH_LOG_H_
