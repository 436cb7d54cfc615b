// The commands, a file each. They return the exit code, or the error that Run prints on its line.
//
// One thread, while no other one runs: mounting forks. Tested by tests/mountd/run_test.cc,
// init_test.cc and message_test.cc there, and with real mounts by tests/mount/lifecycle_test.py and
// tests/mount/umount_test.py.

#ifndef MOUNTD_COMMANDS_H_
#define MOUNTD_COMMANDS_H_

#include "logcore/util/result.h"
#include "mountd/command_line.h"
#include "mountd/environment.h"

namespace mountd {

logcore::Result<int> Init(const InitCommand& command, Environment& environment);
logcore::Result<int> Mount(const MountCommand& command, Environment& environment);
logcore::Result<int> Unmount(const UnmountCommand& command, Environment& environment);
logcore::Result<int> Check(const CheckCommand& command, Environment& environment);
logcore::Result<int> Backup(const BackupCommand& command, Environment& environment);
logcore::Result<int> Adopt(const AdoptCommand& command, Environment& environment);
logcore::Result<int> Repair(const RepairCommand& command, Environment& environment);

}  // namespace mountd

#endif  // MOUNTD_COMMANDS_H_
