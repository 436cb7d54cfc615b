#include "logcore/posix/commit/store.h"

#include <algorithm>
#include <array>
#include <utility>

#include "logcore/log/edge.h"
#include "logcore/posix/commit/opening.h"
#include "logcore/posix/commit/recovery.h"
#include "logcore/posix/commit/writer.h"
#include "logcore/posix/disk/staged_disk.h"
#include "logcore/posix/disk/tentative_disk.h"
#include "logcore/posix/files/lock_file.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

// Nobody replaces files of the store for as long as this is held.
Result<std::unique_ptr<File>> HoldOpened(Disk* disk) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> lock, disk->Open("lock", Access::kReadWrite));
  ASSIGN_OR_RETURN(const bool held, lock->TryLock(kOpened, LockKind::kShared));
  if (!held) return Fail(Code::kBusy, "it is being repaired");
  return lock;
}

Status InitJournal(Disk* disk, const Base& base) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> journal, disk->Create("journal", 0600));
  // Real zeros: syncing a record must not have to write the file's own metadata.
  RETURN_IF_ERROR(WriteZeros(journal.get(), 0, base.journal_length));
  RETURN_IF_ERROR(journal->WriteAt(0, EncodeBase(base)));
  return journal->Sync();
}

Status InitLock(Disk* disk, const Head& head) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> lock, disk->Create("lock", 0600));
  RETURN_IF_ERROR(lock->WriteAt(0, std::string(kMaxHeadLength, '\0')));
  RETURN_IF_ERROR(lock->WriteAt(0, EncodeHead(head)));
  return lock->Sync();
}

// Whether `names` are what an init that was killed may leave: files of its own, without the one
// that it makes last, and no entry.
bool IsUnfinished(Disk* disk, const std::vector<std::string>& names) {
  constexpr std::array<std::string_view, 8> kMade = {"checkpoint", "config", "entries", "hashes",
                                                     "journal",    "key",    "lock",    "times"};
  for (const std::string& name : names) {
    if (std::find(kMade.begin(), kMade.end(), name) == kMade.end()) return false;
  }
  const Result<std::vector<std::string>> segments = disk->List("entries");
  return segments.has_value() && segments->empty();
}

Status MakeFiles(Disk* disk, const InitOptions& init, const SignerKey& key,
                 const StoreOptions& options) {
  ASSIGN_OR_RETURN(const std::string boot_id, disk->BootId());
  RETURN_IF_ERROR(LogFiles::Create(disk));
  RETURN_IF_ERROR(WriteNewFile(disk, "key", 0600, key.ToString() + "\n"));
  Base base{.key = HashFromBytes(disk->RandomBytes(kHashLength)),
            .journal_length = init.journal_length,
            .state = {},
            .blocks = {}};
  RETURN_IF_ERROR(InitJournal(disk, base));
  RETURN_IF_ERROR(InitLock(disk, {.boot_id = boot_id,
                                  .state = HeadState::kIdle,
                                  .base = base.state.position,
                                  .log = base.state,
                                  .complete = true}));
  const PublicationTime now =
      FirstPublicationTime(0, options.clock(), MomentOf(boot_id, disk->Uptime()));
  Published first{.sequence = 1,
                  .head = {},
                  .frames_end = 0,
                  .time = now.at / kNanoseconds,
                  .publication = now,
                  .note = SignCheckpoint(init.origin, {}, key)};
  RETURN_IF_ERROR(PublishedFile::Create(disk, first, std::string(16, '\0')));
  ASSIGN_OR_RETURN(StoreHome home, HomeHere(disk));
  const StoreConfig config{init.origin, key.verifier(), std::move(home)};
  RETURN_IF_ERROR(WriteNewFile(disk, "config", 0644, PrintConfig(config)));
  RETURN_IF_ERROR(disk->SyncDirectory(""));
  // Last: a store without it is one whose init did not finish.
  RETURN_IF_ERROR(WriteNewFile(disk, "format", 0644, kStoreFormat));
  return disk->SyncDirectory("");
}

}  // namespace

Batch::Batch() {
  Clear();
}

void Batch::Clear() {
  record_.assign(kRecordHeaderLength, '\0');
  leaf_hashes_.clear();
  prepared_.reset();
}

void Batch::Append(std::string_view frames, uint64_t count) {
  prepared_.reset();
  record_.append(frames);
  const size_t before = leaf_hashes_.size();
  leaf_hashes_.resize(before + count);
  HashLeafFrames(frames, std::span(leaf_hashes_).subspan(before));
}

void Batch::Append(std::string_view frames, std::span<const Hash> leaf_hashes) {
  prepared_.reset();
  record_.append(frames);
  leaf_hashes_.insert(leaf_hashes_.end(), leaf_hashes.begin(), leaf_hashes.end());
}

std::string_view Batch::frames() const {
  return std::string_view(record_).substr(kRecordHeaderLength);
}

Result<VerifierKey> Store::Init(Disk* disk, const InitOptions& init, const StoreOptions& options) {
  if (!init.key && !IsValidKeyName(init.origin)) {
    return Fail(Code::kInvalid, "origin '" + init.origin +
                                    "': must be 1 to 255 bytes without spaces, '+' and control "
                                    "characters");
  }
  if (!IsValidOrigin(init.origin)) {
    return Fail(Code::kInvalid, "origin '" + init.origin +
                                    "': must be a line of 1 to 255 bytes without control "
                                    "characters");
  }
  if (init.journal_length < kMinJournalLength || kMaxJournalLength < init.journal_length ||
      init.journal_length % kJournalBlock != 0) {
    return Fail(Code::kInvalid, "journal: impossible length");
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names, disk->List(""));
  if (!names.empty()) {
    return Fail(Code::kExists, IsUnfinished(disk, names)
                                   ? "an init did not finish here, and there is no entry: remove it"
                                   : "the directory is not empty");
  }
  Result<SignerKey> generated = init.key ? *init.key : SignerKey::Generate(init.origin);
  RETURN_IF_ERROR(generated);
  const SignerKey& key = *generated;

  TentativeDisk tentative(disk);
  const Status made = MakeFiles(&tentative, init, key, options);
  if (!made.has_value()) {
    tentative.TakeBack();
    return tl::unexpected<Error>(made.error());
  }
  return key.verifier();
}

Store::Store(Disk* disk, StoreConfig config)
    : disk_(disk), config_(std::move(config)), verified_(std::make_shared<Verified>()) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::Open(Disk* disk, Mode mode, const StoreOptions& options) {
  ASSIGN_OR_RETURN(const StoreConfig config, ReadStoreConfig(disk));
  if (mode == Mode::kReadOnly) {
    std::unique_ptr<Store> store(new Store(disk, config));
    RETURN_IF_ERROR(store->OpenToRead(disk, options));
    return store;
  }
  RETURN_IF_ERROR(CheckAtHome(disk, config));
  while (true) {
    std::unique_ptr<Store> store(new Store(disk, config));
    ASSIGN_OR_RETURN(const bool opened, store->OpenToAppend(disk, options, OpeningMode::kIfIdle));
    if (opened) {
      // What a writer that died had committed; after a power cut, that the files are complete.
      RETURN_IF_ERROR(store->Publish());
      return store;
    }
    RETURN_IF_ERROR(Mend(disk, config, options));
  }
}

Status Store::Mend(Disk* disk, const StoreConfig& config, const StoreOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AllHeld> held, AllHeld::Take(disk));
  StagedDisk staged(disk, Access::kReadWrite);
  Store store(&staged, config);
  RETURN_IF_ERROR(store.OpenToAppend(&staged, options, OpeningMode::kMend));
  return staged.Apply();
}

Result<bool> Store::OpenToAppend(Disk* disk, const StoreOptions& options, OpeningMode mode) {
  ASSIGN_OR_RETURN(boot_id_, disk->BootId());
  ASSIGN_OR_RETURN(opened_, HoldOpened(disk));
  ASSIGN_OR_RETURN(files_, LogFiles::Open(disk, Access::kReadWrite, options.gap_limit));
  if (options.map_segments) files_->MapSegments();
  ASSIGN_OR_RETURN(published_, PublishedFile::Open(disk, Access::kReadWrite));
  ASSIGN_OR_RETURN(SignerKey key, ReadStoreKey(disk, config_));
  ASSIGN_OR_RETURN(writer_, Writer::Open(disk, config_.origin, std::move(key), files_.get(),
                                         published_.get(), options, mode));
  if (writer_ == nullptr) return false;
  const LogEnd& end = writer_->opened().end;
  RETURN_IF_ERROR(files_->CheckEnd(end.size, end.frames_end, end.time));
  return true;
}

// Whatever is damaged, each byte that is served is verified when it is read.
Status Store::OpenToRead(Disk* disk, const StoreOptions& options) {
  ASSIGN_OR_RETURN(boot_id_, disk->BootId());
  ASSIGN_OR_RETURN(files_, LogFiles::Open(disk, Access::kRead, options.gap_limit));
  if (options.map_segments) files_->MapSegments();
  ASSIGN_OR_RETURN(published_, PublishedFile::Open(disk, Access::kRead));
  ASSIGN_OR_RETURN(const Published published, BelievablePublished());
  if (!OpenCheckpoint(published.note, config_.origin, config_.vkey).has_value()) {
    return Fail(Code::kCorrupt, "checkpoint: is not signed by the log");
  }
  Status whole = published_->CheckLength();
  if (whole.has_value()) {
    whole = files_->CheckEnd(published.head.size, published.frames_end, published.time);
  }
  if (!files_->lost().empty()) whole = tl::unexpected<Error>(files_->lost().front());
  if (whole.has_value()) {
    const Result<CompactRange> edge = ReadEdge(*files_, published.head.size);
    if (!edge.has_value()) {
      whole = tl::unexpected<Error>(edge.error());
    } else if (edge->Root() != published.head.root) {
      whole = Fail(Code::kCorrupt, "hashes: the right edge does not give the published root");
    }
  }
  if (whole.has_value()) return {};
  if (whole.error().code != Code::kCorrupt) return whole;
  if (Contradicts(*files_, published.head)) {
    return Fail(Code::kCorrupt, "checkpoint: the hashes and the entries have another root");
  }
  damage_ = whole.error();
  return {};
}

Result<Published> Store::BelievablePublished() const {
  const std::string remedy =
      config_.home ? "mount it once for writing, then ro" : "let tlogfs backup run once more";
  Result<PublishedFile::Slot> read = published_->Read();
  if (!read.has_value() && read.error().code == Code::kCorrupt) {
    // A power cut may tear both slots. A writer knows whether there was one, and refuses if not.
    return Fail(Code::kBusy, read.error().message + "; if the machine went down, " + remedy);
  }
  ASSIGN_OR_RETURN(PublishedFile::Slot slot, std::move(read));
  if (slot.boot_id != boot_id_ && slot.boot_id != kCompleteBoot) {
    return Fail(Code::kBusy, "the machine went down while it was written: " + remedy);
  }
  return std::move(slot.published);
}

Result<std::shared_ptr<const Snapshot>> Store::Latest() {
  const std::lock_guard<std::mutex> lock(latest_mutex_);
  if (latest_ != nullptr) {
    ASSIGN_OR_RETURN(const bool newer, published_->IsNewer(latest_->published().sequence));
    if (!newer) return latest_;
  }
  ASSIGN_OR_RETURN(PublishedFile::Slot slot, published_->Read());
  const Result<Checkpoint> checkpoint =
      OpenCheckpoint(slot.published.note, config_.origin, config_.vkey);
  if (!checkpoint.has_value()) return Fail(Code::kCorrupt, "checkpoint: is not signed by the log");
  if (latest_ != nullptr && slot.published.head.size < latest_->size()) {
    return Fail(Code::kCorrupt, "checkpoint: went back to a smaller size");
  }
  latest_ = std::make_shared<const Snapshot>(std::move(slot.published), files_, verified_);
  return latest_;
}

int64_t Store::PublicationTimeOf(const Published& published) const {
  return ShownTime(published.publication, MomentOf(boot_id_, disk_->Uptime()));
}

uint64_t Store::max_batch_length() const {
  return writer_ == nullptr ? 0 : writer_->max_frames_length();
}

Result<Committed> Store::Commit(Batch* batch, const std::function<void()>& on_head_known) {
  CHECK(writer_ != nullptr && 0 < batch->count());
  ASSIGN_OR_RETURN(
      const uint64_t first_index,
      writer_->Commit(&batch->record_, batch->leaf_hashes(), &batch->prepared_, on_head_known));
  return Committed{first_index, batch->leaf_hashes()};
}

void Store::Prepare(Batch* batch) {
  CHECK(writer_ != nullptr && 0 < batch->count());
  batch->prepared_ = writer_->PrepareNext(batch->frames(), batch->leaf_hashes());
}

void Store::Presign() {
  CHECK(writer_ != nullptr);
  writer_->Presign();
}

Result<uint64_t> Store::Publish() {
  CHECK(writer_ != nullptr);
  ASSIGN_OR_RETURN(Published published, writer_->Publish());
  const std::lock_guard<std::mutex> lock(latest_mutex_);
  const uint64_t size = published.head.size;
  if (latest_ == nullptr || latest_->published().sequence < published.sequence) {
    latest_ = std::make_shared<const Snapshot>(std::move(published), files_, verified_);
  }
  return size;
}

double Store::JournalUse() const {
  return writer_->JournalUse();
}

Status Store::AdvanceBase() {
  return writer_->AdvanceBase();
}

Status Store::FreeJournal() {
  return writer_->FreeJournal();
}

Status Store::Close() {
  CHECK(writer_ != nullptr);
  RETURN_IF_ERROR(writer_->AdvanceBase());
  return writer_->MarkComplete();
}

}  // namespace logcore
