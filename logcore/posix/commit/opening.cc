#include "logcore/posix/commit/opening.h"

#include <string>
#include <utility>
#include <vector>

#include "logcore/posix/commit/publication.h"
#include "logcore/posix/files/journal_reader.h"
#include "logcore/posix/files/lock_file.h"

namespace logcore {

Status CheckComplete(const PublishedFile::Slot& slot, const LogState& log) {
  if (slot.boot_id != kCompleteBoot || slot.published.head.size == log.end.size) return {};
  return Fail(Code::kCorrupt, "checkpoint: is of size " + std::to_string(slot.published.head.size) +
                                  ", and the last one, but the journal ends at size " +
                                  std::to_string(log.end.size));
}

OpeningPlan PlanOpening(const OpeningFacts& facts) {
  const WriterState* const writer = facts.writer;
  if (writer != nullptr && writer->is_at_rest()) {
    return facts.has_replay_point ? OpeningPlan::kNothing : OpeningPlan::kReplayPutBack;
  }
  if (!facts.has_replay_point) return OpeningPlan::kRefuse;
  if (writer == nullptr) {
    return facts.is_published ? OpeningPlan::kReplayPutBack : OpeningPlan::kReplayNewest;
  }
  const bool died_in_commit = writer->phase == WriterPhase::kCommitting && !writer->advancing &&
                              !writer->direct && !writer->doubtful;
  return died_in_commit ? OpeningPlan::kReplayRecord : OpeningPlan::kReplay;
}

Result<bool> Opening::Run(OpeningMode mode) {
  RETURN_IF_ERROR(CheckWriterStateLength(*lock_));
  ASSIGN_OR_RETURN(boot_id_, disk_->BootId());
  ASSIGN_OR_RETURN(const std::optional<WriterState> known, ReadWriterState(*lock_));
  std::optional<WriterState> writer;
  std::optional<uint64_t> named;
  if (known && known->boot_id == boot_id_ && mode != OpeningMode::kMendCopy) {
    writer = known;
    named = known->replay_point.sequence;
  }
  Result<ReplayPoint> replay_point = ReadReplayPoint(*journal_, named);
  if (!replay_point.has_value() && replay_point.error().code != Code::kCorrupt) {
    return tl::unexpected<Error>(std::move(replay_point).error());
  }
  OpeningFacts facts{.writer = writer ? &*writer : nullptr,
                     .has_replay_point = replay_point.has_value()};
  if (!writer && mode == OpeningMode::kMend) {
    const Result<PublishedFile::Slot> slot = published_->Read();
    facts.is_published = slot.has_value() && slot->boot_id == boot_id_;
  }
  const OpeningPlan plan = PlanOpening(facts);
  if (plan == OpeningPlan::kReplayPutBack && named)
    replay_point = ReadReplayPoint(*journal_, std::nullopt);
  ASSIGN_OR_RETURN(replay_point_, std::move(replay_point));  // There is none: kRefuse.
  if (plan == OpeningPlan::kNothing) {
    writer_ = *known;
    RETURN_IF_ERROR(CheckIdle());
    return true;
  }
  if (mode == OpeningMode::kIfIdle) return false;
  RETURN_IF_ERROR(Mend(plan, std::move(writer), known));
  return true;
}

// The writer state, the journal, the files and the checkpoint are of one moment: none was rolled
// back.
Status Opening::CheckIdle() const {
  const LogState& log = writer_.log;
  RETURN_IF_ERROR(files_->CheckLengths(log.end));
  RETURN_IF_ERROR(CheckEdge(*files_, log.range));
  const JournalReader reader(journal_, files_, replay_point_);
  ASSIGN_OR_RETURN(const std::optional<JournalRecord> newer, reader.After(log));
  if (newer) return FailOldState();
  RETURN_IF_ERROR(reader.CheckNewest(log, replay_point_));
  const LogState& replay_point = replay_point_.state;
  if (writer_.replay_point != replay_point.position ||
      writer_.durable_size != replay_point.end.size ||
      writer_.durable_frames_end != replay_point.end.frames_end ||
      writer_.durable_sequence != log.position.sequence) {
    return Fail(Code::kCorrupt, "lock: its head does not fit the journal");
  }
  ASSIGN_OR_RETURN(const PublishedFile::Slot slot, published_->Read());
  RETURN_IF_ERROR(CheckCovers(*files_, log, slot.published.head));
  RETURN_IF_ERROR(CheckComplete(slot, log));
  if (slot.boot_id == kCompleteBoot && !writer_.complete) {
    return Fail(Code::kCorrupt, "checkpoint: says that all is on the disk, and lock does not");
  }
  return {};
}

Status Opening::Mend(OpeningPlan plan, std::optional<WriterState> writer,
                     const std::optional<WriterState>& known) {
  const bool is_put_back = plan == OpeningPlan::kReplayPutBack;
  const bool counts = writer.has_value();
  if (is_put_back) writer.reset();
  if (writer && writer->complete) {
    RETURN_IF_ERROR(TakeCompleteBack(published_, boot_id_));
    writer->complete = false;
  }
  const auto note_durable = [&](uint64_t sequence) {
    writer->durable_sequence = sequence;
    return WriteWriterState(lock_, *writer);
  };
  ASSIGN_OR_RETURN(Recovered recovered,
                   Recover(journal_, files_, *published_, writer ? &*writer : nullptr, known,
                           plan == OpeningPlan::kReplayRecord ? RecoverFrom::kWriterState
                                                              : RecoverFrom::kReplayPoint,
                           note_durable));
  replay_point_ = std::move(recovered.replay_point);
  writer_ = WriterState{.boot_id = boot_id_,
                        .phase = WriterPhase::kIdle,
                        .log = recovered.state,
                        .durable_sequence = recovered.state.position.sequence,
                        .recoveries = writer ? writer->recoveries + 1 : 0};
  if (is_put_back) {
    if (counts && recovered.state != known->log) return FailOldState();
    RETURN_IF_ERROR(MakePutBackDurable());
  }
  writer_.replay_point = replay_point_.state.position;
  writer_.durable_size = replay_point_.state.end.size;
  writer_.durable_frames_end = replay_point_.state.end.frames_end;
  if (!writer) {
    ASSIGN_OR_RETURN(writer_.complete, published_->SaysComplete());
    // Before the writer state says that this boot has recovered: only another boot may lack a slot.
    RETURN_IF_ERROR(MendCheckpoint(recovered.state));
  }
  RETURN_IF_ERROR(WriteWriterState(lock_, writer_));
  RETURN_IF_ERROR(EraseTornReplayPoint(journal_));
  return CheckIdle();  // The next opening will find it so.
}

// A power cut may have torn the slots of `checkpoint`: one, which the next publication would write
// over, but there may be nothing to publish; or both, which are never synced.
Status Opening::MendCheckpoint(const LogState& log) {
  Result<PublishedFile::Slot> slot = published_->Read();
  if (!slot.has_value()) {
    if (slot.error().code != Code::kCorrupt || maker_ == nullptr)
      return tl::unexpected<Error>(slot.error());
    RETURN_IF_ERROR(PublishLog(*files_, published_, std::nullopt, log, boot_id_, *maker_));
    return {};
  }
  const Status both = published_->CheckBothSlots();
  if (both.has_value() || both.error().code != Code::kCorrupt) return both;
  slot->published.sequence += 1;
  return published_->Write(*slot);
}

// The end of the log becomes the replay point, so that nothing that was put back is needed after a
// power cut.
Status Opening::MakePutBackDurable() {
  replay_point_.state = writer_.log;
  ASSIGN_OR_RETURN(replay_point_.blocks, files_->PartialBlocks(writer_.log.end));
  RETURN_IF_ERROR(SyncStore(disk_, files_, writer_.log.end.size));
  ASSIGN_OR_RETURN(const ReplayPoint newest, ReadReplayPoint(*journal_, std::nullopt));
  return WriteReplayPoint(journal_, replay_point_, newest.state.position.sequence);
}

Status SyncStore(Disk* disk, LogFiles* files, uint64_t size) {
  RETURN_IF_ERROR(files->Sync(0, size));
  std::vector<std::string> names = {"format",  "config",     "key",  "lock",
                                    "journal", "checkpoint", "times"};
  for (int level = 0; level < kTileLevels; ++level) names.push_back(HashesName(level));
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file, disk->Open(name, Access::kReadWrite));
    RETURN_IF_ERROR(file->Sync());
  }
  for (const char* directory : {"entries", "hashes", ""}) {
    RETURN_IF_ERROR(disk->SyncDirectory(directory));
  }
  return {};
}

}  // namespace logcore
