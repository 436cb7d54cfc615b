#include <fcntl.h>
#include <sched.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <ostream>
#include <system_error>

#include "fusefs/fuse_session.h"
#include "logcore/posix_disk.h"
#include "logcore/sequencer.h"
#include "logcore/store.h"
#include "mountd/commands.h"
#include "mountd/daemon.h"
#include "mountd/mountpoint.h"
#include "mountd/stop_signals.h"

namespace mountd {
namespace {

using fusefs::FuseSession;
using logcore::Code;
using logcore::Disk;
using logcore::Fail;
using logcore::Result;
using logcore::Sequencer;
using logcore::Status;
using logcore::Store;

// mount(8)'s -N: everything after this, paths too, is seen as in that namespace.
Status EnterNamespace(const std::string& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  const bool entered = fd >= 0 && setns(fd, CLONE_NEWNS) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (entered) return {};
  return Fail(Code::kDenied, "-N " + file + ": " + std::generic_category().message(error));
}

fusefs::SessionOptions MakeSessionOptions(const MountOptions& options, const MountPaths& paths) {
  return fusefs::SessionOptions{.source = paths.store,
                                .mountpoint = paths.mountpoint,
                                .read_only = options.read_only,
                                .static_site = options.static_site,
                                .async = options.async,
                                .uid = options.uid,
                                .gid = options.gid,
                                .umask = options.umask,
                                .append_mode = options.append_mode,
                                .fuse_options = options.fuse_options};
}

// Serves requests until the filesystem is unmounted, or a signal says to stop.
Status ServeRequests(Store* store, Sequencer* sequencer, const fusefs::SessionOptions& options,
                     StopSignals* signals, const std::function<void()>& ready) {
  ASSIGN_OR_RETURN(const std::unique_ptr<FuseSession> session,
                   FuseSession::Mount(store, sequencer, options));
  signals->Watch([&session] { session->Stop(); });
  Status served = session->Run(ready);
  signals->EndWatch();
  return served;
}

// Of a log that is served as far as it verifies: one line, to who mounts it and to syslog.
void WarnOfDamage(const Store& store, const MountPaths& paths, std::ostream* err) {
  if (!store.damage()) return;
  const std::string line =
      "mount " + paths.store + ": damaged, serving what verifies: " + store.damage()->message;
  if (err != nullptr) *err << "tlogfs: " << line << std::endl;
  syslog(LOG_ERR, "%s", line.c_str());
}

// `err`: null if syslog goes there as well.
Status Serve(const MountOptions& options, const MountPaths& paths,
             const std::function<int64_t()>& clock, std::ostream* err,
             const std::function<void()>& ready) {
  StopSignals signals;  // first, so that every thread has them blocked
  ASSIGN_OR_RETURN(const std::unique_ptr<Disk> disk, logcore::OpenPosixDisk(paths.store));
  const auto mode = options.read_only ? Store::Mode::kReadOnly : Store::Mode::kAppend;
  ASSIGN_OR_RETURN(const std::unique_ptr<Store> store,
                   Store::Open(disk.get(), mode, {.clock = clock}));
  const fusefs::SessionOptions session_options = MakeSessionOptions(options, paths);
  if (options.read_only) {
    WarnOfDamage(*store, paths, err);
    return ServeRequests(store.get(), nullptr, session_options, &signals, ready);
  }
  std::unique_ptr<Sequencer> sequencer =
      Sequencer::Start(store.get(), {.checkpoint_interval = options.checkpoint_interval,
                                     .on_stopped = [&paths](const logcore::Error& error) {
                                       syslog(LOG_CRIT, "%s: stopped, mount it again: %s",
                                              paths.store.c_str(), error.message.c_str());
                                     }});
  Status served = ServeRequests(store.get(), sequencer.get(), session_options, &signals, ready);
  sequencer.reset();
  Status closed = store->Close();
  return served.has_value() ? closed : served;
}

Status RunMount(const MountCommand& command, Environment& environment) {
  if (!command.mount_namespace.empty()) RETURN_IF_ERROR(EnterNamespace(command.mount_namespace));
  RETURN_IF_ERROR(ClearDeadMount(command.mountpoint));
  ASSIGN_OR_RETURN(const MountPaths paths, ResolveMountPaths(command.store, command.mountpoint));
  const Service serve = [&](const std::function<void()>& ready) {
    std::ostream* const err = command.foreground ? nullptr : &environment.err;
    return Serve(command.options, paths, environment.clock, err, ready);
  };
  return command.foreground ? ServeInForeground(serve, environment.notify_socket)
                            : ServeInBackground(serve);
}

}  // namespace

Result<int> Mount(const MountCommand& command, Environment& environment) {
  if (command.fake) return 0;
  Status mounted = RunMount(command, environment);
  if (!mounted.has_value()) return Within("mount " + command.store, std::move(mounted).error());
  return 0;
}

}  // namespace mountd
