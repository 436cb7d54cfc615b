#include "logcore/writer.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "logcore/check.h"
#include "logcore/checkpoint.h"
#include "logcore/edge.h"
#include "logcore/journal_reader.h"
#include "logcore/recovery.h"
#include "logcore/store.h"
#include "logcore/writer_lock.h"

namespace logcore {
namespace {

// A torn head can only be seen by who reads it without the commit lock, and only for the moment of
// one small write.
constexpr int kReadHeadAttempts = 1000;

}  // namespace

Result<std::unique_ptr<Writer>> Writer::Open(Disk* disk, SignerKey key, LogFiles* files,
                                             PublishedFile* published, const StoreOptions& options,
                                             bool force_recovery) {
  std::unique_ptr<Writer> writer(new Writer(std::move(key), files, published, options));
  ASSIGN_OR_RETURN(writer->boot_id_, disk->BootId());
  ASSIGN_OR_RETURN(writer->lock_, disk->Open("lock", Access::kReadWrite));
  RETURN_IF_ERROR(CheckHeadLength(*writer->lock_));
  ASSIGN_OR_RETURN(writer->journal_, disk->Open("journal", Access::kReadWrite));
  ASSIGN_OR_RETURN(writer->base_journal_, disk->Open("journal", Access::kReadWrite));
  RETURN_IF_ERROR(writer->RecoverOrResume(force_recovery));
  return writer;
}

Writer::Writer(SignerKey key, LogFiles* files, PublishedFile* published,
               const StoreOptions& options)
    : key_(std::move(key)),
      files_(files),
      published_(published),
      clock_(options.clock),
      outside_length_(options.outside_length) {}

Status Writer::RecoverOrResume(bool force_recovery) {
  ASSIGN_OR_RETURN(const auto held_base, Held::Take(&base_mutex_, lock_.get(), kBase));
  ASSIGN_OR_RETURN(const auto held, Held::Take(&commit_mutex_, lock_.get(), kCommit));
  ASSIGN_OR_RETURN(std::optional<Head> head, ReadHead());
  if (head && (force_recovery || head->boot_id != boot_id_)) head.reset();
  may_lack_checkpoint_ = force_recovery;
  std::optional<uint64_t> base_sequence;
  if (head) base_sequence = head->base.sequence;
  ASSIGN_OR_RETURN(const Base base, ReadBase(*journal_, base_sequence));
  mac_key_ = base.key;
  journal_length_ = base.journal_length;
  outside_length_ = std::min<uint64_t>(outside_length_, (journal_length_ - kRecordsStart) / 8);
  if (!head || head->state != HeadState::kIdle || head->advancing || head->doubtful) {
    if (head && head->complete) {
      RETURN_IF_ERROR(MarkIncomplete());
      head->complete = false;
    }
    const bool died_in_commit = head && head->state == HeadState::kCommitting && !head->advancing &&
                                !head->outside && !head->doubtful;
    ASSIGN_OR_RETURN(const Recovered recovered,
                     RunRecovery(head ? &*head : nullptr,
                                 died_in_commit ? RecoverFrom::kHead : RecoverFrom::kBase));
    const LogState& start = recovered.base.state;
    bool complete = head && head->complete;
    if (!head) {
      ASSIGN_OR_RETURN(complete, published_->SaysComplete());
    }
    // Before the head says that this boot has recovered: only another boot may lack a slot.
    if (!head && !force_recovery) RETURN_IF_ERROR(MendCheckpoint(recovered.state));
    head = Head{.boot_id = boot_id_,
                .state = HeadState::kIdle,
                .base = start.position,
                .base_size = start.end.size,
                .base_frames_end = start.end.frames_end,
                .log = recovered.state,
                .complete = complete,
                .durable_sequence = recovered.state.position.sequence,
                .recoveries = head ? head->recoveries + 1 : 0};
    RETURN_IF_ERROR(WriteHead(*head));
  } else {
    RETURN_IF_ERROR(CheckHead(*head, base));
  }
  RETURN_IF_ERROR(EraseTornBase(journal_.get()));
  opened_ = head->log;
  recoveries_ = head->recoveries;
  NoteUse(*head);
  return {};
}

// A power cut may have torn the slots of `checkpoint`: one, which the next publication would write
// over, but there may be nothing to publish; or both, which are never synced.
Status Writer::MendCheckpoint(const LogState& log) {
  ASSIGN_OR_RETURN(const auto held, Held::Take(&publish_mutex_, lock_.get(), kPublish));
  Result<PublishedFile::Slot> slot = published_->Read();
  if (!slot.has_value()) {
    if (slot.error().code != Code::kCorrupt) return tl::unexpected<Error>(slot.error());
    RETURN_IF_ERROR(PublishAfter(std::nullopt, log));
    return {};
  }
  const Status both = published_->CheckBothSlots();
  if (both.has_value() || both.error().code != Code::kCorrupt) return both;
  slot->published.sequence += 1;
  return published_->Write(*slot);
}

// The head, the journal, the files and the checkpoint are of one time: none was rolled back.
Status Writer::CheckHead(const Head& head, const Base& base) const {
  RETURN_IF_ERROR(files_->CheckLengths(head.log.end));
  RETURN_IF_ERROR(CheckEdge(*files_, head.log.range));
  const JournalReader reader(journal_.get(), files_, base);
  ASSIGN_OR_RETURN(const std::optional<JournalRecord> newer, reader.After(head.log));
  if (newer) return Fail(Code::kCorrupt, "lock: its head is older than the journal");
  ASSIGN_OR_RETURN(const PublishedFile::Slot slot, published_->Read());
  return CheckCovers(*files_, head.log, slot.published.head);
}

// `head`: null in a new boot. Nothing needs to be noted then: all that can be read is on the disk.
Result<Recovered> Writer::RunRecovery(Head* head, RecoverFrom from) {
  return Recover(journal_.get(), files_, *published_, head, from, [this, head](uint64_t sequence) {
    head->durable_sequence = sequence;
    return WriteHead(*head);
  });
}

// In a living process: who was advancing the base died.
Status Writer::RecoverFromBase(Head* head) {
  const Result<Recovered> recovered = RunRecovery(head, RecoverFrom::kBase);
  if (!recovered.has_value()) return Poison(*head, recovered.error());
  head->log = recovered->state;
  head->durable_sequence = head->log.position.sequence;
  head->advancing = head->doubtful = false;
  return WriteHead(*head);
}

Error Writer::Stopped() {
  return {Code::kReadOnly, "append: the log stopped after an error; mount or open it again"};
}

uint64_t Writer::max_frames_length() const {
  // A quarter of the ring: room for one while three are being freed.
  const uint64_t length = (journal_length_ - kRecordsStart) / 4 / kJournalBlock * kJournalBlock;
  return length - kRecordHeaderLength;
}

// Frames outside the journal count as those inside: they take as long to recover.
void Writer::NoteUse(const Head& head) {
  const double frames = static_cast<double>(head.log.end.frames_end - head.base_frames_end);
  journal_use_ = std::max(UsedPart(head.base, head.log.position, journal_length_),
                          frames / static_cast<double>(journal_length_ - kRecordsStart));
  base_seen_ = head.base.sequence;
}

Result<std::optional<Head>> Writer::ReadHead() const {
  std::string bytes(kMaxHeadLength, '\0');
  ASSIGN_OR_RETURN(const size_t length, lock_->ReadAt(0, bytes.data(), bytes.size()));
  bytes.resize(length);
  return DecodeHead(bytes);
}

// In full length: nothing of a longer one is left after it.
Status Writer::WriteHead(const Head& head) {
  std::string bytes = EncodeHead(head);
  bytes.resize(kMaxHeadLength, '\0');
  return lock_->WriteAt(0, bytes);
}

tl::unexpected<Error> Writer::Poison(Head head, Error why) {
  stopped_ = true;
  head.state = HeadState::kPoisoned;
  const Status written = WriteHead(head);
  if (!written.has_value()) why.message += "; and " + written.error().message;
  // Whatever it was, to the caller it is an error of the disk whose outcome is unknown.
  if (why.code != Code::kCorrupt) why.code = Code::kIo;
  return tl::unexpected<Error>(std::move(why));
}

Result<Head> Writer::HeadForAppend() {
  ASSIGN_OR_RETURN(std::optional<Head> head, ReadHead());
  if (!head || head->boot_id != boot_id_) {
    return Fail(Code::kCorrupt, "lock: its head was overwritten");
  }
  if (head->state == HeadState::kPoisoned) {
    stopped_ = true;
    return tl::unexpected<Error>(Stopped());
  }
  if (head->state == HeadState::kCommitting) {  // Its writer died: it would hold the lock else.
    const Result<Recovered> recovered = RunRecovery(&*head, RecoverFrom::kHead);
    if (!recovered.has_value()) return Poison(*head, recovered.error());
    head->state = HeadState::kIdle;
    head->log = recovered->state;
    head->durable_sequence = head->log.position.sequence;
    head->doubtful |= std::exchange(head->outside, false);
    ++head->recoveries;
    RETURN_IF_ERROR(WriteHead(*head));
  }
  if (std::exchange(recoveries_, head->recoveries) != head->recoveries) files_->ForgetReserved();
  return std::move(*head);
}

Result<uint64_t> Writer::Commit(std::string* record, std::span<const Hash> leaf_hashes,
                                std::optional<Prepared>* prepared,
                                const std::function<void()>& on_head_known) {
  Result<uint64_t> first_index = TryCommit(record, leaf_hashes, prepared, on_head_known);
  if (!first_index.has_value()) {
    const Code code = first_index.error().code;
    if (code != Code::kNoSpace && code != Code::kTooLarge) stopped_ = true;
  }
  return first_index;
}

Result<uint64_t> Writer::TryCommit(std::string* record, std::span<const Hash> leaf_hashes,
                                   std::optional<Prepared>* prepared,
                                   const std::function<void()>& on_head_known) {
  CHECK(record->size() > kRecordHeaderLength && !leaf_hashes.empty());
  const uint64_t frames_length = record->size() - kRecordHeaderLength;
  if (max_frames_length() < frames_length) {
    return Fail(Code::kTooLarge, "append: " + std::to_string(frames_length) +
                                     " bytes at once are more than the journal takes");
  }
  while (true) {
    if (stopped_) return tl::unexpected<Error>(Stopped());
    uint64_t seen = 0;
    {
      ASSIGN_OR_RETURN(const auto held, Held::Take(&commit_mutex_, lock_.get(), kCommit));
      ASSIGN_OR_RETURN(Head head, HeadForAppend());
      seen = head.base.sequence;
      const int64_t time = std::max(clock_(), head.log.end.time);
      if (kMaxTreeSize - head.log.range.size() < leaf_hashes.size()) {
        return Fail(Code::kTooLarge, "append: the log is full");
      }
      const std::string_view frames = std::string_view(*record).substr(kRecordHeaderLength);
      if (!*prepared || (*prepared)->before != head.log.range) {
        *prepared = Prepare(head.log.range, head.log.end.frames_end, frames, leaf_hashes);
      }
      LogAppend append{
          .frames = frames, .leaf_hashes = leaf_hashes, .prepared = &**prepared, .time = time};
      RETURN_IF_ERROR(files_->Reserve(head.log.end, append));
      if (outside_length_ <= frames_length) {
        ASSIGN_OR_RETURN(append.outside,
                         files_->OutsideOf(head.log.end, leaf_hashes.size(), frames_length));
      }
      if (const std::optional<uint64_t> offset = Place(head, append)) {
        NoteComing(append);
        if (on_head_known) on_head_known();
        return WriteRecord(std::move(head), record, append, *offset);
      }
    }
    RETURN_IF_ERROR(AdvanceBaseFrom(seen));
  }
}

std::optional<uint64_t> Writer::Place(const Head& head, const LogAppend& append) const {
  // What recovery would have to read is bounded, wherever it is.
  const uint64_t since_base = head.log.end.frames_end + append.frames.size() - head.base_frames_end;
  if (head.base.sequence != head.log.position.sequence &&
      journal_length_ - kRecordsStart < since_base) {
    return std::nullopt;
  }
  RecordHeader sized;
  sized.frames_length = append.frames.size();
  sized.outside = append.outside.length;
  return PlaceRecord(head.base, head.log.position, sized.Length(), journal_length_);
}

Result<uint64_t> Writer::WriteRecord(Head head, std::string* record, LogAppend append,
                                     uint64_t offset) {
  const CompactRange& range = append.prepared->after;
  const uint64_t first_index = head.log.end.size;
  RecordHeader header{.sequence = head.log.position.sequence + 1,
                      .start_size = first_index,
                      .size = range.size(),
                      .frames_length = append.frames.size(),
                      .outside = append.outside.length,
                      .time = append.time,
                      .root = range.Root(),
                      .previous = head.log.chain,
                      .mac = {}};
  EncodeRecordHeader(mac_key_, &header, record->data());
  if (head.complete) {
    const Status marked = MarkIncomplete();
    if (!marked.has_value()) return Poison(std::move(head), marked.error());
    head.complete = false;
  }
  head.state = HeadState::kCommitting;
  head.outside = append.outside.length != 0;
  RETURN_IF_ERROR(WriteHead(head));
  const std::string* journaled = record;
  if (const auto [skip, outside] = append.outside; outside != 0) {
    short_record_.assign(*record, 0, kRecordHeaderLength + skip);
    short_record_.append(append.frames.substr(skip + outside)).resize(header.Length());
    journaled = &short_record_;
  } else {
    record->resize(header.Length());
    append.frames = std::string_view(*record).substr(kRecordHeaderLength, header.frames_length);
  }
  Status durable = MakeDurable(head.log, append, offset, *journaled);
  if (durable.has_value()) {
    // Said before the files are written: who recovers must not write over this record any more.
    head.durable_sequence = header.sequence;
    durable = WriteHead(head);
  }
  if (!durable.has_value()) return Poison(std::move(head), std::move(durable).error());

  Result<LogEnd> end = files_->Write(head.log.end, append);
  if (!end.has_value()) return Poison(std::move(head), std::move(end).error());
  CHECK(end->size == range.size());
  head.state = HeadState::kIdle;
  head.outside = false;
  head.log = {{header.sequence, offset + header.Length()}, header.mac, *end, range};
  const Status written = WriteHead(head);
  if (!written.has_value()) return Poison(std::move(head), written.error());
  NoteUse(head);
  record->resize(kRecordHeaderLength + header.frames_length);  // as it was given
  return first_index;
}

// Where there is a record, the frames outside of it are on the disk.
Status Writer::MakeDurable(const LogState& log, const LogAppend& append, uint64_t offset,
                           std::string_view record) {
  if (append.outside.length != 0) RETURN_IF_ERROR(files_->WriteOutside(log.end, append));
  RETURN_IF_ERROR(journal_->WriteAt(offset, record));
  return journal_->Sync();
}

void Writer::NoteComing(const LogAppend& append) {
  const Prepared& prepared = *append.prepared;
  const std::lock_guard<std::mutex> lock(coming_mutex_);
  alone_ = coming_.size() == prepared.before.size();
  coming_ = prepared.after;
  coming_frames_end_ = prepared.frames_start + append.frames.size();
}

std::optional<Prepared> Writer::PrepareNext(std::string_view frames,
                                            std::span<const Hash> leaf_hashes) {
  CompactRange before;
  uint64_t frames_start = 0;
  {
    const std::lock_guard<std::mutex> lock(coming_mutex_);
    if (!alone_ || kMaxTreeSize - coming_.size() < leaf_hashes.size()) return std::nullopt;
    before = coming_;
    frames_start = coming_frames_end_;
  }
  return Prepare(before, frames_start, frames, leaf_hashes);
}

void Writer::Presign() {
  CompactRange coming;
  {
    const std::lock_guard<std::mutex> lock(coming_mutex_);
    coming = coming_;
  }
  if (coming.size() != 0) Sign(coming.Head());
}

// A signature shows nothing until it leaves the process, and then what it signs is committed.
const std::string& Writer::Sign(const TreeHead& head) {
  if (signed_note_.empty() || signed_head_ != head) {
    signed_note_ = SignCheckpoint(head, key_);
    signed_head_ = head;
  }
  return signed_note_;
}

Result<Published> Writer::Publish() {
  ASSIGN_OR_RETURN(const auto held, Held::Take(&publish_mutex_, lock_.get(), kPublish));
  std::optional<Head> head;
  for (int i = 0; i < kReadHeadAttempts && !head; ++i) {
    ASSIGN_OR_RETURN(head, ReadHead());
  }
  if (!head) return Fail(Code::kCorrupt, "lock: its head cannot be read");

  Result<PublishedFile::Slot> newest = published_->Read();
  if (newest.has_value()) {
    const bool believable = newest->boot_id == boot_id_ || newest->boot_id == kCompleteBoot;
    if (head->log.end.size <= newest->published.head.size && believable) return newest->published;
    return PublishAfter(*newest, head->log);
  }
  if (newest.error().code != Code::kCorrupt || !may_lack_checkpoint_) {
    return tl::unexpected<Error>(newest.error());
  }
  return PublishAfter(std::nullopt, head->log);
}

// Checks and signs the tree of `log`, and writes it over the older slot. `newest` is the other one;
// nothing if both were torn.
Result<Published> Writer::PublishAfter(const std::optional<PublishedFile::Slot>& newest,
                                       const LogState& log) {
  const CompactRange& range = log.range;
  ASSIGN_OR_RETURN(const CompactRange edge, ReadEdge(*files_, range.size()));
  if (edge != range) {
    return Fail(Code::kCorrupt, "hashes: the tree of size " + std::to_string(range.size()) +
                                    " is not the one that was committed; it is not signed");
  }
  PublishedFile::Slot slot = newest.value_or(PublishedFile::Slot());
  slot.boot_id = boot_id_;
  slot.published.sequence += 1;
  slot.published.head = range.Head();
  slot.published.frames_end = log.end.frames_end;
  if (log.end.size != 0) slot.published.time = log.end.time;
  slot.published.note = Sign(slot.published.head);
  RETURN_IF_ERROR(published_->Write(slot));
  if (!newest.has_value()) {  // Both slots were torn: mend both.
    slot.published.sequence += 1;
    RETURN_IF_ERROR(published_->Write(slot));
  }
  may_lack_checkpoint_ = false;
  return std::move(slot.published);
}

// Before the first record after MarkComplete: from now on a power cut may tear what `checkpoint`
// says is complete. It may also bring back what an unsynced slot held before; so both slots are
// written and synced, one after the other.
Status Writer::MarkIncomplete() {
  ASSIGN_OR_RETURN(const auto held, Held::Take(&publish_mutex_, lock_.get(), kPublish));
  ASSIGN_OR_RETURN(PublishedFile::Slot slot, published_->Read());
  slot.boot_id = boot_id_;
  return published_->WriteBoth(&slot);
}

}  // namespace logcore
