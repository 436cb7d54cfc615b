#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <iostream>

#include "mountd/run.h"

namespace {

int64_t ReadClock() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

int main(int argc, char** argv) {
  // Whoever closed a standard stream must not find a file of the store in its place.
  int fd = 0;
  do fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
  // The signing key has no business in a core file, nor in a debugger of the same user.
  prctl(PR_SET_DUMPABLE, 0);
  // A umask can make a store more private, but not one that its owner cannot open.
  umask(umask(0) & (S_IRWXG | S_IRWXO));

  const char* notify_socket = std::getenv("NOTIFY_SOCKET");
  mountd::Environment environment{.in = std::cin,
                                  .out = std::cout,
                                  .err = std::cerr,
                                  .err_is_terminal = isatty(STDERR_FILENO) == 1,
                                  .clock = ReadClock,
                                  .notify_socket = notify_socket ? notify_socket : ""};
  return mountd::Run({argv, argv + argc}, environment);
}
