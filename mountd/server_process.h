// The process that serves a mount, as others find it: one of its threads is called "mount 0:57",
// after the device number that the mount table shows. A name is enough, and better than a file with
// a process id: it is there exactly as long as the process, is seen from every namespace that sees
// the process, and needs no folder that somebody may write to.
//
// Any thread. Tested by tests/mountd/unmount_test.cc.

#ifndef MOUNTD_SERVER_PROCESS_H_
#define MOUNTD_SERVER_PROCESS_H_

#include <chrono>
#include <optional>
#include <string>

#include "mountd/mount_table.h"

namespace mountd {

// What a thread of the process is to be called. Linux takes 15 characters, which is enough for the
// longest device number.
std::string ServingThreadName(const std::string& device);

// A process, until it has ended and all its files are closed.
class ServerProcess {
 public:
  // Finds the one that serves `mount`, if it has not ended and can be seen from here. It belongs to
  // root or to the user who mounted: no other user's process can pass for it.
  static std::optional<ServerProcess> Find(const MountEntry& mount);

  ServerProcess(ServerProcess&& other) noexcept;
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  ~ServerProcess();

  // Whether it serves the mount; if not, it is closing the store, or has ended.
  bool Serves() const;
  // Waits until it has ended, but no longer than `limit`. Returns whether it has ended.
  bool WaitForEnd(std::optional<std::chrono::milliseconds> limit) const;

 private:
  ServerProcess(const MountEntry& mount, pid_t pid);
  MountEntry mount_;
  pid_t pid_;
  int pidfd_;
};

}  // namespace mountd

#endif  // MOUNTD_SERVER_PROCESS_H_
