// StagedDisk: a view of another Disk in which changes are kept in memory. What is read is as if
// they had been made; Apply makes them, in the order in which they came. So all that a recovery
// would do can be looked at, and refused, before anything is changed.
//
// Locks are not taken through it: who stages changes to a store holds its locks, from before the
// first thing is read until Apply has returned.
//
// What is staged takes memory: twice what is written. One thread. Tested by
// tests/logcore/posix/disk/staged_disk_test.cc.

#ifndef LOGCORE_POSIX_DISK_STAGED_DISK_H_
#define LOGCORE_POSIX_DISK_STAGED_DISK_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "logcore/posix/disk/disk.h"
#include "logcore/util/result.h"

namespace logcore {

class StagedDisk final : public Disk {
 public:
  // The files of `disk`, which outlives this, are opened with at most `access`: with kRead the
  // changes can be looked at and never be applied.
  StagedDisk(Disk* disk, Access access);
  ~StagedDisk() override;

  // Makes the changes. After an error some of them may have been made, in their order: it is as if
  // the process had died in the midst of them. To be called once, with nothing staged after it.
  Status Apply();

  Result<std::unique_ptr<File>> Open(const std::string& name, Access access) override;
  Result<std::unique_ptr<File>> Create(const std::string& name, unsigned mode) override;
  Status MakeDirectory(const std::string& name, unsigned mode) override;  // not staged: kInvalid
  Status Link(const std::string& from, const std::string& to) override;   // not staged: kInvalid
  Status Rename(const std::string& from, const std::string& to) override;
  Status CopyAccess(const std::string& from, const std::string& to) override;  // not staged
  Status Remove(const std::string& name) override;                             // a file
  Result<std::vector<std::string>> List(const std::string& directory) override;
  Status SyncDirectory(const std::string& directory) override;
  Result<FileInfo> Info(const std::string& name) override;
  Result<std::string> FilesystemId() override { return disk_->FilesystemId(); }
  Result<std::string> BootId() override { return disk_->BootId(); }
  int64_t Uptime() override { return disk_->Uptime(); }
  std::string RandomBytes(size_t length) override { return disk_->RandomBytes(length); }

 private:
  class Content;
  class Opening;
  using Change = std::function<Status()>;
  using FilePtr = std::shared_ptr<std::unique_ptr<File>>;  // null until Apply has made the file
  struct Name {
    std::shared_ptr<Content> content;  // null: it has no such name any more
    bool is_on_disk = true;            // by this name; if not, Apply makes it
    FileInfo info = {};                // if it is not
  };

  Disk* const disk_;
  const Access access_;
  std::map<std::string, Name> names_;  // that were opened, created or renamed
  std::vector<Change> changes_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_DISK_STAGED_DISK_H_
