#include "logcore/posix/check/repair.h"

#include <ostream>

#include "logcore/posix/disk/posix_disk.h"
#include "logcore/util/base64.h"
#include "mountd/commands.h"
#include "mountd/message.h"
#include "mountd/progress.h"
#include "mountd/small_file.h"

namespace mountd {
namespace {

using logcore::RepairReport;
using logcore::Result;

// "1002 entries, root ..."
std::string Describe(const logcore::TreeHead& head) {
  return std::to_string(head.size) + " entries, root " + logcore::Base64Encode(head.root.view());
}

void Tell(const RepairReport& report, std::ostream& out) {
  if (report.repaired.empty()) {
    out << "nothing to repair: " << Describe(report.head) << "\n";
    return;
  }
  const char* separator = "repaired: ";
  for (const std::string& name : report.repaired) {
    out << separator << OneLine(name);
    separator = ", ";
  }
  out << " (" << Describe(report.head) << ")\n";
}

// What the user should know besides.
void Warn(const RepairReport& report, const std::string& store, std::ostream& err) {
  const std::string context = "repair " + store + ": ";
  if (report.lost_times != 0) {
    Say(err, context + "times: " + std::to_string(report.lost_times) +
                 (report.lost_times == 1 ? " row was lost: its" : " rows were lost: their") +
                 " entries have the time of others now");
  }
  if (!report.repaired.empty() && !report.was_opened) {
    Say(err, context +
                 "it was not opened, as it is a copy or its key is not to be read: see tlogfs "
                 "adopt");
  }
}

}  // namespace

Result<int> Repair(const RepairCommand& command, Environment& environment) {
  logcore::RepairOptions options{.newest = {}, .clock = environment.clock, .progress = {}};
  if (command.newest) {
    Result<std::string> newest = ReadCheckpoint(*command.newest, environment.in);
    if (!newest.has_value()) return Within("repair: --newest", std::move(newest).error());
    options.newest = *std::move(newest);
  }
  const std::string context = "repair " + command.store;
  const auto disk = logcore::OpenPosixDisk(command.store);
  if (!disk.has_value()) return Within(context, disk.error());
  Result<RepairReport> report;
  {
    Progress progress(environment.err, environment.err_is_terminal);
    options.progress = [&progress](uint64_t done, uint64_t total) { progress.Show(done, total); };
    report = logcore::Repair(disk->get(), options);
  }
  if (!report.has_value()) return Within(context, std::move(report).error());
  Tell(*report, environment.out);
  Warn(*report, command.store, environment.err);
  return 0;
}

}  // namespace mountd
