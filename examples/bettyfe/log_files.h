// The files of a mounted log that are for everybody: checkpoint, vkey, hash tiles, entry bundles;
// and what HTTP says about them (C2SP tlog-tiles). Nothing else in or outside of the mount is
// served, and no listings.
//
// Any thread. Tested by tests/mount/bettyfe_test.py.

#ifndef EXAMPLES_BETTYFE_LOG_FILES_H_
#define EXAMPLES_BETTYFE_LOG_FILES_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace bettyfe {

// A file to be sent.
struct LogFile {
  int error = 0;  // an errno: ENOENT if the log has no such file (yet); else `fd` is open
  int fd = -1;    // the caller's
  uint64_t length = 0;
  const char* content_type = "";
  const char* cache_control = nullptr;  // null: nothing is said
};

// Opens the file of a URL path ("/tile/0/000"). Its first byte has been read: what cannot be read
// is told here.
LogFile OpenLogFile(const std::string& mount, std::string_view url);

}  // namespace bettyfe

#endif  // EXAMPLES_BETTYFE_LOG_FILES_H_
