// The part of Writer that frees the journal: makes the log's files durable, and says so.

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "logcore/posix/commit/recovery.h"
#include "logcore/posix/commit/writer.h"
#include "logcore/posix/files/lock_file.h"

namespace logcore {

Status Writer::AdvanceBase() {
  return AdvanceBaseTo(UINT64_MAX);
}

Status Writer::FreeJournal() {
  return AdvanceBaseTo(own_sequence_);
}

Status Writer::AdvanceBaseTo(uint64_t sequence) {
  ASSIGN_OR_RETURN(const auto held_base, Held::Take(&base_mutex_, lock_.get(), kBase));
  Base base{.key = mac_key_, .journal_length = journal_length_, .state = {}, .blocks = {}};
  Head noted;
  Status status;
  do {
    ASSIGN_OR_RETURN(const bool needed, BeginAdvance(sequence, &noted));
    if (!needed) return {};
    status = files_->Sync(noted.base_size, noted.log.end.size);
    if (!status.has_value()) break;
    base.state = noted.log;
    Result<std::vector<Block>> blocks = files_->PartialBlocks(noted.log.end);
    if (!blocks.has_value()) {
      status = tl::unexpected<Error>(blocks.error());
      break;
    }
    base.blocks = std::move(*blocks);
    ASSIGN_OR_RETURN(noted.doubtful, IsDoubtful());
  } while (noted.doubtful);
  if (status.has_value()) status = WriteBase(base_journal_.get(), base, noted.base.sequence);

  ASSIGN_OR_RETURN(const auto held, Held::Take(&commit_mutex_, lock_.get(), kCommit));
  ASSIGN_OR_RETURN(std::optional<Head> head, ReadHead(*lock_));
  if (!head) return Fail(Code::kCorrupt, "lock: its head was overwritten");
  if (!status.has_value() && status.error().code == Code::kBusy) {
    head->advancing = false;  // A file could not be opened, so no sync was asked for, nor failed.
    RETURN_IF_ERROR(WriteHead(lock_.get(), *head));
    return status;
  }
  if (!status.has_value()) return Poison(*head, status.error());
  if (head->state == HeadState::kPoisoned) return tl::unexpected<Error>(Stopped());
  head->base = noted.log.position;
  head->base_size = noted.log.end.size;
  head->base_frames_end = noted.log.end.frames_end;
  head->advancing = false;
  RETURN_IF_ERROR(WriteHead(lock_.get(), *head));
  NoteUse(*head);
  return {};
}

// Says in the head that the base is being advanced, and notes it. False: there is no need.
Result<bool> Writer::BeginAdvance(uint64_t sequence, Head* noted) {
  ASSIGN_OR_RETURN(const auto held, Held::Take(&commit_mutex_, lock_.get(), kCommit));
  ASSIGN_OR_RETURN(*noted, HeadForAppend());
  if (noted->advancing || noted->doubtful) RETURN_IF_ERROR(RecoverFromBase(noted));
  if (std::min(sequence, noted->log.position.sequence) <= noted->base.sequence) {
    NoteUse(*noted);
    return false;
  }
  noted->advancing = true;
  RETURN_IF_ERROR(WriteHead(lock_.get(), *noted));
  return true;
}

// A commit may have been told of a failed write that this thread's syncs were not told of, and have
// died before it said so.
Result<bool> Writer::IsDoubtful() {
  ASSIGN_OR_RETURN(const auto held, Held::Take(&commit_mutex_, lock_.get(), kCommit));
  ASSIGN_OR_RETURN(const Head head, HeadForAppend());
  return head.doubtful;
}

// Into the slot that does not hold the base that is known to be on the disk.
Status Writer::MarkComplete() {
  ASSIGN_OR_RETURN(const auto held_base, Held::Take(&base_mutex_, lock_.get(), kBase));
  ASSIGN_OR_RETURN(const auto held, Held::Take(&commit_mutex_, lock_.get(), kCommit));
  ASSIGN_OR_RETURN(const auto held_publish, Held::Take(&publish_mutex_, lock_.get(), kPublish));
  ASSIGN_OR_RETURN(std::optional<Head> head, ReadHead(*lock_));
  ASSIGN_OR_RETURN(PublishedFile::Slot slot, published_->Read());
  // Another process may have appended meanwhile: then it is for it to say.
  if (!head || !head->is_at_rest() || slot.boot_id != boot_id_ ||
      head->base.sequence != head->log.position.sequence ||
      slot.published.head.size != head->log.end.size) {
    return {};
  }
  head->complete = true;  // First, so that no process appends without taking it back.
  RETURN_IF_ERROR(WriteHead(lock_.get(), *head));
  slot.boot_id = kCompleteBoot;
  slot.published.sequence += 1;
  RETURN_IF_ERROR(published_->Write(slot));
  return published_->Sync();
}

}  // namespace logcore
