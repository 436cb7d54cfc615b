// What umount(8)'s helper goes by: the table of mounts, and who serves one. Real mounts are in
// tests/mount/umount_test.py.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>
#include <thread>

#include "mountd/mount_table.h"
#include "mountd/server_process.h"

namespace mountd {
namespace {

constexpr char kTable[] =
    "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "40 22 0:57 / /srv/a\\040log rw,nosuid,nodev shared:4 master:2 - fuse.tlogfs /var/my\\040store "
    "rw,user_id=1000,group_id=5,default_permissions\n"
    "no line of a table\n"
    "41 22 0:58 / /srv/odd\\134\\011\\012\\8 rw - fuse.tlogfs /store ro,user_id=0\n"
    "42 22 0:59 / /mnt rw - tmpfs  rw,size=1k\n"
    "43 42 0:60 /sub /mnt rw - fuse.tlogfs - rw,user_id=x\n";

std::vector<MountEntry> Table() {
  std::istringstream lines(kTable);
  return ParseMountTable(lines);
}

TEST(MountTable, LinesBecomeEntries) {
  const std::vector<MountEntry> table = Table();
  ASSERT_EQ(table.size(), 5u);
  EXPECT_EQ(table[1].id, 40u);
  EXPECT_EQ(table[1].device, "0:57");
  EXPECT_EQ(table[1].mountpoint, "/srv/a log");
  EXPECT_EQ(table[1].type, "fuse.tlogfs");
  EXPECT_EQ(table[1].user, uid_t{1000});
  EXPECT_EQ(table[2].mountpoint, "/srv/odd\\\t\n\\8");
  EXPECT_EQ(table[2].user, uid_t{0});
  EXPECT_EQ(table[0].user, std::nullopt);
  EXPECT_EQ(table[3].type, "tmpfs");
  EXPECT_EQ(table[4].user, std::nullopt);
}

TEST(MountTable, TheTopmostMountCounts) {
  EXPECT_EQ(MountedOn(Table(), "/mnt").value().device, "0:60");
  EXPECT_EQ(MountedOn(Table(), "/srv/a log").value().device, "0:57");
  EXPECT_FALSE(MountedOn(Table(), "/srv").has_value());
  EXPECT_TRUE(MountedOn(ReadMountTable(), "/proc").has_value());
}

// How a process is that may, or may not, pass for the one that serves a mount.
struct Looks {
  uid_t real_user = geteuid();
  uid_t user = geteuid();  // effective and saved
  bool first_thread_has_name = false;
  bool another_has_name = true;
};

// A process with threads that are called as the one of a mount is, until it is killed.
class NamedChild {
 public:
  explicit NamedChild(const std::string& device, const Looks& looks = {}) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    pid_ = fork();
    if (pid_ == 0) {
      if (setresuid(looks.real_user, looks.user, looks.user) != 0) _exit(1);
      const std::string name = ServingThreadName(device);
      std::thread thread([] { pause(); });
      if (looks.another_has_name) pthread_setname_np(thread.native_handle(), name.c_str());
      if (looks.first_thread_has_name) prctl(PR_SET_NAME, name.c_str());
      static_cast<void>(!write(ends[1], "x", 1));
      pause();
    }
    close(ends[1]);
    char byte = 0;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
    close(ends[0]);
  }
  ~NamedChild() { Kill(); }
  NamedChild(const NamedChild&) = delete;
  NamedChild& operator=(const NamedChild&) = delete;

  void Kill() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
};

// No kernel gives such a number to a mount of a test machine.
MountEntry Mount(const std::string& device) {
  return {.id = 0, .device = device, .mountpoint = "/", .type = kMountedType, .user = geteuid()};
}

TEST(ServerProcess, IsFoundByTheNameOfAThread) {
  EXPECT_FALSE(ServerProcess::Find(Mount("0:999001")).has_value());
  NamedChild child("0:999001");
  const auto server = ServerProcess::Find(Mount("0:999001"));
  ASSERT_TRUE(server.has_value());
  EXPECT_FALSE(ServerProcess::Find(Mount("0:99900")).has_value());
  EXPECT_TRUE(server->Serves());
  EXPECT_FALSE(server->WaitForEnd(std::chrono::milliseconds(20)));
  std::thread killer([&] { child.Kill(); });
  EXPECT_TRUE(server->WaitForEnd(std::nullopt));
  killer.join();
  EXPECT_FALSE(server->Serves());
  EXPECT_FALSE(ServerProcess::Find(Mount("0:999001")).has_value());
}

TEST(ServerProcess, AnotherUsersProcessIsNotBelieved) {
  const uid_t user = geteuid() == 0 ? 12345 : geteuid();
  const NamedChild child("0:999002", {.real_user = user, .user = user});
  MountEntry mount = Mount("0:999002");
  mount.user = user;
  EXPECT_TRUE(ServerProcess::Find(mount).has_value());
  mount.user = user + 1;
  EXPECT_FALSE(ServerProcess::Find(mount).has_value());
  mount.user.reset();
  EXPECT_FALSE(ServerProcess::Find(mount).has_value());
}

// What is started by a link of that name: its first thread has it, and those that it starts.
TEST(ServerProcess, AProgramThatWasGivenTheNameIsNotBelieved) {
  const NamedChild plain("0:999003", {.first_thread_has_name = true, .another_has_name = false});
  const NamedChild threaded("0:999003", {.first_thread_has_name = true});
  EXPECT_FALSE(ServerProcess::Find(Mount("0:999003")).has_value());
  const NamedChild server("0:999003");
  EXPECT_TRUE(ServerProcess::Find(Mount("0:999003")).has_value());
}

TEST(ServerProcess, AnotherUsersSetuidProgramIsNotBelieved) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can start it";
  const NamedChild child("0:999004", {.real_user = 12345, .user = 0});
  EXPECT_FALSE(ServerProcess::Find(Mount("0:999004")).has_value());
  const NamedChild server("0:999004");
  EXPECT_EQ(ServerProcess::Find(Mount("0:999004")).value().user(), 0u);
}

TEST(ServerProcess, TheLongestDeviceNumberFits) {
  EXPECT_EQ(ServingThreadName("0:57"), "mount 0:57");
  EXPECT_EQ(ServingThreadName("0:1048575"), "mount 0:1048575");  // the highest, and 15 characters
}

}  // namespace
}  // namespace mountd
