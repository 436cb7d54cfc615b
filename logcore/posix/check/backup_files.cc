#include "logcore/posix/check/backup_files.h"

#include <array>
#include <optional>
#include <utility>

#include "logcore/posix/commit/recovery.h"
#include "logcore/posix/files/journal_reader.h"
#include "logcore/posix/files/time_rows.h"

namespace logcore {
namespace {

Result<std::unique_ptr<File>> MakeEmpty(Disk* disk, const std::string& name, unsigned mode) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, MakeBackupFile(disk, name, mode));
  RETURN_IF_ERROR(file->Cut(0));
  return file;
}

Status MakeDirectory(Disk* disk, const std::string& name) {
  const Status made = disk->MakeDirectory(name, 0755);
  return made.has_value() || made.error().code != Code::kExists ? made : Status();
}

}  // namespace

Result<std::unique_ptr<File>> MakeBackupFile(Disk* disk, const std::string& name, unsigned mode) {
  Result<std::unique_ptr<File>> file = disk->Create(name, mode);
  if (file.has_value() || file.error().code != Code::kExists) return file;
  return disk->Open(name, Access::kReadWrite);
}

Result<std::unique_ptr<BackupLock>> BackupLock::Take(Disk* disk) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, MakeBackupFile(disk, "lock", 0600));
  std::unique_ptr<BackupLock> lock(new BackupLock(std::move(file)));
  ASSIGN_OR_RETURN(lock->held_, Held::Take(&lock->mutex_, lock->file_.get(), kBackup));
  return lock;
}

Result<BackupState> ReadBackup(Disk* disk) {
  BackupState state;
  ASSIGN_OR_RETURN(const std::unique_ptr<File> journal, disk->Open("journal", Access::kRead));
  ASSIGN_OR_RETURN(state.replay_point, ReadReplayPoint(*journal, std::nullopt));
  ASSIGN_OR_RETURN(const std::unique_ptr<PublishedFile> published,
                   PublishedFile::Open(disk, Access::kRead));
  RETURN_IF_ERROR(published->CheckLength());
  Result<PublishedFile::Slot> newest = published->Read();
  if (!newest.has_value()) {
    if (newest.error().code != Code::kCorrupt) return tl::unexpected<Error>(newest.error());
    return state;
  }
  const TreeHead head = state.replay_point.state.range.Head();
  const TreeHead said = newest->published.head;
  state.is_published = head == said;
  state.is_complete = newest->boot_id == kCompleteBoot;
  state.newest = std::move(*newest);
  if (!state.is_published && (state.is_complete || head.size <= said.size)) {
    return Fail(Code::kCorrupt, "journal: goes to size " + std::to_string(head.size) +
                                    ", the checkpoint is another, of size " +
                                    std::to_string(said.size));
  }
  return state;
}

Status CheckBackupEnds(const LogFiles& files, const LogState& state) {
  const LogEnd& end = state.end;
  RETURN_IF_ERROR(files.CheckReach(end));
  RETURN_IF_ERROR(CheckEdge(files, state.range));
  return files.CheckEnd(end.size, end.frames_end, end.time);
}

// What is not written here has no bytes, or is written by Mark...: both are 128 KiB of real zeros,
// so that an older backup never needs room to be replaced by a newer one.
Status CreateBackupFiles(Disk* disk, uint64_t journal_length) {
  for (const char* directory : {"entries", "hashes"})
    RETURN_IF_ERROR(MakeDirectory(disk, directory));
  std::vector<std::string> names = {kTimesName};
  for (int level = 0; level < kTileLevels; ++level) names.push_back(HashesName(level));
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file, MakeEmpty(disk, name, 0644));
    RETURN_IF_ERROR(file->Sync());
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<File> journal, MakeEmpty(disk, "journal", 0600));
  RETURN_IF_ERROR(WriteZeros(journal.get(), 0, kRecordsStart));
  RETURN_IF_ERROR(WriteZeros(journal.get(), journal_length - 1, journal_length));
  RETURN_IF_ERROR(journal->Sync());
  ASSIGN_OR_RETURN(const std::unique_ptr<File> checkpoint, MakeEmpty(disk, "checkpoint", 0644));
  RETURN_IF_ERROR(WriteZeros(checkpoint.get(), 0, 2 * kPublishedSlotLength));
  RETURN_IF_ERROR(checkpoint->Sync());
  ASSIGN_OR_RETURN(const std::unique_ptr<File> lock, disk->Open("lock", Access::kReadWrite));
  RETURN_IF_ERROR(WriteZeros(lock.get(), 0, kWriterStateLength));
  RETURN_IF_ERROR(lock->Sync());
  for (const char* directory : {"entries", "hashes", ""}) {
    RETURN_IF_ERROR(disk->SyncDirectory(directory));
  }
  return {};
}

// What was written last may not be on the disk, if that run was killed: then a power cut could tear
// both slots. Where it has, no reader needs to be told more.
Status MarkBackupUnfinished(Disk* disk) {
  ASSIGN_OR_RETURN(const std::unique_ptr<PublishedFile> published,
                   PublishedFile::Open(disk, Access::kReadWrite));
  Result<PublishedFile::Slot> slot = published->Read();
  if (!slot.has_value()) {
    return slot.error().code == Code::kCorrupt ? Status() : tl::unexpected<Error>(slot.error());
  }
  // That of another boot stays: readers must not believe what that has left.
  if (slot->boot_id == kCompleteBoot) {
    ASSIGN_OR_RETURN(slot->boot_id, disk->BootId());
  }
  RETURN_IF_ERROR(published->Sync());
  return published->WriteBoth(&*slot);
}

Status WriteBackupReplayPoint(Disk* disk, const ReplayPoint& replay_point) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> journal, disk->Open("journal", Access::kReadWrite));
  return WriteReplayPoint(journal.get(), replay_point, replay_point.state.position.sequence - 1);
}

// In both slots: if one is damaged, readers find the same backup by the other.
Status MarkBackupComplete(Disk* disk, Published published) {
  ASSIGN_OR_RETURN(const std::unique_ptr<PublishedFile> file,
                   PublishedFile::Open(disk, Access::kReadWrite));
  const Result<PublishedFile::Slot> newest = file->Read();
  if (!newest.has_value() && newest.error().code != Code::kCorrupt) {
    return tl::unexpected<Error>(newest.error());
  }
  published.sequence = newest.has_value() ? newest->published.sequence : 0;
  RETURN_IF_ERROR(file->Sync());  // as above
  PublishedFile::Slot slot{std::move(published), std::string(kCompleteBoot)};
  return file->WriteBoth(&slot);
}

// A replay point that is newer than what is published may be in the page cache alone, if its sync
// failed. It is written again where it is: torn, it leaves the older one in the other slot.
Status SettleBackup(Disk* disk) {
  RETURN_IF_ERROR(MarkBackupUnfinished(disk));
  ASSIGN_OR_RETURN(BackupState state, ReadBackup(disk));
  const LogState& log = state.replay_point.state;
  if (!state.is_published) RETURN_IF_ERROR(WriteBackupReplayPoint(disk, state.replay_point));
  ASSIGN_OR_RETURN(const std::unique_ptr<LogFiles> files, LogFiles::Open(disk, Access::kReadWrite));
  // Written even if they are right: they may be so in the page cache alone.
  RETURN_IF_ERROR(files->WriteBlocks(state.replay_point.blocks));
  RETURN_IF_ERROR(files->CutAll(log.end));
  RETURN_IF_ERROR(CheckBackupEnds(*files, log));
  if (!state.is_published) return {};
  return MarkBackupComplete(disk, std::move(state.newest->published));
}

// The replay point of the new one may be there, even on the disk; but nobody knows of that before
// it is in `checkpoint`.
Status RetractBackup(Disk* disk, const ReplayPoint& older) {
  ASSIGN_OR_RETURN(const BackupState state, ReadBackup(disk));
  if (state.replay_point != older && !state.is_published) {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> journal,
                     disk->Open("journal", Access::kReadWrite));
    RETURN_IF_ERROR(EraseOtherReplayPoint(journal.get(), older));
  }
  return SettleBackup(disk);
}

Status PrepareAdoption(Disk* disk) {
  RETURN_IF_ERROR(SettleBackup(disk));
  ASSIGN_OR_RETURN(const std::unique_ptr<File> journal, disk->Open("journal", Access::kReadWrite));
  RETURN_IF_ERROR(EraseTornReplayPoint(journal.get()));
  return journal->Sync();
}

Status FillJournal(Disk* disk) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> journal, disk->Open("journal", Access::kReadWrite));
  ASSIGN_OR_RETURN(const uint64_t length, journal->Length());
  RETURN_IF_ERROR(WriteZeros(journal.get(), kRecordsStart, length));
  return journal->Sync();
}

}  // namespace logcore
