// PosixDisk: a Disk that is a real directory. The only code that opens, writes, syncs, renames or
// removes files. It finishes short writes and repeats EINTR; it never repeats a sync that failed.
// Paths are resolved below the directory that was opened, so a rename of the store does not confuse
// it.
//
// Locks are open-file-description locks (fcntl F_OFD_SETLKW), one byte each: different openings
// exclude each other even inside one process, and a killed process lets go.
//
// Threads: as disk.h says. Tested by tests/logcore/posix/disk/posix_disk_test.cc and
// posix_error_test.cc.

#ifndef LOGCORE_POSIX_DISK_POSIX_DISK_H_
#define LOGCORE_POSIX_DISK_POSIX_DISK_H_

#include <memory>
#include <string>

#include "logcore/posix/disk/disk.h"

namespace logcore {

// The directory must exist. kNotFound, kDenied, kInvalid (not a directory).
Result<std::unique_ptr<Disk>> OpenPosixDisk(const std::string& directory);

}  // namespace logcore

#endif  // LOGCORE_POSIX_DISK_POSIX_DISK_H_
