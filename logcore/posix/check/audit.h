// Audit: rebuilds a whole store from its entries and compares every byte: what `tlogfs check` does,
// and the oracle of the tests. It trusts nothing but the verifier key.
//
// Reads only, takes no lock, needs no signing key: a store that is being appended to is checked as
// of its newest checkpoint. One thread. Tested by tests/logcore/posix/check/audit_test.cc and
// tests/crash.

#ifndef LOGCORE_POSIX_CHECK_AUDIT_H_
#define LOGCORE_POSIX_CHECK_AUDIT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/store_config.h"
#include "logcore/tlog/merkle.h"
#include "logcore/tlog/note.h"
#include "logcore/util/result.h"

namespace logcore {

struct AuditOptions {
  std::optional<VerifierKey> vkey = {};  // Expected; by default the one that `config` names.
  std::function<void(uint64_t done, uint64_t total)> progress = nullptr;  // entries; may be empty
  uint64_t gap_limit = kNoGapLimit;                                       // store_config.h
};

// One damaged place: "hashes/0 at byte 8192: node 256 is not the hash of its entry".
struct Damage {
  std::string file;
  std::string what;
};

struct AuditReport {
  TreeHead head;  // of the newest checkpoint, where one could be read
  // Entries after it that are acknowledged; or, in a backup, that a run which was cut short had not
  // come to publish. They are audited, too.
  uint64_t unpublished = 0;
  std::vector<Damage> damages;  // the first of each file; empty: the store is sound
  // The machine went down while it was written, and nobody has opened it for appending since. A
  // torn slot of `checkpoint` is then what an opening mends; so may be the rest that looks like
  // damage, if no opening could be rehearsed. So it is of a copy of such a store, too.
  bool went_down = false;
};

// An error means that the audit could not run (kDenied, kIo, kNotFound: no store, kBusy: a
// commit is under way, or its writer died in it), not damage.
Result<AuditReport> Audit(Disk* disk, const AuditOptions& options);

}  // namespace logcore

#endif  // LOGCORE_POSIX_CHECK_AUDIT_H_
