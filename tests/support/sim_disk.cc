#include "tests/support/sim_disk.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "logcore/util/check.h"

namespace tlogfs_test {

using logcore::Code;
using logcore::Error;
using logcore::Fail;
using logcore::Result;
using logcore::Status;

namespace {

// More unsynced writes to a file than this, and the kernel starts to write them back, oldest first.
constexpr size_t kMaxPendingWrites = 64;

std::string Describe(SimKind kind, std::string_view name) {
  return std::string(SimKindName(kind)) + " " + std::string(name);
}

}  // namespace

std::string_view SimKindName(SimKind kind) {
  switch (kind) {
    case SimKind::kCreate:
      return "create";
    case SimKind::kMakeDirectory:
      return "make directory";
    case SimKind::kLink:
      return "link";
    case SimKind::kRename:
      return "rename";
    case SimKind::kRemove:
      return "remove";
    case SimKind::kSyncDirectory:
      return "sync directory";
    case SimKind::kWrite:
      return "write";
    case SimKind::kAllocate:
      return "allocate";
    case SimKind::kCut:
      return "cut";
    case SimKind::kSync:
      return "sync";
    case SimKind::kRead:
      return "read";
  }
  return "?";
}

uint64_t SimRandom::Next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

SimDisk::SimDisk() : inodes_(1) {
  inodes_[0].is_directory = true;
  inodes_[0].mode = 0755;
}

SimDisk::SimDisk(const SimDisk& other)
    : inodes_(other.inodes_),
      boot_(other.boot_),
      random_state_(other.random_state_),
      time_(other.time_),
      capacity_blocks_(other.capacity_blocks_),
      operations_(other.operations_),
      ignored_(other.ignored_),
      delayed_(other.delayed_) {}

std::unique_ptr<SimProcess> SimDisk::NewProcess() {
  std::unique_ptr<SimProcess> process(new SimProcess(this));
  processes_.push_back(process->state_);
  return process;
}

std::unique_ptr<SimDisk> SimDisk::Clone() const {
  const std::lock_guard lock(mutex_);
  return std::unique_ptr<SimDisk>(new SimDisk(*this));
}

void SimDisk::Observe(std::function<void(const SimOperation&)> observer) {
  observer_ = std::move(observer);
}

void SimDisk::FailOperation(uint64_t number, Code code, Outcome outcome) {
  faults_.push_back({number, code, outcome});
}

SimDisk::Verdict SimDisk::Begin(SimProcess::State* process, SimKind kind, std::string_view name,
                                uint64_t offset, std::string_view bytes) {
  Verdict verdict;
  if (process->dead) {
    verdict.error = Error{Code::kIo, "the process is dead"};
    verdict.outcome = Outcome::kNotHappened;
    return verdict;
  }
  if (kind == SimKind::kRead && !count_reads_) return verdict;
  SimOperation operation{kind, name, offset, bytes, 0, 0, &process->mark};
  {
    const std::lock_guard lock(mutex_);
    operation.number = ++operations_;
    operation.of_process = ++process->operations;
  }
  if (observer_) observer_(operation);
  if (operation.number == crash_at_) {
    if (kind == SimKind::kWrite && crash_blocks_ != 0) {
      const uint64_t end = (offset / kSimBlock + crash_blocks_) * kSimBlock;
      WritePart(operation, static_cast<size_t>(std::min<uint64_t>(bytes.size(), end - offset)));
    }
    process->dead = true;
    ReleaseLocks(process, nullptr);
    throw SimCrash();
  }
  DoDelayed(process);
  for (const Fault& fault : faults_) {
    if (fault.number != operation.number) continue;
    verdict.error = Error{fault.code, Describe(kind, name) + ": simulated failure"};
    verdict.outcome = fault.outcome;
    return verdict;
  }
  for (const Predicate& ignored : ignored_) verdict.ignored |= ignored(operation);
  for (const auto& [delayed, operations] : delayed_) {
    if (delayed(operation)) verdict.delay = operations;
  }
  return verdict;
}

void SimDisk::DoDelayed(SimProcess::State* process) {
  std::erase_if(process->delayed, [&](const SimProcess::Delayed& delayed) {
    if (process->operations < delayed.due) return false;
    delayed.operation();
    return true;
  });
}

SimDisk::Predicate SimDisk::Matching(SimKind kind, const std::string& pattern) {
  return [kind, pattern](const SimOperation& operation) {
    return operation.kind == kind &&
           fnmatch(pattern.c_str(), std::string(operation.name).c_str(), 0) == 0;
  };
}

std::optional<uint64_t> SimDisk::Find(const std::string& name) const {
  uint64_t inode = 0;
  for (size_t start = 0; start < name.size();) {
    const size_t slash = std::min(name.find('/', start), name.size());
    const NameMap& names = inodes_[inode].cache_names;
    const auto found = names.find(name.substr(start, slash - start));
    if (found == names.end()) return std::nullopt;
    inode = found->second;
    start = slash + 1;
  }
  return inode;
}

SimDisk::Inode* SimDisk::FindParent(const std::string& name, std::string* base) {
  const size_t slash = name.rfind('/');
  *base = slash == std::string::npos ? name : name.substr(slash + 1);
  const std::optional<uint64_t> parent =
      Find(slash == std::string::npos ? std::string() : name.substr(0, slash));
  if (!parent || !inodes_[*parent].is_directory) return nullptr;
  return &inodes_[*parent];
}

Result<uint64_t> SimDisk::Make(const std::string& name, unsigned mode, bool is_directory) {
  std::string base;
  Inode* parent = FindParent(name, &base);
  if (parent == nullptr) return Fail(Code::kNotFound, "create " + name + ": no such directory");
  if (parent->cache_names.count(base) != 0) return Fail(Code::kExists, "create " + name);
  const uint64_t number = inodes_.size();
  parent->cache_names[base] = number;
  parent->names.push_back({++time_, base, number, ""});
  inodes_.emplace_back();  // invalidates `parent`
  inodes_.back().mode = mode;
  inodes_.back().birth = static_cast<int64_t>(time_);
  inodes_.back().is_directory = is_directory;
  return number;
}

Status SimDisk::Write(uint64_t number, uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return {};
  Inode& inode = inodes_[number];
  if (!HasRoom(inode, SimBlockCount(offset + bytes.size()))) {
    return Fail(Code::kNoSpace, "write: disk full");
  }
  inode.writes.push_back({++time_, offset, std::make_shared<const std::string>(bytes)});
  inode.cache.Write(offset, bytes);
  inode.newest_write = offset;
  if (inode.writes.size() > kMaxPendingWrites) WriteBackOldest(&inode);
  return {};
}

void SimDisk::CutOff(uint64_t length, SimBytes* bytes) {
  if (length < bytes->length()) bytes->Resize(length);
}

// Pages are written as the cache has them; pages that count as clean are not.
void SimDisk::SyncInode(Inode* inode) {
  for (const PendingWrite& write : inode->writes) {
    if (write.bytes == nullptr) CutOff(write.offset, &inode->disk);
  }
  for (const PendingWrite& write : inode->writes) {
    if (write.bytes == nullptr) continue;
    for (uint64_t block = write.offset / kSimBlock; block < SimBlockCount(write.end()); ++block) {
      inode->disk.ShareBlock(block, inode->cache);
    }
  }
  if (inode->disk.length() < inode->cache.length() && !inode->writes.empty()) {
    inode->disk.Resize(inode->cache.length());
  }
  inode->writes.clear();
  inode->clean = inode->cache;
}

void SimDisk::WriteBackOldest(Inode* inode) {
  const PendingWrite& write = inode->writes.front();
  if (write.bytes == nullptr) {
    CutOff(write.offset, &inode->clean);
    CutOff(write.offset, &inode->disk);
    inode->writes.erase(inode->writes.begin());
    return;
  }
  inode->clean.Write(write.offset, *write.bytes);
  for (uint64_t block = write.offset / kSimBlock; block < SimBlockCount(write.end()); ++block) {
    inode->disk.ShareBlock(block, inode->clean);
  }
  if (inode->disk.length() < inode->clean.length()) inode->disk.Resize(inode->clean.length());
  inode->writes.erase(inode->writes.begin());
}

uint64_t SimDisk::BlocksOf(const Inode& inode) {
  if (inode.removed) return 0;
  return std::max(inode.reserved_blocks, SimBlockCount(inode.cache.length()));
}

bool SimDisk::HasRoom(const Inode& inode, uint64_t blocks) const {
  if (capacity_blocks_ == 0 || blocks <= BlocksOf(inode)) return true;
  return UsedBytes() / kSimBlock + (blocks - BlocksOf(inode)) <= capacity_blocks_;
}

uint64_t SimDisk::UsedBytes() const {
  uint64_t blocks = 0;
  for (const Inode& inode : inodes_) blocks += BlocksOf(inode);
  return blocks * kSimBlock;
}

// ---- Locks

Status SimDisk::Lock(const LockOwner& asking, std::string_view name, uint64_t inode, int which) {
  std::unique_lock lock(mutex_);
  while (true) {
    if (asking.process->dead) return Fail(Code::kIo, "the process is dead");
    LockOwner& owner = locks_[{inode, which}];
    if (owner.file == nullptr) {
      owner = asking;
      return {};
    }
    if (owner.thread == asking.thread) {
      std::fprintf(stderr,
                   "SimDisk: lock %d of %s is held by this thread%s: it would wait for ever\n",
                   which, std::string(name).c_str(),
                   owner.process == asking.process ? "" : " in another, living process");
      std::abort();
    }
    lock_freed_.wait(lock);
  }
}

bool SimDisk::TryLock(const LockOwner& asking, uint64_t inode, int which, logcore::LockKind kind) {
  const std::lock_guard lock(mutex_);
  LockOwner& owner = locks_[{inode, which}];
  std::vector<LockOwner>& shared = shared_locks_[{inode, which}];
  if (owner.file != nullptr) return false;
  if (kind == logcore::LockKind::kShared) {
    shared.push_back(asking);
    return true;
  }
  if (!shared.empty()) return false;
  owner = asking;
  return true;
}

void SimDisk::Unlock(const void* file, uint64_t inode, int which) {
  const std::lock_guard lock(mutex_);
  std::erase_if(shared_locks_[{inode, which}],
                [file](const LockOwner& owner) { return owner.file == file; });
  const auto found = locks_.find({inode, which});
  if (found != locks_.end() && found->second.file == file) found->second = LockOwner();
  lock_freed_.notify_all();
}

void SimDisk::ReleaseLocks(const SimProcess::State* process, const void* file) {
  const std::lock_guard lock(mutex_);
  for (auto& [key, owners] : shared_locks_) {
    std::erase_if(owners, [&](const LockOwner& owner) {
      return owner.process.get() == process && (file == nullptr || owner.file == file);
    });
  }
  for (auto& [key, owner] : locks_) {
    if (owner.process.get() == process && (file == nullptr || owner.file == file)) {
      owner = LockOwner();
    }
  }
  lock_freed_.notify_all();
}

bool SimDisk::IsLocked(const std::string& name, int which) const {
  const std::optional<uint64_t> inode = Find(name);
  if (!inode) return false;
  const auto found = locks_.find({*inode, which});
  return found != locks_.end() && found->second.file != nullptr;
}

// ---- Looking into it

const SimBytes& SimDisk::CachedBytes(const std::string& name) const {
  const std::optional<uint64_t> inode = Find(name);
  CHECK(inode.has_value());
  return inodes_[*inode].cache;
}

std::string SimDisk::Cached(const std::string& name) const {
  return CachedBytes(name).ToString();
}

std::string SimDisk::OnDisk(const std::string& name) const {
  const std::optional<uint64_t> inode = Find(name);
  CHECK(inode.has_value());
  return inodes_[*inode].disk.ToString();
}

bool SimDisk::Exists(const std::string& name) const {
  return Find(name).has_value();
}

std::vector<std::string> SimDisk::Names() const {
  std::vector<std::string> names;
  ListFiles(0, "", &names);
  return names;
}

void SimDisk::ListFiles(uint64_t directory, const std::string& prefix,
                        std::vector<std::string>* names) const {
  for (const auto& [name, inode] : inodes_[directory].cache_names) {
    if (inodes_[inode].is_directory) {
      ListFiles(inode, prefix + name + "/", names);
    } else {
      names->push_back(prefix + name);
    }
  }
}

void SimDisk::Rot(const std::string& name, uint64_t offset, std::string_view bytes) {
  const std::optional<uint64_t> inode = Find(name);
  CHECK(inode.has_value());
  inodes_[*inode].disk.Write(offset, bytes);
  inodes_[*inode].clean.Write(offset, bytes);
  inodes_[*inode].cache.Write(offset, bytes);
}

void SimDisk::RotLength(const std::string& name, uint64_t length) {
  const std::optional<uint64_t> inode = Find(name);
  CHECK(inode.has_value());
  inodes_[*inode].writes.clear();
  inodes_[*inode].cache.Resize(length);
  inodes_[*inode].clean = inodes_[*inode].disk = inodes_[*inode].cache;
}

void SimDisk::Restore(const std::string& name) {
  inodes_[Find(name).value()].birth = static_cast<int64_t>(++time_);
}

void SimDisk::WritePart(const SimOperation& write, size_t length) {
  const std::optional<uint64_t> inode = Find(std::string(write.name));
  CHECK(inode.has_value() && write.kind == SimKind::kWrite);
  CHECK(Write(*inode, write.offset, write.bytes.substr(0, length)).has_value());
}

}  // namespace tlogfs_test
