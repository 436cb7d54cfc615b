// The directory that `init` and `backup` put a store into.
//
// One thread. Tested by tests/mountd/init_test.cc and tests/mountd/run_test.cc.

#ifndef MOUNTD_STORE_DIRECTORY_H_
#define MOUNTD_STORE_DIRECTORY_H_

#include <memory>
#include <optional>
#include <string>

#include "logcore/posix/disk/disk.h"
#include "logcore/posix/disk/tentative_disk.h"
#include "logcore/util/result.h"

namespace mountd {

class StoreDirectory {
 public:
  // Makes the directory, if it is not there yet, so that a power cut does not lose it again. The
  // directory that it is in is read only then: it may be closed to the user whose store this is.
  logcore::Status Make(const std::string& store);
  // Removes the directory, if it was made by this and is empty.
  void TakeBack();

 private:
  std::unique_ptr<logcore::Disk> parent_;
  std::optional<logcore::TentativeDisk> made_in_;
};

}  // namespace mountd

#endif  // MOUNTD_STORE_DIRECTORY_H_
