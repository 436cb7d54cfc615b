#include "logcore/posix/files/journal_reader.h"

#include <algorithm>
#include <utility>

#include "logcore/tlog/entry_bundle.h"

namespace logcore {
namespace {

constexpr size_t kScanLength = 256 * kJournalBlock;

}  // namespace

Result<std::string> ReadReplaySlot(const File& journal, uint64_t number) {
  std::string slot(kReplaySlotLength, '\0');
  ASSIGN_OR_RETURN(const size_t length,
                   journal.ReadAt(number * kReplaySlotLength, slot.data(), slot.size()));
  slot.resize(length);
  return slot;
}

Result<ReplayPoint> ReadReplayPoint(const File& journal, std::optional<uint64_t> sequence) {
  std::optional<ReplayPoint> found;
  for (uint64_t i = 0; i < 2; ++i) {
    ASSIGN_OR_RETURN(const std::string slot, ReadReplaySlot(journal, i));
    std::optional<ReplayPoint> replay_point = DecodeReplayPoint(slot);
    if (!replay_point || (sequence && replay_point->state.position.sequence != *sequence)) continue;
    if (!found || found->state.position.sequence < replay_point->state.position.sequence) {
      found = std::move(replay_point);
    }
  }
  if (!found) return Fail(Code::kCorrupt, "journal: no base slot is valid");
  ASSIGN_OR_RETURN(const uint64_t length, journal.Length());
  if (length != found->journal_length) {
    return Fail(Code::kCorrupt, "journal: is " + std::to_string(length) + " bytes long, not " +
                                    std::to_string(found->journal_length));
  }
  return std::move(*found);
}

Result<std::optional<JournalRecord>> JournalReader::After(const LogState& state) const {
  ASSIGN_OR_RETURN(std::optional<JournalRecord> record, RecordAt(state.position.tail, state));
  if (record || state.position.tail == kRecordsStart) return record;
  return RecordAt(kRecordsStart, state);  // The ring may have turned.
}

Result<std::optional<RecordHeader>> JournalReader::Header(uint64_t offset) const {
  std::optional<RecordHeader> none;
  if (length_ < offset + kJournalBlock) return none;
  std::string bytes(kRecordHeaderLength, '\0');
  ASSIGN_OR_RETURN(const size_t length, journal_->ReadAt(offset, bytes.data(), bytes.size()));
  bytes.resize(length);
  return DecodeRecordHeader(key_, bytes, length_);
}

Result<std::optional<JournalRecord>> JournalReader::RecordAt(uint64_t offset,
                                                             const LogState& state) const {
  std::optional<JournalRecord> none;
  ASSIGN_OR_RETURN(const std::optional<RecordHeader> header, Header(offset));
  if (!header || header->sequence != state.position.sequence + 1 ||
      header->previous != state.chain || header->start_size != state.end.size ||
      header->time < state.end.time || length_ < offset + header->Length()) {
    return none;
  }
  JournalRecord record{.offset = offset,
                       .header = *header,
                       .bytes = std::string(header->Length(), '\0'),
                       .direct = {},
                       .joined_frames = {},
                       .leaf_hashes = {},
                       .prepared = {}};
  ASSIGN_OR_RETURN(const size_t length,
                   journal_->ReadAt(offset, record.bytes.data(), record.bytes.size()));
  if (length != record.bytes.size()) return none;
  ASSIGN_OR_RETURN(const bool has_frames, JoinFrames(state, &record));
  if (!has_frames) return none;
  const uint64_t count = header->size - header->start_size;
  const WholeFrames whole = CountFrames(record.frames());
  if (whole.count != count || whole.length != record.frames().size()) return none;
  record.leaf_hashes.resize(count);
  HashLeafFrames(record.frames(), record.leaf_hashes);
  record.prepared = Prepare(state.range, state.end.frames_end, record.frames(), record.leaf_hashes);
  if (record.prepared.after.Root() != header->root) return none;
  return std::optional<JournalRecord>(std::move(record));
}

Result<bool> JournalReader::JoinFrames(const LogState& state, JournalRecord* record) const {
  const RecordHeader& header = record->header;
  if (header.direct == 0) return true;
  ASSIGN_OR_RETURN(record->direct, files_->DirectPartOf(state.end, header.size - header.start_size,
                                                        header.frames_length));
  const auto [skip, length] = record->direct;
  if (length != header.direct) return false;
  const std::string_view inside =
      std::string_view(record->bytes).substr(kRecordHeaderLength, header.frames_length - length);
  std::string& frames = record->joined_frames;
  frames.reserve(header.frames_length);
  frames.append(inside.substr(0, skip)).append(length, '\0').append(inside.substr(skip));
  return files_->ReadDirect(state.end, record->direct, frames.data() + skip);
}

Status JournalReader::CheckNewest(const LogState& state, const ReplayPoint& replay_point) const {
  if (state == replay_point.state) return {};
  const JournalPosition& position = state.position;
  if (replay_point.state.position.sequence < position.sequence) {
    ASSIGN_OR_RETURN(const std::optional<RecordHeader> header, Header(position.record));
    if (header && header->sequence == position.sequence && header->mac == state.chain &&
        header->size == state.end.size && position.record + header->Length() == position.tail) {
      return {};
    }
  }
  return Fail(Code::kCorrupt, "journal: record " + std::to_string(position.sequence) +
                                  ", which lock says is the newest one, is not there");
}

Status JournalReader::CheckNothingLater(uint64_t sequence) const {
  std::string bytes(std::min<uint64_t>(kScanLength, length_ - kRecordsStart), '\0');
  for (uint64_t offset = kRecordsStart; offset < length_; offset += kScanLength) {
    ASSIGN_OR_RETURN(const size_t length, journal_->ReadAt(offset, bytes.data(), bytes.size()));
    for (size_t i = 0; i + kRecordHeaderLength <= length; i += kJournalBlock) {
      const std::optional<RecordHeader> header =
          DecodeRecordHeader(key_, std::string_view(bytes).substr(i), length_);
      if (header && sequence + 1 < header->sequence) {
        return Fail(Code::kCorrupt, "journal: record " + std::to_string(sequence + 1) +
                                        " is damaged, record " + std::to_string(header->sequence) +
                                        " is there at byte " + std::to_string(offset + i));
      }
    }
  }
  return {};
}

}  // namespace logcore
