#include "logcore/posix/check/replacements.h"

namespace logcore {
namespace {

constexpr unsigned kModeOfNew = 0600;  // until it has the old file's
constexpr char kExample[] = "config";  // every store has one, which all who read it can read
constexpr int kMaxSetAside = 1000;     // damaged files of one name
constexpr std::string_view kIndexSuffix = ".index";

// A new file, in the place of one that a repair has left that was cut short.
Result<std::unique_ptr<File>> Make(Disk* disk, const std::string& name) {
  Result<std::unique_ptr<File>> file = disk->Create(name, kModeOfNew);
  if (file.has_value() || file.error().code != Code::kExists) return file;
  RETURN_IF_ERROR(disk->Remove(name));
  return disk->Create(name, kModeOfNew);
}

}  // namespace

std::string NameOfNew(const std::string& name) {
  return name + ".repaired";
}

Status Replacements::Create() {
  for (const std::string& name : names_) {
    const Result<Disk::FileInfo> old = disk_->Info(name);
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file, Make(disk_, NameOfNew(name)));
    const std::string example = old.has_value() ? name : kExample;
    RETURN_IF_ERROR(disk_->CopyAccess(example, NameOfNew(name)));
    RETURN_IF_ERROR(file->Sync());
  }
  return {};
}

Status Replacements::Write(const std::string& name, uint64_t offset, std::string_view bytes) {
  if (names_.count(name) == 0) return {};
  if (open_.count(name) == 0) {
    for (auto other = open_.begin(); other != open_.end();) {
      if (!name.ends_with(kIndexSuffix) || !other->first.ends_with(kIndexSuffix)) {
        ++other;
        continue;
      }
      RETURN_IF_ERROR(other->second->Sync());
      other = open_.erase(other);
    }
    ASSIGN_OR_RETURN(open_[name], disk_->Open(NameOfNew(name), Access::kReadWrite));
  }
  return open_[name]->WriteAt(offset, bytes);
}

Status Replacements::Sync() {
  for (const auto& [name, file] : open_) RETURN_IF_ERROR(file->Sync());
  open_.clear();
  return {};
}

// The second names are on the disk before the first ones change: a power cut may keep any of the
// changes that were not synced, and must not take the old file away.
Status Replacements::PutInPlace() {
  for (const std::string& name : names_) RETURN_IF_ERROR(SetAside(name));
  RETURN_IF_ERROR(SyncDirectories());
  for (const std::string& name : names_) {
    RETURN_IF_ERROR(disk_->Rename(NameOfNew(name), name));
  }
  return SyncDirectories();
}

void Replacements::TakeBack() {
  open_.clear();
  for (const std::string& name : names_) static_cast<void>(disk_->Remove(NameOfNew(name)));
}

Status Replacements::SetAside(const std::string& name) {
  for (int i = 1; i <= kMaxSetAside; ++i) {
    const std::string suffix = i == 1 ? "" : "." + std::to_string(i);
    const Status linked = disk_->Link(name, name + ".damaged" + suffix);
    if (linked.has_value() || linked.error().code == Code::kNotFound) return {};
    if (linked.error().code != Code::kExists) return linked;
  }
  return Fail(Code::kExists, name + ".damaged: there are too many of these; move them away");
}

Status Replacements::SyncDirectories() {
  for (const char* directory : {"entries", "hashes", ""}) {
    RETURN_IF_ERROR(disk_->SyncDirectory(directory));
  }
  return {};
}

}  // namespace logcore
