// Replacements: new files that take the place of damaged ones, so that whenever the machine stops
// each is the old one or the new one, and whole. The old one keeps a second name, NAME.damaged (or
// NAME.damaged.2, ...): it may be evidence. Part of repair (repair.h).
//
// One thread. Tested by tests/crash/repair_test.cc.

#ifndef LOGCORE_POSIX_CHECK_REPLACEMENTS_H_
#define LOGCORE_POSIX_CHECK_REPLACEMENTS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "logcore/posix/disk/disk.h"
#include "logcore/util/result.h"

namespace logcore {

// What a new file is called until it is put in place.
std::string NameOfNew(const std::string& name);

class Replacements {
 public:
  // `names`: files of the log, and `checkpoint`.
  Replacements(Disk* disk, std::set<std::string> names) : disk_(disk), names_(std::move(names)) {}

  // Makes the new files, empty, with the owners and the permissions of the old ones; of `config`
  // where there is none.
  Status Create();
  // Does nothing for names that are not to be replaced. The bytes of segments' indexes come one
  // file after the other: only the newest one is kept open.
  Status Write(const std::string& name, uint64_t offset, std::string_view bytes);
  Status Sync();
  Status PutInPlace();
  // Removes the new files that are not in place: what makes them, or looks at them, has failed.
  void TakeBack();

  // Syncs the directories of all files that may be replaced.
  Status SyncDirectories();

 private:
  Status SetAside(const std::string& name);

  Disk* const disk_;
  const std::set<std::string> names_;
  std::map<std::string, std::unique_ptr<File>> open_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_CHECK_REPLACEMENTS_H_
