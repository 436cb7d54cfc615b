// FuseSession: a log as a mounted filesystem. Only the fuse_* files speak libfuse (low-level
// API); they translate and decide nothing. What the names are is tree.h, what their bytes are
// view.h, what a write means append_file.h.
//
// One thread runs it; it starts those that serve. Tested by tests/mount (real mounts).

#ifndef FUSEFS_FUSE_SESSION_H_
#define FUSEFS_FUSE_SESSION_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "logcore/log/published_log.h"
#include "logcore/log/sequencer.h"
#include "logcore/util/result.h"

namespace fusefs {

struct SessionOptions {
  std::string source;  // what mount(8) and df show: the store's path
  std::string mountpoint;
  bool read_only = false;    // no `add`, no `add.bundle`
  bool static_site = false;  // read-only, of `checkpoint`, `tile` and `vkey` alone, for web servers
  bool async = false;        // write(2) returns once sequenced; fsync and close still wait
  std::optional<uid_t> uid;  // owner of everything; by default who mounts
  std::optional<gid_t> gid;
  std::optional<mode_t> umask;            // taken off all modes
  std::optional<mode_t> append_mode;      // of add and add.bundle; default 0600
  std::vector<std::string> fuse_options;  // for libfuse and the kernel, such as "allow_other"
};

class FuseSession {
 public:
  // Mounts. The kernel queues requests from then on; Run answers them. The log and the sequencer
  // (null when read_only) outlive the session. A failure is one line, as mount(8)'s users expect.
  static logcore::Result<std::unique_ptr<FuseSession>> Mount(logcore::PublishedLog* log,
                                                             logcore::Sequencer* sequencer,
                                                             const SessionOptions& options);
  ~FuseSession();  // Unmounts, if still mounted.

  // Serves until the filesystem is unmounted or Stop is called, then answers every request that is
  // still waiting (the sequencer is stopped in here first: commit, publish, answer), and unmounts.
  // `ready` is called once, when the first request of the kernel has been answered.
  logcore::Status Run(const std::function<void()>& ready);
  // Makes Run return. Async-signal-safe; from any thread.
  void Stop();

 private:
  class Impl;
  explicit FuseSession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fusefs

#endif  // FUSEFS_FUSE_SESSION_H_
