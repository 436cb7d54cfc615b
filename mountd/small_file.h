// Reads files that people pass on the command line: keys and checkpoints. Small, or refused.
//
// Any thread. Tested by tests/mountd/run_test.cc.

#ifndef MOUNTD_SMALL_FILE_H_
#define MOUNTD_SMALL_FILE_H_

#include <cstddef>
#include <iosfwd>
#include <string>

#include "logcore/util/result.h"

namespace mountd {

enum class Secrecy {
  kPublic,
  kPrivate,  // kDenied if a regular file that others than its owner can read
};

logcore::Result<std::string> ReadSmallFile(const std::string& path, size_t max_length,
                                           Secrecy secrecy);
logcore::Result<std::string> ReadSmallStream(std::istream& in, size_t max_length);
// A signed checkpoint: of a file, or of `in` if the path is "-".
logcore::Result<std::string> ReadCheckpoint(const std::string& path, std::istream& in);

}  // namespace mountd

#endif  // MOUNTD_SMALL_FILE_H_
