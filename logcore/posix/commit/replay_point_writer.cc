#include "logcore/posix/commit/replay_point_writer.h"

#include <algorithm>
#include <utility>

#include "logcore/posix/commit/recovery.h"

namespace logcore {

Result<std::unique_ptr<ReplayPointWriter>> ReplayPointWriter::Open(Disk* disk,
                                                                   WriterStateFile* state,
                                                                   LogFiles* files) {
  std::unique_ptr<ReplayPointWriter> writer(new ReplayPointWriter(state, files));
  ASSIGN_OR_RETURN(writer->journal_, disk->Open("journal", Access::kReadWrite));
  return writer;
}

Status ReplayPointWriter::AdvanceTo(uint64_t sequence) {
  ASSIGN_OR_RETURN(const auto held_replay_point, state_->HoldReplayPoint());
  ReplayPoint replay_point{.key = state_->mac_key(),
                           .journal_length = state_->journal_length(),
                           .state = {},
                           .blocks = {}};
  WriterState noted;
  Status status;
  do {
    ASSIGN_OR_RETURN(const bool needed, Begin(sequence, &noted));
    if (!needed) return {};
    status = MakeDurable(noted, &replay_point);
    if (!status.has_value()) break;
    ASSIGN_OR_RETURN(noted.doubtful, IsDoubtful());
  } while (noted.doubtful);
  if (status.has_value())
    status = WriteReplayPoint(journal_.get(), replay_point, noted.replay_point.sequence);
  return End(noted, status);
}

Result<bool> ReplayPointWriter::Begin(uint64_t sequence, WriterState* noted) {
  ASSIGN_OR_RETURN(const auto held, state_->HoldCommit());
  ASSIGN_OR_RETURN(*noted, state_->ReadToAppend());
  if (noted->advancing || noted->doubtful) RETURN_IF_ERROR(state_->RecoverFromReplayPoint(noted));
  if (std::min(sequence, noted->log.position.sequence) <= noted->replay_point.sequence) {
    state_->NoteUse(*noted);
    return false;
  }
  noted->advancing = true;
  RETURN_IF_ERROR(state_->Write(*noted));
  return true;
}

Status ReplayPointWriter::MakeDurable(const WriterState& noted, ReplayPoint* replay_point) {
  RETURN_IF_ERROR(files_->Sync(noted.durable_size, noted.log.end.size));
  replay_point->state = noted.log;
  ASSIGN_OR_RETURN(replay_point->blocks, files_->PartialBlocks(noted.log.end));
  return {};
}

Result<bool> ReplayPointWriter::IsDoubtful() {
  ASSIGN_OR_RETURN(const auto held, state_->HoldCommit());
  ASSIGN_OR_RETURN(const WriterState writer, state_->ReadToAppend());
  return writer.doubtful;
}

Status ReplayPointWriter::End(const WriterState& noted, const Status& status) {
  ASSIGN_OR_RETURN(const auto held, state_->HoldCommit());
  ASSIGN_OR_RETURN(WriterState writer, state_->Read());
  if (!status.has_value() && status.error().code == Code::kBusy) {
    writer.advancing = false;  // A file could not be opened, so no sync was asked for, nor failed.
    RETURN_IF_ERROR(state_->Write(writer));
    return status;
  }
  if (!status.has_value()) return state_->Poison(std::move(writer), status.error());
  if (writer.phase == WriterPhase::kPoisoned)
    return tl::unexpected<Error>(WriterStateFile::Stopped());
  writer.replay_point = noted.log.position;
  writer.durable_size = noted.log.end.size;
  writer.durable_frames_end = noted.log.end.frames_end;
  writer.advancing = false;
  RETURN_IF_ERROR(state_->Write(writer));
  state_->NoteUse(writer);
  return {};
}

}  // namespace logcore
