#include "logcore/posix/check/repair.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "logcore/posix/check/audit.h"
#include "logcore/posix/check/backup_files.h"
#include "logcore/posix/check/journal_audit.h"
#include "logcore/posix/check/mend_times.h"
#include "logcore/posix/check/rebuild.h"
#include "logcore/posix/check/repair_evidence.h"
#include "logcore/posix/check/repair_view.h"
#include "logcore/posix/check/replacements.h"
#include "logcore/posix/commit/recovery.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/staged_disk.h"
#include "logcore/posix/files/journal_reader.h"
#include "logcore/posix/files/lock_file.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/segments.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/tlog/tile.h"
#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

constexpr char kCheckpointName[] = "checkpoint";
// A checkpoint whose boot nobody remembers has this: readers wait until a writer has recovered.
const std::string kUnknownBoot(16, '\xff');

// Anything else that stands in a file's place is refused, as everywhere.
bool IsLost(const Error& error) {
  return error.code == Code::kNotFound;
}

uint64_t SegmentCount(uint64_t size) {
  return (size + kSegmentEntries - 1) / kSegmentEntries;
}

uint64_t IndexLength(uint64_t segment, uint64_t size) {
  const uint64_t first = segment * kSegmentEntries;
  const uint64_t entries = size <= first ? 0 : std::min(size - first, kSegmentEntries);
  return (entries + kIndexStride - 1) / kIndexStride * kIndexRowLength;
}

// While this is held nobody appends or backs up into it, or begins to.
Result<std::unique_ptr<File>> LockOut(Disk* disk) {
  Result<std::unique_ptr<File>> lock = disk->Open("lock", Access::kReadWrite);
  if (!lock.has_value()) {
    if (lock.error().code != Code::kNotFound) return tl::unexpected<Error>(lock.error());
    RETURN_IF_ERROR(ReadStoreConfig(disk));  // It may be no store at all.
    return Fail(Code::kCorrupt,
                lock.error().message + "; without it this is a copy, see the README");
  }
  for (const auto& [which, who] :
       {std::pair{kOpened, "a process has it open for appending: unmount it first"},
        std::pair{kBackup, "a backup into it is under way: wait until it has ended"}}) {
    ASSIGN_OR_RETURN(const bool alone, (*lock)->TryLock(which, LockKind::kExclusive));
    if (!alone) return Fail(Code::kBusy, who);
  }
  return lock;
}

class Repairer {
 public:
  Repairer(Disk* disk, const RepairOptions& options, std::unique_ptr<File> lock,
           RepairEvidence evidence)
      : disk_(disk), options_(options), lock_(std::move(lock)), evidence_(std::move(evidence)) {}

  Result<RepairReport> Run() {
    RETURN_IF_ERROR(Compare());
    report_.head = evidence_.log.range.Head();
    report_.repaired.assign(damaged_.begin(), damaged_.end());
    Replacements files(disk_, damaged_);
    RETURN_IF_ERROR(SyncWhatIsThere(&files));
    if (damaged_.empty()) {
      RETURN_IF_ERROR(Rehearse());
      return std::move(report_);
    }
    const Status replaced = Replace(&files);
    if (!replaced.has_value()) {
      files.TakeBack();
      return tl::unexpected<Error>(replaced.error());
    }
    lock_.reset();
    RETURN_IF_ERROR(TryIt());
    return std::move(report_);
  }

 private:
  // ---- Comparing

  // Finds what is damaged. Changes nothing.
  Status Compare() {
    const TakeBytes compare = [this](const std::string& name, uint64_t offset,
                                     std::string_view bytes) {
      return CompareBytes(name, offset, bytes);
    };
    Result<Rebuilt> rebuilt = RebuildAll(compare);
    if (!rebuilt.has_value()) return FailEntries(rebuilt.error());
    rebuilt_ = std::move(*rebuilt);
    RETURN_IF_ERROR(CheckRoots());
    ASSIGN_OR_RETURN(times_, MendAll(compare));
    RETURN_IF_ERROR(CompareLengths());
    if (damaged_.count(kTimesName) != 0) report_.lost_times = times_.lost;
    if (evidence_.checkpoint_is_damaged) {
      damaged_.insert(kCheckpointName);
      ASSIGN_OR_RETURN(checkpoint_, MakeCheckpoint());
    }
    return {};
  }

  Result<Rebuilt> RebuildAll(const TakeBytes& take) {
    const uint64_t size = evidence_.log.end.size;
    RebuildOptions options{.size = size,
                           .stops = {evidence_.replay_point.state.end.size},
                           .kept = {},
                           .progress = options_.progress};
    // In this boot the files are what was written, and the block is older.
    if (!evidence_.writer) options.kept = evidence_.replay_point.blocks;
    if (evidence_.slot) options.stops.insert(evidence_.slot->published.head.size);
    if (evidence_.newest) options.stops.insert(evidence_.newest->head.size);
    std::erase_if(options.stops, [size](uint64_t stop) { return size < stop; });
    return Rebuild(disk_, options, take);
  }

  // Gives the rows of `times`, and notes what the newest checkpoint needs of them.
  Result<MendedTimes> MendAll(const TakeBytes& take) {
    const Result<std::unique_ptr<File>> present = disk_->Open(kTimesName, Access::kRead);
    if (!present.has_value() && !IsLost(present.error())) {
      return tl::unexpected<Error>(present.error());
    }
    const TimesEvidence known{evidence_.replay_point.state.end, evidence_.TimesBlock(),
                              evidence_.NewerTimes()};
    return MendTimes(present.has_value() ? present->get() : nullptr, known,
                     [&](uint64_t offset, std::string_view bytes) -> Status {
                       NoteTime(bytes);
                       return take(kTimesName, offset, bytes);
                     });
  }

  void NoteTime(std::string_view rows) {
    if (!evidence_.newest) return;
    for (; !rows.empty(); rows.remove_prefix(kTimeRowLength)) {
      const std::optional<TimeRow> row = DecodeTimeRow(rows.substr(0, kTimeRowLength));
      CHECK(row.has_value());
      if (row->first < evidence_.newest->head.size) newest_time_ = row->second;
    }
  }

  Status CompareBytes(const std::string& name, uint64_t offset, std::string_view bytes) {
    if (damaged_.count(name) != 0) return {};
    const Result<std::unique_ptr<File>> file = disk_->Open(name, Access::kRead);
    if (!file.has_value()) {
      if (!IsLost(file.error())) return tl::unexpected<Error>(file.error());
      damaged_.insert(name);
      return {};
    }
    std::string present(bytes.size(), '\0');
    ASSIGN_OR_RETURN(const size_t length, (*file)->ReadAt(offset, present.data(), present.size()));
    if (length != bytes.size() || present != bytes) damaged_.insert(name);
    return {};
  }

  // Where a file ends: at `least` or later, and at `most` or before. Each row or node of it is
  // `unit` bytes long.
  struct Extent {
    std::string name;
    uint64_t least = 0;
    uint64_t most = 0;
    uint64_t unit = 0;
  };

  Status CompareLengths() {
    const LogEnd& end = evidence_.log.end;
    const LogEnd last = evidence_.LastEnd();
    for (int level = 0; level < kTileLevels; ++level) {
      RETURN_IF_ERROR(CompareLength({HashesName(level), NodeCount(level, end.size) * kHashLength,
                                     NodeCount(level, last.size) * kHashLength, kHashLength}));
    }
    RETURN_IF_ERROR(CompareLength({kTimesName, end.time_rows * kTimeRowLength,
                                   last.time_rows * kTimeRowLength, kTimeRowLength}));
    for (uint64_t number = 0; number < SegmentCount(last.size); ++number) {
      const std::string name = SegmentIndexName(number);
      // Recovery creates those that begin later.
      if (SegmentCount(end.size) <= number && !disk_->Info(name).has_value()) continue;
      RETURN_IF_ERROR(CompareLength(
          {name, IndexLength(number, end.size), IndexLength(number, last.size), kIndexRowLength}));
    }
    return {};
  }

  Status CompareLength(const Extent& extent) {
    const Result<std::unique_ptr<File>> file = disk_->Open(extent.name, Access::kRead);
    if (!file.has_value()) {
      if (!IsLost(file.error())) return tl::unexpected<Error>(file.error());
      damaged_.insert(extent.name);
      return {};
    }
    ASSIGN_OR_RETURN(const uint64_t length, (*file)->Length());
    if (length < extent.least) damaged_.insert(extent.name);
    // What a run of a backup has left after the end is nothing (backup_files.h).
    if (length <= extent.most || !evidence_.config.home) return {};
    if (extent.unit <= length - extent.most) RETURN_IF_ERROR(CheckLonger(extent, **file));
    damaged_.insert(extent.name);
    return {};
  }

  // ---- Refusing

  // A file that goes on after the log's end may be all that tells that the rest was rolled back:
  // then the log that is left must not be opened, as it would sign other trees of the same sizes.
  Status CheckLonger(const Extent& extent, const File& file) const {
    std::string next(extent.unit, '\0');
    ASSIGN_OR_RETURN(const size_t length, file.ReadAt(extent.most, next.data(), next.size()));
    next.resize(length);
    const std::string log = "the log of size " + std::to_string(evidence_.LastEnd().size);
    if (IsOfLongerLog(extent, next)) {
      return FailCorrupt(extent.name, extent.most,
                         "goes on after " + log + ", as if the journal was rolled back");
    }
    if (evidence_.newest) return {};
    return FailCorrupt(extent.name, extent.most,
                       "is longer than " + log +
                           ": it is damaged, or the journal was rolled back; give --newest, the "
                           "newest checkpoint that anybody saw");
  }

  // Whether `next` is what this very log would have after its end, had it gone on.
  bool IsOfLongerLog(const Extent& extent, const std::string& next) const {
    const LogEnd last = evidence_.LastEnd();
    if (extent.name == kTimesName) {
      const std::optional<TimeRow> row = DecodeTimeRow(next);
      return row && last.size <= row->first;
    }
    if (extent.unit == kIndexRowLength && next.size() == kIndexRowLength) {
      // The row's entry is the first one after the end that has one.
      const uint64_t entry = (last.size + kIndexStride - 1) / kIndexStride * kIndexStride;
      const uint64_t offset = LoadBigEndian<uint64_t>(next.data());
      const uint64_t between = entry - last.size;
      return last.frames_end + between * kFrameHeaderLength <= offset &&
             offset <= last.frames_end + between * (kFrameHeaderLength + kMaxEntryLength);
    }
    // Nodes cannot be told from other bytes. Those before them can.
    return extent.least != 0 && damaged_.count(extent.name) == 0;
  }

  // The entries give the trees that were committed, published and seen.
  Status CheckRoots() {
    const LogState& replay_point = evidence_.replay_point.state;
    for (const LogState* const state : {&replay_point, &evidence_.log}) {
      const LogPoint& point = rebuilt_.points.at(state->end.size);
      if (point.range == state->range && point.frames_end == state->end.frames_end) continue;
      return FailEntries({Code::kCorrupt, "entries: do not give the tree of size " +
                                              std::to_string(state->end.size) +
                                              " that was committed: one of them is damaged"});
    }
    std::optional<TreeHead> published, seen;
    if (evidence_.slot) published = evidence_.slot->published.head;
    if (evidence_.newest) seen = evidence_.newest->head;
    for (const auto& [what, head] : {std::pair{"published", published}, std::pair{"seen", seen}}) {
      if (!head || evidence_.log.end.size < head->size) continue;
      if (rebuilt_.points.at(head->size).range.Root() != head->root) {
        return Fail(Code::kCorrupt, "the tree of size " + std::to_string(head->size) +
                                        " that was " + what +
                                        " is not the one of the entries: another log");
      }
    }
    return {};
  }

  // Which entry is damaged, the audit may know: files of hashes that are whole tell.
  tl::unexpected<Error> FailEntries(const Error& error) const {
    if (error.code != Code::kCorrupt) return tl::unexpected<Error>(error);
    const Result<AuditReport> report = Audit(disk_, {.gap_limit = options_.gap_limit});
    if (report.has_value()) {
      for (const Damage& damage : report->damages) {
        if (damage.file.starts_with("entries/") && !damage.file.ends_with(".index")) {
          return Fail(Code::kCorrupt, damage.file + ": " + damage.what);
        }
      }
    }
    return tl::unexpected<Error>(error);
  }

  // Opens and audits the store as it is going to be, and changes nothing. A backup is looked at as
  // an adoption would leave it.
  Status Rehearse() {
    RepairView view(disk_, damaged_);
    StagedDisk staged(&view, Access::kRead);
    RETURN_IF_ERROR(WriteReplayPoint(&staged));
    if (!evidence_.config.home) RETURN_IF_ERROR(PrepareAdoption(&staged));
    ASSIGN_OR_RETURN(const CommittedLog log,
                     RehearseOpening(&staged, {.published = {},
                                               .is_at_home = evidence_.is_home,
                                               .gap_limit = options_.gap_limit}));
    const AuditOptions options{.progress = options_.progress, .gap_limit = options_.gap_limit};
    ASSIGN_OR_RETURN(const AuditReport audit, Audit(log.disk.get(), options));
    if (audit.damages.empty()) return {};
    return Fail(Code::kCorrupt, audit.damages[0].file + ": " + audit.damages[0].what);
  }

  // ---- Replacing

  // Shows what was published last, as far as that is known; what is more, the next writer
  // publishes. The slot that is damaged may be the newer one: both get newer numbers.
  Result<std::string> MakeCheckpoint() const {
    PublishedFile::Slot slot;
    if (evidence_.slot) {
      slot = *evidence_.slot;
      slot.published.sequence += 2;
    } else {
      slot.boot_id = evidence_.writer ? evidence_.writer->boot_id : kUnknownBoot;
      slot.published.sequence = 1;
      slot.published.head = evidence_.newest->head;
      slot.published.note = evidence_.newest_note;
      const JournalStep* const step = evidence_.StepOf(slot.published.head.size);
      if (slot.published.head.size <= evidence_.log.end.size) {
        slot.published.frames_end = rebuilt_.points.at(slot.published.head.size).frames_end;
        slot.published.time =
            newest_time_.value_or(std::max<int64_t>(options_.clock() / kNanoseconds, 0));
      } else {
        CHECK(step != nullptr);
        slot.published.frames_end = step->end.frames_end;
        slot.published.time = step->end.time;
      }
      ASSIGN_OR_RETURN(const std::string boot_id, disk_->BootId());
      slot.published.publication = FirstPublicationTime(evidence_.log.end.time, options_.clock(),
                                                        MomentOf(boot_id, disk_->Uptime()));
    }
    return PublishedFile::Encode(std::move(slot));
  }

  // A repair that was killed may have left names and replay slots that are right in the page cache
  // alone.
  Status SyncWhatIsThere(Replacements* files) {
    RETURN_IF_ERROR(files->SyncDirectories());
    ASSIGN_OR_RETURN(const std::unique_ptr<File> journal,
                     disk_->Open("journal", Access::kReadWrite));
    return journal->Sync();
  }

  Status Replace(Replacements* files) {
    RETURN_IF_ERROR(files->Create());
    const TakeBytes take = [files](const std::string& name, uint64_t offset,
                                   std::string_view bytes) {
      return files->Write(name, offset, bytes);
    };
    ASSIGN_OR_RETURN(const Rebuilt again, RebuildAll(take));
    const uint64_t size = evidence_.log.end.size;
    if (again.points.at(size).range != evidence_.log.range) {
      return Fail(Code::kIo, "entries: gave other bytes when they were read again");
    }
    RETURN_IF_ERROR(MendAll(take));
    if (!checkpoint_.empty()) RETURN_IF_ERROR(take(kCheckpointName, 0, checkpoint_));
    RETURN_IF_ERROR(files->Sync());
    RETURN_IF_ERROR(Rehearse());
    RETURN_IF_ERROR(WriteReplayPoint(disk_));
    return files->PutInPlace();
  }

  // The replay point keeps the last block of `times`, and recovery writes it back. If it is not
  // what the file will have there, as a row that begins in the block before was lost, both slots
  // get it: the one in use last.
  Status WriteReplayPoint(Disk* disk) const {
    const Block* const kept = evidence_.TimesBlock();
    if (kept == nullptr || kept->bytes == times_.block) return {};
    CHECK(kept->bytes.size() == times_.block.size());
    ReplayPoint replay_point = evidence_.replay_point;
    for (Block& block : replay_point.blocks) {
      if (block.name == kTimesName) block.bytes = times_.block;
    }
    ASSIGN_OR_RETURN(const std::unique_ptr<File> journal,
                     disk->Open("journal", Access::kReadWrite));
    ASSIGN_OR_RETURN(const std::string first, ReadReplaySlot(*journal, 0));
    const uint64_t in_use = DecodeReplayPoint(first) == evidence_.replay_point ? 0 : 1;
    for (const uint64_t slot : {1 - in_use, in_use}) {
      RETURN_IF_ERROR(WriteReplaySlot(journal.get(), slot, replay_point));
    }
    return {};
  }

  // ---- After

  Status TryIt() {
    const Status key = CheckStoreKey(disk_, evidence_.config);
    if (!evidence_.is_home || !key.has_value()) return {};
    const Status opened = OpenAndClose();
    if (!opened.has_value()) return Within("repaired, but does not open", opened.error());
    report_.was_opened = true;
    return {};
  }

  Status OpenAndClose() {
    ASSIGN_OR_RETURN(
        const std::unique_ptr<StoreWriter> writer,
        StoreWriter::Open(disk_, {.clock = options_.clock, .gap_limit = options_.gap_limit}));
    ASSIGN_OR_RETURN(const std::shared_ptr<const Snapshot> snapshot, writer->reader().Latest());
    report_.head = snapshot->published().head;
    return writer->Close();
  }

  Disk* const disk_;
  const RepairOptions& options_;
  std::unique_ptr<File> lock_;
  const RepairEvidence evidence_;
  RepairReport report_;
  std::set<std::string> damaged_;
  Rebuilt rebuilt_;
  MendedTimes times_;
  std::optional<int64_t> newest_time_;  // of the newest entry of RepairEvidence::newest
  std::string checkpoint_;              // the file, if it is to be made
};

}  // namespace

Result<RepairReport> Repair(Disk* disk, const RepairOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> lock, LockOut(disk));
  ASSIGN_OR_RETURN(RepairEvidence evidence, GatherEvidence(disk, options.newest));
  return Repairer(disk, options, std::move(lock), std::move(evidence)).Run();
}

}  // namespace logcore
