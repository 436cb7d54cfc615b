// PosixDisk on a real directory: what disk.h promises, as far as a machine that stays up can show.

#include "logcore/posix/disk/posix_disk.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "logcore/tlog/hash.h"
#include "logcore/util/bytes.h"
#include "tests/support/temp_log.h"

namespace logcore {
namespace {

using tlogfs_test::TempDirectory;

class PosixDiskTest : public testing::Test {
 protected:
  std::string Read(const File& file, uint64_t offset, size_t length) {
    std::string bytes(length, '\0');
    bytes.resize(file.ReadAt(offset, bytes.data(), length).value());
    return bytes;
  }
  uint64_t BlocksOf(const std::string& name) {
    struct stat info;
    EXPECT_EQ(stat((directory_.path() / name).c_str(), &info), 0);
    return static_cast<uint64_t>(info.st_blocks);
  }
  Code OpenCode(const std::string& name) {
    const auto file = disk_->Open(name, Access::kReadWrite);
    EXPECT_FALSE(file.has_value()) << name;
    return file.error().code;
  }

  const TempDirectory directory_;
  const std::unique_ptr<Disk> disk_ = OpenPosixDisk(directory_.path()).value();
};

// Runs `body` in a process of its own, and gives what it returned: 0 is good.
constexpr int kCannotRun = 77;
int RunInChild(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

TEST_F(PosixDiskTest, ReadsWhatWasWritten) {
  ASSERT_TRUE(disk_->MakeDirectory("entries", 0755).has_value());
  const auto file = disk_->Create("entries/0", 0644).value();
  ASSERT_TRUE(file->WriteAt(3, "hello").has_value());
  ASSERT_TRUE(file->WriteAt(4, "E").has_value());
  EXPECT_EQ(file->Length().value(), 8u);
  EXPECT_EQ(Read(*file, 0, 100), std::string("\0\0\0hEllo", 8));
  EXPECT_EQ(Read(*file, 4, 2), "El");
  EXPECT_EQ(Read(*file, 8, 2), "");
  EXPECT_EQ(Read(*file, 1000, 2), "");
  EXPECT_TRUE(file->Sync().has_value());
  EXPECT_TRUE(disk_->SyncDirectory("entries").has_value());
  EXPECT_TRUE(disk_->SyncDirectory("").has_value());
  EXPECT_EQ(Read(*disk_->Open("entries/0", Access::kRead).value(), 3, 5), "hEllo");
}

TEST_F(PosixDiskTest, MapsBytesThatOutliveTheFile) {
  auto file = disk_->Create("file", 0644).value();
  const std::string bytes(10'000, 'm');
  ASSERT_TRUE(file->WriteAt(0, bytes).has_value());
  EXPECT_EQ(file->Map(10'001).error().code, Code::kInvalid);
  EXPECT_EQ(file->Map(10'001).error().message, "map file: it is shorter");
  const auto whole = file->Map(10'000).value();
  const auto part = disk_->Open("file", Access::kRead).value()->Map(4097).value();
  file.reset();
  std::filesystem::remove(directory_.path() / "file");
  EXPECT_EQ(std::string_view(whole.get(), 10'000), bytes);
  EXPECT_EQ(std::string_view(part.get(), 4097), bytes.substr(0, 4097));
}

TEST_F(PosixDiskTest, AFileOpenedForReadingIsNotWritten) {
  disk_->Create("file", 0644).value();
  const auto file = disk_->Open("file", Access::kRead).value();
  EXPECT_EQ(file->WriteAt(0, "x").error().code, Code::kIo);
  EXPECT_EQ(file->WriteAt(0, "x").error().message, "write file: Bad file descriptor");
}

TEST_F(PosixDiskTest, OpenAndCreateSayWhyNot) {
  EXPECT_EQ(OpenCode("none"), Code::kNotFound);
  EXPECT_EQ(OpenCode("none/file"), Code::kNotFound);
  EXPECT_EQ(disk_->Open("none", Access::kRead).error().message,
            "open none: No such file or directory");
  disk_->Create("file", 0644).value();
  EXPECT_EQ(disk_->Create("file", 0644).error().code, Code::kExists);
  EXPECT_EQ(OpenCode("file/x"), Code::kInvalid);
  EXPECT_EQ(disk_->MakeDirectory("file", 0755).error().code, Code::kExists);
  EXPECT_EQ(disk_->List("none").error().code, Code::kNotFound);
  EXPECT_EQ(disk_->Info("none").error().code, Code::kNotFound);
  EXPECT_EQ(OpenPosixDisk(directory_.path() / "none").error().code, Code::kNotFound);
  EXPECT_EQ(OpenPosixDisk(directory_.path() / "file").error().code, Code::kInvalid);
}

TEST_F(PosixDiskTest, NamesStayInside) {
  ASSERT_TRUE(disk_->MakeDirectory("a", 0755).has_value());
  const std::string nul("a\0b", 3);
  for (const std::string& name :
       {std::string("/etc/passwd"), std::string(".."), std::string("../x"), std::string("a/../b"),
        std::string("a//b"), std::string("a/"), std::string("."), std::string(), nul}) {
    EXPECT_EQ(OpenCode(name), Code::kInvalid) << name;
    EXPECT_EQ(disk_->Create(name, 0644).error().code, Code::kInvalid) << name;
    EXPECT_EQ(disk_->MakeDirectory(name, 0755).error().code, Code::kInvalid) << name;
  }
  EXPECT_EQ(disk_->List("..").error().code, Code::kInvalid);
  EXPECT_EQ(disk_->SyncDirectory("a/..").error().code, Code::kInvalid);
}

TEST_F(PosixDiskTest, FollowsNoLinkAndOpensNothingButFiles) {
  const TempDirectory elsewhere;
  elsewhere.Write("file", "secret");
  std::filesystem::create_symlink(elsewhere.path() / "file", directory_.path() / "link");
  std::filesystem::create_symlink(elsewhere.path(), directory_.path() / "directory");
  std::filesystem::create_symlink(elsewhere.path() / "new", directory_.path() / "dangling");
  ASSERT_EQ(mkfifo((directory_.path() / "fifo").c_str(), 0600), 0);
  ASSERT_TRUE(disk_->MakeDirectory("real", 0755).has_value());
  for (const char* name : {"link", "directory/file", "dangling", "fifo", "real", "directory"}) {
    EXPECT_EQ(OpenCode(name), Code::kInvalid) << name;
    const auto file = disk_->Open(name, Access::kRead);  // A FIFO must not block it.
    ASSERT_FALSE(file.has_value()) << name;
    EXPECT_EQ(file.error().code, Code::kInvalid) << name;
  }
  EXPECT_EQ(disk_->Create("dangling", 0644).error().code, Code::kExists);
  EXPECT_EQ(disk_->Create("directory/new", 0644).error().code, Code::kInvalid);
  EXPECT_EQ(disk_->List("directory").error().code, Code::kInvalid);
  EXPECT_FALSE(std::filesystem::exists(elsewhere.path() / "new"));
  EXPECT_NE(disk_->Info("link").value().inode,
            OpenPosixDisk(elsewhere.path()).value()->Info("file").value().inode);
}

TEST_F(PosixDiskTest, ModesAreExactLessTheUmask) {
  const mode_t before = umask(0);
  disk_->Create("all", 0666).value();
  disk_->Create("mine", 0600).value();
  umask(027);
  disk_->Create("masked", 0666).value();
  umask(before);
  EXPECT_EQ(disk_->Info("all").value().mode, 0666u);
  EXPECT_EQ(disk_->Info("mine").value().mode, 0600u);
  EXPECT_EQ(disk_->Info("masked").value().mode, 0640u);
  EXPECT_NE(disk_->Info("all").value().inode, disk_->Info("mine").value().inode);
}

// The maker of the new file and the umask do not matter.
TEST_F(PosixDiskTest, CopiesTheAccess) {
  disk_->Create("old", 0640).value();
  const std::string old = directory_.path() / "old";
  const uid_t owner = geteuid() == 0 ? 12345 : geteuid();
  ASSERT_EQ(chown(old.c_str(), owner, getegid()), 0);
  const mode_t before = umask(077);
  disk_->Create("new", 0644).value();
  EXPECT_TRUE(disk_->CopyAccess("old", "new").has_value());
  umask(before);
  struct stat info;
  ASSERT_EQ(stat((directory_.path() / "new").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, owner);
  EXPECT_EQ(info.st_mode & 0777u, 0640u);
  EXPECT_EQ(disk_->CopyAccess("none", "new").error().code, Code::kNotFound);
  EXPECT_EQ(disk_->CopyAccess("old", "none").error().code, Code::kNotFound);
  ASSERT_TRUE(disk_->Link("new", "link").has_value());
  EXPECT_EQ(disk_->CopyAccess("old", "link").error().code, Code::kInvalid);
  if (geteuid() != 0) return;
  // Another user may not.
  ASSERT_EQ(chmod(directory_.path().c_str(), 0777), 0);
  EXPECT_EQ(RunInChild([&] {
              if (seteuid(54321) != 0) return 1;
              disk_->Create("theirs", 0644).value();
              const Status copied = disk_->CopyAccess("old", "theirs");
              return !copied.has_value() && copied.error().code == Code::kDenied ? 0 : 2;
            }),
            0);
}

TEST_F(PosixDiskTest, RenamesAndLists) {
  ASSERT_TRUE(disk_->MakeDirectory("entries", 0755).has_value());
  for (const char* name : {"entries/b", "entries/a", "entries/10", "top"}) {
    ASSERT_TRUE(disk_->Create(name, 0644).value()->WriteAt(0, name).has_value());
  }
  EXPECT_EQ(disk_->List("entries").value(), (std::vector<std::string>{"10", "a", "b"}));
  ASSERT_TRUE(disk_->Rename("entries/b", "entries/a").has_value());
  ASSERT_TRUE(disk_->Rename("top", "entries/c").has_value());
  EXPECT_EQ(disk_->List("entries").value(), (std::vector<std::string>{"10", "a", "c"}));
  EXPECT_EQ(disk_->List("").value(), (std::vector<std::string>{"entries"}));
  EXPECT_EQ(Read(*disk_->Open("entries/a", Access::kRead).value(), 0, 100), "entries/b");
  EXPECT_EQ(disk_->Rename("none", "x").error().code, Code::kNotFound);
}

TEST_F(PosixDiskTest, RemovesFilesLinksAndEmptyDirectories) {
  ASSERT_TRUE(disk_->MakeDirectory("entries", 0755).has_value());
  const auto file = disk_->Create("entries/a", 0644).value();
  ASSERT_TRUE(file->WriteAt(0, "still open").has_value());
  std::filesystem::create_directory_symlink("entries", directory_.path() / "link");
  EXPECT_EQ(disk_->Remove("entries").error().code, Code::kExists);
  EXPECT_EQ(disk_->Remove("entries/none").error().code, Code::kNotFound);
  EXPECT_EQ(disk_->Remove("link/a").error().code, Code::kInvalid);
  ASSERT_TRUE(disk_->Remove("link").has_value());
  EXPECT_EQ(disk_->List("entries").value(), std::vector<std::string>{"a"});
  ASSERT_TRUE(disk_->Remove("entries/a").has_value());
  EXPECT_EQ(Read(*file, 0, 100), "still open");
  ASSERT_TRUE(disk_->Remove("entries").has_value());
  EXPECT_EQ(disk_->List("").value(), std::vector<std::string>{});
  EXPECT_EQ(disk_->Remove("../x").error().code, Code::kInvalid);
}

TEST_F(PosixDiskTest, FollowsItsDirectoryWhenThatIsRenamed) {
  const TempDirectory elsewhere;
  std::filesystem::create_directory(elsewhere.path() / "old");
  const auto disk = OpenPosixDisk(elsewhere.path() / "old").value();
  std::filesystem::rename(elsewhere.path() / "old", elsewhere.path() / "new");
  disk->Create("file", 0644).value();
  EXPECT_TRUE(std::filesystem::exists(elsewhere.path() / "new/file"));
}

TEST_F(PosixDiskTest, AllocatesAndReleases) {
  const auto file = disk_->Create("file", 0644).value();
  ASSERT_TRUE(file->WriteAt(0, std::string(5000, 'x')).has_value());
  ASSERT_TRUE(file->Sync().has_value());
  const uint64_t before = BlocksOf("file");
  ASSERT_TRUE(file->Allocate(1 << 20).has_value());
  EXPECT_EQ(file->Length().value(), 5000u);
  if (BlocksOf("file") == before) GTEST_SKIP() << "this filesystem reserves nothing";
  EXPECT_GE(BlocksOf("file"), uint64_t{1 << 20} / 512);
  ASSERT_TRUE(file->Allocate(1000).has_value());
  EXPECT_GE(BlocksOf("file"), uint64_t{1 << 20} / 512);
  ASSERT_TRUE(file->Cut(5000).has_value());
  EXPECT_EQ(BlocksOf("file"), before);
  EXPECT_EQ(Read(*file, 0, 10000), std::string(5000, 'x'));
}

TEST_F(PosixDiskTest, CutsAndNeverLengthens) {
  const auto file = disk_->Create("file", 0644).value();
  ASSERT_TRUE(file->WriteAt(0, std::string(5000, 'x')).has_value());
  ASSERT_TRUE(file->Cut(6000).has_value());
  EXPECT_EQ(file->Length().value(), 5000u);
  ASSERT_TRUE(file->Cut(4097).has_value());
  EXPECT_EQ(Read(*file, 0, 10000), std::string(4097, 'x'));
  ASSERT_TRUE(file->Cut(0).has_value());
  EXPECT_EQ(file->Length().value(), 0u);
}

// More than fits at once, among bytes that the page cache has.
TEST_F(PosixDiskTest, WritesBlocksWhereverTheFileEnds) {
  const auto file = disk_->Create("file", 0644).value();
  std::string expected(4096 + 17, 'a');
  ASSERT_TRUE(file->WriteAt(0, expected).has_value());
  expected.resize(2 * 4096, '\0');
  std::string blocks;
  for (uint32_t i = 0; blocks.size() < (3 << 20) + 4096; ++i) AppendBigEndian(&blocks, i);
  ASSERT_TRUE(file->WriteBlocksAt(2 * 4096, blocks).has_value());
  expected += blocks;
  EXPECT_EQ(Read(*file, 0, 2 * expected.size()), expected);
  ASSERT_TRUE(file->WriteAt(expected.size(), "tail").has_value());
  ASSERT_TRUE(file->WriteBlocksAt(4096, blocks).has_value());
  expected.replace(4096, blocks.size(), blocks);
  EXPECT_EQ(Read(*file, 0, 2 * expected.size()), expected + "tail");
  ASSERT_TRUE(file->Sync().has_value());
}

TEST_F(PosixDiskTest, LocksExcludeOtherOpeningsByteByByte) {
  disk_->Create("lock", 0600).value();
  const auto mine = disk_->Open("lock", Access::kReadWrite).value();
  const auto other = disk_->Open("lock", Access::kReadWrite).value();
  ASSERT_TRUE(mine->Lock(0).has_value());
  ASSERT_TRUE(other->Lock(1).has_value());  // Another byte: nobody waits.
  std::atomic<bool> locked = false;
  std::thread waiter([&] {
    EXPECT_TRUE(other->Lock(0).has_value());
    locked = true;
    other->Unlock(0);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(locked);
  mine->Unlock(0);
  waiter.join();
  EXPECT_TRUE(locked);
}

TEST_F(PosixDiskTest, ASharedLockIsHadByManyAndByNoExclusiveOne) {
  disk_->Create("lock", 0600).value();
  const auto one = disk_->Open("lock", Access::kReadWrite).value();
  const auto two = disk_->Open("lock", Access::kReadWrite).value();
  auto three = disk_->Open("lock", Access::kReadWrite).value();
  EXPECT_TRUE(one->TryLock(4, LockKind::kShared).value());
  EXPECT_TRUE(three->TryLock(4, LockKind::kShared).value());
  EXPECT_FALSE(two->TryLock(4, LockKind::kExclusive).value());
  EXPECT_TRUE(two->TryLock(5, LockKind::kExclusive).value());
  one->Unlock(4);
  EXPECT_FALSE(two->TryLock(4, LockKind::kExclusive).value());
  three.reset();
  EXPECT_TRUE(two->TryLock(4, LockKind::kExclusive).value());
  EXPECT_FALSE(one->TryLock(4, LockKind::kShared).value());
}

TEST_F(PosixDiskTest, AFileMayHaveTwoNames) {
  const auto file = disk_->Create("file", 0600).value();
  ASSERT_TRUE(file->WriteAt(0, "bytes").has_value());
  ASSERT_TRUE(disk_->Link("file", "second").has_value());
  EXPECT_EQ(disk_->Info("second").value().inode, disk_->Info("file").value().inode);
  EXPECT_EQ(disk_->Link("file", "second").error().code, Code::kExists);
  EXPECT_EQ(disk_->Link("none", "third").error().code, Code::kNotFound);
}

TEST_F(PosixDiskTest, ALockOutlivesSignalsButNotItsHolder) {
  disk_->Create("lock", 0600).value();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t holder = fork();
  if (holder == 0) {
    const auto file = disk_->Open("lock", Access::kReadWrite).value();
    const bool locked = file->Lock(0).has_value();
    if (write(ready[1], locked ? "y" : "n", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char answer = 0;
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  close(ready[0]);
  close(ready[1]);

  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = [](int) {};  // Without SA_RESTART: the wait ends with EINTR.
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  const auto file = disk_->Open("lock", Access::kReadWrite).value();
  std::atomic<bool> locked = false;
  std::thread waiter([&] {
    EXPECT_TRUE(file->Lock(0).has_value());
    locked = true;
  });
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    pthread_kill(waiter.native_handle(), SIGUSR1);
  }
  EXPECT_FALSE(locked);
  kill(holder, SIGKILL);
  waiter.join();
  EXPECT_TRUE(locked);
  EXPECT_EQ(waitpid(holder, nullptr, 0), holder);
  ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}

TEST_F(PosixDiskTest, SaysWhenADiskIsFullOrReadOnly) {
  const std::string path = directory_.path();
  const int result = RunInChild([&path] {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("none", path.c_str(), "tmpfs", 0, "size=64k") != 0) {
      return kCannotRun;
    }
    const auto disk = OpenPosixDisk(path).value();
    const auto file = disk->Create("file", 0644).value();
    const Status allocated = file->Allocate(1 << 20);
    if (allocated.has_value() || allocated.error().code != Code::kNoSpace) return 1;
    const Status written = file->WriteAt(0, std::string(1 << 20, 'x'));
    if (written.has_value() || written.error().code != Code::kNoSpace) return 2;
    if (written.error().message != "write file: No space left on device") return 3;
    return 0;
  });
  if (result == kCannotRun) GTEST_SKIP() << "may not mount a filesystem";
  EXPECT_EQ(result, 0);

  const int read_only = RunInChild([&path] {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("none", path.c_str(), "tmpfs", MS_RDONLY, "size=64k") != 0) {
      return kCannotRun;
    }
    const auto file = OpenPosixDisk(path).value()->Create("file", 0644);
    return !file.has_value() && file.error().code == Code::kReadOnly ? 0 : 1;
  });
  EXPECT_EQ(read_only, 0);
}

TEST_F(PosixDiskTest, SaysWhenAccessIsDenied) {
  disk_->Create("key", 0600).value();
  std::filesystem::permissions(directory_.path(), std::filesystem::perms{0755});
  const int result = RunInChild([this] {
    if (geteuid() != 0 || seteuid(65534) != 0) return kCannotRun;
    const auto opened = disk_->Open("key", Access::kRead);
    if (opened.has_value() || opened.error().code != Code::kDenied) return 1;
    const auto created = disk_->Create("new", 0600);
    return !created.has_value() && created.error().code == Code::kDenied ? 0 : 2;
  });
  if (result == kCannotRun) GTEST_SKIP() << "may not become another user";
  EXPECT_EQ(result, 0);
}

TEST_F(PosixDiskTest, IdentifiesTheFilesystemAndTheBoot) {
  const std::string id = disk_->FilesystemId().value();
  EXPECT_TRUE(id.starts_with("fsid:") || id.starts_with("uuid:") || id == "none") << id;
  EXPECT_EQ(disk_->FilesystemId().value(), id);
  const std::string boot = disk_->BootId().value();
  EXPECT_EQ(boot.size(), 16u);
  std::string text;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> text;
  std::erase(text, '-');
  EXPECT_EQ(HexEncode(boot), text);
}

TEST_F(PosixDiskTest, RandomBytesAreNotTwiceTheSame) {
  EXPECT_EQ(disk_->RandomBytes(0), "");
  EXPECT_EQ(disk_->RandomBytes(1000).size(), 1000u);
  EXPECT_NE(disk_->RandomBytes(32), disk_->RandomBytes(32));
}

}  // namespace
}  // namespace logcore
