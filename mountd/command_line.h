// The command line, parsed: what the user asked for, as values. Nothing is done here and no file is
// looked at. Tested by tests/mountd/run_test.cc.

#ifndef MOUNTD_COMMAND_LINE_H_
#define MOUNTD_COMMAND_LINE_H_

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "logcore/result.h"
#include "mountd/mount_options.h"

namespace mountd {

struct ShowText {  // --help, --version
  std::string text;
};

struct InitCommand {
  std::string store;
  std::string origin;
  std::optional<std::string> key_file;
};

struct MountCommand {
  std::string store;
  std::string mountpoint;
  MountOptions options;
  bool foreground = false;
  bool fake = false;            // mount(8)'s -f: check the arguments and do nothing
  std::string mount_namespace;  // mount(8)'s -N: a file of the namespace to mount in; or empty
};

struct CheckCommand {
  std::string store;
  std::optional<std::string> vkey;
};

struct AdoptCommand {
  std::string store;
  std::string newest;  // a file, or "-" for the standard input
};

struct RepairCommand {
  std::string store;
  std::optional<std::string> newest;  // as of AdoptCommand
};

using Command =
    std::variant<ShowText, InitCommand, MountCommand, CheckCommand, AdoptCommand, RepairCommand>;

logcore::Result<Command> ParseCommandLine(const std::vector<std::string>& args);

}  // namespace mountd

#endif  // MOUNTD_COMMAND_LINE_H_
