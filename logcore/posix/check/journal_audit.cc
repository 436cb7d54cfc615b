#include "logcore/posix/check/journal_audit.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "logcore/posix/check/backup_files.h"
#include "logcore/posix/commit/opening.h"
#include "logcore/posix/files/journal_reader.h"
#include "logcore/posix/files/lock_file.h"
#include "logcore/posix/files/published.h"

namespace logcore {
namespace {

constexpr int kAttempts = 20;

Status CheckReplaySlots(const File& journal) {
  for (uint64_t i = 0; i < 2; ++i) {
    ASSIGN_OR_RETURN(const std::string slot, ReadReplaySlot(journal, i));
    if (slot == std::string(kReplaySlotLength, '\0')) continue;
    const std::optional<ReplayPoint> replay_point = DecodeReplayPoint(slot);
    std::string expected = replay_point ? EncodeReplayPoint(*replay_point) : "";
    expected.resize(kReplaySlotLength, '\0');
    if (slot != expected) {
      return Fail(Code::kCorrupt, "journal at byte " + std::to_string(i * kReplaySlotLength) +
                                      ": base slot " + std::to_string(i) + " is not valid");
    }
  }
  return {};
}

// Where the chain ends, in `state`.
Status FollowJournal(const File& journal, const LogFiles& files, const JournalAuditOptions& options,
                     LogState* state) {
  const TreeHead& published = options.published;
  ASSIGN_OR_RETURN(const ReplayPoint replay_point, ReadReplayPoint(journal, std::nullopt));
  const JournalReader reader(&journal, &files, replay_point);
  *state = replay_point.state;
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<JournalRecord> record, reader.After(*state));
    if (!record) break;
    const RecordHeader& header = record->header;
    *state = {record->end(), header.mac,
              EndAfter(state->end, record->leaf_hashes.size(), header.frames_length, header.time),
              record->prepared.after};
  }
  RETURN_IF_ERROR(reader.CheckNothingLater(state->position.sequence));
  if (state->end.size < published.size) {
    return Fail(Code::kCorrupt, "journal: ends at size " + std::to_string(state->end.size) +
                                    ", before the published one");
  }
  if (options.has_sound_entries && state->end.size == published.size &&
      state->range.Root() != published.root) {
    return Fail(Code::kCorrupt, "journal: gives another root than the published one");
  }
  return {};
}

// The writer state means something in the boot that wrote it. If that is this one, `checkpoint` may
// say so, and then it must be there.
Status CheckWriterState(const File& lock, const std::string& boot_id,
                        const PublishedFile::Slot& slot, const LogState& state) {
  std::optional<WriterState> writer;
  for (int i = 0; i < kAttempts && !writer; ++i) {  // It may be being written.
    ASSIGN_OR_RETURN(writer, ReadWriterState(lock));
  }
  if (!writer || writer->boot_id != boot_id) {
    if (slot.boot_id != boot_id) return {};
    return Fail(Code::kCorrupt, writer ? "lock: its head is of another boot, but the log was "
                                         "published in this one"
                                       : "lock: its head is not valid");
  }
  if (writer->phase != WriterPhase::kIdle || writer->log.position == state.position) return {};
  const bool is_older = writer->log.position.sequence < state.position.sequence;
  return Fail(Code::kCorrupt, is_older ? "lock: its head is older than the journal"
                                       : "journal: ends before the head in lock");
}

// Whether the last writer has left nothing to mend.
Result<bool> IsAtRest(Disk* disk, const JournalAuditOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> lock, disk->Open("lock", Access::kRead));
  ASSIGN_OR_RETURN(const std::unique_ptr<PublishedFile> checkpoint,
                   PublishedFile::Open(disk, Access::kRead));
  ASSIGN_OR_RETURN(const std::string boot_id, disk->BootId());
  ASSIGN_OR_RETURN(const std::optional<WriterState> writer, ReadWriterState(*lock));
  if (options.is_at_home && writer && writer->boot_id == boot_id) {
    return writer->is_at_rest();
  }
  ASSIGN_OR_RETURN(const PublishedFile::Slot slot, checkpoint->Read());
  return slot.boot_id == kCompleteBoot || (options.is_at_home && slot.boot_id == boot_id);
}

}  // namespace

Result<CommittedLog> RehearseOpening(Disk* disk, const JournalAuditOptions& options) {
  CommittedLog log{std::make_unique<StagedDisk>(disk, Access::kRead), {}};
  Disk* const view = log.disk.get();
  if (options.is_backup) RETURN_IF_ERROR(PrepareAdoption(view));
  ASSIGN_OR_RETURN(const std::unique_ptr<File> journal, view->Open("journal", Access::kReadWrite));
  ASSIGN_OR_RETURN(const std::unique_ptr<File> lock, view->Open("lock", Access::kReadWrite));
  ASSIGN_OR_RETURN(const std::unique_ptr<LogFiles> files,
                   LogFiles::Open(view, Access::kReadWrite, options.gap_limit));
  ASSIGN_OR_RETURN(const std::unique_ptr<PublishedFile> checkpoint,
                   PublishedFile::Open(view, Access::kReadWrite));
  Opening opening(view, lock.get(), journal.get(), files.get(), checkpoint.get(), nullptr);
  RETURN_IF_ERROR(opening.Run(options.is_at_home ? OpeningMode::kMend : OpeningMode::kMendCopy));
  log.state = opening.writer().log;
  return log;
}

Result<CommittedLog> RehearseMending(Disk* disk, const JournalAuditOptions& options) {
  for (int i = 0; i < kAttempts; ++i) {
    ASSIGN_OR_RETURN(const bool is_at_rest, IsAtRest(disk, options));
    if (is_at_rest) break;
    Result<CommittedLog> log = RehearseOpening(disk, options);
    if (log.has_value() || log.error().code != Code::kCorrupt) return log;
  }
  return CommittedLog();
}

Result<CommittedLog> CheckJournal(Disk* disk, const LogFiles& files,
                                  const JournalAuditOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> journal, disk->Open("journal", Access::kRead));
  ASSIGN_OR_RETURN(const std::unique_ptr<File> lock, disk->Open("lock", Access::kRead));
  RETURN_IF_ERROR(CheckWriterStateLength(*lock));
  ASSIGN_OR_RETURN(const std::unique_ptr<PublishedFile> checkpoint,
                   PublishedFile::Open(disk, Access::kRead));
  ASSIGN_OR_RETURN(const std::string boot_id, disk->BootId());
  LogState before;
  std::optional<WriterState> first;
  for (int i = 0; i < kAttempts; ++i) {
    ASSIGN_OR_RETURN(const std::optional<WriterState> writer, ReadWriterState(*lock));
    if (i == 0) first = writer;
    LogState state;
    Status status = options.is_backup ? Status() : CheckReplaySlots(*journal);
    if (status.has_value()) status = FollowJournal(*journal, files, options, &state);
    if (status.has_value()) {
      status = options.is_backup ? files.CheckReach(state.end) : files.CheckLengths(state.end);
    }
    if (status.has_value()) {
      ASSIGN_OR_RETURN(const PublishedFile::Slot slot, checkpoint->Read());
      status = CheckComplete(slot, state);
      if (status.has_value() && !options.is_backup)
        status = CheckWriterState(*lock, boot_id, slot, state);
    }
    if (status.has_value() && options.has_sound_entries) {
      Result<CommittedLog> log = RehearseOpening(disk, options);
      if (log.has_value()) return log;
      status = tl::unexpected<Error>(std::move(log).error());
    }
    if (status.has_value()) return CommittedLog();
    if (status.error().code != Code::kCorrupt) return tl::unexpected<Error>(status.error());
    // A record is in the journal before it is in the files, and stays there alone if its writer
    // dies: then the next writer mends it. It is damage only where nobody is, or was, at work.
    ASSIGN_OR_RETURN(const std::optional<WriterState> writer_after, ReadWriterState(*lock));
    const bool is_at_rest =
        writer == writer_after && (!writer || writer->boot_id != boot_id ||
                                   (writer->phase == WriterPhase::kIdle && !writer->advancing));
    if (is_at_rest && i != 0 && state == before) return tl::unexpected<Error>(status.error());
    before = state;
  }
  ASSIGN_OR_RETURN(const std::optional<WriterState> last, ReadWriterState(*lock));
  if (first != last) return CommittedLog();  // What is published was looked at.
  return Fail(Code::kBusy,
              "a commit is under way, or its writer died in it: try again, or mount it once for "
              "writing");
}

}  // namespace logcore
