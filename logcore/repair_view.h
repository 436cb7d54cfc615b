// RepairView: a store's disk as it would be with some files whole: of these it has the length, and
// as many bytes from the start as who reads them needs; all others are the disk's own. For looking,
// before anything is written, whether a store would be sound. Read-only.
//
// The disk outlives it. One thread. Tested by tests/crash/repair_test.cc.

#ifndef LOGCORE_REPAIR_VIEW_H_
#define LOGCORE_REPAIR_VIEW_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "logcore/disk.h"

namespace logcore {

class RepairView final : public Disk {
 public:
  struct Whole {
    std::string start;    // zeros follow
    uint64_t length = 0;  // of the file
  };
  RepairView(Disk* disk, std::map<std::string, Whole> files)
      : disk_(disk), files_(std::move(files)) {}

  Result<std::unique_ptr<File>> Open(const std::string& name, Access access) override;
  Result<std::vector<std::string>> List(const std::string& directory) override {
    return disk_->List(directory);
  }
  Result<FileInfo> Info(const std::string& name) override { return disk_->Info(name); }
  Result<std::string> FilesystemId() override { return disk_->FilesystemId(); }
  Result<std::string> BootId() override { return disk_->BootId(); }
  int64_t Uptime() override { return disk_->Uptime(); }
  std::string RandomBytes(size_t length) override { return disk_->RandomBytes(length); }

  // All kReadOnly.
  Result<std::unique_ptr<File>> Create(const std::string& name, unsigned mode) override;
  Status MakeDirectory(const std::string& name, unsigned mode) override;
  Status Link(const std::string& from, const std::string& to) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& name) override;
  Status SyncDirectory(const std::string& directory) override;

 private:
  Disk* const disk_;
  const std::map<std::string, Whole> files_;
};

}  // namespace logcore

#endif  // LOGCORE_REPAIR_VIEW_H_
