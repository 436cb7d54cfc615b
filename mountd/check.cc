#include <optional>
#include <ostream>

#include "logcore/posix/check/audit.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/util/base64.h"
#include "mountd/commands.h"
#include "mountd/hot_copy.h"
#include "mountd/message.h"
#include "mountd/progress.h"

namespace mountd {
namespace {

using logcore::Result;
using logcore::VerifierKey;

// The key that was asked for, if any; else the store's own counts.
Result<std::optional<VerifierKey>> ExpectedKey(const CheckCommand& command) {
  std::optional<VerifierKey> expected;
  if (!command.vkey) return expected;
  Result<VerifierKey> key = VerifierKey::Parse(*command.vkey);
  if (!key.has_value()) return Within("--vkey " + *command.vkey, std::move(key).error());
  expected = *std::move(key);
  return expected;
}

Result<logcore::AuditReport> RunAudit(const std::optional<VerifierKey>& vkey, logcore::Disk* disk,
                                      Environment& environment) {
  Progress progress(environment.err, environment.err_is_terminal);
  logcore::AuditOptions options;
  options.vkey = vkey;
  options.progress = [&progress](uint64_t done, uint64_t total) { progress.Show(done, total); };
  return logcore::Audit(disk, options);
}

bool IsBackup(logcore::Disk* disk) {
  const auto config = logcore::ReadStoreConfig(disk);
  return config.has_value() && !config->home;
}

// Where the damage may come from, and what to do then; or an empty string.
std::string Advice(const logcore::AuditReport& report, logcore::Disk* disk) {
  if (IsPlainCopy(disk)) return kHotCopy;
  if (!report.went_down) return "";
  return std::string("the machine went down while it was written: ") +
         (IsBackup(disk) ? "let tlogfs backup run once more"
                         : "mount it once for writing, and check it again");
}

}  // namespace

Result<int> Check(const CheckCommand& command, Environment& environment) {
  const std::string context = "check " + command.store;
  auto disk = logcore::OpenPosixDisk(command.store);
  if (!disk.has_value()) return Within(context, std::move(disk).error());
  auto vkey = ExpectedKey(command);
  if (!vkey.has_value()) return Within(context, std::move(vkey).error());
  auto report = RunAudit(*vkey, disk->get(), environment);
  if (!report.has_value()) {
    return Within(context, ExplainCopy(disk->get(), std::move(report).error()));
  }

  for (const logcore::Damage& damage : report->damages) {
    environment.out << "damaged: " << OneLine(damage.file + ": " + damage.what) << "\n";
  }
  if (!report->damages.empty()) {
    const std::string advice = Advice(*report, disk->get());
    if (!advice.empty()) Say(environment.err, context + ": " + advice);
    return 1;
  }
  const auto config = logcore::ReadStoreConfig(disk->get());
  if (!config.has_value()) return Within(context, config.error());
  environment.out << "sound: " << report->head.size << " entries, root "
                  << logcore::Base64Encode(report->head.root.view()) << ", checkpoint signed by "
                  << OneLine(config->vkey.ToString());
  if (report->unpublished != 0) {
    environment.out << "; " << report->unpublished << " more acknowledged and not yet published";
  }
  environment.out << "\n";
  return 0;
}

}  // namespace mountd
