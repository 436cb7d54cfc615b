// The program as a function: one command line in, an exit code out.
//
//   exit code   0  done          (check: the store is sound)
//               1  not done      (check: the store is damaged)
//               2                (check: could not run)
//              32                (umount(8)'s helper: not unmounted)
//
// What went wrong is one line on `err`: "tlogfs: WHAT: WHY".
//
// One thread, while no other one runs: mounting forks. Tested by tests/mountd/run_test.cc.

#ifndef MOUNTD_RUN_H_
#define MOUNTD_RUN_H_

#include <string>
#include <vector>

#include "mountd/environment.h"

namespace mountd {

// args[0] is the name that the program was called by: `mount.tlogfs` takes mount(8)'s arguments,
// `umount.tlogfs` umount(8)'s.
// Does not return in the process that serves a mount in the background.
int Run(const std::vector<std::string>& args, Environment& environment);

}  // namespace mountd

#endif  // MOUNTD_RUN_H_
