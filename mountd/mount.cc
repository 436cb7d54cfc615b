#include <malloc.h>
#include <syslog.h>

#include <ostream>

#include "fusefs/fuse_session.h"
#include "logcore/log/sequencer.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/commit/store_writer.h"
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
using logcore::StoreReader;
using logcore::StoreWriter;

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

// What serving needs: one mount, from its opening to its end.
struct Serving {
  const MountOptions& options;
  const MountPaths& paths;
  Disk* disk;
  StopSignals* signals;
  std::ostream* err;  // that of Warn
  const std::function<void()>& ready;
};

// Serves requests until the filesystem is unmounted, or a signal says to stop. `sequencer` is null
// if nothing may be appended.
Status ServeRequests(logcore::PublishedLog* log, Sequencer* sequencer, const Serving& serving) {
  const fusefs::SessionOptions options = MakeSessionOptions(serving.options, serving.paths);
  ASSIGN_OR_RETURN(std::unique_ptr<FuseSession> session,
                   FuseSession::Mount(log, sequencer, options));
  const std::optional<MountEntry> mount = MountedOn(ReadMountTable(), options.mountpoint);
  serving.signals->Watch(mount ? ServingThreadName(mount->device) : "mount",
                         [&session] { session->Stop(); });
  Status served = session->Run([&] {
    NoteMount(options.source, options.mountpoint);
    serving.ready();
  });
  serving.signals->EndWatch();
  session.reset();  // unmounts
  if (serving.signals->came()) ForgetMount(options.mountpoint);
  return served;
}

// What an opening gave. Its error also says if the store is a copy that was made while in use.
template <typename Store>
Result<Store> Explained(Disk* disk, Result<Store> opened) {
  if (opened.has_value()) return opened;
  return tl::unexpected<logcore::Error>(ExplainCopy(disk, std::move(opened).error()));
}

Status ServeReaders(const Serving& serving) {
  ASSIGN_OR_RETURN(const std::unique_ptr<StoreReader> store,
                   Explained(serving.disk, StoreReader::Open(serving.disk, {})));
  if (store->damage()) {
    Warn(LOG_ERR,
         "mount " + serving.paths.store +
             ": damaged, serving what verifies: " + store->damage()->message,
         serving.err);
  }
  return ServeRequests(store.get(), nullptr, serving);
}

Status ServeWriters(const Serving& serving, const std::function<int64_t()>& clock) {
  ASSIGN_OR_RETURN(const std::unique_ptr<StoreWriter> store,
                   Explained(serving.disk, StoreWriter::Open(serving.disk, {.clock = clock})));
  std::unique_ptr<Sequencer> sequencer = Sequencer::Start(
      store.get(), {.checkpoint_interval = serving.options.checkpoint_interval,
                    .on_stopped = [&serving](const logcore::Error& error) {
                      Warn(LOG_CRIT,
                           serving.paths.store + ": stopped, mount it again: " + error.message,
                           nullptr);
                    }});
  Status served = ServeRequests(&store->reader(), sequencer.get(), serving);
  sequencer.reset();
  Status closed = store->Close();
  return served.has_value() ? closed : served;
}

// `err` is that of Warn.
Status Serve(const MountOptions& options, const MountPaths& paths,
             const std::function<int64_t()>& clock, std::ostream* err,
             const std::function<void()>& ready) {
  StopSignals signals;  // first, so that every thread has them blocked
  AllocateFromOneArena();
  ASSIGN_OR_RETURN(const std::unique_ptr<Disk> disk, logcore::OpenPosixDisk(paths.store));
  const Serving serving{options, paths, disk.get(), &signals, err, ready};
  return options.read_only ? ServeReaders(serving) : ServeWriters(serving, clock);
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
