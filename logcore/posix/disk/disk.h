// Disk and File: the store's only door to the operating system. A Disk is one directory, with
// names relative to it ("entries/0"). Two implementations: posix_disk.h, and the simulated disk of
// tests/support, which loses, tears and reorders everything that these comments do not promise.
//
// Written bytes may be lost, kept in part, or reordered by a power cut until Sync() returned; names
// until SyncDirectory() of their directory returned. The death of the process alone loses nothing
// that was written. After a Sync() that failed, what it covered is undefined *and stays so*: the
// kernel marks the pages clean, and a later Sync() of them succeeds without writing them.
//
// Threads: a Disk, and the const methods of a File, from any thread; the others of one File from
// one thread at a time. Tested by tests/logcore/posix/disk/posix_disk_test.cc, and what may be lost
// by tests/support/sim_disk_test.cc.

#ifndef LOGCORE_POSIX_DISK_DISK_H_
#define LOGCORE_POSIX_DISK_DISK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "logcore/util/result.h"

namespace logcore {

// Of the page cache, and of what a torn write may hurt.
inline constexpr uint64_t kBlockLength = 4096;
// The first place from `place` on where a block begins.
constexpr uint64_t RoundUpToBlock(uint64_t place) {
  return (place + kBlockLength - 1) / kBlockLength * kBlockLength;
}

enum class LockKind { kExclusive, kShared };

class File {
 public:
  virtual ~File() = default;

  // Reads into `out` up to `length` bytes from `offset` on. Fewer only at the end of the file.
  virtual Result<size_t> ReadAt(uint64_t offset, char* out, size_t length) const = 0;
  // A hint: these bytes will be read soon, and may be fetched meanwhile.
  virtual void WillRead(uint64_t /*offset*/, uint64_t /*length*/) const {}
  // Writes all of `bytes`, or fails; the file grows as needed. A file that a power cut leaves
  // longer than Sync() knows it ends in, or just after, bytes that were written: not in what lies
  // between its old end and the first of them.
  virtual Status WriteAt(uint64_t offset, std::string_view bytes) = 0;
  // The same for whole blocks, past the page cache where the filesystem can: for much that will
  // not be read soon. Durable after Sync() like everything else.
  virtual Status WriteBlocksAt(uint64_t offset, std::string_view blocks) {
    return WriteAt(offset, blocks);
  }
  // Reserves room for the first `length` bytes, so that writing them cannot fail with kNoSpace. The
  // file's length stays. Where the filesystem cannot reserve, it does nothing.
  virtual Status Allocate(uint64_t length) = 0;
  // Ends the file at `length` if it goes on after that, and gives back what Allocate reserved
  // beyond the file's end. Until Sync() a power cut may bring back what was cut off.
  virtual Status Cut(uint64_t length) = 0;
  // fdatasync(2): what was written by anyone before is durable, and the length with it.
  virtual Status Sync() = 0;
  virtual Result<uint64_t> Length() const = 0;
  // The first `length` bytes (not 0), to be read in place, for as long as anyone holds them, also
  // after the File is gone. Only for bytes that nobody writes any more: what they show of a later
  // write is undefined. If the file is cut short later, or its disk cannot be read, touching them
  // is SIGBUS. kInvalid if the file is shorter now.
  virtual Result<std::shared_ptr<const char>> Map(uint64_t length) const = 0;

  // Advisory locks on this file, told apart by a small number, among all openings of the
  // file by all processes. Given up by the death of the holder. Lock waits, and is exclusive; not
  // recursive.
  virtual Status Lock(int which) = 0;
  // Takes it without waiting: false, if another opening has it. A shared one may be had by many
  // openings at a time, and by no exclusive one.
  virtual Result<bool> TryLock(int which, LockKind kind) = 0;
  virtual void Unlock(int which) = 0;
};

enum class Access { kRead, kReadWrite };

class Disk {
 public:
  virtual ~Disk() = default;

  // An existing regular file; links are not followed. kNotFound, kDenied.
  virtual Result<std::unique_ptr<File>> Open(const std::string& name, Access access) = 0;
  // A new, empty file of exactly the permissions `mode` less the umask. kExists if there is one.
  virtual Result<std::unique_ptr<File>> Create(const std::string& name, unsigned mode) = 0;
  virtual Status MakeDirectory(const std::string& name, unsigned mode) = 0;
  // Another name for the same file, in the same directory. kExists if there is one of that name.
  virtual Status Link(const std::string& from, const std::string& to) = 0;
  // Atomically replaces `to`.
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  // Gives `to`, a file of one name, exactly the owner, group and permissions that `from` has.
  // kDenied where this process may not. Durable with each name that `to` gets after that.
  virtual Status CopyAccess(const std::string& from, const std::string& to) = 0;
  // Removes a file, or a directory that is empty (kExists if it is not); a link itself, not what it
  // points to. kNotFound. Who has the file open may go on using it; its room is free after that.
  virtual Status Remove(const std::string& name) = 0;
  // The names in a directory ("" is the disk's own), sorted, without "." and "..".
  virtual Result<std::vector<std::string>> List(const std::string& directory) = 0;
  // fsync(2) of a directory: what was created, linked, renamed or removed in it before is durable.
  virtual Status SyncDirectory(const std::string& directory) = 0;

  struct FileInfo {
    unsigned mode = 0;   // permission bits, 0777
    uint64_t inode = 0;  // A filesystem gives a freed number out again.
    // When the inode was made, in nanoseconds of POSIX time: a copy has another one. 0 where the
    // filesystem does not tell.
    int64_t birth = 0;
  };
  virtual Result<FileInfo> Info(const std::string& name) = 0;

  // Which filesystem this is, in words that stay the same over reboots and are the same for no
  // other one: "fsid:..." or "uuid:...", or "none" where the system cannot tell.
  virtual Result<std::string> FilesystemId() = 0;
  // Which boot of the machine this is: 16 bytes, never all zero.
  virtual Result<std::string> BootId() = 0;
  // Nanoseconds since the machine was started, also those in which it slept: the same for all
  // processes, and never set. With another boot it begins again.
  virtual int64_t Uptime() = 0;
  // Bytes of all kinds that are cryptographically random.
  virtual std::string RandomBytes(size_t length) = 0;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_DISK_DISK_H_
