// The process that serves a mount, as others find it: one of its threads is called "mount 0:57",
// after the device number that the mount table shows. A name is better than a file with a process
// id: it is there exactly as long as the process, is seen from every namespace that sees the
// process, and needs no folder that somebody may write to.
//
// A name alone proves nothing, as any program can be started by it. A process is believed if
//
//   - all four of its user ids are root's, or those of the user who mounted: a setuid program that
//     somebody started has that user's as its real id;
//   - its first thread has another name: that is the name of the file that a program is started
//     by, and threads that are started later inherit it;
//   - /proc is of our pid namespace: the ids of another one belong to other processes here.
//
// So no other user can make a process that passes for the server. The user who mounted can, and
// should be waited for by others only for a limited time.
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
  // Finds the one that serves `mount`, if it has not ended and can be seen from here.
  static std::optional<ServerProcess> Find(const MountEntry& mount);

  ServerProcess(ServerProcess&& other) noexcept;
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  ~ServerProcess();

  pid_t id() const { return pid_; }
  uid_t user() const { return user_; }
  // Whether it serves the mount; if not, it is closing the store, or has ended.
  bool Serves() const;
  // Waits until it has ended, but no longer than `limit`. Returns whether it has ended.
  bool WaitForEnd(std::optional<std::chrono::milliseconds> limit) const;

 private:
  ServerProcess(const MountEntry& mount, pid_t pid);
  MountEntry mount_;
  pid_t pid_;
  uid_t user_ = 0;
  int pidfd_;
};

}  // namespace mountd

#endif  // MOUNTD_SERVER_PROCESS_H_
