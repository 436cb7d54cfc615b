// What the program says: on stderr one line, "tlogfs: WHAT: WHY"; and whether what it printed on
// stdout got there.
//
// Tested by tests/mountd/message_test.cc.

#ifndef MOUNTD_MESSAGE_H_
#define MOUNTD_MESSAGE_H_

#include <cerrno>
#include <ostream>
#include <string>
#include <system_error>

#include "logcore/result.h"

namespace mountd {

// On one line, whatever a path or a file may have brought into the message.
inline void Say(std::ostream& err, std::string message) {
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  err << "tlogfs: " << message << std::endl;
}

// kIo if something of what was printed could not be written.
inline logcore::Status Flush(std::ostream& out) {
  errno = 0;
  out.flush();
  if (out) return {};
  const std::string why = errno != 0 ? std::generic_category().message(errno) : "cannot be written";
  return logcore::Fail(logcore::Code::kIo, "standard output: " + why);
}

}  // namespace mountd

#endif  // MOUNTD_MESSAGE_H_
