#include "logcore/posix/commit/recovery.h"

#include <string>
#include <utility>
#include <vector>

#include "logcore/log/edge.h"
#include "logcore/posix/files/journal_reader.h"
#include "logcore/posix/files/lock_file.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

// What is left of a record that was not adopted must never be taken for one again.
Status EraseTorn(const JournalReader& reader, const JournalPosition& end, File* journal) {
  for (const uint64_t offset : {end.tail, kRecordsStart}) {
    ASSIGN_OR_RETURN(const std::optional<RecordHeader> header, reader.Header(offset));
    if (header && end.sequence < header->sequence) {
      RETURN_IF_ERROR(journal->WriteAt(offset, std::string(kJournalBlock, '\0')));
    }
  }
  return {};
}

// Makes the files what they were at the replay point, whatever happened to the blocks they ended
// in.
Status RestoreReplayPoint(const ReplayPoint& replay_point, bool new_boot, File* journal,
                          LogFiles* files) {
  if (new_boot) {
    // Blocks that are right are left alone: a power cut in here would hurt a log that `checkpoint`
    // says is complete.
    const Result<std::vector<Block>> present = files->PartialBlocks(replay_point.state.end);
    if (!present.has_value() && present.error().code != Code::kCorrupt) {
      return tl::unexpected<Error>(present.error());
    }
    if (present.has_value() && *present == replay_point.blocks) {
      // They may be right in the page cache alone: put back by a recovery that was killed.
      return files->SyncEnds(replay_point.state.end);
    }
  } else {
    // The other slot may hold a newer replay point, and even be on the disk: it would not have kept
    // the blocks that are written over now.
    RETURN_IF_ERROR(EraseOtherReplayPoint(journal, replay_point));
  }
  RETURN_IF_ERROR(files->WriteBlocks(replay_point.blocks));
  return files->SyncEnds(replay_point.state.end);
}

// A writer state says that a record is durable only when it is, and what the log was then.
Status CheckKnown(const LogFiles& files, const LogState& state, const WriterState& known) {
  const uint64_t end = state.position.sequence;
  if (end < known.durable_sequence) {
    return Fail(Code::kCorrupt, "journal: ends at record " + std::to_string(end) +
                                    "; lock knows that record " +
                                    std::to_string(known.durable_sequence) + " was committed");
  }
  const uint64_t size = known.log.end.size;
  if (size <= state.end.size) {
    ASSIGN_OR_RETURN(const CompactRange range, ReadEdge(files, size));
    if (range == known.log.range) return {};
  }
  return Fail(Code::kCorrupt,
              "lock: the log of size " + std::to_string(size) + " that it knows is another one");
}

Status CheckPublished(const LogFiles& files, const LogState& state, const PublishedFile& published,
                      bool must_have_checkpoint) {
  const Result<PublishedFile::Slot> slot = published.Read();
  if (!slot.has_value()) {
    if (slot.error().code == Code::kCorrupt && !must_have_checkpoint) return {};
    return Within("read the newest checkpoint", slot.error());
  }
  return CheckCovers(files, state, slot->published.head);
}

}  // namespace

Status CheckEdge(const LogFiles& files, const CompactRange& range) {
  ASSIGN_OR_RETURN(const CompactRange edge, ReadEdge(files, range.size()));
  if (edge != range) {
    return Fail(Code::kCorrupt, "hashes: the right edge at size " + std::to_string(range.size()) +
                                    " does not give the root that was committed");
  }
  return {};
}

Status CheckCovers(const LogFiles& files, const LogState& state, const TreeHead& head) {
  if (state.end.size < head.size) {
    return Fail(Code::kCorrupt, "journal: ends at size " + std::to_string(state.end.size) +
                                    ", but a checkpoint of size " + std::to_string(head.size) +
                                    " was published");
  }
  ASSIGN_OR_RETURN(const CompactRange range, ReadEdge(files, head.size));
  if (range.Root() != head.root) {
    return Fail(Code::kCorrupt, "hashes: the tree of size " + std::to_string(head.size) +
                                    " is not the one that was published");
  }
  return {};
}

Status WriteReplaySlot(File* journal, uint64_t number, const ReplayPoint& replay_point) {
  std::string bytes = EncodeReplayPoint(replay_point);
  bytes.resize(kReplaySlotLength, '\0');  // Nothing of a longer one is left after it.
  RETURN_IF_ERROR(journal->WriteAt(number * kReplaySlotLength, bytes));
  return journal->Sync();
}

Status WriteReplayPoint(File* journal, const ReplayPoint& replay_point, uint64_t kept_sequence) {
  ASSIGN_OR_RETURN(const std::string slot, ReadReplaySlot(*journal, 0));
  const std::optional<ReplayPoint> first = DecodeReplayPoint(slot);
  const bool first_is_kept = first && first->state.position.sequence == kept_sequence;
  return WriteReplaySlot(journal, first_is_kept ? 1 : 0, replay_point);
}

Status EraseOtherReplayPoint(File* journal, const ReplayPoint& replay_point) {
  for (uint64_t i = 0; i < 2; ++i) {
    ASSIGN_OR_RETURN(const std::string slot, ReadReplaySlot(*journal, i));
    if (DecodeReplayPoint(slot) == replay_point) continue;
    RETURN_IF_ERROR(journal->WriteAt(i * kReplaySlotLength, std::string(kReplaySlotLength, '\0')));
  }
  return journal->Sync();
}

Status EraseTornReplayPoint(File* journal) {
  for (uint64_t i = 0; i < 2; ++i) {
    ASSIGN_OR_RETURN(const std::string slot, ReadReplaySlot(*journal, i));
    const std::string zeros(kReplaySlotLength, '\0');
    if (slot != zeros && !DecodeReplayPoint(slot)) {
      RETURN_IF_ERROR(journal->WriteAt(i * kReplaySlotLength, zeros));
    }
  }
  return {};
}

Result<Recovered> Recover(File* journal, LogFiles* files, const PublishedFile& published,
                          const WriterState* writer, const std::optional<WriterState>& known,
                          RecoverFrom from,
                          const std::function<Status(uint64_t sequence)>& note_durable) {
  std::optional<uint64_t> replay_sequence;
  if (writer != nullptr) replay_sequence = writer->replay_point.sequence;
  ASSIGN_OR_RETURN(ReplayPoint replay_point, ReadReplayPoint(*journal, replay_sequence));
  journal->WillRead(kRecordsStart,
                    replay_point.journal_length - kRecordsStart);  // all of it, in the end
  // A death alone loses nothing that was written: only the record under way is to be looked at.
  const bool from_replay_point = from == RecoverFrom::kReplayPoint;
  CHECK(from_replay_point || writer != nullptr);
  LogState state = from_replay_point ? replay_point.state : writer->log;
  if (from_replay_point)
    RETURN_IF_ERROR(RestoreReplayPoint(replay_point, writer == nullptr, journal, files));
  RETURN_IF_ERROR(files->CheckReach(state.end));
  RETURN_IF_ERROR(CheckEdge(*files, state.range));
  const JournalReader reader(journal, files, replay_point);
  if (!from_replay_point) {
    RETURN_IF_ERROR(reader.CheckNewest(state, replay_point));
    // Unless somebody is advancing the replay point, the newest slot is the one that the writer
    // state names.
    if (!writer->advancing) {
      ASSIGN_OR_RETURN(const ReplayPoint newest, ReadReplayPoint(*journal, std::nullopt));
      if (newest.state.position.sequence != writer->replay_point.sequence) return FailOldState();
    }
  }

  // Records after this one may be in the page cache alone.
  const uint64_t durable = writer != nullptr ? writer->durable_sequence : UINT64_MAX;
  while (true) {
    ASSIGN_OR_RETURN(std::optional<JournalRecord> record, reader.After(state));
    if (!record) break;
    // One commit is under way at a time.
    if (!from_replay_point && writer->log.position != state.position) return FailOldState();
    const LogAppend append{.frames = record->frames(),
                           .leaf_hashes = record->leaf_hashes,
                           .prepared = &record->prepared,
                           .time = record->header.time,
                           .direct = record->direct};
    RETURN_IF_ERROR(files->Reserve(state.end, append));
    if (durable < record->header.sequence) {
      RETURN_IF_ERROR(journal->WriteAt(record->offset, record->bytes));
      // At once: files that ran ahead of the journal would look like a journal rolled back.
      RETURN_IF_ERROR(journal->Sync());
      RETURN_IF_ERROR(note_durable(record->header.sequence));
    }
    ASSIGN_OR_RETURN(state.end, files->Write(state.end, append));
    state.position = record->end();
    state.chain = record->header.mac;
    state.range = std::move(record->prepared.after);
  }
  if (known) RETURN_IF_ERROR(CheckKnown(*files, state, *known));
  RETURN_IF_ERROR(reader.CheckNothingLater(state.position.sequence));
  // In this boot the writer state says whether a commit may have left something outside its record.
  const bool may_cut = writer == nullptr || writer->direct;
  RETURN_IF_ERROR(may_cut ? files->CheckLengthsBeforeCut(state.end)
                          : files->CheckLengths(state.end));
  RETURN_IF_ERROR(CheckEdge(*files, state.range));
  // A power cut may tear both slots of the checkpoint; nothing else may.
  RETURN_IF_ERROR(CheckPublished(*files, state, published, writer != nullptr));
  RETURN_IF_ERROR(EraseTorn(reader, state.position, journal));
  RETURN_IF_ERROR(journal->Sync());
  if (may_cut) RETURN_IF_ERROR(files->CutAfter(state.end));
  if (from_replay_point) RETURN_IF_ERROR(files->Sync(replay_point.state.end.size, state.end.size));
  return Recovered{std::move(replay_point), state};
}

}  // namespace logcore
