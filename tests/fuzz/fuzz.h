// Fuzzing: what the targets of this folder share. A target is one file with one function,
// LLVMFuzzerTestOneInput, that gives its input to a parser and CHECKs what must be true of every
// answer. Built by clang it is driven by libFuzzer; built by anything else by replay.cc, which
// gives it the files of its corpus. README.md has the list. One thread.

#ifndef TESTS_FUZZ_FUZZ_H_
#define TESTS_FUZZ_FUZZ_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace tlogfs_test {

inline std::string_view InputBytes(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// As many bytes as there are, up to `length`.
inline std::string_view TakeUpTo(logcore::ByteReader* reader, size_t length) {
  return reader->Take(std::min(length, reader->rest().size()));
}

}  // namespace tlogfs_test

#endif  // TESTS_FUZZ_FUZZ_H_
