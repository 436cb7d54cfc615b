#include "logcore/posix/commit/record_writer.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include "logcore/util/check.h"

namespace logcore {

static_assert(Batch::kHeaderLength == kRecordHeaderLength);

namespace {

struct PreparedRecord final : PreparedBatch {
  explicit PreparedRecord(Prepared what) : prepared(std::move(what)) {}
  const Prepared prepared;
};

const Prepared* PreparedOf(const Batch& batch) {
  if (batch.prepared() == nullptr) return nullptr;
  return &static_cast<const PreparedRecord*>(batch.prepared())->prepared;
}

void PrepareAfter(const CompactRange& before, uint64_t frames_start, Batch* batch) {
  batch->set_prepared(std::make_unique<PreparedRecord>(
      Prepare(before, frames_start, batch->frames(), batch->leaf_hashes())));
}

}  // namespace

RecordWriter::RecordWriter(WriterStateFile* state, CheckpointWriter* checkpoints,
                           ReplayPointWriter* replay_points, LogFiles* files, LogClock clock,
                           uint64_t direct_length)
    : state_(state),
      checkpoints_(checkpoints),
      replay_points_(replay_points),
      files_(files),
      clock_(std::move(clock)),
      direct_length_(
          std::min<uint64_t>(direct_length, (state->journal_length() - kRecordsStart) / 8)),
      newest_(state->opened().position.sequence) {}

uint64_t RecordWriter::max_frames_length() const {
  // A quarter of the ring: room for one while three are being freed.
  const uint64_t length =
      (state_->journal_length() - kRecordsStart) / 4 / kJournalBlock * kJournalBlock;
  return length - kRecordHeaderLength;
}

Result<uint64_t> RecordWriter::Commit(Batch* batch, const std::function<void()>& on_flush) {
  Result<uint64_t> first_index = TryCommit(batch, on_flush);
  if (!first_index.has_value() && !IsOfOneAppend(first_index.error().code)) state_->Stop();
  return first_index;
}

Result<uint64_t> RecordWriter::TryCommit(Batch* batch, const std::function<void()>& on_flush) {
  const std::span<const Hash> leaf_hashes = batch->leaf_hashes();
  const std::string_view frames = batch->frames();
  CHECK(!frames.empty() && !leaf_hashes.empty());
  if (max_frames_length() < frames.size()) {
    return Fail(Code::kTooLarge, "append: " + std::to_string(frames.size()) +
                                     " bytes at once are more than the journal takes");
  }
  while (true) {
    if (state_->stopped()) return tl::unexpected<Error>(WriterStateFile::Stopped());
    uint64_t replay_point = 0;
    {
      ASSIGN_OR_RETURN(const auto held, state_->HoldCommit());
      ASSIGN_OR_RETURN(WriterState writer, state_->ReadToAppend());
      replay_point = writer.replay_point.sequence;
      const int64_t time = clock_.SecondAfter(writer.log.end.time);
      if (kMaxTreeSize - writer.log.range.size() < leaf_hashes.size()) {
        return Fail(Code::kTooLarge, "append: the log is full");
      }
      if (const Prepared* const prepared = PreparedOf(*batch);
          prepared == nullptr || prepared->before != writer.log.range) {
        PrepareAfter(writer.log.range, writer.log.end.frames_end, batch);
      }
      LogAppend append{.frames = frames,
                       .leaf_hashes = leaf_hashes,
                       .prepared = PreparedOf(*batch),
                       .time = time};
      RETURN_IF_ERROR(files_->Reserve(writer.log.end, append));
      if (direct_length_ <= frames.size()) {
        ASSIGN_OR_RETURN(append.direct,
                         files_->DirectPartOf(writer.log.end, leaf_hashes.size(), frames.size()));
      }
      if (const std::optional<uint64_t> offset = Place(writer, append)) {
        NoteComing(append);
        if (on_flush) on_flush();
        // Here the commit is decided: this batch is the next record. An engine that decides for
        // several machines would be asked here, and might answer with other records, to be applied
        // first.
        return WriteRecord(std::move(writer), batch, append, *offset);
      }
    }
    RETURN_IF_ERROR(replay_points_->AdvanceTo(replay_point + 1));
  }
}

std::optional<uint64_t> RecordWriter::Place(const WriterState& writer,
                                            const LogAppend& append) const {
  // What recovery would have to read is bounded, wherever it is.
  const uint64_t since_replay_point =
      writer.log.end.frames_end + append.frames.size() - writer.durable_frames_end;
  if (writer.replay_point.sequence != writer.log.position.sequence &&
      state_->journal_length() - kRecordsStart < since_replay_point) {
    return std::nullopt;
  }
  RecordHeader sized;
  sized.frames_length = append.frames.size();
  sized.direct = append.direct.length;
  return PlaceRecord(writer.replay_point, writer.log.position, sized.Length(),
                     state_->journal_length());
}

Result<uint64_t> RecordWriter::WriteRecord(WriterState writer, Batch* batch, LogAppend append,
                                           uint64_t offset) {
  const CompactRange& range = append.prepared->after;
  const uint64_t first_index = writer.log.end.size;
  std::string* const record = batch->record();
  RecordHeader header{.sequence = writer.log.position.sequence + 1,
                      .start_size = first_index,
                      .size = range.size(),
                      .frames_length = append.frames.size(),
                      .direct = append.direct.length,
                      .time = append.time,
                      .root = range.Root(),
                      .previous = writer.log.chain,
                      .mac = {}};
  EncodeRecordHeader(state_->mac_key(), &header, record->data());
  if (writer.complete) {
    const Status taken_back = checkpoints_->TakeCompleteBack();
    if (!taken_back.has_value()) return state_->Poison(std::move(writer), taken_back.error());
    writer.complete = false;
  }
  writer.phase = WriterPhase::kCommitting;
  writer.direct = append.direct.length != 0;
  RETURN_IF_ERROR(state_->Write(writer));
  const std::string* journaled = record;
  if (const auto [skip, direct] = append.direct; direct != 0) {
    short_record_.assign(*record, 0, kRecordHeaderLength + skip);
    short_record_.append(append.frames.substr(skip + direct)).resize(header.Length());
    journaled = &short_record_;
  } else {
    record->resize(header.Length());
    append.frames = std::string_view(*record).substr(kRecordHeaderLength, header.frames_length);
  }
  Status durable = MakeDurable(writer.log, append, offset, *journaled);
  if (durable.has_value()) {
    // Said before the files are written: a recovery must not write over this record any more.
    writer.durable_sequence = header.sequence;
    durable = state_->Write(writer);
  }
  if (!durable.has_value()) return state_->Poison(std::move(writer), std::move(durable).error());
  RETURN_IF_ERROR(Apply(std::move(writer), header, append, offset));
  newest_ = header.sequence;
  record->resize(kRecordHeaderLength + header.frames_length);  // as it was given
  return first_index;
}

// Where there is a record, the frames outside of it are on the disk.
Status RecordWriter::MakeDurable(const LogState& log, const LogAppend& append, uint64_t offset,
                                 std::string_view record) {
  if (append.direct.length != 0) RETURN_IF_ERROR(files_->WriteDirect(log.end, append));
  RETURN_IF_ERROR(state_->journal()->WriteAt(offset, record));
  return state_->journal()->Sync();
}

Status RecordWriter::Apply(WriterState writer, const RecordHeader& header, const LogAppend& append,
                           uint64_t offset) {
  Result<LogEnd> end = files_->Write(writer.log.end, append);
  if (!end.has_value()) return state_->Poison(std::move(writer), std::move(end).error());
  CHECK(end->size == header.size);
  writer.phase = WriterPhase::kIdle;
  writer.direct = false;
  writer.log = {{header.sequence, offset + header.Length(), offset},
                header.mac,
                *end,
                append.prepared->after};
  const Status written = state_->Write(writer);
  if (!written.has_value()) return state_->Poison(std::move(writer), written.error());
  state_->NoteUse(writer);
  return {};
}

void RecordWriter::NoteComing(const LogAppend& append) {
  const Prepared& prepared = *append.prepared;
  const std::lock_guard<std::mutex> lock(coming_mutex_);
  alone_ = coming_.size() == prepared.before.size();
  coming_ = prepared.after;
  coming_frames_end_ = prepared.frames_start + append.frames.size();
}

void RecordWriter::PrepareNext(Batch* batch) {
  batch->set_prepared(nullptr);
  CompactRange before;
  uint64_t frames_start = 0;
  {
    const std::lock_guard<std::mutex> lock(coming_mutex_);
    if (!alone_ || kMaxTreeSize - coming_.size() < batch->count()) return;
    before = coming_;
    frames_start = coming_frames_end_;
  }
  PrepareAfter(before, frames_start, batch);
}

std::optional<TreeHead> RecordWriter::Coming() {
  CompactRange coming;
  {
    const std::lock_guard<std::mutex> lock(coming_mutex_);
    coming = coming_;
  }
  if (coming.size() == 0) return std::nullopt;
  return coming.Head();
}

}  // namespace logcore
