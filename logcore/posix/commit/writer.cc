#include "logcore/posix/commit/writer.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "logcore/posix/commit/opening.h"
#include "logcore/posix/commit/publication.h"
#include "logcore/posix/commit/recovery.h"
#include "logcore/posix/commit/store.h"
#include "logcore/posix/files/lock_file.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

// A torn head can only be seen by who reads it without the commit lock, and only for the moment of
// one small write.
constexpr int kReadHeadAttempts = 1000;

}  // namespace

Result<std::unique_ptr<Writer>> Writer::Open(Disk* disk, std::string origin, SignerKey key,
                                             LogFiles* files, PublishedFile* published,
                                             const StoreOptions& options, OpeningMode mode) {
  std::unique_ptr<Writer> writer(
      new Writer(disk, std::move(origin), std::move(key), files, published, options));
  ASSIGN_OR_RETURN(const bool opened, writer->Run(disk, mode));
  if (!opened) writer.reset();
  return writer;
}

Writer::Writer(Disk* disk, std::string origin, SignerKey key, LogFiles* files,
               PublishedFile* published, const StoreOptions& options)
    : origin_(std::move(origin)),
      key_(std::move(key)),
      files_(files),
      published_(published),
      clock_(options.clock),
      uptime_([disk] { return disk->Uptime(); }),
      log_clock_(clock_, uptime_),
      outside_length_(options.outside_length) {}

Result<bool> Writer::Run(Disk* disk, OpeningMode mode) {
  ASSIGN_OR_RETURN(lock_, disk->Open("lock", Access::kReadWrite));
  ASSIGN_OR_RETURN(journal_, disk->Open("journal", Access::kReadWrite));
  ASSIGN_OR_RETURN(base_journal_, disk->Open("journal", Access::kReadWrite));
  ASSIGN_OR_RETURN(const auto held_base, Held::Take(&base_mutex_, lock_.get(), kBase));
  ASSIGN_OR_RETURN(const auto held, Held::Take(&commit_mutex_, lock_.get(), kCommit));
  const CheckpointMaker maker = Maker();
  Opening opening(disk, lock_.get(), journal_.get(), files_, published_, &maker);
  ASSIGN_OR_RETURN(const bool opened, opening.Run(mode));
  if (!opened) return false;
  boot_id_ = opening.boot_id();
  mac_key_ = opening.base().key;
  journal_length_ = opening.base().journal_length;
  outside_length_ = std::min<uint64_t>(outside_length_, (journal_length_ - kRecordsStart) / 8);
  opened_ = opening.head().log;
  recoveries_ = opening.head().recoveries;
  own_sequence_ = opened_.position.sequence;
  NoteUse(opening.head());
  return true;
}

// In a living process: another one died.
Result<Recovered> Writer::RunRecovery(Head* head, RecoverFrom from) {
  return Recover(journal_.get(), files_, *published_, head, *head, from,
                 [this, head](uint64_t sequence) {
                   head->durable_sequence = sequence;
                   return WriteHead(lock_.get(), *head);
                 });
}

// In a living process: who was advancing the base died.
Status Writer::RecoverFromBase(Head* head) {
  const Result<Recovered> recovered = RunRecovery(head, RecoverFrom::kBase);
  if (!recovered.has_value()) return Poison(*head, recovered.error());
  head->log = recovered->state;
  head->durable_sequence = head->log.position.sequence;
  head->advancing = head->doubtful = false;
  return WriteHead(lock_.get(), *head);
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
}

tl::unexpected<Error> Writer::Poison(Head head, Error why) {
  stopped_ = true;
  head.state = HeadState::kPoisoned;
  const Status written = WriteHead(lock_.get(), head);
  if (!written.has_value()) why.message += "; and " + written.error().message;
  // Whatever it was, to the caller it is an error of the disk whose outcome is unknown.
  if (why.code != Code::kCorrupt) why.code = Code::kIo;
  return tl::unexpected<Error>(std::move(why));
}

Result<Head> Writer::HeadForAppend() {
  ASSIGN_OR_RETURN(std::optional<Head> head, ReadHead(*lock_));
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
    RETURN_IF_ERROR(WriteHead(lock_.get(), *head));
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
    if (!IsOfOneAppend(code)) stopped_ = true;
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
    uint64_t base = 0;
    {
      ASSIGN_OR_RETURN(const auto held, Held::Take(&commit_mutex_, lock_.get(), kCommit));
      ASSIGN_OR_RETURN(Head head, HeadForAppend());
      base = head.base.sequence;
      const int64_t time = log_clock_.SecondAfter(head.log.end.time);
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
    RETURN_IF_ERROR(AdvanceBaseTo(base + 1));
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
  RETURN_IF_ERROR(WriteHead(lock_.get(), head));
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
    durable = WriteHead(lock_.get(), head);
  }
  if (!durable.has_value()) return Poison(std::move(head), std::move(durable).error());

  Result<LogEnd> end = files_->Write(head.log.end, append);
  if (!end.has_value()) return Poison(std::move(head), std::move(end).error());
  CHECK(end->size == range.size());
  head.state = HeadState::kIdle;
  head.outside = false;
  head.log = {{header.sequence, offset + header.Length(), offset}, header.mac, *end, range};
  const Status written = WriteHead(lock_.get(), head);
  if (!written.has_value()) return Poison(std::move(head), written.error());
  own_sequence_ = header.sequence;
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
    signed_note_ = SignCheckpoint(origin_, head, key_);
    signed_head_ = head;
  }
  return signed_note_;
}

CheckpointMaker Writer::Maker() {
  return {.sign = [this](const TreeHead& head) { return Sign(head); },
          .clock = clock_,
          .uptime = uptime_};
}

Result<Published> Writer::Publish() {
  ASSIGN_OR_RETURN(const auto held, Held::Take(&publish_mutex_, lock_.get(), kPublish));
  std::optional<Head> head;
  for (int i = 0; i < kReadHeadAttempts && !head; ++i) {
    ASSIGN_OR_RETURN(head, ReadHead(*lock_));
  }
  if (!head) return Fail(Code::kCorrupt, "lock: its head cannot be read");

  ASSIGN_OR_RETURN(PublishedFile::Slot newest, published_->Read());
  const bool believable = newest.boot_id == boot_id_ || newest.boot_id == kCompleteBoot;
  if (head->log.end.size <= newest.published.head.size && believable) {
    return std::move(newest.published);
  }
  return PublishLog(*files_, published_, newest, head->log, boot_id_, Maker());
}

Status Writer::MarkIncomplete() {
  ASSIGN_OR_RETURN(const auto held, Held::Take(&publish_mutex_, lock_.get(), kPublish));
  return TakeCompleteBack(published_, boot_id_);
}

}  // namespace logcore
