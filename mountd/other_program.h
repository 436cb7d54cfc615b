// Other programs of the system, that do something which is theirs to do.
//
// Any thread. Tested by tests/mount/umount_test.py.

#ifndef MOUNTD_OTHER_PROGRAM_H_
#define MOUNTD_OTHER_PROGRAM_H_

#include <string>
#include <vector>

namespace mountd {

// Runs a program that is found by PATH, without its output, to its end. Whether it succeeded.
bool RunQuietly(std::vector<std::string> words);

}  // namespace mountd

#endif  // MOUNTD_OTHER_PROGRAM_H_
