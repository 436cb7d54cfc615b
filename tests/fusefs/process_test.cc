#include "fusefs/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace fusefs {
namespace {

// A child that has ended but was not waited for: as when it closes its files on its way out.
class Ended {
 public:
  template <typename Body>
  explicit Ended(Body body) : pid_(fork()) {
    if (pid_ == 0) {
      body();
      _exit(0);
    }
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }
  ~Ended() { waitpid(pid_, nullptr, 0); }
  Ended(const Ended&) = delete;
  Ended& operator=(const Ended&) = delete;
  pid_t pid() const { return pid_; }

 private:
  const pid_t pid_;
};

TEST(Process, OfAThread) {
  const Process self = ProcessOf(getpid());
  EXPECT_EQ(self.id, getpid());
  std::thread([&] {
    for (const pid_t guess : {0, -1, getpid(), gettid(), getppid(), 0x7fffffff}) {
      EXPECT_EQ(ProcessOf(gettid(), guess), self) << guess;
    }
  }).join();
  EXPECT_EQ(ProcessOf(getpid(), getppid()), self);
  for (const pid_t none : {0, -1, 0x7fffffff}) EXPECT_FALSE(ProcessOf(none).known()) << none;
}

TEST(Process, HasAnInstanceOfItsOwn) {
  utsname system{};
  ASSERT_EQ(uname(&system), 0);
  int version = 0;
  int patch = 0;
  ASSERT_EQ(std::sscanf(system.release, "%d.%d", &version, &patch), 2);
  if (std::pair(version, patch) < std::pair(6, 9)) GTEST_SKIP() << "before Linux 6.9";
  std::set<uint64_t> instances{ProcessOf(getpid()).instance};
  for (int i = 0; i < 20; ++i) {
    const Ended ended([] {});
    const Process process = ProcessOf(ended.pid());
    EXPECT_EQ(process.id, ended.pid());
    EXPECT_TRUE(instances.insert(process.instance).second);
  }
}

TEST(Process, IsOfAnotherAsFarAsThatIsKnown) {
  const Process self = ProcessOf(getpid());
  const Ended ended([] {});
  EXPECT_TRUE(IsOfAnother(ended.pid(), self));
  EXPECT_TRUE(IsOfAnother(getpid(), ProcessOf(ended.pid())));
  EXPECT_FALSE(IsOfAnother(getpid(), self));
  EXPECT_FALSE(IsOfAnother(getpid(), Process{}));
  for (const pid_t none : {0, -1, 0x7fffffff}) EXPECT_FALSE(IsOfAnother(none, self)) << none;
  std::thread([&] { EXPECT_FALSE(IsOfAnother(gettid(), self)); }).join();
}

TEST(Process, OfAnotherDescriptorOfAFile) {
  const auto count = [](ino_t inode) { return CountDescriptors(gettid(), inode); };
  const Process self = ProcessOf(getpid());
  std::FILE* const file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  struct stat status {};
  ASSERT_EQ(fstat(fileno(file), &status), 0);
  EXPECT_EQ(count(status.st_ino), 1u);
  const int copy = dup(fileno(file));
  EXPECT_EQ(count(status.st_ino), 2u);
  std::fclose(file);
  EXPECT_EQ(count(status.st_ino), 1u);
  std::thread([&] { EXPECT_EQ(count(status.st_ino), 1u); }).join();
  EXPECT_TRUE(MayHold(self, status.st_ino));
  EXPECT_FALSE(MayHold({.id = self.id, .instance = self.instance + 1}, status.st_ino));
  const Ended ended([] {});  // It has closed all.
  EXPECT_EQ(CountDescriptors(ended.pid(), status.st_ino), 0u);
  EXPECT_FALSE(MayHold(ProcessOf(ended.pid()), status.st_ino));
  EXPECT_FALSE(MayHold(Process{}, status.st_ino));
  close(copy);
  EXPECT_EQ(count(status.st_ino), 0u);
  EXPECT_FALSE(MayHold(self, status.st_ino));
  for (const pid_t none : {0, -1, 0x7fffffff}) {
    EXPECT_EQ(CountDescriptors(none, status.st_ino), std::nullopt);
  }
  // With so many descriptors nobody looks.
  std::vector<int> many;
  for (int i = 0; i < 300; ++i) many.push_back(eventfd(0, 0));
  EXPECT_EQ(count(status.st_ino), std::nullopt);
  EXPECT_TRUE(MayHold(self, status.st_ino));
  for (const int fd : many) close(fd);
}

TEST(Process, KilledIsToldFromExit) {
  for (const int number : {SIGKILL, SIGTERM, SIGPIPE}) {
    EXPECT_TRUE(IsKilled(Ended([number] { kill(getpid(), number); }).pid())) << number;
  }
  EXPECT_FALSE(IsKilled(Ended([] { _exit(0); }).pid()));
  EXPECT_FALSE(IsKilled(Ended([] { _exit(9); }).pid()));
  EXPECT_FALSE(IsKilled(Ended([] { _exit(130); }).pid()));
  EXPECT_FALSE(IsKilled(getpid()));
  EXPECT_FALSE(IsKilled(0));
  EXPECT_FALSE(IsKilled(0x7fffffff));
}

// The threads that exit leaves no time to end are killed by it, but the process is not.
TEST(Process, ExitOfAProcessWithThreadsIsNoKill) {
  const Ended ended([] {
    std::thread([] { _exit(0); }).detach();
    pause();
  });
  EXPECT_FALSE(IsKilled(ended.pid()));
}

TEST(Process, FatalSignalsArePendingOnlyIfTheyKill) {
  EXPECT_FALSE(IsFatalSignalPending(getpid()));
  EXPECT_FALSE(IsFatalSignalPending(0));
  EXPECT_FALSE(IsFatalSignalPending(0x7fffffff));
  // A signal that is blocked, or handled, does not end anybody.
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigset_t before;
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
  kill(getpid(), SIGTERM);
  EXPECT_FALSE(IsFatalSignalPending(getpid()));
  int number = 0;
  sigwait(&blocked, &number);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// A stopped process does not come to see SIGQUIT, which is fatal, but never becomes SIGKILL.
TEST(Process, FatalSignalsThatDumpCoreArePending) {
  struct Case {
    int number;
    void (*handler)(int);
    bool fatal;
  };
  for (const auto& [number, handler, fatal] :
       {Case{SIGQUIT, SIG_DFL, true}, Case{SIGABRT, SIG_DFL, true}, Case{SIGQUIT, SIG_IGN, false},
        Case{SIGQUIT, [](int) {}, false}, Case{SIGWINCH, SIG_DFL, false},
        Case{SIGTSTP, SIG_DFL, false}}) {
    const pid_t child = fork();
    if (child == 0) {
      signal(number, handler);
      raise(SIGSTOP);
      _exit(0);
    }
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(child), &info, WSTOPPED | WNOWAIT);
    kill(child, number);
    EXPECT_EQ(IsFatalSignalPending(child), fatal) << number;
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
}

}  // namespace
}  // namespace fusefs
