// TentativeDisk: a Disk that passes everything on to another one, and can take back what was made
// through it: for who makes many files, and must leave nothing if one of them cannot be made.
//
// One thread. Tested by tests/logcore/posix/commit/store_init_test.cc.

#ifndef LOGCORE_POSIX_DISK_TENTATIVE_DISK_H_
#define LOGCORE_POSIX_DISK_TENTATIVE_DISK_H_

#include <memory>
#include <string>
#include <vector>

#include "logcore/posix/disk/disk.h"

namespace logcore {

class TentativeDisk final : public Disk {
 public:
  // The disk outlives this.
  explicit TentativeDisk(Disk* disk) : disk_(disk) {}

  // Removes every file and directory that was made through this and still has its name. The newest
  // goes first, durably: it says that the others are complete. What cannot be removed stays.
  void TakeBack();

  Result<std::unique_ptr<File>> Open(const std::string& name, Access access) override {
    return disk_->Open(name, access);
  }
  Result<std::unique_ptr<File>> Create(const std::string& name, unsigned mode) override {
    return Noted(disk_->Create(name, mode), name);
  }
  Status MakeDirectory(const std::string& name, unsigned mode) override {
    return Noted(disk_->MakeDirectory(name, mode), name);
  }
  Status Link(const std::string& from, const std::string& to) override {
    return disk_->Link(from, to);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    return disk_->Rename(from, to);
  }
  Status CopyAccess(const std::string& from, const std::string& to) override {
    return disk_->CopyAccess(from, to);
  }
  Status Remove(const std::string& name) override { return disk_->Remove(name); }
  Result<std::vector<std::string>> List(const std::string& directory) override {
    return disk_->List(directory);
  }
  Status SyncDirectory(const std::string& directory) override {
    return disk_->SyncDirectory(directory);
  }
  Result<FileInfo> Info(const std::string& name) override { return disk_->Info(name); }
  Result<std::string> FilesystemId() override { return disk_->FilesystemId(); }
  Result<std::string> BootId() override { return disk_->BootId(); }
  int64_t Uptime() override { return disk_->Uptime(); }
  std::string RandomBytes(size_t length) override { return disk_->RandomBytes(length); }

 private:
  // An operation that failed may have happened, unless something was there already.
  template <typename Made>
  Made Noted(Made made, const std::string& name) {
    if (made.has_value() || made.error().code != Code::kExists) made_.push_back(name);
    return made;
  }

  Disk* const disk_;
  std::vector<std::string> made_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_DISK_TENTATIVE_DISK_H_
