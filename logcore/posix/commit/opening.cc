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

Result<bool> Opening::Run(OpeningMode mode) {
  RETURN_IF_ERROR(CheckHeadLength(*lock_));
  ASSIGN_OR_RETURN(boot_id_, disk_->BootId());
  ASSIGN_OR_RETURN(const std::optional<Head> known, ReadHead(*lock_));
  const bool counts = known && known->boot_id == boot_id_ && mode != OpeningMode::kMendCopy;
  const bool is_idle = counts && known->is_at_rest();
  std::optional<uint64_t> sequence;
  if (counts) sequence = known->base.sequence;
  Result<Base> base = ReadBase(*journal_, sequence);
  bool is_put_back = false;
  if (!counts &&
      mode == OpeningMode::kMend) {  // This boot has published, and `lock` does not know.
    const Result<PublishedFile::Slot> slot = published_->Read();
    is_put_back = slot.has_value() && slot->boot_id == boot_id_;
  }
  if (is_idle && !base.has_value() && base.error().code == Code::kCorrupt) {
    is_put_back = true;
    base = ReadBase(*journal_, std::nullopt);
  }
  ASSIGN_OR_RETURN(base_, std::move(base));
  if (is_idle && !is_put_back) {
    head_ = *known;
    RETURN_IF_ERROR(CheckIdle());
    return true;
  }
  if (mode == OpeningMode::kIfIdle) return false;
  RETURN_IF_ERROR(Mend(known, counts, is_put_back));
  return true;
}

// The head, the journal, the files and the checkpoint are of one moment: none was rolled back.
Status Opening::CheckIdle() const {
  const LogState& log = head_.log;
  RETURN_IF_ERROR(files_->CheckLengths(log.end));
  RETURN_IF_ERROR(CheckEdge(*files_, log.range));
  const JournalReader reader(journal_, files_, base_);
  ASSIGN_OR_RETURN(const std::optional<JournalRecord> newer, reader.After(log));
  if (newer) return FailOldHead();
  RETURN_IF_ERROR(reader.CheckNewest(log, base_));
  const LogState& base = base_.state;
  if (head_.base != base.position || head_.base_size != base.end.size ||
      head_.base_frames_end != base.end.frames_end ||
      head_.durable_sequence != log.position.sequence) {
    return Fail(Code::kCorrupt, "lock: its head does not fit the journal");
  }
  ASSIGN_OR_RETURN(const PublishedFile::Slot slot, published_->Read());
  RETURN_IF_ERROR(CheckCovers(*files_, log, slot.published.head));
  RETURN_IF_ERROR(CheckComplete(slot, log));
  if (slot.boot_id == kCompleteBoot && !head_.complete) {
    return Fail(Code::kCorrupt, "checkpoint: says that all is on the disk, and lock does not");
  }
  return {};
}

Status Opening::Mend(const std::optional<Head>& known, bool counts, bool is_put_back) {
  std::optional<Head> head;
  if (counts && !is_put_back) head = known;
  if (head && head->complete) {
    RETURN_IF_ERROR(TakeCompleteBack(published_, boot_id_));
    head->complete = false;
  }
  const bool died_in_commit = head && head->state == HeadState::kCommitting && !head->advancing &&
                              !head->outside && !head->doubtful;
  const auto note_durable = [&](uint64_t sequence) {
    head->durable_sequence = sequence;
    return WriteHead(lock_, *head);
  };
  ASSIGN_OR_RETURN(Recovered recovered,
                   Recover(journal_, files_, *published_, head ? &*head : nullptr, known,
                           died_in_commit ? RecoverFrom::kHead : RecoverFrom::kBase, note_durable));
  base_ = std::move(recovered.base);
  head_ = Head{.boot_id = boot_id_,
               .state = HeadState::kIdle,
               .log = recovered.state,
               .durable_sequence = recovered.state.position.sequence,
               .recoveries = head ? head->recoveries + 1 : 0};
  if (is_put_back) {
    if (counts && recovered.state != known->log) return FailOldHead();
    RETURN_IF_ERROR(MakePutBackDurable());
  }
  head_.base = base_.state.position;
  head_.base_size = base_.state.end.size;
  head_.base_frames_end = base_.state.end.frames_end;
  if (!head) {
    ASSIGN_OR_RETURN(head_.complete, published_->SaysComplete());
    // Before the head says that this boot has recovered: only another boot may lack a slot.
    RETURN_IF_ERROR(MendCheckpoint(recovered.state));
  }
  RETURN_IF_ERROR(WriteHead(lock_, head_));
  RETURN_IF_ERROR(EraseTornBase(journal_));
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

// The end of the log becomes the base, so that nothing that was put back is needed after a power
// cut.
Status Opening::MakePutBackDurable() {
  base_.state = head_.log;
  ASSIGN_OR_RETURN(base_.blocks, files_->PartialBlocks(head_.log.end));
  RETURN_IF_ERROR(SyncStore(disk_, files_, head_.log.end.size));
  ASSIGN_OR_RETURN(const Base newest, ReadBase(*journal_, std::nullopt));
  return WriteBase(journal_, base_, newest.state.position.sequence);
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
