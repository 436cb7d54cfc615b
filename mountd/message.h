// What the program says: on stderr one line, "tlogfs: WHAT: WHY"; and whether what it printed on
// stdout got there. What stdout is told of paths and files passes OneLine, too.
//
// Any thread, and one at a time for a stream. Tested by tests/mountd/message_test.cc.

#ifndef MOUNTD_MESSAGE_H_
#define MOUNTD_MESSAGE_H_

#include <cerrno>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

#include "logcore/util/result.h"

namespace mountd {

// The text as one line that does nothing to a terminal, whatever a path or a file has brought into
// it: control characters, also those that UTF-8 has from U+0080 to U+009F, become a "?" each byte.
inline std::string OneLine(std::string text) {
  unsigned char last = 0;
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_control = byte < 0x20 || byte == 0x7f;
    const bool ends_control = last == 0xc2 && 0x80 <= byte && byte < 0xa0;
    if (ends_control) *(&c - 1) = '?';
    if (is_control || ends_control) c = '?';
    last = byte;
  }
  return text;
}

inline void Say(std::ostream& err, std::string message) {
  err << "tlogfs: " << OneLine(std::move(message)) << std::endl;
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
