// Backups on simulated machines: what a run of Backup (logcore/posix/check/backup.h) leaves of a
// backup is looked at in every way there is: read, audited, adopted and appended to, backed up into
// again.
//
// Each of these is done on a copy of the machine; what is not as it must be is a Violation. One
// thread. Used by tests/logcore/posix/check/backup_test.cc and tests/crash/backup_crash_test.cc.

#ifndef TESTS_CRASH_BACKUPS_H_
#define TESTS_CRASH_BACKUPS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "logcore/posix/check/backup.h"
#include "tests/crash/world.h"

namespace tlogfs_test {

// A source at some moments of its life, each of them published.
using Moments = std::vector<std::unique_ptr<World>>;
// Of a source that has these sizes in turn.
Moments GrowTo(const std::vector<uint64_t>& sizes);

// One run, in a process of its own on each machine, that ends with it. What is thrown out of it
// kills it.
logcore::Result<logcore::BackupReport> RunBackup(SimDisk* source, SimDisk* dest);
// The same, which must succeed.
void MustBackUp(const World& source, SimDisk* dest);

// Whether a reader finds the backup of that.
bool IsBackupOf(const SimDisk& dest, const World& source);

// What a backup may be of.
struct Possible {
  std::vector<const World*> worlds;  // The last one is the source, now.
  bool may_be_none = false;          // The first run may not have been done.
  // The power was cut: a reader may have to wait until somebody has put it right.
  bool may_be_busy = false;
};

// A reader finds one of them, whole; the audit does, if nobody was asked to wait; it can be
// adopted, and then appended to; and a further run makes it the newest one, to the last byte.
void CheckBackup(const SimDisk& dest, const Possible& possible, uint64_t seed);
// `tlogfs adopt` with the checkpoint of the oldest one.
logcore::Status AdoptBackup(SimDisk* dest, const Possible& possible);
// It can be adopted, is one of them then, to the last byte, and takes appends.
void CheckAdoption(const SimDisk& dest, const Possible& possible, uint64_t seed);
// It is the backup of that, to the last byte, and stays so if the power is cut.
void CheckDone(const SimDisk& dest, const World& source, uint64_t seed);

}  // namespace tlogfs_test

#endif  // TESTS_CRASH_BACKUPS_H_
