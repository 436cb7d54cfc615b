// Adoption: a copied or restored store, or a backup, becomes a store that takes appends where it
// is.
//
// One thread; other processes may try the same, and one of them does it. Tested by
// tests/logcore/posix/check/adopt_test.cc, and by tests/crash/rollback_test.cc.

#ifndef LOGCORE_POSIX_CHECK_ADOPT_H_
#define LOGCORE_POSIX_CHECK_ADOPT_H_

#include <string_view>

#include "logcore/posix/commit/store_options.h"
#include "logcore/posix/disk/disk.h"
#include "logcore/util/result.h"

namespace logcore {

// `newest` is a signed checkpoint, the newest that anybody saw: it must be covered by the store.
// Recovers the store and reads all of it. A refusal changes nothing.
Status Adopt(Disk* disk, std::string_view newest, const StoreOptions& options);

}  // namespace logcore

#endif  // LOGCORE_POSIX_CHECK_ADOPT_H_
