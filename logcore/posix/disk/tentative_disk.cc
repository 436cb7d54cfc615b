#include "logcore/posix/disk/tentative_disk.h"

#include <utility>

namespace logcore {

void TentativeDisk::TakeBack() {
  bool is_newest = true;
  std::vector<std::string> made = std::exchange(made_, {});
  for (; !made.empty(); made.pop_back()) {
    // There is nobody to be told of an error: who calls this has one already.
    static_cast<void>(disk_->Remove(made.back()));
    if (std::exchange(is_newest, false)) static_cast<void>(disk_->SyncDirectory(""));
  }
  static_cast<void>(disk_->SyncDirectory(""));
}

}  // namespace logcore
