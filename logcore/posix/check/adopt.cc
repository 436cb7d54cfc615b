#include "logcore/posix/check/adopt.h"

#include <memory>
#include <utility>

#include "logcore/posix/check/audit.h"
#include "logcore/posix/check/backup_files.h"
#include "logcore/posix/commit/opening.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/staged_disk.h"
#include "logcore/posix/files/lock_file.h"
#include "logcore/tlog/checkpoint.h"

namespace logcore {

namespace {

// On a disk that is applied when it has succeeded.
Status AdoptHere(Disk* disk, StoreConfig config, const TreeHead& newest,
                 const StoreOptions& options) {
  if (!config.home) RETURN_IF_ERROR(PrepareAdoption(disk));
  // What `lock` says counts at home, where a failed sync or a living writer may have left it.
  const Status home = CheckAtHome(disk, config);
  if (!home.has_value() && home.error().code != Code::kReadOnly) return home;
  ASSIGN_OR_RETURN(
      const std::unique_ptr<StoreWriter> writer,
      StoreWriter::OpenAs(disk, config, options,
                          home.has_value() ? OpeningMode::kMend : OpeningMode::kMendCopy));
  const Status covers = writer->CheckCovers(newest);
  if (!covers.has_value()) return Within("a newer log than this was seen", covers.error());
  RETURN_IF_ERROR(writer->Publish());
  RETURN_IF_ERROR(writer->Close());
  ASSIGN_OR_RETURN(const AuditReport report, Audit(disk, {.gap_limit = options.gap_limit}));
  if (!report.damages.empty()) {
    return Fail(Code::kCorrupt, report.damages[0].file + ": " + report.damages[0].what);
  }
  // Nobody knows whether what was copied has been synced.
  RETURN_IF_ERROR(writer->SyncAll());
  ASSIGN_OR_RETURN(config.home, HomeHere(disk));
  return WriteStoreConfig(disk, config);
}

}  // namespace

Status Adopt(Disk* disk, std::string_view newest, const StoreOptions& options) {
  ASSIGN_OR_RETURN(StoreConfig config, ReadStoreConfig(disk));
  const Result<Checkpoint> checkpoint = OpenCheckpoint(newest, config.origin, config.vkey);
  if (!checkpoint.has_value()) return Within("the newest checkpoint", checkpoint.error());
  // No run of a backup may go on while its files become a store's.
  std::unique_ptr<BackupLock> alone;
  if (!config.home) {
    ASSIGN_OR_RETURN(alone, BackupLock::Take(disk));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<AllHeld> held, AllHeld::Take(disk));
  ASSIGN_OR_RETURN(config, ReadStoreConfig(disk));  // Another adoption may have been first.
  StagedDisk staged(disk, Access::kReadWrite);
  RETURN_IF_ERROR(AdoptHere(&staged, config, checkpoint->head, options));
  if (!config.home) RETURN_IF_ERROR(FillJournal(disk));
  return staged.Apply();
}

}  // namespace logcore
