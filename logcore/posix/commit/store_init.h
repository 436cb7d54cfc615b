// InitStore: makes a new log in a directory. README.md of logcore lists the files.
//
// One thread. Tested by tests/logcore/posix/commit/store_test.cc and origins_test.cc.

#ifndef LOGCORE_POSIX_COMMIT_STORE_INIT_H_
#define LOGCORE_POSIX_COMMIT_STORE_INIT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "logcore/posix/commit/store_options.h"
#include "logcore/posix/disk/disk.h"
#include "logcore/tlog/note.h"
#include "logcore/util/result.h"

namespace logcore {

struct InitOptions {
  std::string origin;
  std::optional<SignerKey> key;  // None: a new one is made, of that name.
  uint64_t journal_length = kDefaultJournalLength;
};

// Creates a store in an empty directory; durable when it returns. Returns the verifier key.
// Of the options, it needs the clock.
//
// kExists if the directory is not empty; kInvalid if the origin is not valid (checkpoint.h) or,
// without a key, is none that a key can have (note.h). After any error it is as it was before,
// unless the disk refuses that as well. An init that was killed leaves what is no store, and no
// directory for another one.
Result<VerifierKey> InitStore(Disk* disk, const InitOptions& init, const StoreOptions& options);

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_STORE_INIT_H_
