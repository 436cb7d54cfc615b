#include "mountd/run.h"

#include <exception>
#include <ostream>
#include <variant>

#include "mountd/command_line.h"
#include "mountd/commands.h"

namespace mountd {
namespace {

using logcore::Code;
using logcore::Error;
using logcore::Fail;
using logcore::Result;

// One line, whatever a path or a file may have brought into the message.
std::string OneLine(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

struct Runner {
  Environment& environment;

  Result<int> operator()(const ShowText& command) const {
    environment.out << command.text;
    return 0;
  }
  Result<int> operator()(const InitCommand& command) const { return Init(command, environment); }
  Result<int> operator()(const MountCommand& command) const { return Mount(command, environment); }
  Result<int> operator()(const CheckCommand& command) const { return Check(command, environment); }
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

}  // namespace

int Run(const std::vector<std::string>& args, Environment& environment) {
  const Result<int> code = RunCommand(args, environment);
  environment.out.flush();
  if (code.has_value()) return *code;
  environment.err << "tlogfs: " << OneLine(code.error().message) << std::endl;
  const bool is_check = args.size() > 1 && args[1] == "check";
  return is_check ? 2 : 1;
}

}  // namespace mountd
