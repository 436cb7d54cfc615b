#include "logcore/posix/check/backup.h"

#include <memory>
#include <ostream>

#include "logcore/posix/disk/posix_disk.h"
#include "logcore/posix/files/store_config.h"
#include "logcore/util/base64.h"
#include "logcore/util/result.h"
#include "mountd/commands.h"
#include "mountd/message.h"
#include "mountd/progress.h"
#include "mountd/store_directory.h"

namespace mountd {
namespace {

using logcore::BackupReport;
using logcore::Disk;
using logcore::Result;

Result<BackupReport> RunBackup(const BackupCommand& command, Environment& environment) {
  auto source = logcore::OpenPosixDisk(command.store);
  if (!source.has_value()) return Within("the store", std::move(source).error());
  // What is no store leaves no directory for its backup.
  const auto config = logcore::ReadStoreConfig(source->get());
  if (!config.has_value()) return Within("the store", config.error());
  RETURN_IF_ERROR(StoreDirectory().Make(command.destination));
  auto destination = logcore::OpenPosixDisk(command.destination);
  if (!destination.has_value()) return Within("the backup", std::move(destination).error());
  Progress progress(environment.err, environment.err_is_terminal);
  return logcore::Backup(
      source->get(), destination->get(),
      [&progress](uint64_t done, uint64_t total) { progress.Show(done, total); });
}

}  // namespace

Result<int> Backup(const BackupCommand& command, Environment& environment) {
  Result<BackupReport> report = RunBackup(command, environment);
  if (!report.has_value()) {
    return Within("backup " + command.store + " " + command.destination, std::move(report).error());
  }
  const uint64_t count = report->new_entries;
  const std::string added = count == 0 ? "nothing" : std::to_string(count);
  environment.out << "backed up: " << report->head.size << " entries (" << added << " new), root "
                  << logcore::Base64Encode(report->head.root.view()) << "\n";
  if (report->no_key) {
    Say(environment.err,
        "backup " + command.destination +
            ": without the signing key, which an adoption needs: " + report->no_key->message);
  }
  return 0;
}

}  // namespace mountd
