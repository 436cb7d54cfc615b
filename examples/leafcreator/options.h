// What leafcreator is told to do. Flags as Go's programs take them: one dash or two, and a duration
// has a unit. Numbers are plain decimals, and everything is within limits, or refused in one line.
//
// Values; any thread. Tested by tests/mount/leafcreator_test.py.

#ifndef LEAFCREATOR_OPTIONS_H_
#define LEAFCREATOR_OPTIONS_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "logcore/util/result.h"

namespace leafcreator {

struct Load {
  uint64_t num_writers = 100;
  uint64_t leaves_per_second = 10;  // of each writer; 0: the next one when the last one is durable
  uint64_t batch_size = 256;        // leaves that travel together, at most (and 1 MiB)
  uint64_t leaf_size = 1024;        // bytes
};

struct Options {
  std::string help;  // If there is any, it is all that was asked for.
  std::string path;  // the store's directory
  Load load;
  std::chrono::milliseconds duration{0};  // 0: until stopped
};

// `words` are the command line without the program's name. kInvalid.
logcore::Result<Options> ParseOptions(std::vector<std::string> words);

}  // namespace leafcreator

#endif  // LEAFCREATOR_OPTIONS_H_
