// Options of a mount: the words after -o. A list with three kinds of words, and everything else is
// an error: a misspelt option must not quietly become a mount without it.
//
//   ours           ro, static, async, uid=, gid=, umask=, mode=, checkpoint_interval=
//   passed on      allow_other, nodev, context=, ...   to libfuse and the kernel
//   ignored        nofail, user, x-systemd..., ...     what mount(8) hands to every helper
//
// Pure; any thread. Tested by tests/mountd/mount_options_test.cc.

#ifndef MOUNTD_MOUNT_OPTIONS_H_
#define MOUNTD_MOUNT_OPTIONS_H_

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "logcore/util/result.h"

namespace mountd {

inline constexpr std::chrono::milliseconds kMaxCheckpointInterval = std::chrono::hours(1);

struct MountOptions {
  bool read_only = false;
  bool static_site = false;  // which is read-only, too
  bool async = false;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<mode_t> umask;
  std::optional<mode_t> append_mode;
  std::chrono::milliseconds checkpoint_interval{0};
  std::vector<std::string> fuse_options;  // commas in them are escaped, as libfuse wants it
};

// Adds the words of `list` to `options`; of two that contradict each other the later one counts.
// But mount(8) says `rw` to all helpers, anywhere: it does not take `static` back.
logcore::Status ParseMountOptions(std::string_view list, MountOptions* options);

// For --help.
std::string_view MountOptionsHelp();

}  // namespace mountd

#endif  // MOUNTD_MOUNT_OPTIONS_H_
