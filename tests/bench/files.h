// Through files: the load of programs on a mount, or on anything else that has such a file.

#ifndef TESTS_BENCH_FILES_H_
#define TESTS_BENCH_FILES_H_

#include <cstdint>
#include <string>

namespace bench {

// `writers` threads write lines of `length` bytes, newline included, to the file: each has it open
// all the time, or (`open_each`) opens and closes it for each line, as echo does: lines/s.
void MeasureLines(const std::string& file, size_t length, int writers, double seconds,
                  bool open_each);

// Copies `bytes` of lines into the file in writes of `piece` bytes, and closes it: bytes/s.
// `frames`: entries framed as in a bundle, for add.bundle.
void MeasureCopy(const std::string& file, size_t length, uint64_t bytes, size_t piece, bool frames);

// Opens, reads and closes the files named on standard input, in `readers` threads, `rounds` times
// over: files/s.
void MeasureReads(int readers, int rounds);

}  // namespace bench

#endif  // TESTS_BENCH_FILES_H_
