// What a process sees of the simulated disk: its files and names, in the page cache.

#include <algorithm>

#include "tests/support/sim_disk.h"

namespace tlogfs_test {

using logcore::Access;
using logcore::Code;
using logcore::Error;
using logcore::Fail;
using logcore::File;
using logcore::LockKind;
using logcore::Result;
using logcore::Status;

class SimFile : public File {
 public:
  SimFile(SimDisk* machine, std::shared_ptr<SimProcess::State> process, std::string name,
          uint64_t inode, Access access)
      : machine_(machine),
        process_(std::move(process)),
        name_(std::move(name)),
        inode_(inode),
        access_(access),
        errors_seen_(machine->inodes_[inode].sync_errors) {}

  ~SimFile() override { machine_->ReleaseLocks(process_.get(), this); }

  Result<size_t> ReadAt(uint64_t offset, char* out, size_t length) const override {
    const auto verdict = Begin(SimKind::kRead);
    if (verdict.error) return tl::unexpected<Error>(*verdict.error);
    const std::lock_guard lock(machine_->mutex_);
    return machine_->inodes_[inode_].cache.Read(offset, out, length);
  }

  Status WriteAt(uint64_t offset, std::string_view bytes) override {
    if (access_ == Access::kRead) return Fail(Code::kDenied, "write " + name_ + ": opened to read");
    const auto verdict = Begin(SimKind::kWrite, offset, bytes);
    if (verdict.ignored) return {};
    if (verdict.delay != 0) {
      return Later(verdict.delay,
                   [machine = machine_, inode = inode_, offset, text = std::string(bytes)] {
                     static_cast<void>(machine->Write(inode, offset, text));
                   });
    }
    const std::lock_guard lock(machine_->mutex_);
    if (verdict.error && verdict.outcome == SimDisk::Outcome::kHalf) {
      bytes = bytes.substr(0, bytes.size() / 2);
    }
    if (!verdict.error || verdict.outcome != SimDisk::Outcome::kNotHappened) {
      RETURN_IF_ERROR(machine_->Write(inode_, offset, bytes));
    }
    return verdict.End();
  }

  Status Allocate(uint64_t length) override {
    const auto verdict = Begin(SimKind::kAllocate);
    if (verdict.ignored) return {};
    const std::lock_guard lock(machine_->mutex_);
    SimDisk::Inode& inode = machine_->inodes_[inode_];
    if (!verdict.error || verdict.outcome == SimDisk::Outcome::kHappened) {
      if (!machine_->HasRoom(inode, SimBlockCount(length))) {
        return Fail(Code::kNoSpace, "allocate " + name_ + ": disk full");
      }
      inode.reserved_blocks = std::max(inode.reserved_blocks, SimBlockCount(length));
    }
    return verdict.End();
  }

  Status Cut(uint64_t length) override {
    const auto verdict = Begin(SimKind::kCut);
    if (verdict.ignored) return {};
    const std::lock_guard lock(machine_->mutex_);
    SimDisk::Inode& inode = machine_->inodes_[inode_];
    if (!verdict.error || verdict.outcome == SimDisk::Outcome::kHappened) {
      inode.reserved_blocks = 0;
      if (length < inode.cache.length()) {
        SimDisk::CutOff(length, &inode.cache);
        inode.writes.push_back({++machine_->time_, length, nullptr});
      }
    }
    return verdict.End();
  }

  Status Sync() override {
    const auto verdict = Begin(SimKind::kSync, NewestWrite());
    if (verdict.ignored) return {};
    if (verdict.delay != 0) {
      return Later(verdict.delay, [machine = machine_, inode = inode_] {
        machine->SyncInode(&machine->inodes_[inode]);
      });
    }
    const std::lock_guard lock(machine_->mutex_);
    SimDisk::Inode& inode = machine_->inodes_[inode_];
    if (process_->dead) return verdict.End();
    if (verdict.error && verdict.outcome != SimDisk::Outcome::kHappened) {
      // The pages are clean now, whatever is on the disk.
      inode.writes.clear();
      inode.clean = inode.cache;
      errors_seen_ = ++inode.sync_errors;
      return verdict.End();
    }
    machine_->SyncInode(&inode);
    if (errors_seen_ < inode.sync_errors) {
      errors_seen_ = inode.sync_errors;
      return Fail(Code::kIo, "sync " + name_ + ": an earlier write-back failed");
    }
    return verdict.End();
  }

  Result<uint64_t> Length() const override {
    const auto verdict = Begin(SimKind::kRead);
    if (verdict.error) return tl::unexpected<Error>(*verdict.error);
    const std::lock_guard lock(machine_->mutex_);
    return machine_->inodes_[inode_].cache.length();
  }

  // The bytes as they are now: nobody writes them any more.
  Result<std::shared_ptr<const char>> Map(uint64_t length) const override {
    const auto verdict = Begin(SimKind::kRead);
    if (verdict.error) return tl::unexpected<Error>(*verdict.error);
    const std::lock_guard lock(machine_->mutex_);
    const SimBytes& cache = machine_->inodes_[inode_].cache;
    if (cache.length() < length) return Fail(Code::kInvalid, "map " + name_ + ": it is shorter");
    const auto bytes = std::make_shared<std::string>(length, '\0');
    cache.Read(0, bytes->data(), length);
    return std::shared_ptr<const char>(bytes, bytes->data());
  }

  Status Lock(int which) override {
    return machine_->Lock({this, process_, std::this_thread::get_id()}, name_, inode_, which);
  }
  Result<bool> TryLock(int which, LockKind kind) override {
    if (process_->dead) return Fail(Code::kIo, "the process is dead");
    return machine_->TryLock({this, process_, std::this_thread::get_id()}, inode_, which, kind);
  }
  void Unlock(int which) override { machine_->Unlock(this, inode_, which); }

 private:
  Status Later(uint64_t operations, std::function<void()> operation) {
    process_->delayed.push_back({process_->operations + 1 + operations, std::move(operation)});
    return {};
  }
  uint64_t NewestWrite() const {
    const std::lock_guard lock(machine_->mutex_);
    return machine_->inodes_[inode_].newest_write;
  }
  SimDisk::Verdict Begin(SimKind kind, uint64_t offset = 0, std::string_view bytes = {}) const {
    return machine_->Begin(process_.get(), kind, name_, offset, bytes);
  }
  SimDisk* const machine_;
  const std::shared_ptr<SimProcess::State> process_;
  const std::string name_;
  const uint64_t inode_;
  const Access access_;
  uint64_t errors_seen_;  // of Inode::sync_errors
};

void SimProcess::Kill() {
  state_->dead = true;
  machine_->ReleaseLocks(state_.get(), nullptr);
}

Result<std::unique_ptr<File>> SimProcess::Open(const std::string& name, Access access) {
  const auto verdict = machine_->Begin(state_.get(), SimKind::kRead, name);
  if (verdict.error) return tl::unexpected<Error>(*verdict.error);
  const std::lock_guard lock(machine_->mutex_);
  const std::optional<uint64_t> inode = machine_->Find(name);
  if (!inode) return Fail(Code::kNotFound, "open " + name + ": no such file");
  const SimDisk::Inode& found = machine_->inodes_[*inode];
  if (found.is_directory) return Fail(Code::kInvalid, "open " + name + ": a directory");
  if ((found.mode & (access == Access::kRead ? 0400 : 0200)) == 0) {
    return Fail(Code::kDenied, "open " + name + ": permission denied");
  }
  return std::make_unique<SimFile>(machine_, state_, name, *inode, access);
}

Result<std::unique_ptr<File>> SimProcess::Create(const std::string& name, unsigned mode) {
  const auto verdict = machine_->Begin(state_.get(), SimKind::kCreate, name);
  const std::lock_guard lock(machine_->mutex_);
  if (verdict.error && verdict.outcome != SimDisk::Outcome::kHappened) {
    return tl::unexpected<Error>(*verdict.error);
  }
  ASSIGN_OR_RETURN(const uint64_t inode, machine_->Make(name, mode, false));
  if (verdict.error) return tl::unexpected<Error>(*verdict.error);
  return std::make_unique<SimFile>(machine_, state_, name, inode, Access::kReadWrite);
}

Status SimProcess::MakeDirectory(const std::string& name, unsigned mode) {
  const auto verdict = machine_->Begin(state_.get(), SimKind::kMakeDirectory, name);
  const std::lock_guard lock(machine_->mutex_);
  if (!verdict.error || verdict.outcome == SimDisk::Outcome::kHappened) {
    ASSIGN_OR_RETURN([[maybe_unused]] const uint64_t inode, machine_->Make(name, mode, true));
  }
  return verdict.End();
}

Status SimProcess::Link(const std::string& from, const std::string& to) {
  return machine_->NameAnew(state_.get(), SimKind::kLink, from, to);
}

Status SimProcess::Rename(const std::string& from, const std::string& to) {
  return machine_->NameAnew(state_.get(), SimKind::kRename, from, to);
}

// The store links and renames within a directory only.
Status SimDisk::NameAnew(SimProcess::State* process, SimKind kind, const std::string& from,
                         const std::string& to) {
  const bool is_link = kind == SimKind::kLink;
  const auto verdict = Begin(process, kind, from);
  if (verdict.ignored) return {};
  const std::lock_guard lock(mutex_);
  if (!verdict.error || verdict.outcome == Outcome::kHappened) {
    const std::string what = (is_link ? "link " : "rename ") + from;
    std::string from_replay_point, to_replay_point;
    Inode* const directory = FindParent(from, &from_replay_point);
    const std::optional<uint64_t> inode = Find(from);
    if (directory == nullptr || !inode) return Fail(Code::kNotFound, what);
    if (FindParent(to, &to_replay_point) != directory) {
      return Fail(Code::kInvalid, what + " to " + to + ": another directory");
    }
    if (is_link) {
      if (directory->cache_names.count(to_replay_point) != 0)
        return Fail(Code::kExists, what + " to " + to);
    } else {
      directory->cache_names.erase(from_replay_point);
    }
    directory->cache_names[to_replay_point] = *inode;
    directory->names.push_back(
        {++time_, to_replay_point, *inode, is_link ? "" : from_replay_point});
  }
  return verdict.End();
}

Status SimProcess::Remove(const std::string& name) {
  const auto verdict = machine_->Begin(state_.get(), SimKind::kRemove, name);
  if (verdict.ignored) return {};
  const std::lock_guard lock(machine_->mutex_);
  if (!verdict.error || verdict.outcome == SimDisk::Outcome::kHappened) {
    std::string base;
    SimDisk::Inode* directory = machine_->FindParent(name, &base);
    const std::optional<uint64_t> inode = machine_->Find(name);
    if (directory == nullptr || !inode) return Fail(Code::kNotFound, "remove " + name);
    SimDisk::Inode& removed = machine_->inodes_[*inode];
    if (!removed.cache_names.empty()) {
      return Fail(Code::kExists, "remove " + name + ": not empty");
    }
    removed.removed = true;
    directory->cache_names.erase(base);
    directory->names.push_back({++machine_->time_, "", *inode, base});
  }
  return verdict.End();
}

Result<std::vector<std::string>> SimProcess::List(const std::string& directory) {
  const auto verdict = machine_->Begin(state_.get(), SimKind::kRead, directory);
  if (verdict.error) return tl::unexpected<Error>(*verdict.error);
  const std::lock_guard lock(machine_->mutex_);
  const std::optional<uint64_t> inode = machine_->Find(directory);
  if (!inode || !machine_->inodes_[*inode].is_directory) {
    return Fail(Code::kNotFound, "list " + directory + ": no such directory");
  }
  std::vector<std::string> names;
  for (const auto& [name, number] : machine_->inodes_[*inode].cache_names) names.push_back(name);
  return names;
}

Status SimProcess::SyncDirectory(const std::string& directory) {
  const auto verdict = machine_->Begin(state_.get(), SimKind::kSyncDirectory, directory);
  if (verdict.ignored) return {};
  if (verdict.delay != 0) {
    state_->delayed.push_back(
        {state_->operations + 1 + verdict.delay, [machine = machine_, directory] {
           SimDisk::Inode& found = machine->inodes_[machine->Find(directory).value()];
           found.disk_names = found.cache_names;
           found.names.clear();
         }});
    return {};
  }
  const std::lock_guard lock(machine_->mutex_);
  const std::optional<uint64_t> inode = machine_->Find(directory);
  if (!inode || !machine_->inodes_[*inode].is_directory) {
    return Fail(Code::kNotFound, "sync directory " + directory);
  }
  if (!verdict.error || verdict.outcome == SimDisk::Outcome::kHappened) {
    SimDisk::Inode& found = machine_->inodes_[*inode];
    found.disk_names = found.cache_names;
    found.names.clear();
  }
  return verdict.End();
}

Result<logcore::Disk::FileInfo> SimProcess::Info(const std::string& name) {
  const auto verdict = machine_->Begin(state_.get(), SimKind::kRead, name);
  if (verdict.error) return tl::unexpected<Error>(*verdict.error);
  const std::lock_guard lock(machine_->mutex_);
  const std::optional<uint64_t> inode = machine_->Find(name);
  if (!inode) return Fail(Code::kNotFound, "info of " + name + ": no such file");
  const SimDisk::Inode& found = machine_->inodes_[*inode];
  return FileInfo{.mode = found.mode, .inode = *inode, .birth = found.birth};
}

Status SimProcess::CopyAccess(const std::string& from, const std::string& to) {
  if (state_->dead) return Fail(Code::kIo, "the process is dead");
  const std::lock_guard lock(machine_->mutex_);
  const std::optional<uint64_t> source = machine_->Find(from);
  const std::optional<uint64_t> target = machine_->Find(to);
  if (!source || !target) return Fail(Code::kNotFound, "access of " + from + " to " + to);
  machine_->inodes_[*target].mode = machine_->inodes_[*source].mode;
  return {};
}

Result<std::string> SimProcess::FilesystemId() {
  if (state_->dead) return Fail(Code::kIo, "the process is dead");
  return std::string("uuid:simulated");
}

Result<std::string> SimProcess::BootId() {
  if (state_->dead) return Fail(Code::kIo, "the process is dead");
  std::string id = std::to_string(machine_->boot_);
  return std::string(16 - id.size(), 'b') + id;
}

// Time stands still here, but for the clock that a test sets.
int64_t SimProcess::Uptime() {
  return 0;
}

std::string SimProcess::RandomBytes(size_t length) {
  const std::lock_guard lock(machine_->mutex_);
  SimRandom random(machine_->random_state_++);
  std::string bytes(length, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.Next());
  return bytes;
}

}  // namespace tlogfs_test
