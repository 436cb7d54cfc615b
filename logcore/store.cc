#include "logcore/store.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "logcore/audit.h"
#include "logcore/bytes.h"
#include "logcore/check.h"
#include "logcore/checkpoint.h"
#include "logcore/edge.h"
#include "logcore/entry_bundle.h"
#include "logcore/recovery.h"
#include "logcore/writer.h"
#include "logcore/writer_lock.h"

namespace logcore {
namespace {

constexpr std::string_view kFormat = "tlogfs store 3\n";
constexpr size_t kMaxTextFileLength = 4096;

Result<std::string> ReadTextFile(Disk* disk, const std::string& name) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, disk->Open(name, Access::kRead));
  std::string text(kMaxTextFileLength, '\0');
  ASSIGN_OR_RETURN(const size_t length, file->ReadAt(0, text.data(), text.size()));
  text.resize(length);
  return text;
}

Status WriteNewFile(Disk* disk, const std::string& name, unsigned mode, std::string_view bytes) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, disk->Create(name, mode));
  RETURN_IF_ERROR(file->WriteAt(0, bytes));
  return file->Sync();
}

std::string PrintHome(const std::optional<StoreHome>& home) {
  if (!home) return "none";
  return home->filesystem + " " + std::to_string(home->lock_inode) + " " +
         std::to_string(home->lock_birth);
}

// Nothing for what PrintHome never gives.
std::optional<std::optional<StoreHome>> ParseHome(const std::string& text) {
  std::optional<StoreHome> home;
  if (text == PrintHome(home)) return home;
  std::istringstream words(text);
  home.emplace();
  words >> home->filesystem >> home->lock_inode >> home->lock_birth;
  if (PrintHome(home) != text) return std::nullopt;
  return home;
}

std::string PrintConfig(const StoreConfig& config) {
  const std::string lines = "origin " + config.origin + "\nvkey " + config.vkey.ToString() +
                            "\nhome " + PrintHome(config.home) + "\n";
  return lines + "sha256 " + HexEncode(Sha256({lines}).view()) + "\n";
}

// Takes the line "<name> <value>\n" off the front of `text`.
Result<std::string> TakeLine(std::string_view* text, std::string_view name) {
  const size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end);
  if (end == std::string_view::npos || !line.starts_with(name) || line.size() <= name.size() ||
      line[name.size()] != ' ') {
    return Fail(Code::kCorrupt, "config: has no line " + std::string(name) + " where it should");
  }
  text->remove_prefix(end + 1);
  return std::string(line.substr(name.size() + 1));
}

Result<SignerKey> ReadKey(Disk* disk, const StoreConfig& config) {
  ASSIGN_OR_RETURN(const Disk::FileInfo info, disk->Info("key"));
  if ((info.mode & 077) != 0) {
    return Fail(Code::kDenied, "key: others can read it; make it 0600 (and think about a new one)");
  }
  ASSIGN_OR_RETURN(std::string text, ReadTextFile(disk, "key"));
  const size_t length = text.find('\n');
  Result<SignerKey> key = SignerKey::Parse(std::string_view(text).substr(0, length));
  const bool is_line = length + 1 == text.size();
  WipeSecret(&text);
  if (!is_line) return Fail(Code::kCorrupt, "key: is not one line");
  if (!key.has_value()) return Within("key", key.error());
  if (key->verifier() != config.vkey) {
    return Fail(Code::kCorrupt, "key: is not the key of " + config.vkey.ToString());
  }
  return key;
}

Result<StoreHome> HomeHere(Disk* disk) {
  ASSIGN_OR_RETURN(std::string filesystem, disk->FilesystemId());
  ASSIGN_OR_RETURN(const Disk::FileInfo lock, disk->Info("lock"));
  return StoreHome{std::move(filesystem), lock.inode, lock.birth};
}

Status CheckAtHome(Disk* disk, const StoreConfig& config) {
  if (config.home) {
    ASSIGN_OR_RETURN(const StoreHome here, HomeHere(disk));
    const StoreHome& home = *config.home;
    if (here.filesystem == home.filesystem && here.lock_inode == home.lock_inode &&
        (home.lock_birth == 0 || here.lock_birth == home.lock_birth)) {
      return {};
    }
  }
  return Fail(Code::kReadOnly,
              "it is a copy, or was restored: mount it ro, or see tlogfs adopt --help");
}

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
  const std::string zeros(std::min<uint64_t>(base.journal_length, 1 << 20), '\0');
  for (uint64_t offset = 0; offset < base.journal_length;) {
    const uint64_t length = std::min<uint64_t>(zeros.size(), base.journal_length - offset);
    RETURN_IF_ERROR(journal->WriteAt(offset, std::string_view(zeros).substr(0, length)));
    offset += length;
  }
  RETURN_IF_ERROR(journal->WriteAt(0, EncodeBase(base)));
  return journal->Sync();
}

Status InitLock(Disk* disk, const Head& head) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> lock, disk->Create("lock", 0600));
  RETURN_IF_ERROR(lock->WriteAt(0, std::string(kMaxHeadLength, '\0')));
  RETURN_IF_ERROR(lock->WriteAt(0, EncodeHead(head)));
  return lock->Sync();
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
  if (!IsValidOrigin(init.origin)) {
    return Fail(Code::kInvalid, "origin '" + init.origin +
                                    "': must be 1 to 255 bytes without spaces, '+' and control "
                                    "characters");
  }
  if (init.journal_length < kMinJournalLength || kMaxJournalLength < init.journal_length ||
      init.journal_length % kJournalBlock != 0) {
    return Fail(Code::kInvalid, "journal: impossible length");
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names, disk->List(""));
  if (!names.empty()) return Fail(Code::kExists, "the directory is not empty");
  Result<SignerKey> generated = init.key ? *init.key : SignerKey::Generate(init.origin);
  RETURN_IF_ERROR(generated);
  const SignerKey& key = *generated;
  if (key.verifier().name() != init.origin) {
    return Fail(Code::kInvalid, "key: its name is '" + key.verifier().name() +
                                    "', not the origin '" + init.origin + "'");
  }

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
  Published first{.sequence = 1,
                  .head = {},
                  .frames_end = 0,
                  .time = std::max<int64_t>(options.clock(), 0),
                  .note = SignCheckpoint({}, key)};
  RETURN_IF_ERROR(PublishedFile::Create(disk, first, std::string(16, '\0')));
  ASSIGN_OR_RETURN(StoreHome home, HomeHere(disk));
  const StoreConfig config{init.origin, key.verifier(), std::move(home)};
  RETURN_IF_ERROR(WriteNewFile(disk, "config", 0644, PrintConfig(config)));
  RETURN_IF_ERROR(disk->SyncDirectory(""));
  // Last: a store without it is one whose init did not finish.
  RETURN_IF_ERROR(WriteNewFile(disk, "format", 0644, kFormat));
  RETURN_IF_ERROR(disk->SyncDirectory(""));
  return key.verifier();
}

Result<StoreConfig> Store::ReadConfig(Disk* disk) {
  const Result<std::string> format = ReadTextFile(disk, "format");
  if (!format.has_value() && format.error().code == Code::kNotFound) {
    return Fail(Code::kNotFound, "not a tlogfs store (it has no file 'format')");
  }
  RETURN_IF_ERROR(format);
  if (*format != kFormat) return Fail(Code::kInvalid, "format: not one that this version knows");
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(disk, "config"));
  std::string_view rest = text;
  ASSIGN_OR_RETURN(const std::string origin, TakeLine(&rest, "origin"));
  ASSIGN_OR_RETURN(const std::string vkey_text, TakeLine(&rest, "vkey"));
  ASSIGN_OR_RETURN(const std::string home_text, TakeLine(&rest, "home"));
  const std::optional<std::optional<StoreHome>> home = ParseHome(home_text);
  const Result<VerifierKey> vkey = VerifierKey::Parse(vkey_text);
  if (home && vkey.has_value() && vkey->name() == origin) {
    StoreConfig config{origin, *vkey, *home};
    if (PrintConfig(config) == text) return config;
  }
  return Fail(Code::kCorrupt, "config: is not as it was written");
}

Status Store::CheckKey(Disk* disk, const StoreConfig& config) {
  RETURN_IF_ERROR(ReadKey(disk, config));
  return {};
}

Status Store::CheckHome(Disk* disk, const StoreConfig& config) {
  return CheckAtHome(disk, config);
}

Store::Store(StoreConfig config) : config_(std::move(config)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::Open(Disk* disk, Mode mode, const StoreOptions& options) {
  ASSIGN_OR_RETURN(StoreConfig config, ReadConfig(disk));
  if (mode == Mode::kAppend) RETURN_IF_ERROR(CheckAtHome(disk, config));
  std::unique_ptr<Store> store(new Store(std::move(config)));
  RETURN_IF_ERROR(store->OpenFiles(disk, mode, options, false));
  // What a writer that died had committed; after a power cut, that this boot's files are complete.
  if (mode == Mode::kAppend) RETURN_IF_ERROR(store->Publish());
  return store;
}

Status Store::OpenFiles(Disk* disk, Mode mode, const StoreOptions& options, bool force_recovery) {
  const Access access = mode == Mode::kAppend ? Access::kReadWrite : Access::kRead;
  if (mode == Mode::kAppend) {
    ASSIGN_OR_RETURN(opened_, HoldOpened(disk));
  }
  ASSIGN_OR_RETURN(files_, LogFiles::Open(disk, access));
  if (options.map_segments) files_->MapSegments();
  ASSIGN_OR_RETURN(published_, PublishedFile::Open(disk, access));
  verified_ = std::make_shared<Verified>();
  if (mode == Mode::kReadOnly) return OpenToRead(disk);
  ASSIGN_OR_RETURN(SignerKey key, ReadKey(disk, config_));
  ASSIGN_OR_RETURN(writer_, Writer::Open(disk, std::move(key), files_.get(), published_.get(),
                                         options, force_recovery));
  const LogEnd& end = writer_->opened().end;
  return CheckFiles(end.size, end.frames_end, end.time);
}

// Whatever is damaged, each byte that is served is verified when it is read.
Status Store::OpenToRead(Disk* disk) {
  ASSIGN_OR_RETURN(const Published published, BelievablePublished(disk));
  if (!OpenCheckpoint(published.note, config_.vkey).has_value()) {
    return Fail(Code::kCorrupt, "checkpoint: is not signed by the log");
  }
  Status whole = published_->CheckLength();
  if (whole.has_value()) {
    whole = CheckFiles(published.head.size, published.frames_end, published.time);
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

Result<Published> Store::BelievablePublished(Disk* disk) const {
  Result<PublishedFile::Slot> read = published_->Read();
  if (!read.has_value() && read.error().code == Code::kCorrupt) {
    // A power cut may tear both slots. A writer knows whether there was one, and refuses if not.
    return Fail(Code::kBusy, read.error().message +
                                 "; if the machine went down, mount it once for "
                                 "writing, then ro");
  }
  ASSIGN_OR_RETURN(PublishedFile::Slot slot, std::move(read));
  ASSIGN_OR_RETURN(const std::string boot_id, disk->BootId());
  if (slot.boot_id != boot_id && slot.boot_id != std::string(16, '\0')) {
    return Fail(Code::kBusy,
                "the machine went down while it was written: mount it once for "
                "writing, then ro");
  }
  return std::move(slot.published);
}

Status Store::CheckFiles(uint64_t size, uint64_t frames_end, int64_t time) const {
  RETURN_IF_ERROR(files_->CheckWhole(size));
  ASSIGN_OR_RETURN(const uint64_t offset, files_->FrameOffset(size, size));
  if (offset != frames_end) {
    return Fail(Code::kCorrupt, "entries: end at byte " + std::to_string(offset) + ", not " +
                                    std::to_string(frames_end));
  }
  if (size == 0) return {};
  ASSIGN_OR_RETURN(const int64_t newest, files_->Time(size - 1));
  if (newest != time) return Fail(Code::kCorrupt, "times: the newest entry's is not there");
  return {};
}

Status Store::SyncAll(Disk* disk) const {
  RETURN_IF_ERROR(files_->Sync(0, writer_->opened().end.size));
  std::vector<std::string> names = {"format", "key", "lock", "journal", "checkpoint", "times"};
  for (int level = 0; level < kTileLevels; ++level) {
    names.push_back("hashes/" + std::to_string(level));
  }
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file, disk->Open(name, Access::kReadWrite));
    RETURN_IF_ERROR(file->Sync());
  }
  for (const char* directory : {"entries", "hashes", ""}) {
    RETURN_IF_ERROR(disk->SyncDirectory(directory));
  }
  return {};
}

Status Store::Adopt(Disk* disk, std::string_view newest, const StoreOptions& options) {
  ASSIGN_OR_RETURN(StoreConfig config, ReadConfig(disk));
  const Result<Checkpoint> checkpoint = OpenCheckpoint(newest, config.vkey);
  if (!checkpoint.has_value()) return Within("the newest checkpoint", checkpoint.error());
  // What `lock` says counts at home, where a failed sync or a living writer may have left it.
  const Status home = CheckAtHome(disk, config);
  if (!home.has_value() && home.error().code != Code::kReadOnly) return home;
  Store store(config);
  RETURN_IF_ERROR(store.OpenFiles(disk, Mode::kAppend, options, !home.has_value()));
  const Status covers = CheckCovers(*store.files_, store.writer_->opened(), checkpoint->head);
  if (!covers.has_value()) return Within("a newer log than this was seen", covers.error());
  RETURN_IF_ERROR(store.Publish());
  RETURN_IF_ERROR(store.Close());
  ASSIGN_OR_RETURN(const AuditReport report, Audit(disk, {}));
  if (!report.damages.empty()) {
    return Fail(Code::kCorrupt, report.damages[0].file + ": " + report.damages[0].what);
  }
  // Who copied it need not have synced it.
  RETURN_IF_ERROR(store.SyncAll(disk));
  ASSIGN_OR_RETURN(config.home, HomeHere(disk));
  // What an adoption left that was cut short is put aside.
  const Status stale = disk->Rename("config.new", "config.old");
  if (!stale.has_value() && stale.error().code != Code::kNotFound) return stale;
  RETURN_IF_ERROR(WriteNewFile(disk, "config.new", 0644, PrintConfig(config)));
  RETURN_IF_ERROR(disk->Rename("config.new", "config"));
  return disk->SyncDirectory("");
}

Result<std::shared_ptr<const Snapshot>> Store::Latest() {
  const std::lock_guard<std::mutex> lock(latest_mutex_);
  if (latest_ != nullptr) {
    ASSIGN_OR_RETURN(const bool newer, published_->IsNewer(latest_->published().sequence));
    if (!newer) return latest_;
  }
  ASSIGN_OR_RETURN(PublishedFile::Slot slot, published_->Read());
  const Result<Checkpoint> checkpoint = OpenCheckpoint(slot.published.note, config_.vkey);
  if (!checkpoint.has_value()) return Fail(Code::kCorrupt, "checkpoint: is not signed by the log");
  if (latest_ != nullptr && slot.published.head.size < latest_->size()) {
    return Fail(Code::kCorrupt, "checkpoint: went back to a smaller size");
  }
  latest_ = std::make_shared<const Snapshot>(std::move(slot.published), files_, verified_);
  return latest_;
}

uint64_t Store::max_batch_length() const {
  return writer_ == nullptr ? 0 : writer_->max_frames_length();
}

Result<Committed> Store::Commit(Batch* batch, const std::function<void()>& on_head_known) {
  CHECK(writer_ != nullptr && 0 < batch->count());
  ASSIGN_OR_RETURN(const uint64_t first_index,
                   writer_->Commit(&batch->record_, batch->leaf_hashes(), &batch->prepared_,
                                   on_head_known));
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
