#include "logcore/replacements.h"

namespace logcore {
namespace {

constexpr unsigned kFileMode = 0644;
constexpr int kMaxSetAside = 1000;  // damaged files of one name
constexpr std::string_view kIndexSuffix = ".index";

std::string NewName(const std::string& name) {
  return name + ".repaired";
}

// An empty file; one that a repair left that was cut short, if there is one.
Result<std::unique_ptr<File>> MakeEmpty(Disk* disk, const std::string& name, unsigned mode) {
  Result<std::unique_ptr<File>> file = disk->Create(name, mode);
  if (file.has_value() || file.error().code != Code::kExists) return file;
  ASSIGN_OR_RETURN(std::unique_ptr<File> old, disk->Open(name, Access::kReadWrite));
  RETURN_IF_ERROR(old->Cut(0));
  return old;
}

}  // namespace

Status Replacements::Create() {
  for (const std::string& name : names_) {
    const Result<Disk::FileInfo> old = disk_->Info(name);
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                     MakeEmpty(disk_, NewName(name), old.has_value() ? old->mode : kFileMode));
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
    ASSIGN_OR_RETURN(open_[name], disk_->Open(NewName(name), Access::kReadWrite));
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
    RETURN_IF_ERROR(disk_->Rename(NewName(name), name));
  }
  return SyncDirectories();
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
