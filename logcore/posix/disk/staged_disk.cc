#include "logcore/posix/disk/staged_disk.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>
#include <utility>

#include "logcore/util/check.h"

namespace logcore {

// A file's bytes as they are to be: those of the disk, under the blocks that were written here.
class StagedDisk::Content {
 public:
  Content() = default;
  static Result<std::shared_ptr<Content>> Of(FilePtr file) {
    const auto content = std::make_shared<Content>();
    ASSIGN_OR_RETURN(content->length_, (*file)->Length());
    content->shown_ = content->length_;
    content->file_ = std::move(file);
    return content;
  }

  uint64_t length() const { return length_; }

  Result<size_t> ReadAt(uint64_t offset, char* out, size_t length) const {
    if (length_ <= offset) return 0;
    length = static_cast<size_t>(std::min<uint64_t>(length, length_ - offset));
    RETURN_IF_ERROR(ReadBelow(offset, out, length));
    for (auto it = blocks_.lower_bound(offset / kBlockLength);
         it != blocks_.end() && it->first * kBlockLength < offset + length; ++it) {
      const uint64_t start = it->first * kBlockLength;
      const uint64_t from = std::max(offset, start);
      const uint64_t to = std::min(offset + length, start + kBlockLength);
      std::memcpy(out + (from - offset), it->second.data() + (from - start), to - from);
    }
    return length;
  }

  Status WriteAt(uint64_t offset, std::string_view bytes) {
    while (!bytes.empty()) {
      ASSIGN_OR_RETURN(std::string* const block, OwnBlock(offset / kBlockLength));
      const uint64_t at = offset % kBlockLength;
      const size_t part = static_cast<size_t>(std::min<uint64_t>(bytes.size(), kBlockLength - at));
      std::memcpy(block->data() + at, bytes.data(), part);
      bytes.remove_prefix(part);
      offset += part;
      length_ = std::max(length_, offset);
    }
    return {};
  }

  Status Cut(uint64_t length) {
    if (length_ <= length) return {};
    if (length % kBlockLength != 0) {
      ASSIGN_OR_RETURN(std::string* const block, OwnBlock(length / kBlockLength));
      std::fill(block->begin() + static_cast<std::ptrdiff_t>(length % kBlockLength), block->end(),
                '\0');
    }
    blocks_.erase(blocks_.lower_bound(RoundUpToBlock(length) / kBlockLength), blocks_.end());
    length_ = length;
    shown_ = std::min(shown_, length);
    return {};
  }

 private:
  // What the disk has of it, and zeros after that.
  Status ReadBelow(uint64_t offset, char* out, size_t length) const {
    size_t there = 0;
    if (offset < shown_) there = static_cast<size_t>(std::min<uint64_t>(length, shown_ - offset));
    size_t done = 0;
    if (there != 0) {
      ASSIGN_OR_RETURN(done, (*file_)->ReadAt(offset, out, there));
    }
    std::memset(out + done, 0, length - done);
    return {};
  }

  Result<std::string*> OwnBlock(uint64_t number) {
    const auto [it, is_new] = blocks_.try_emplace(number);
    if (is_new) {
      it->second.resize(kBlockLength);
      const Status read = ReadBelow(number * kBlockLength, it->second.data(), kBlockLength);
      if (!read.has_value()) {
        blocks_.erase(it);
        return tl::unexpected<Error>(read.error());
      }
    }
    return &it->second;
  }

  FilePtr file_;
  uint64_t length_ = 0;
  uint64_t shown_ = 0;  // so many bytes of the disk's were not cut off
  std::map<uint64_t, std::string> blocks_;
};

// One opening of a file. Its changes are made through one of its own, too: the kernel reports a
// failed write once to each.
class StagedDisk::Opening final : public File {
 public:
  Opening(std::shared_ptr<Content> content, FilePtr file, std::vector<Change>* changes)
      : content_(std::move(content)), file_(std::move(file)), changes_(changes) {}

  Result<size_t> ReadAt(uint64_t offset, char* out, size_t length) const override {
    return content_->ReadAt(offset, out, length);
  }
  Status WriteAt(uint64_t offset, std::string_view bytes) override {
    RETURN_IF_ERROR(content_->WriteAt(offset, bytes));
    changes_->push_back([file = file_, offset, text = std::string(bytes)] {
      return (*file)->WriteAt(offset, text);
    });
    return {};
  }
  Status Allocate(uint64_t length) override {
    changes_->push_back([file = file_, length] { return (*file)->Allocate(length); });
    return {};
  }
  Status Cut(uint64_t length) override {
    RETURN_IF_ERROR(content_->Cut(length));
    changes_->push_back([file = file_, length] { return (*file)->Cut(length); });
    return {};
  }
  Status Sync() override {
    changes_->push_back([file = file_] { return (*file)->Sync(); });
    return {};
  }
  Result<uint64_t> Length() const override { return content_->length(); }
  Result<std::shared_ptr<const char>> Map(uint64_t /*length*/) const override {
    return Fail(Code::kInvalid, "map: what is staged is not in one piece");
  }
  Status Lock(int /*which*/) override { return {}; }
  Result<bool> TryLock(int /*which*/, LockKind /*kind*/) override { return true; }
  void Unlock(int /*which*/) override {}

 private:
  const std::shared_ptr<Content> content_;
  const FilePtr file_;
  std::vector<Change>* const changes_;
};

StagedDisk::StagedDisk(Disk* disk, Access access) : disk_(disk), access_(access) {}
StagedDisk::~StagedDisk() = default;

Status StagedDisk::Apply() {
  CHECK(access_ == Access::kReadWrite);
  for (const Change& change : changes_) RETURN_IF_ERROR(change());
  changes_.clear();
  return {};
}

Result<std::unique_ptr<File>> StagedDisk::Open(const std::string& name, Access access) {
  const auto known = names_.find(name);
  if (known != names_.end() && known->second.content == nullptr) {
    return Fail(Code::kNotFound, "open " + name + ": no such file");
  }
  const auto file = std::make_shared<std::unique_ptr<File>>();
  if (known != names_.end() && !known->second.is_on_disk) {
    changes_.push_back([this, file, name, access]() -> Status {
      ASSIGN_OR_RETURN(*file, disk_->Open(name, access));
      return {};
    });
    return std::make_unique<Opening>(known->second.content, file, &changes_);
  }
  ASSIGN_OR_RETURN(*file, disk_->Open(name, access_ == Access::kRead ? access_ : access));
  if (known == names_.end()) {
    ASSIGN_OR_RETURN(names_[name].content, Content::Of(file));
  }
  return std::make_unique<Opening>(names_[name].content, file, &changes_);
}

Result<std::unique_ptr<File>> StagedDisk::Create(const std::string& name, unsigned mode) {
  const Result<FileInfo> there = Info(name);
  if (there.has_value()) return Fail(Code::kExists, "create " + name + ": it is there");
  if (there.error().code != Code::kNotFound) return tl::unexpected<Error>(there.error());
  const auto file = std::make_shared<std::unique_ptr<File>>();
  changes_.push_back([this, file, name, mode]() -> Status {
    ASSIGN_OR_RETURN(*file, disk_->Create(name, mode));
    return {};
  });
  names_[name] = {std::make_shared<Content>(), false, {.mode = mode}};
  return std::make_unique<Opening>(names_[name].content, file, &changes_);
}

Status StagedDisk::MakeDirectory(const std::string& name, unsigned /*mode*/) {
  return Fail(Code::kInvalid, "make directory " + name + ": it cannot be staged");
}

Status StagedDisk::Link(const std::string& /*from*/, const std::string& to) {
  return Fail(Code::kInvalid, "link " + to + ": it cannot be staged");
}

Status StagedDisk::Rename(const std::string& from, const std::string& to) {
  ASSIGN_OR_RETURN(const FileInfo info, Info(from));
  if (names_.count(from) == 0) RETURN_IF_ERROR(Open(from, Access::kRead));
  changes_.push_back([this, from, to] { return disk_->Rename(from, to); });
  names_[to] = {std::exchange(names_[from], Name()).content, false, info};
  return {};
}

Status StagedDisk::CopyAccess(const std::string& /*from*/, const std::string& to) {
  return Fail(Code::kInvalid, "change the owner of " + to + ": it cannot be staged");
}

Status StagedDisk::Remove(const std::string& name) {
  RETURN_IF_ERROR(Info(name));
  changes_.push_back([this, name] { return disk_->Remove(name); });
  names_[name] = Name();
  return {};
}

Result<std::vector<std::string>> StagedDisk::List(const std::string& directory) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, disk_->List(directory));
  std::set<std::string> found(names.begin(), names.end());
  const std::string prefix = directory.empty() ? "" : directory + "/";
  for (const auto& [path, name] : names_) {
    if (!path.starts_with(prefix) || path.find('/', prefix.size()) != path.npos) continue;
    found.erase(path.substr(prefix.size()));
    if (name.content != nullptr) found.insert(path.substr(prefix.size()));
  }
  return std::vector<std::string>(found.begin(), found.end());
}

Status StagedDisk::SyncDirectory(const std::string& directory) {
  changes_.push_back([this, directory] { return disk_->SyncDirectory(directory); });
  return {};
}

Result<Disk::FileInfo> StagedDisk::Info(const std::string& name) {
  const auto known = names_.find(name);
  if (known == names_.end()) return disk_->Info(name);
  if (known->second.content == nullptr) {
    return Fail(Code::kNotFound, "info of " + name + ": no such file");
  }
  return known->second.is_on_disk ? disk_->Info(name) : known->second.info;
}

}  // namespace logcore
