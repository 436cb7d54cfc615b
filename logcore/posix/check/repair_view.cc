#include "logcore/posix/check/repair_view.h"

#include "logcore/posix/check/replacements.h"

namespace logcore {
namespace {

tl::unexpected<Error> FailReadOnly(const std::string& name) {
  return Fail(Code::kReadOnly, name + ": is only looked at");
}

}  // namespace

std::string RepairView::NameOnDisk(const std::string& name) const {
  return replaced_.count(name) != 0 ? NameOfNew(name) : name;
}

Result<std::unique_ptr<File>> RepairView::Open(const std::string& name, Access access) {
  if (access != Access::kRead) return FailReadOnly(name);
  return disk_->Open(NameOnDisk(name), access);
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

Status RepairView::CopyAccess(const std::string&, const std::string& to) {
  return FailReadOnly(to);
}
Status RepairView::Remove(const std::string& name) {
  return FailReadOnly(name);
}
Status RepairView::SyncDirectory(const std::string& directory) {
  return FailReadOnly(directory);
}

}  // namespace logcore
