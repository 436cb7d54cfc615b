#include "fusefs/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

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
  EXPECT_EQ(ProcessOf(getpid()), getpid());
  std::thread([] { EXPECT_EQ(ProcessOf(gettid()), getpid()); }).join();
  EXPECT_EQ(ProcessOf(0), 0);
  EXPECT_EQ(ProcessOf(-1), 0);
  EXPECT_EQ(ProcessOf(0x7fffffff), 0);
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

}  // namespace
}  // namespace fusefs
