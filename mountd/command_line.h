// The command line, parsed: what the user asked for, as values. Nothing is done here and no file is
// looked at.
//
// Pure; any thread. Tested by tests/mountd/run_test.cc.

#ifndef MOUNTD_COMMAND_LINE_H_
#define MOUNTD_COMMAND_LINE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "logcore/util/result.h"
#include "mountd/mount_options.h"

namespace mountd {

struct ShowText {  // --help, --version
  std::string text;
};

// The least journal that init makes. A record has at most a quarter of it, and must take the
// longest entry.
inline constexpr uint64_t kMinJournalSize = 1 << 20;

struct InitCommand {
  std::string store;
  std::string origin;
  std::optional<std::string> key_file;
  std::optional<uint64_t> journal_size;  // bytes; none: as suits the disk
};

struct MountCommand {
  std::string store;
  std::string mountpoint;
  MountOptions options;
  bool foreground = false;
  bool fake = false;            // mount(8)'s -f: check the arguments and do nothing
  std::string mount_namespace;  // mount(8)'s -N: a file of the namespace to mount in; or empty
};

struct UnmountCommand {  // as umount(8) starts it
  std::string mountpoint;
  bool force = false;
  bool lazy = false;
  bool read_only_else = false;  // -r: if it is busy
  std::string mount_namespace;  // as above
};

struct CheckCommand {
  std::string store;
  std::optional<std::string> vkey;
};

struct BackupCommand {
  std::string store;
  std::string destination;
};

struct AdoptCommand {
  std::string store;
  std::string newest;  // a file, or "-" for the standard input
};

struct RepairCommand {
  std::string store;
  std::optional<std::string> newest;  // as of AdoptCommand
};

using Command = std::variant<ShowText, InitCommand, MountCommand, UnmountCommand, CheckCommand,
                             BackupCommand, AdoptCommand, RepairCommand>;

// args[0] without its folder: the program, or one of its links.
std::string_view CalledAs(const std::vector<std::string>& args);

logcore::Result<Command> ParseCommandLine(const std::vector<std::string>& args);

}  // namespace mountd

#endif  // MOUNTD_COMMAND_LINE_H_
