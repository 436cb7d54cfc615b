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
  ASSIGN_OR_RETURN(const auto held_base, state_->HoldBase());
  Base base{.key = state_->mac_key(),
            .journal_length = state_->journal_length(),
            .state = {},
            .blocks = {}};
  Head noted;
  Status status;
  do {
    ASSIGN_OR_RETURN(const bool needed, Begin(sequence, &noted));
    if (!needed) return {};
    status = MakeDurable(noted, &base);
    if (!status.has_value()) break;
    ASSIGN_OR_RETURN(noted.doubtful, IsDoubtful());
  } while (noted.doubtful);
  if (status.has_value()) status = WriteBase(journal_.get(), base, noted.base.sequence);
  return End(noted, status);
}

Result<bool> ReplayPointWriter::Begin(uint64_t sequence, Head* noted) {
  ASSIGN_OR_RETURN(const auto held, state_->HoldCommit());
  ASSIGN_OR_RETURN(*noted, state_->ReadToAppend());
  if (noted->advancing || noted->doubtful) RETURN_IF_ERROR(state_->RecoverFromBase(noted));
  if (std::min(sequence, noted->log.position.sequence) <= noted->base.sequence) {
    state_->NoteUse(*noted);
    return false;
  }
  noted->advancing = true;
  RETURN_IF_ERROR(state_->Write(*noted));
  return true;
}

Status ReplayPointWriter::MakeDurable(const Head& noted, Base* base) {
  RETURN_IF_ERROR(files_->Sync(noted.base_size, noted.log.end.size));
  base->state = noted.log;
  ASSIGN_OR_RETURN(base->blocks, files_->PartialBlocks(noted.log.end));
  return {};
}

Result<bool> ReplayPointWriter::IsDoubtful() {
  ASSIGN_OR_RETURN(const auto held, state_->HoldCommit());
  ASSIGN_OR_RETURN(const Head head, state_->ReadToAppend());
  return head.doubtful;
}

Status ReplayPointWriter::End(const Head& noted, const Status& status) {
  ASSIGN_OR_RETURN(const auto held, state_->HoldCommit());
  ASSIGN_OR_RETURN(Head head, state_->Read());
  if (!status.has_value() && status.error().code == Code::kBusy) {
    head.advancing = false;  // A file could not be opened, so no sync was asked for, nor failed.
    RETURN_IF_ERROR(state_->Write(head));
    return status;
  }
  if (!status.has_value()) return state_->Poison(std::move(head), status.error());
  if (head.state == HeadState::kPoisoned) return tl::unexpected<Error>(WriterStateFile::Stopped());
  head.base = noted.log.position;
  head.base_size = noted.log.end.size;
  head.base_frames_end = noted.log.end.frames_end;
  head.advancing = false;
  RETURN_IF_ERROR(state_->Write(head));
  state_->NoteUse(head);
  return {};
}

}  // namespace logcore
