// PosixDisk when the kernel fails: each system call it makes is made to fail, one after the other,
// and what it says is the call's error, never that all is well. The kernel does it: seccomp(2), for
// one thread of this program.

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <functional>
#include <thread>

#include "logcore/posix/disk/posix_disk.h"
#include "tests/support/temp_log.h"

namespace logcore {
namespace {

using tlogfs_test::TempDirectory;

// From here on system call `number` does nothing in this thread, and fails with `error`; with 0 it
// answers 0. False where that cannot be had.
bool Break(long number, int error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {.len = std::size(program), .filter = program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

class PosixErrorTest : public testing::Test {
 protected:
  void SetUp() override {
    bool broken = false;
    std::thread([&] { broken = Break(SYS_getppid, EIO); }).join();
    if (!broken) GTEST_SKIP() << "seccomp is not to be had";
    ASSERT_TRUE(file_->WriteAt(0, "hello").has_value());
    ASSERT_TRUE(disk_->MakeDirectory("entries", 0755).has_value());
  }

  // What `call` says, in a thread for which system call `number` fails.
  Status With(long number, int error, const std::function<Status()>& call) {
    Status status;
    std::thread([&] {
      if (Break(number, error)) status = call();
    }).join();
    return status;
  }
  void ExpectError(long number, int error, Code code, const std::string& message,
                   const std::function<Status()>& call) {
    const Status status = With(number, error, call);
    ASSERT_FALSE(status.has_value()) << message;
    EXPECT_EQ(status.error().code, code) << status.error().message;
    EXPECT_EQ(status.error().message, message);
  }

  template <typename Value>
  static Status StatusOf(const Result<Value>& result) {
    if (!result.has_value()) return tl::unexpected<Error>(result.error());
    return {};
  }

  const TempDirectory directory_;
  const std::unique_ptr<Disk> disk_ = OpenPosixDisk(directory_.path()).value();
  const std::unique_ptr<File> file_ = disk_->Create("file", 0644).value();
};

constexpr char kIo[] = ": Input/output error";

TEST_F(PosixErrorTest, OfAFile) {
  char bytes[5];
  ExpectError(SYS_pread64, EIO, Code::kIo, std::string("read file") + kIo,
              [&] { return StatusOf(file_->ReadAt(0, bytes, sizeof(bytes))); });
  ExpectError(SYS_pwrite64, EIO, Code::kIo, std::string("write file") + kIo,
              [&] { return file_->WriteAt(0, "x"); });
  ExpectError(SYS_fallocate, ENOSPC, Code::kNoSpace, "allocate file: No space left on device",
              [&] { return file_->Allocate(100); });
  ExpectError(SYS_fdatasync, EIO, Code::kIo, std::string("sync file") + kIo,
              [&] { return file_->Sync(); });
  ExpectError(SYS_ftruncate, EIO, Code::kIo, std::string("cut file") + kIo,
              [&] { return file_->Cut(0); });
  ExpectError(SYS_fcntl, ENOLCK, Code::kIo, "lock file: No locks available",
              [&] { return file_->Lock(0); });
}

// A write that writes nothing, for ever, must end; a sync that a signal ended is not repeated.
TEST_F(PosixErrorTest, AreNotRepeatedForEver) {
  ExpectError(SYS_pwrite64, 0, Code::kIo, "write file: nothing was written",
              [&] { return file_->WriteAt(0, "x"); });
  ExpectError(SYS_fdatasync, EINTR, Code::kIo, "sync file: Interrupted system call",
              [&] { return file_->Sync(); });
}

TEST_F(PosixErrorTest, ThatTheFilesystemCannotReserveIsNone) {
  for (const int error : {EOPNOTSUPP, ENOSYS}) {
    EXPECT_TRUE(With(SYS_fallocate, error, [&] { return file_->Allocate(100); }).has_value());
  }
  EXPECT_TRUE(With(SYS_fallocate, EIO, [&] { return file_->Allocate(0); }).has_value());
}

TEST_F(PosixErrorTest, OfNamesAndDirectories) {
  ExpectError(SYS_mkdirat, EROFS, Code::kReadOnly, "make directory new: Read-only file system",
              [&] { return disk_->MakeDirectory("new", 0755); });
  ExpectError(SYS_unlinkat, EPERM, Code::kDenied, "remove file: Operation not permitted",
              [&] { return disk_->Remove("file"); });
  ExpectError(SYS_getdents64, EIO, Code::kIo, std::string("list entries") + kIo,
              [&] { return StatusOf(disk_->List("entries")); });
  ExpectError(SYS_fsync, EIO, Code::kIo, std::string("sync directory .") + kIo,
              [&] { return disk_->SyncDirectory(""); });
  ExpectError(SYS_fstatfs, EIO, Code::kIo, std::string("ask for the filesystem of .") + kIo,
              [&] { return StatusOf(disk_->FilesystemId()); });
  for (const std::string name : {"../x", "none/x"}) {
    EXPECT_FALSE(disk_->Rename(name, "x").has_value());
    EXPECT_FALSE(disk_->Rename("file", name).has_value());
    EXPECT_FALSE(disk_->MakeDirectory(name, 0755).has_value());
    EXPECT_FALSE(disk_->SyncDirectory(name).has_value());
    EXPECT_FALSE(disk_->Info(name).has_value());
  }
}

TEST_F(PosixErrorTest, OfTheBootId) {
  const std::string path = "/proc/sys/kernel/random/boot_id";
  const auto boot_id = [&] { return StatusOf(disk_->BootId()); };
  ExpectError(SYS_openat, EMFILE, Code::kBusy, "open " + path + ": Too many open files", boot_id);
  ExpectError(SYS_read, EIO, Code::kIo, "read " + path + kIo, boot_id);
  ExpectError(SYS_read, 0, Code::kIo, "read " + path + ": not a boot id", boot_id);
}

// A code says what the caller can do.
TEST_F(PosixErrorTest, HaveTheirCodes) {
  const std::pair<int, Code> codes[] = {
      {ENOENT, Code::kNotFound}, {EEXIST, Code::kExists},   {EACCES, Code::kDenied},
      {EPERM, Code::kDenied},    {ENOSPC, Code::kNoSpace},  {EDQUOT, Code::kNoSpace},
      {EROFS, Code::kReadOnly},  {ENOTDIR, Code::kInvalid}, {EISDIR, Code::kInvalid},
      {ELOOP, Code::kInvalid},   {ENXIO, Code::kInvalid},   {EMFILE, Code::kBusy},
      {ENFILE, Code::kBusy},     {ESTALE, Code::kIo},
  };
  for (const auto& [error, code] : codes) {
    const Status opened =
        With(SYS_openat, error, [&] { return StatusOf(disk_->Open("file", Access::kRead)); });
    ASSERT_FALSE(opened.has_value()) << error;
    EXPECT_EQ(opened.error().code, code) << opened.error().message;
  }
}

// Filesystems of all kinds: what they are called stays the same, and says how it was found out.
TEST_F(PosixErrorTest, EveryFilesystemHasAnIdOrNone) {
  for (const std::string& path : {directory_.path().string(), std::string("/dev/shm"),
                                  std::string("/proc"), std::string("/sys")}) {
    const auto disk = OpenPosixDisk(path);
    if (!disk.has_value()) continue;
    const std::string id = (*disk)->FilesystemId().value();
    EXPECT_TRUE(id.starts_with("fsid:") || id.starts_with("uuid:") || id == "none") << id;
    EXPECT_EQ((*disk)->FilesystemId().value(), id);
    Result<std::string> without = Fail(Code::kIo, "not asked");
    std::thread([&] {
      if (Break(SYS_ioctl, ENOTTY)) without = (*disk)->FilesystemId();
    }).join();
    ASSERT_TRUE(without.has_value()) << without.error().message;
    EXPECT_EQ(*without, id.starts_with("uuid:") ? "none" : id);
  }
}

}  // namespace
}  // namespace logcore
