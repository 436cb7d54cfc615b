// How a mount is served: here, or by a child process that outlives the command.
//
// The fork comes first, before any thread or file of the store, since threads do not survive it.
// The parent waits at a pipe for one of two things: that the mount answers, or the one line that
// says why it does not. The child leaves the caller's process group and session only when the mount
// answers: where an automounter waits for it, the kernel lets that process group alone through to
// the mountpoint. Tested by tests/mountd/daemon_test.cc.

#ifndef MOUNTD_DAEMON_H_
#define MOUNTD_DAEMON_H_

#include <functional>
#include <string>

#include "logcore/util/result.h"

namespace mountd {

// Serves until the end, and calls `ready` (once, from any thread) when the mount answers.
using Service = std::function<logcore::Status(const std::function<void()>& ready)>;

// Both open syslog(3), for what goes wrong later.

// Returns when `serve` does. Tells systemd's socket (may be empty) when it is ready. What goes to
// syslog goes to stderr as well.
logcore::Status ServeInForeground(const Service& serve, const std::string& notify_socket);

// Returns, in this process, when the child is ready or has failed. The child never returns: in /,
// and from when it is ready a session of its own, without streams, whose errors go to syslog.
logcore::Status ServeInBackground(const Service& serve);

}  // namespace mountd

#endif  // MOUNTD_DAEMON_H_
