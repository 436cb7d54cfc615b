// SimDisk: a machine with a disk, in memory, that keeps no promise but those of
// logcore/posix/disk/disk.h.
//
// Every file has the bytes that are on the *disk* and those in the page *cache*, and the list of
// writes between the two; directories have the same for names. Processes see the cache. Sync of a
// file moves its bytes and length to the disk, but not its name; SyncDirectory moves names, but no
// bytes.
//
//   death of a process   Kill(): the cache stays, its locks are free.
//   power cut            CutPower(seed): of all that was not synced, the seed decides what is on
//                        the disk. Each write may be lost, kept, or torn at any byte; each 512-byte
//                        sector of a block that a write touched may hold any state since the last
//                        sync, or garbage; a whole 4 KiB block may be garbage, with the old, synced
//                        bytes in it; a file may be lengthened with zeros, and what was cut off be
//                        back; of the names not synced any subset is there. Then the machine boots:
//                        BootId() is another.
//   a failed operation   FailOperation(): before or after it happened, or in the middle. A Sync
//                        that failed without happening does what Linux does: the pages count as
//                        clean, reads give the new bytes, the next Sync succeeds, the disk has the
//                        old ones.
//   full disk            SetCapacity(): blocks are counted, and reserved by Allocate.
//   a program that       Ignore(): such operations do nothing, and succeed. Delay(): such writes
//   forgets              and syncs succeed at once, but happen some operations later; or never, if
//                        the process dies before.
//
// Everything is a function of the calls and the seeds: what failed once fails again.
//
// Threads: processes may be used by several threads; the methods of SimDisk itself by one, while
// no process works. A Lock that could never be granted, because this thread holds it, aborts with
// a message instead of hanging. Tested by tests/support/sim_disk_test.cc.

#ifndef TESTS_SUPPORT_SIM_DISK_H_
#define TESTS_SUPPORT_SIM_DISK_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "logcore/posix/disk/disk.h"
#include "tests/support/sim_bytes.h"

namespace tlogfs_test {

enum class SimKind {
  kCreate,
  kMakeDirectory,
  kLink,
  kRename,
  kRemove,
  kSyncDirectory,
  kWrite,
  kAllocate,
  kCut,
  kSync,
  kRead,  // ReadAt, Open, List, Length, Map, Info: counted only if CountReads() was asked for
};
std::string_view SimKindName(SimKind kind);

// One operation that is about to be done.
struct SimOperation {
  SimKind kind = SimKind::kRead;
  std::string_view name;    // file or directory
  uint64_t offset = 0;      // of a write; for a sync, of the newest write to that file
  std::string_view bytes;   // of a write
  uint64_t number = 0;      // counted from 1 since the machine was made
  uint64_t of_process = 0;  // the same, since its process was made
  // The process's own, at first 0: for predicates to remember by what it is about.
  uint64_t* mark = nullptr;
};

// Thrown out of the operation at which CrashAt makes a process die.
struct SimCrash {};

// Small, fast, the same everywhere: splitmix64.
class SimRandom {
 public:
  explicit SimRandom(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  uint64_t Below(uint64_t limit) { return limit == 0 ? 0 : Next() % limit; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

class SimDisk;
class SimFile;  // sim_process.cc

// One process's view of the machine's disk.
class SimProcess : public logcore::Disk {
 public:
  // Ends the process, as kill -9 does: locks are free, every later call through it fails with kIo
  // and does nothing.
  void Kill();
  bool dead() const { return state_->dead; }

  logcore::Result<std::unique_ptr<logcore::File>> Open(const std::string& name,
                                                       logcore::Access access) override;
  logcore::Result<std::unique_ptr<logcore::File>> Create(const std::string& name,
                                                         unsigned mode) override;
  logcore::Status MakeDirectory(const std::string& name, unsigned mode) override;
  logcore::Status Link(const std::string& from, const std::string& to) override;
  logcore::Status Rename(const std::string& from, const std::string& to) override;
  // Of the permissions alone: there are no owners. No operation of its own.
  logcore::Status CopyAccess(const std::string& from, const std::string& to) override;
  logcore::Status Remove(const std::string& name) override;
  logcore::Result<std::vector<std::string>> List(const std::string& directory) override;
  logcore::Status SyncDirectory(const std::string& directory) override;
  logcore::Result<FileInfo> Info(const std::string& name) override;
  logcore::Result<std::string> FilesystemId() override;
  logcore::Result<std::string> BootId() override;
  int64_t Uptime() override;
  std::string RandomBytes(size_t length) override;

 private:
  friend class SimDisk;
  friend class SimFile;
  struct Delayed {
    uint64_t due = 0;  // before this operation of the process
    std::function<void()> operation;
  };
  struct State {
    bool dead = false;
    uint64_t operations = 0;
    uint64_t mark = 0;
    std::vector<Delayed> delayed;
  };
  explicit SimProcess(SimDisk* machine) : machine_(machine) {}

  SimDisk* const machine_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

class SimDisk {
 public:
  SimDisk();
  SimDisk& operator=(const SimDisk&) = delete;

  // The machine outlives its processes.
  std::unique_ptr<SimProcess> NewProcess();

  // The same machine at this moment, with all its processes killed. What Ignore(), Delay() and
  // SetCapacity() said stays; observers, crashes and failures do not go with it. Cheap.
  std::unique_ptr<SimDisk> Clone() const;

  // All processes die, see above.
  void CutPower(uint64_t seed);
  // The machine is shut down in good order: all processes die, all that was written is on the disk,
  // and it boots.
  void Reboot();

  // Operations so far. Reads are not counted unless CountReads().
  uint64_t operations() const { return operations_; }
  void CountReads() { count_reads_ = true; }
  // Operation `number` does not happen: its process dies, and SimCrash is thrown. 0: none. If it is
  // a write, its bytes in the first `blocks` blocks that it touches are still written to the cache.
  void CrashAt(uint64_t number, uint64_t blocks = 0) {
    crash_at_ = number;
    crash_blocks_ = blocks;
  }
  // Called before each operation. May Clone() the machine, and let other processes work.
  void Observe(std::function<void(const SimOperation&)> observer);

  enum class Outcome { kNotHappened, kHalf, kHappened };
  // Operation `number` fails with `code`. kHalf: of a write, the first half happened.
  void FailOperation(uint64_t number, logcore::Code code, Outcome outcome);
  // None of the operations to come fails.
  void FailNone() { faults_.clear(); }

  // Operations of which the predicate is true succeed without happening.
  using Predicate = std::function<bool(const SimOperation&)>;
  void Ignore(Predicate ignored) { ignored_.push_back(std::move(ignored)); }
  // Writes and syncs, of files and directories, of which the predicate is true happen only after so
  // many further operations of their process.
  void Delay(Predicate delayed, uint64_t operations) {
    delayed_.push_back({std::move(delayed), operations});
  }
  // That kind, on names that match the fnmatch(3) pattern.
  static Predicate Matching(SimKind kind, const std::string& pattern);

  // The disk holds so many bytes, in whole blocks, of file contents. 0: no limit.
  void SetCapacity(uint64_t bytes) { capacity_blocks_ = bytes / kSimBlock; }
  uint64_t UsedBytes() const;

  // Looking into it. CHECKed to exist.
  std::string Cached(const std::string& name) const;
  std::string OnDisk(const std::string& name) const;
  const SimBytes& CachedBytes(const std::string& name) const;
  bool Exists(const std::string& name) const;
  std::vector<std::string> Names() const;  // of all files
  // Puts bytes where nobody wrote them, on the disk and in the cache: bit rot, misdirected writes.
  void Rot(const std::string& name, uint64_t offset, std::string_view bytes);
  void RotLength(const std::string& name, uint64_t length);
  // As if the file had been removed and made again with the same bytes: the filesystem gives it the
  // number of the inode that became free, and another time of birth.
  void Restore(const std::string& name);
  // As if a process had begun this write and been killed in it: what it had copied stays.
  void WritePart(const SimOperation& write, size_t length);
  bool IsLocked(const std::string& name, int which) const;

 private:
  friend class SimProcess;
  friend class SimFile;

  struct PendingWrite {
    uint64_t time = 0;
    uint64_t offset = 0;
    std::shared_ptr<const std::string> bytes;  // null: the file was cut off at `offset`
    uint64_t end() const { return offset + (bytes == nullptr ? 0 : bytes->size()); }
  };
  struct PendingName {
    uint64_t time = 0;
    std::string name;  // empty: it was removed
    uint64_t inode = 0;
    std::string old_name;  // of a rename, or a removal
  };
  using NameMap = std::map<std::string, uint64_t>;
  struct Inode {
    unsigned mode = 0;
    bool is_directory = false;
    int64_t birth = 1;
    bool removed = false;
    // A file: what is on the disk, in the cache, and in the cache when `writes` was last empty.
    SimBytes disk, cache, clean;
    std::vector<PendingWrite> writes;
    uint64_t newest_write = 0;  // its offset
    uint64_t reserved_blocks = 0;
    uint64_t sync_errors = 0;  // Each opening of the file is told of each, once.
    // A directory.
    NameMap disk_names, cache_names;
    std::vector<PendingName> names;
  };
  struct LockOwner {
    const void* file = nullptr;
    std::shared_ptr<SimProcess::State> process;
    std::thread::id thread;
  };

  SimDisk(const SimDisk& other);

  // What a process may do, see Begin().
  struct Verdict {
    bool ignored = false;
    uint64_t delay = 0;
    std::optional<logcore::Error> error;
    Outcome outcome = Outcome::kHappened;  // of the failed operation
    logcore::Status End() const {
      if (error) return tl::unexpected<logcore::Error>(*error);
      return {};
    }
  };
  // The start of every operation: counts, observes, crashes, fails.
  Verdict Begin(SimProcess::State* process, SimKind kind, std::string_view name,
                uint64_t offset = 0, std::string_view bytes = {});
  static void DoDelayed(SimProcess::State* process);

  std::optional<uint64_t> Find(const std::string& name) const;
  Inode* FindParent(const std::string& name, std::string* base);
  // Links or renames.
  logcore::Status NameAnew(SimProcess::State* process, SimKind kind, const std::string& from,
                           const std::string& to);
  logcore::Result<uint64_t> Make(const std::string& name, unsigned mode, bool is_directory);
  logcore::Status Write(uint64_t inode, uint64_t offset, std::string_view bytes);
  static void CutOff(uint64_t length, SimBytes* bytes);
  void SyncInode(Inode* inode);
  void WriteBackOldest(Inode* inode);
  bool HasRoom(const Inode& inode, uint64_t blocks) const;
  static uint64_t BlocksOf(const Inode& inode);
  void ListFiles(uint64_t directory, const std::string& prefix,
                 std::vector<std::string>* names) const;

  logcore::Status Lock(const LockOwner& asking, std::string_view name, uint64_t inode, int which);
  bool TryLock(const LockOwner& asking, uint64_t inode, int which, logcore::LockKind kind);
  void Unlock(const void* file, uint64_t inode, int which);
  void ReleaseLocks(const SimProcess::State* process, const void* file);

  mutable std::mutex mutex_;
  std::condition_variable lock_freed_;
  std::vector<Inode> inodes_;  // by number; 0 is the root directory
  std::map<std::pair<uint64_t, int>, LockOwner> locks_;
  std::map<std::pair<uint64_t, int>, std::vector<LockOwner>> shared_locks_;
  std::vector<std::shared_ptr<SimProcess::State>> processes_;
  uint64_t boot_ = 1;
  uint64_t random_state_ = 1;
  uint64_t time_ = 0;
  uint64_t capacity_blocks_ = 0;

  uint64_t operations_ = 0;
  bool count_reads_ = false;
  uint64_t crash_at_ = 0;
  uint64_t crash_blocks_ = 0;
  std::function<void(const SimOperation&)> observer_;
  struct Fault {
    uint64_t number = 0;
    logcore::Code code = logcore::Code::kIo;
    Outcome outcome = Outcome::kNotHappened;
  };
  std::vector<Fault> faults_;
  std::vector<Predicate> ignored_;
  std::vector<std::pair<Predicate, uint64_t>> delayed_;

  class Cut;  // sim_disk_cut.cc
};

}  // namespace tlogfs_test

#endif  // TESTS_SUPPORT_SIM_DISK_H_
