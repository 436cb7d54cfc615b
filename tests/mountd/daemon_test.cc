// Serving in a child process: what the parent learns of it, and what the child is like. The service
// here is a function; real mounts are tests/mount's.

#include "mountd/daemon.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/filesystem.hpp>
#include <csignal>
#include <cstring>

namespace mountd {
namespace {

namespace fs = boost::filesystem;
using logcore::Code;
using logcore::Fail;
using logcore::Status;
using ::testing::HasSubstr;

TEST(ServeInBackground, ReturnsWhenTheChildIsReadyAndTheChildGoesOn) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);  // The child closes its copies: the end of this pipe is ours to see.
  const fs::path mark = fs::temp_directory_path() / fs::unique_path("tlogfs-%%%%%%%%");
  const Status status = ServeInBackground([&mark](const std::function<void()>& ready) -> Status {
    ready();
    const pid_t session = getsid(0);
    char directory[4096];
    const bool is_daemon = session == getpid() && getcwd(directory, sizeof directory) != nullptr &&
                           std::string(directory) == "/" && isatty(STDERR_FILENO) == 0;
    const std::string name = mark.string() + (is_daemon ? "" : "-wrong");
    close(open(name.c_str(), O_CREAT | O_WRONLY, 0600));
    return {};
  });
  EXPECT_TRUE(status.has_value()) << status.error().message;
  close(ends[1]);
  char byte;
  EXPECT_EQ(read(ends[0], &byte, 1), 0);
  close(ends[0]);
  for (int i = 0; i < 500 && !fs::exists(mark); ++i) usleep(10'000);
  EXPECT_TRUE(fs::remove(mark));
}

TEST(ServeInBackground, PassesOnTheErrorOfTheChild) {
  const std::string message(100'000, 'x');  // more than a pipe holds
  const Status status = ServeInBackground(
      [&message](const std::function<void()>&) -> Status { return Fail(Code::kIo, message); });
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().message, message);
}

TEST(ServeInBackground, SaysThatTheChildDied) {
  const Status killed = ServeInBackground([](const std::function<void()>&) -> Status {
    raise(SIGKILL);
    return {};
  });
  ASSERT_FALSE(killed.has_value());
  EXPECT_THAT(killed.error().message, HasSubstr("killed by signal 9"));
  const Status ended = ServeInBackground([](const std::function<void()>&) -> Status { return {}; });
  ASSERT_FALSE(ended.has_value());
  EXPECT_THAT(ended.error().message, HasSubstr("before the mount answered"));
}

// Binds a datagram socket to `name` (of an abstract one, the first byte is 0), and returns what
// ServeInForeground sends it.
std::string Notification(const std::string& name, const std::string& notify_socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
  const Service serve = [](const std::function<void()>& ready) -> Status {
    ready();
    return {};
  };
  EXPECT_TRUE(ServeInForeground(serve, notify_socket).has_value());
  char buffer[100];
  const ssize_t received = recv(fd, buffer, sizeof buffer, 0);
  close(fd);
  return received < 0 ? "nothing" : std::string(buffer, static_cast<size_t>(received));
}

TEST(ServeInForeground, TellsSystemd) {
  const std::string path =
      (fs::temp_directory_path() / fs::unique_path("tlogfs-%%%%%%%%")).string();
  EXPECT_EQ(Notification(path, path), "READY=1");
  fs::remove(path);
  const std::string abstract = path.substr(1);
  EXPECT_EQ(Notification('\0' + abstract, '@' + abstract), "READY=1");
  EXPECT_EQ(Notification('\0' + abstract, ""), "nothing");
}

TEST(ServeInForeground, ReturnsTheErrorOfTheService) {
  const Service serve = [](const std::function<void()>&) -> Status {
    return Fail(Code::kIo, "no");
  };
  EXPECT_EQ(ServeInForeground(serve, "").error().message, "no");
}

}  // namespace
}  // namespace mountd
