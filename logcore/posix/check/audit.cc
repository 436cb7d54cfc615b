#include "logcore/posix/check/audit.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>

#include "logcore/log/snapshot.h"
#include "logcore/log/verified.h"
#include "logcore/posix/check/journal_audit.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/published.h"
#include "logcore/posix/files/segments.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/tlog/tile.h"
#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

// The checkpoint is being written while it is read: what looks wrong is looked at again.
constexpr int kAttempts = 20;
constexpr uint64_t kProgressStride = 16384;
constexpr size_t kWindowLength = 1 << 16;

std::string At(uint64_t offset) {
  return "at byte " + std::to_string(offset) + ": ";
}

bool IsDamage(const Error& error) {
  return error.code == Code::kCorrupt || error.code == Code::kInvalid ||
         error.code == Code::kNotFound;
}

class Auditor {
 public:
  Auditor(Disk* disk, const AuditOptions& options) : disk_(disk), options_(options) {}

  Result<AuditReport> Run() {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> format, disk_->Open("format", Access::kRead));
    // In this order: each step believes only what the ones before have shown.
    for (const auto step : {&Auditor::AuditConfig, &Auditor::Mend, &Auditor::AuditCheckpoint,
                            &Auditor::AuditEntries, &Auditor::AuditHashes, &Auditor::AuditTimes,
                            &Auditor::AuditJournal, &Auditor::AuditUnpublished}) {
      RETURN_IF_ERROR((this->*step)());
      if (cannot_go_on_) break;
    }
    for (auto& [file, what] : damages_) report_.damages.push_back({file, std::move(what)});
    return std::move(report_);
  }

 private:
  // Only the first damage of each file is told.
  void Damaged(const std::string& file, const std::string& what) { damages_.emplace(file, what); }
  // Damage as the readers of the files put it: "hashes/0 at byte 96: ...", or "journal: ..."; or as
  // the disk does: "open journal: no such file".
  void Damaged(const Error& error) {
    constexpr std::string_view kOpen = "open ";
    std::string message = error.message;
    if (message.starts_with(kOpen)) message.erase(0, kOpen.size());
    const size_t end = std::min(message.find(": "), message.find(" at byte "));
    if (end == std::string::npos) {
      Damaged("store", message);
    } else {
      const bool has_place = message[end] == ' ';
      Damaged(message.substr(0, end), message.substr(end + (has_place ? 1 : 2)));
    }
  }
  // What is damage goes to the report, what hinders the audit is returned.
  Status Judge(const Status& status) {
    if (status.has_value()) return {};
    if (!IsDamage(status.error())) return status;
    Damaged(status.error());
    return {};
  }

  Status AuditConfig() {
    const Result<StoreConfig> config = ReadStoreConfig(disk_);
    if (!config.has_value()) {
      cannot_go_on_ = true;
      return Judge(tl::unexpected<Error>(config.error()));
    }
    origin_ = config->origin;
    vkey_ = config->vkey;
    is_backup_ = !config->home;
    if (options_.vkey && *options_.vkey != *vkey_) {
      Damaged("config", "names another verifier key, " + vkey_->ToString());
      vkey_ = options_.vkey;
    }
    // It may well be kept elsewhere, or from us; but what is there must be it.
    const Status key = CheckStoreKey(disk_, *config);
    if (!key.has_value() &&
        (key.error().code == Code::kNotFound || key.error().code == Code::kDenied)) {
      return {};
    }
    return Judge(key);
  }

  Status AuditCheckpoint() {
    cannot_go_on_ = true;
    const Result<std::unique_ptr<PublishedFile>> file = PublishedFile::Open(view_, Access::kRead);
    if (!file.has_value()) return Judge(tl::unexpected<Error>(file.error()));
    const Result<PublishedFile::Slot> slot = (*file)->Read();
    if (!slot.has_value()) return Judge(tl::unexpected<Error>(slot.error()));
    published_ = slot->published;
    goal_ = published_;
    ASSIGN_OR_RETURN(const std::string boot_id, disk_->BootId());
    report_.went_down = slot->boot_id != boot_id && slot->boot_id != kCompleteBoot;
    report_.head = published_.head;
    const Result<Checkpoint> checkpoint = OpenCheckpoint(published_.note, origin_, *vkey_);
    if (!checkpoint.has_value()) {
      Damaged("checkpoint", checkpoint.error().message);
      return {};
    }
    // As they are: a slot that is torn is told, although an opening mends it. In a backup only the
    // newest slot counts.
    Status slots;
    for (int i = 0; i < kAttempts; ++i) {
      ASSIGN_OR_RETURN(const auto present, PublishedFile::Open(disk_, Access::kRead));
      slots = is_backup_ ? present->CheckLength() : present->CheckBothSlots();
      if (slots.has_value() || slots.error().code != Code::kCorrupt) break;
    }
    RETURN_IF_ERROR(Judge(slots));
    Result<std::unique_ptr<LogFiles>> files =
        LogFiles::Open(view_, Access::kRead, options_.gap_limit);
    if (!files.has_value()) return Judge(tl::unexpected<Error>(files.error()));
    files_ = std::move(*files);
    for (const Error& lost : files_->lost()) Damaged(lost);
    snapshot_ = std::make_unique<Snapshot>(published_, files_, std::make_shared<Verified>());
    cannot_go_on_ = false;
    return {};
  }

  // What the next opening would mend is no damage: the log is looked at as that would leave it.
  Status Mend() {
    ASSIGN_OR_RETURN(const std::optional<JournalAuditOptions> options, OptionsOfJournal());
    if (!options) return {};
    Result<CommittedLog> log = RehearseMending(disk_, *options);
    if (!log.has_value()) {  // AuditJournal tells of a file that is not there.
      const bool is_told_later = IsDamage(log.error()) || log.error().code == Code::kDenied;
      return is_told_later ? Status() : tl::unexpected<Error>(log.error());
    }
    if (log->disk == nullptr) return {};
    mended_ = std::move(log->disk);
    view_ = mended_.get();
    return {};
  }

  // ---- entries/*: every frame, every leaf hash, every index row; the root they give.

  // Up to the goal, from where this was called before.
  Status AuditEntries() {
    uint64_t offset = begin_offset_;
    for (uint64_t first = begin_; first < goal_.head.size; first += kTileWidth) {
      begin_ = first;
      begin_offset_ = offset;
      const uint64_t count = std::min<uint64_t>(kTileWidth, goal_.head.size - first);
      if (first % kSegmentEntries == 0) RETURN_IF_ERROR(OpenSegment(first, offset));
      ASSIGN_OR_RETURN(offset, AuditBundle(first, count, offset));
      if ((first + count) % kSegmentEntries == 0) RETURN_IF_ERROR(AuditSegmentEnd(offset));
      if (options_.progress && (first / kTileWidth % (kProgressStride / kTileWidth) == 0)) {
        options_.progress(first, goal_.head.size);
      }
    }
    if (options_.progress) options_.progress(goal_.head.size, goal_.head.size);
    if (entries_sound_ && rebuilt_.Root() != goal_.head.root) {
      entries_sound_ = false;
      RETURN_IF_ERROR(AuditHashes());
      if (damages_.empty()) Damaged("checkpoint", "its root is not the one of the entries");
    }
    if (entries_sound_ && offset != goal_.frames_end) {
      Damaged("checkpoint", "the frames end at byte " + std::to_string(offset) + ", not at " +
                                std::to_string(goal_.frames_end));
    }
    return {};
  }

  // A full segment never changes: it must end with its last frame.
  Status AuditSegmentEnd(uint64_t offset) {
    for (const auto& [file, name, expected] :
         {std::tuple{segment_.get(), segment_name_, offset - segment_base_},
          std::tuple{segment_index_.get(), segment_name_ + ".index",
                     kSegmentEntries / kIndexStride * kIndexRowLength}}) {
      if (file == nullptr) continue;
      ASSIGN_OR_RETURN(const uint64_t length, file->Length());
      if (length != expected) {
        Damaged(name,
                "is " + std::to_string(length) + " bytes long, not " + std::to_string(expected));
      }
    }
    return {};
  }

  // The one that entry `first` lies in, whose frames begin at global offset `base`.
  Status OpenSegment(uint64_t first, uint64_t base) {
    const uint64_t number = first / kSegmentEntries;
    segment_name_ = SegmentName(number);
    segment_base_ = base;
    window_.clear();
    window_offset_ = base;
    for (const auto& [file, name] : {std::pair{&segment_, segment_name_},
                                     std::pair{&segment_index_, SegmentIndexName(number)}}) {
      file->reset();
      Result<std::unique_ptr<File>> opened = view_->Open(name, Access::kRead);
      if (opened.has_value()) {
        *file = std::move(*opened);
      } else if (opened.error().code == Code::kNotFound) {
        Damaged(name, "is missing");
      } else {
        return tl::unexpected<Error>(opened.error());
      }
    }
    return {};
  }

  // The frames of one bundle: as many as are whole, and where each begins.
  struct Bundle {
    uint64_t first = 0;
    uint64_t count = 0;
    std::vector<uint64_t> offsets;  // one more than there are whole frames: the end of the last
    std::vector<Hash> leaf_hashes;  // all, or none if a frame is not whole
  };

  // What was read of the segment, from global offset `offset` on.
  std::string_view Window(uint64_t offset) const {
    return std::string_view(window_).substr(offset - window_offset_);
  }
  void MoveWindow(uint64_t offset) {
    if (window_offset_ <= offset && offset - window_offset_ < kWindowLength &&
        offset - window_offset_ <= window_.size()) {
      return;
    }
    const uint64_t passed = offset - std::min(window_offset_, offset);
    window_.erase(0, offset < window_offset_ ? window_.size() : passed);
    window_offset_ = offset;
  }

  Result<Bundle> ReadBundle(uint64_t first, uint64_t count, uint64_t offset) {
    Bundle bundle{first, count, {}, {}};
    MoveWindow(offset);
    while (true) {
      std::string_view rest = Window(offset);
      bundle.offsets.assign(1, offset);
      while (bundle.offsets.size() <= count && TakeFrame(&rest).has_value()) {
        bundle.offsets.push_back(window_offset_ + (window_.size() - rest.size()));
      }
      if (count < bundle.offsets.size() || segment_ == nullptr) break;
      const size_t done = window_.size();
      window_.resize(done + kWindowLength);
      ASSIGN_OR_RETURN(const size_t length, segment_->ReadAt(window_offset_ - segment_base_ + done,
                                                             window_.data() + done, kWindowLength));
      window_.resize(done + length);
      if (length == 0) break;
    }
    if (bundle.offsets.size() == count + 1) {
      bundle.leaf_hashes.resize(count);
      HashLeafFrames(Window(offset).substr(0, bundle.offsets.back() - offset), bundle.leaf_hashes);
    }
    return bundle;
  }

  // Returns where the next bundle begins. If this one is damaged, where the index says so.
  Result<uint64_t> AuditBundle(uint64_t first, uint64_t count, uint64_t offset) {
    ASSIGN_OR_RETURN(const Bundle bundle, ReadBundle(first, count, offset));
    const std::string_view computed(reinterpret_cast<const char*>(bundle.leaf_hashes.data()),
                                    bundle.leaf_hashes.size() * kHashLength);
    // Verified up to the published root. Where that fails a file of hashes is damaged; which one
    // is told by comparing them with what sound entries give.
    const Result<std::string> stored =
        snapshot_->Tile({0, first / kTileWidth, static_cast<int>(count)});
    if (!stored.has_value() && !IsDamage(stored.error())) {
      return tl::unexpected<Error>(stored.error());
    }
    if (!computed.empty() && (!stored.has_value() || *stored == computed)) {
      RETURN_IF_ERROR(AuditIndex(first, std::span(bundle.offsets).first(count)));
      RETURN_IF_ERROR(Rebuild(first, bundle.leaf_hashes));
      return bundle.offsets.back();
    }
    NoteDamagedBundle(bundle, stored.has_value() ? std::string_view(*stored) : "");
    if (first + count < goal_.head.size) {
      const Result<uint64_t> next = files_->FrameOffset(first + count, goal_.head.size);
      if (next.has_value() && offset <= *next) return *next;
    }
    return bundle.offsets.back();
  }

  // Which entry it is on which the frames and the tree disagree.
  void NoteDamagedBundle(const Bundle& bundle, std::string_view stored) {
    entries_sound_ = false;
    uint64_t bad = 0;
    if (bundle.leaf_hashes.empty()) {
      bad = bundle.offsets.size() - 1;
      std::string_view frames = Window(bundle.offsets[0]);
      while (!stored.empty() && bad != 0) {  // A wrong length may have led far astray.
        const Result<std::string_view> entry = TakeFrame(&frames);
        const uint64_t index = bundle.offsets.size() - 1 - bad;
        if (HashLeaf(*entry).view() != stored.substr(index * kHashLength, kHashLength)) break;
        --bad;
      }
      bad = stored.empty() ? bad : bundle.offsets.size() - 1 - bad;
    } else {
      while (bundle.leaf_hashes[bad].view() == stored.substr(bad * kHashLength, kHashLength)) ++bad;
    }
    Damaged(segment_name_, At(bundle.offsets[bad] - segment_base_) + "entry " +
                               std::to_string(bundle.first + bad) +
                               " is not the one that the tree has");
  }

  Status AuditIndex(uint64_t first, std::span<const uint64_t> offsets) {
    if (segment_index_ == nullptr) return {};
    const std::string name = SegmentIndexName(first / kSegmentEntries);
    for (uint64_t i = 0; i < offsets.size(); i += kIndexStride) {
      const uint64_t place = (first + i) % kSegmentEntries / kIndexStride * kIndexRowLength;
      char row[kIndexRowLength];
      ASSIGN_OR_RETURN(const size_t length, segment_index_->ReadAt(place, row, sizeof(row)));
      if (length != sizeof(row) || LoadBigEndian<uint64_t>(row) != offsets[i]) {
        Damaged(name, At(place) + "the offset of entry " + std::to_string(first + i) + " is not " +
                          std::to_string(offsets[i]));
        return {};
      }
    }
    return {};
  }

  // ---- hashes/*: compared with what the entries give; where those are damaged, verified from the
  // root down instead.

  // With those of entries from `first` on, of which some may be in it.
  Status Rebuild(uint64_t first, std::span<const Hash> leaf_hashes) {
    if (!entries_sound_) return {};
    const uint64_t before = rebuilt_.size();
    CompletedNodes completed;
    rebuilt_.Extend(leaf_hashes.subspan(before - first), &completed);
    for (int level = 0; level < kTileLevels; ++level) {
      RETURN_IF_ERROR(
          CompareNodes(level, NodeCount(level, before), completed[static_cast<size_t>(level)]));
    }
    return {};
  }

  Status CompareNodes(int level, uint64_t first, std::span<const Hash> nodes) {
    if (nodes.empty()) return {};
    const std::string name = HashesName(level);
    std::vector<Hash> stored(nodes.size());
    const Status read = files_->ReadNodes(level, first, stored);
    if (!read.has_value()) return Judge(read);
    const auto [at, unused] = std::mismatch(nodes.begin(), nodes.end(), stored.begin());
    if (at == nodes.end()) return {};
    const uint64_t node = first + static_cast<uint64_t>(at - nodes.begin());
    Damaged(name, At(node * kHashLength) + "node " + std::to_string(node) +
                      " is not the one that the entries give");
    return {};
  }

  Status AuditHashes() {
    if (entries_sound_) return {};
    for (int level = 0; level < kTileLevels; ++level) {
      const uint64_t full = FullTiles(level, goal_.head.size);
      for (uint64_t index = 0; index <= full; ++index) {
        const int width = index < full ? kTileWidth : PartialWidth(level, goal_.head.size);
        if (width == 0) continue;
        const Result<std::string> tile = snapshot_->Tile({level, index, width});
        if (tile.has_value()) continue;
        RETURN_IF_ERROR(Judge(tl::unexpected<Error>(tile.error())));
      }
    }
    return {};
  }

  Status AuditTimes() {
    RETURN_IF_ERROR(Judge(files_->CheckTimes(goal_.head.size)));
    if (goal_.head.size == 0) return {};
    const Result<int64_t> newest = snapshot_->Time(goal_.head.size - 1);
    return newest.has_value() ? Status() : Judge(tl::unexpected<Error>(newest.error()));
  }

  // ---- journal and lock, see journal_audit.h.

  // Nothing, and the damage is noted, if `lock` is missing.
  Result<std::optional<JournalAuditOptions>> OptionsOfJournal() {
    std::optional<JournalAuditOptions> options;
    const Result<bool> is_at_home = IsAtHome(disk_);
    if (!is_at_home.has_value() && is_at_home.error().code == Code::kNotFound) {
      Damaged("lock", "is missing");
      return options;
    }
    RETURN_IF_ERROR(is_at_home);
    options = JournalAuditOptions{.published = published_.head,
                                  .has_sound_entries = entries_sound_ && damages_.empty(),
                                  .is_at_home = *is_at_home,
                                  .is_backup = is_backup_,
                                  .gap_limit = options_.gap_limit};
    return options;
  }

  Status AuditJournal() {
    ASSIGN_OR_RETURN(const std::optional<JournalAuditOptions> options, OptionsOfJournal());
    if (!options) return {};
    Result<CommittedLog> log = CheckJournal(view_, *files_, *options);
    if (log.has_value()) {
      committed_ = std::move(*log);
      return {};
    }
    const bool is_unknown = log.error().code == Code::kBusy;
    if (is_unknown && !damages_.empty()) return {};  // What was found is to be told.
    return Judge(tl::unexpected<Error>(log.error()));
  }

  // ---- what is acknowledged and not yet published: the same files, with a root from the journal.

  Status AuditUnpublished() {
    const LogState& state = committed_.state;
    if (committed_.disk == nullptr || state.end.size <= published_.head.size) return {};
    report_.unpublished = state.end.size - published_.head.size;
    view_ = committed_.disk.get();
    ASSIGN_OR_RETURN(files_, LogFiles::Open(view_, Access::kRead, options_.gap_limit));
    goal_.head = state.range.Head();
    goal_.frames_end = state.end.frames_end;
    goal_.time = state.end.time;
    snapshot_ = std::make_unique<Snapshot>(goal_, files_, std::make_shared<Verified>());
    if (begin_ % kSegmentEntries != 0) RETURN_IF_ERROR(OpenSegment(begin_, segment_base_));
    RETURN_IF_ERROR(AuditEntries());
    return AuditTimes();
  }

  Disk* const disk_;
  Disk* view_ = disk_;  // that the log's files are read through
  const AuditOptions& options_;
  AuditReport report_;
  std::map<std::string, std::string> damages_;
  bool cannot_go_on_ = false;

  std::string origin_;
  std::optional<VerifierKey> vkey_;
  bool is_backup_ = false;
  Published published_;
  std::unique_ptr<StagedDisk> mended_;  // what it would be after an opening, if that differs
  CommittedLog committed_;
  Published goal_;             // what is audited: what is published; then what is committed
  uint64_t begin_ = 0;         // the newest bundle that was begun with
  uint64_t begin_offset_ = 0;  // global offset of its frames
  std::shared_ptr<const LogFiles> files_;
  std::unique_ptr<Snapshot> snapshot_;

  bool entries_sound_ = true;  // so far
  CompactRange rebuilt_;       // of the entries, as long as they are sound
  std::unique_ptr<File> segment_;
  std::unique_ptr<File> segment_index_;
  std::string segment_name_;
  uint64_t segment_base_ = 0;  // global offset of its first frame
  std::string window_;         // what was read of it, from global offset window_offset_ on
  uint64_t window_offset_ = 0;
};

}  // namespace

Result<AuditReport> Audit(Disk* disk, const AuditOptions& options) {
  return Auditor(disk, options).Run();
}

}  // namespace logcore
