#include "mountd/run.h"

#include <exception>
#include <ostream>
#include <variant>

#include "mountd/command_line.h"
#include "mountd/commands.h"
#include "mountd/message.h"

namespace mountd {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Result;

struct Runner {
  Environment& environment;

  Result<int> operator()(const ShowText& command) const {
    environment.out << command.text;
    return 0;
  }
  Result<int> operator()(const InitCommand& command) const { return Init(command, environment); }
  Result<int> operator()(const MountCommand& command) const { return Mount(command, environment); }
  Result<int> operator()(const UnmountCommand& command) const {
    return Unmount(command, environment);
  }
  Result<int> operator()(const CheckCommand& command) const { return Check(command, environment); }
  Result<int> operator()(const BackupCommand& command) const {
    return Backup(command, environment);
  }
  Result<int> operator()(const AdoptCommand& command) const { return Adopt(command, environment); }
  Result<int> operator()(const RepairCommand& command) const {
    return Repair(command, environment);
  }
};

// The one place where exceptions (of CLI11, or for want of memory) end.
Result<int> RunCommand(const std::vector<std::string>& args, Environment& environment) {
  try {
    ASSIGN_OR_RETURN(const Command command, ParseCommandLine(args));
    return std::visit(Runner{environment}, command);
  } catch (const std::exception& e) {
    return Fail(Code::kIo, std::string("internal error: ") + e.what());
  }
}

// A full disk is met when what was printed is written out: then nobody has read it.
Result<int> RunAndFlush(const std::vector<std::string>& args, Environment& environment) {
  ASSIGN_OR_RETURN(const int code, RunCommand(args, environment));
  RETURN_IF_ERROR(Flush(environment.out));
  return code;
}

int FailureCode(const std::vector<std::string>& args) {
  if (CalledAs(args).starts_with("umount.")) return 32;
  return args.size() > 1 && args[1] == "check" ? 2 : 1;
}

}  // namespace

int Run(const std::vector<std::string>& args, Environment& environment) {
  const Result<int> code = RunAndFlush(args, environment);
  if (code.has_value()) return *code;
  Say(environment.err, code.error().message);
  return FailureCode(args);
}

}  // namespace mountd
