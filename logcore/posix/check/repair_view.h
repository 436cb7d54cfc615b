// RepairView: a store's disk as it will be once replacements (replacements.h) are in place: the new
// files are found by the names of the old ones. For looking whether the store would be sound before
// any of it is changed. Read-only.
//
// The disk outlives it. One thread. Tested by tests/crash/repair_test.cc.

#ifndef LOGCORE_POSIX_CHECK_REPAIR_VIEW_H_
#define LOGCORE_POSIX_CHECK_REPAIR_VIEW_H_

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "logcore/posix/disk/disk.h"

namespace logcore {

class RepairView final : public Disk {
 public:
  RepairView(Disk* disk, std::set<std::string> replaced)
      : disk_(disk), replaced_(std::move(replaced)) {}

  Result<std::unique_ptr<File>> Open(const std::string& name, Access access) override;
  // The names that the disk has.
  Result<std::vector<std::string>> List(const std::string& directory) override {
    return disk_->List(directory);
  }
  Result<FileInfo> Info(const std::string& name) override { return disk_->Info(NameOnDisk(name)); }
  Result<std::string> FilesystemId() override { return disk_->FilesystemId(); }
  Result<std::string> BootId() override { return disk_->BootId(); }
  int64_t Uptime() override { return disk_->Uptime(); }
  std::string RandomBytes(size_t length) override { return disk_->RandomBytes(length); }

  // All kReadOnly.
  Result<std::unique_ptr<File>> Create(const std::string& name, unsigned mode) override;
  Status MakeDirectory(const std::string& name, unsigned mode) override;
  Status Link(const std::string& from, const std::string& to) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status CopyAccess(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& name) override;
  Status SyncDirectory(const std::string& directory) override;

 private:
  std::string NameOnDisk(const std::string& name) const;

  Disk* const disk_;
  const std::set<std::string> replaced_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_CHECK_REPAIR_VIEW_H_
