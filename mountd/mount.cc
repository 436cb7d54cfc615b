#include <malloc.h>
#include <syslog.h>

#include <ostream>

#include "fusefs/fuse_session.h"
#include "logcore/log/sequencer.h"
#include "logcore/posix/commit/store.h"
#include "logcore/posix/disk/posix_disk.h"
#include "mountd/commands.h"
#include "mountd/daemon.h"
#include "mountd/hot_copy.h"
#include "mountd/message.h"
#include "mountd/mount_table.h"
#include "mountd/mountpoint.h"
#include "mountd/server_process.h"
#include "mountd/stop_signals.h"
#include "mountd/utab.h"

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
  ASSIGN_OR_RETURN(std::unique_ptr<FuseSession> session,
                   FuseSession::Mount(store, sequencer, options));
  const std::optional<MountEntry> mount = MountedOn(ReadMountTable(), options.mountpoint);
  signals->Watch(mount ? ServingThreadName(mount->device) : "mount",
                 [&session] { session->Stop(); });
  Status served = session->Run([&] {
    NoteMount(options.source, options.mountpoint);
    ready();
  });
  signals->EndWatch();
  session.reset();  // unmounts
  if (signals->came()) ForgetMount(options.mountpoint);
  return served;
}

// Tells who mounts, and syslog for mounts that nobody watches. `err` is null if syslog goes there
// as well.
void Warn(int priority, const std::string& warning, std::ostream* err) {
  if (err != nullptr) Say(*err, warning);
  syslog(priority, "%s", OneLine(warning).c_str());
}

// malloc_trim gives back the end of the first arena alone, and a few threads need no more than one.
void AllocateFromOneArena() {
  mallopt(M_ARENA_MAX, 1);
}

// `err` is that of Warn.
Status Serve(const MountOptions& options, const MountPaths& paths,
             const std::function<int64_t()>& clock, std::ostream* err,
             const std::function<void()>& ready) {
  StopSignals signals;  // first, so that every thread has them blocked
  AllocateFromOneArena();
  ASSIGN_OR_RETURN(const std::unique_ptr<Disk> disk, logcore::OpenPosixDisk(paths.store));
  const auto mode = options.read_only ? Store::Mode::kReadOnly : Store::Mode::kAppend;
  Result<std::unique_ptr<Store>> opened = Store::Open(disk.get(), mode, {.clock = clock});
  if (!opened.has_value()) {
    return tl::unexpected<logcore::Error>(ExplainCopy(disk.get(), std::move(opened).error()));
  }
  const std::unique_ptr<Store> store = *std::move(opened);
  const fusefs::SessionOptions session_options = MakeSessionOptions(options, paths);
  if (options.read_only) {
    if (store->damage()) {
      Warn(LOG_ERR,
           "mount " + paths.store + ": damaged, serving what verifies: " + store->damage()->message,
           err);
    }
    return ServeRequests(store.get(), nullptr, session_options, &signals, ready);
  }
  std::unique_ptr<Sequencer> sequencer = Sequencer::Start(
      store.get(), {.checkpoint_interval = options.checkpoint_interval,
                    .on_stopped = [&paths](const logcore::Error& error) {
                      Warn(LOG_CRIT, paths.store + ": stopped, mount it again: " + error.message,
                           nullptr);
                    }});
  Status served = ServeRequests(store.get(), sequencer.get(), session_options, &signals, ready);
  sequencer.reset();
  Status closed = store->Close();
  return served.has_value() ? closed : served;
}

Status RunMount(const MountCommand& command, Environment& environment) {
  if (!command.mount_namespace.empty()) {
    RETURN_IF_ERROR(EnterMountNamespace(command.mount_namespace));
  }
  RETURN_IF_ERROR(ClearDeadMount(command.mountpoint));
  std::optional<MountpointLock> lock(command.mountpoint);
  ASSIGN_OR_RETURN(const MountPaths paths, ResolveMountPaths(command.store, command.mountpoint));
  const Service serve = [&](const std::function<void()>& ready) {
    std::ostream* const err = command.foreground ? nullptr : &environment.err;
    return Serve(command.options, paths, environment.clock, err, [&] {
      if (!paths.hidden.empty()) {
        Warn(LOG_WARNING,
             "mount: " + paths.hidden +
                 ": a plain file, written while nothing was mounted; the mount hides it",
             err);
      }
      ready();
    });
  };
  if (!command.foreground) return ServeInBackground(serve);
  const Service unlock_and_serve = [&](const std::function<void()>& ready) {
    return serve([&] {
      lock.reset();
      ready();
    });
  };
  return ServeInForeground(unlock_and_serve, environment.notify_socket);
}

}  // namespace

Result<int> Mount(const MountCommand& command, Environment& environment) {
  if (command.fake) return 0;
  Status mounted = RunMount(command, environment);
  if (!mounted.has_value()) return Within("mount " + command.store, std::move(mounted).error());
  return 0;
}

}  // namespace mountd
