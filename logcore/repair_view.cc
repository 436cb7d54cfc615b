#include "logcore/repair_view.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace logcore {
namespace {

tl::unexpected<Error> FailReadOnly(const std::string& name) {
  return Fail(Code::kReadOnly, name + ": is only looked at");
}

class WholeFile final : public File {
 public:
  WholeFile(std::string name, RepairView::Whole whole)
      : name_(std::move(name)), whole_(std::move(whole)) {}

  Result<size_t> ReadAt(uint64_t offset, char* out, size_t length) const override {
    if (whole_.length <= offset) return 0;
    length = std::min<uint64_t>(length, whole_.length - offset);
    std::memset(out, 0, length);
    if (offset < whole_.start.size()) whole_.start.copy(out, length, offset);
    return length;
  }
  Result<uint64_t> Length() const override { return whole_.length; }
  Status WriteAt(uint64_t, std::string_view) override { return FailReadOnly(name_); }
  Status Allocate(uint64_t) override { return FailReadOnly(name_); }
  Status Cut(uint64_t) override { return FailReadOnly(name_); }
  Status Sync() override { return FailReadOnly(name_); }
  Result<std::shared_ptr<const char>> Map(uint64_t) const override { return FailReadOnly(name_); }
  Status Lock(int) override { return FailReadOnly(name_); }
  Result<bool> TryLock(int, LockKind) override { return FailReadOnly(name_); }
  void Unlock(int) override {}

 private:
  const std::string name_;
  const RepairView::Whole whole_;
};

}  // namespace

Result<std::unique_ptr<File>> RepairView::Open(const std::string& name, Access access) {
  if (access != Access::kRead) return FailReadOnly(name);
  const auto found = files_.find(name);
  if (found == files_.end()) return disk_->Open(name, access);
  return std::make_unique<WholeFile>(name, found->second);
}

Result<std::unique_ptr<File>> RepairView::Create(const std::string& name, unsigned) {
  return FailReadOnly(name);
}
Status RepairView::MakeDirectory(const std::string& name, unsigned) {
  return FailReadOnly(name);
}
Status RepairView::Link(const std::string& from, const std::string&) {
  return FailReadOnly(from);
}
Status RepairView::Rename(const std::string& from, const std::string&) {
  return FailReadOnly(from);
}

Status RepairView::Remove(const std::string& name) {
  return FailReadOnly(name);
}
Status RepairView::SyncDirectory(const std::string& directory) {
  return FailReadOnly(directory);
}

}  // namespace logcore
