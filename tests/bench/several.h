// Several processes on one store: each is a run of its own, told when to begin, so that all of them
// append at the same time.

#ifndef TESTS_BENCH_SEVERAL_H_
#define TESTS_BENCH_SEVERAL_H_

#include <cstddef>
#include <string>

namespace bench {

// Opens the store, prints {"ready":1}, and reads a moment from standard input: seconds of the
// monotonic clock. From then on, for some seconds, appends from `writers` threads that each wait
// for their entry; or (`batches`) with so many submissions of `piece` bytes under way: entries/s,
// and how long each took. Does not close the store: others may be appending.
void MeasureShare(const std::string& directory, size_t entry_length, size_t piece, int writers,
                  double seconds, bool batches);

// How many entries are published: "size".
void PrintSize(const std::string& directory);

}  // namespace bench

#endif  // TESTS_BENCH_SEVERAL_H_
