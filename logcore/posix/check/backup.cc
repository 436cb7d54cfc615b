#include "logcore/posix/check/backup.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "logcore/log/scan.h"
#include "logcore/log/snapshot.h"
#include "logcore/posix/check/backup_files.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/files/growing_file.h"
#include "logcore/posix/files/journal_reader.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/segments.h"
#include "logcore/posix/files/time_rows.h"
#include "logcore/tlog/tile.h"
#include "logcore/util/bytes.h"

namespace logcore {
namespace {

constexpr size_t kScanPiece = 4 << 20;
constexpr char kTheStore[] = "the store";
constexpr char kTheBackup[] = "the backup";

// Says whose error it is.
template <typename T>
Result<T> Of(const char* whose, Result<T> result) {
  if (result.has_value()) return result;
  return Within(whose, std::move(result).error());
}

// ---- What may be written into

enum class Destination { kNew, kUnfinished, kOlder };

tl::unexpected<Error> NotABackup(const std::string& why) {
  return Fail(Code::kExists, "it is not empty, and not a backup of this log: " + why);
}

Status CheckSameLog(const StoreConfig& config, const StoreConfig& source) {
  if (config.home) return NotABackup("it is a store that takes appends");
  if (config.origin == source.origin && config.vkey == source.vkey) return {};
  return NotABackup("it is one of " + config.vkey.ToString());
}

Result<Destination> Recognize(Disk* dest, const StoreConfig& source) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, dest->List(""));
  const auto has = [&names](const char* name) {
    return std::binary_search(names.begin(), names.end(), name);
  };
  if (has("format")) {
    ASSIGN_OR_RETURN(const StoreConfig config, ReadStoreConfig(dest));
    RETURN_IF_ERROR(CheckSameLog(config, source));
    return Destination::kOlder;
  }
  if (has("config")) {  // It was there, whole, before any of the other files.
    ASSIGN_OR_RETURN(const StoreConfig config, ReadUnfinishedConfig(dest));
    RETURN_IF_ERROR(CheckSameLog(config, source));
    return Destination::kUnfinished;
  }
  for (const std::string& name : names) {
    if (name == "config.new" || name == "config.old") continue;
    if (name != "lock") return NotABackup("there is " + name);
    ASSIGN_OR_RETURN(const std::unique_ptr<File> lock, dest->Open(name, Access::kRead));
    ASSIGN_OR_RETURN(const uint64_t length, lock->Length());
    if (length != 0) return NotABackup("there is " + name);
  }
  return Destination::kNew;
}

// The older backup must be of a tree that this one has grown from.
Status CheckPrefix(const Snapshot& snapshot, const LogState& older) {
  const uint64_t size = older.end.size;
  if (snapshot.size() < size) {
    return Fail(Code::kInvalid, "the backup has " + std::to_string(size) +
                                    " entries, the store only " + std::to_string(snapshot.size()) +
                                    ": it was rolled back");
  }
  const auto reader = [&snapshot](int height, uint64_t index) {
    return snapshot.Node(height, index);
  };
  ASSIGN_OR_RETURN(const CompactRange range, Of(kTheStore, ReadCompactRange(reader, size)));
  if (range.Root() != older.range.Root()) {
    return Fail(Code::kInvalid, "the first " + std::to_string(size) +
                                    " entries of the store are not those of the backup: one of "
                                    "them is a fork");
  }
  if (size == 0) return {};
  ASSIGN_OR_RETURN(const int64_t time, Of(kTheStore, snapshot.Time(size - 1)));
  if (time == older.end.time) return {};
  return Fail(Code::kCorrupt, "times: not the same in the store and in the backup");
}

Result<BackupState> ReadOlder(Disk* dest, const Snapshot& snapshot) {
  ASSIGN_OR_RETURN(BackupState state, Of(kTheBackup, ReadBackup(dest)));
  RETURN_IF_ERROR(CheckPrefix(snapshot, state.replay_point.state));
  if (!state.is_complete) return state;  // What it ends in may be torn.
  ASSIGN_OR_RETURN(const std::unique_ptr<LogFiles> files,
                   Of(kTheBackup, LogFiles::Open(dest, Access::kRead)));
  RETURN_IF_ERROR(Of(kTheBackup, CheckBackupEnds(*files, state.replay_point.state)));
  return state;
}

// As long as the store's own, where that can be told.
Result<uint64_t> JournalLength(Disk* source) {
  const Result<std::unique_ptr<File>> journal = source->Open("journal", Access::kRead);
  if (!journal.has_value()) {
    const Code code = journal.error().code;
    if (code == Code::kDenied || code == Code::kNotFound) return kDefaultJournalLength;
    return tl::unexpected<Error>(journal.error());
  }
  const Result<ReplayPoint> replay_point = ReadReplayPoint(**journal, std::nullopt);
  if (replay_point.has_value()) return replay_point->journal_length;
  if (replay_point.error().code == Code::kCorrupt) return kDefaultJournalLength;
  return tl::unexpected<Error>(replay_point.error());
}

// ---- Copying

// What is new in `snapshot`, after `older`, into the files of a backup.
class Copy {
 public:
  Copy(Disk* source, std::shared_ptr<const Snapshot> snapshot, Disk* dest, const LogState& older)
      : source_(source),
        snapshot_(std::move(snapshot)),
        dest_(dest),
        older_(older),
        offset_(older.end.frames_end),
        time_rows_(older.end.time_rows) {}

  // Step 1 of backup.h: everything but the blocks in which the older backup ends.
  Status CopyBlocks(const std::function<void(uint64_t done, uint64_t total)>& progress) {
    RETURN_IF_ERROR(CopyHashes());
    RETURN_IF_ERROR(CopyEntries(progress));
    RETURN_IF_ERROR(CopyTimes());
    return Of(kTheBackup, dest_->SyncDirectory("entries"));
  }
  // Step 3: the rest. Returns what the backup then holds.
  Result<LogState> Join() {
    for (GrowingFile& file : joints_) RETURN_IF_ERROR(Of(kTheBackup, file.Join()));
    LogState state = older_;
    state.position.sequence += 1;
    state.end = {.size = snapshot_->size(),
                 .frames_end = snapshot_->published().frames_end,
                 .time_rows = time_rows_,
                 .time = snapshot_->size() == 0 ? 0 : snapshot_->published().time};
    const auto reader = [this](int height, uint64_t index) {
      return snapshot_->Node(height, index);
    };
    ASSIGN_OR_RETURN(state.range, Of(kTheStore, ReadCompactRange(reader, snapshot_->size())));
    return state;
  }

 private:
  // Each tile is read once, before those that it leads to: what is copied are the very bytes that
  // were hashed.
  Status CopyHashes() {
    for (int level = kTileLevels - 1; 0 <= level; --level) {
      const uint64_t end = NodeCount(level, snapshot_->size());
      uint64_t node = NodeCount(level, older_.end.size);
      if (node == end) continue;
      ASSIGN_OR_RETURN(std::unique_ptr<File> opened,
                       Of(kTheBackup, dest_->Open(HashesName(level), Access::kReadWrite)));
      GrowingFile file(std::move(opened), node * kHashLength);
      while (node < end) {
        const uint64_t index = node / kTileWidth;
        const int width =
            static_cast<int>(std::min<uint64_t>(end - index * kTileWidth, kTileWidth));
        ASSIGN_OR_RETURN(const std::string tile,
                         Of(kTheStore, snapshot_->Tile({level, index, width})));
        const std::string_view nodes =
            std::string_view(tile).substr(node % kTileWidth * kHashLength);
        RETURN_IF_ERROR(Of(kTheBackup, file.Append(nodes)));
        node += nodes.size() / kHashLength;
      }
      RETURN_IF_ERROR(Of(kTheBackup, file.Flush()));
      joints_.push_back(std::move(file));
    }
    return {};
  }

  Status CopyEntries(const std::function<void(uint64_t done, uint64_t total)>& progress) {
    const uint64_t end = snapshot_->size();
    Scan scan(snapshot_, older_.end.size, end, {.verified = true, .piece = kScanPiece});
    while (true) {
      const uint64_t first = scan.index();
      ASSIGN_OR_RETURN(const std::span<const std::string_view> entries, Of(kTheStore, scan.Next()));
      if (entries.empty()) break;
      RETURN_IF_ERROR(Of(kTheBackup, CopyFrames(first, entries)));
      if (progress) progress(scan.index(), end);
    }
    RETURN_IF_ERROR(Of(kTheBackup, EndSegment()));
    if (offset_ == snapshot_->published().frames_end) return {};
    return Of(kTheStore, Status(Fail(Code::kCorrupt,
                                     "entries: end at byte " + std::to_string(offset_) + ", not " +
                                         std::to_string(snapshot_->published().frames_end))));
  }

  // Entries from `first` on, of one segment, as they lie one after the other.
  Status CopyFrames(uint64_t first, std::span<const std::string_view> entries) {
    if (frames_ == nullptr || first % kSegmentEntries == 0) RETURN_IF_ERROR(BeginSegment(first));
    const char* const begin = entries.front().data() - kFrameHeaderLength;
    std::string rows;
    for (size_t i = 0; i < entries.size(); ++i) {
      if ((first + i) % kIndexStride != 0) continue;
      const char* const frame = entries[i].data() - kFrameHeaderLength;
      AppendBigEndian(&rows, offset_ + static_cast<uint64_t>(frame - begin));
    }
    const std::string_view last = entries.back();
    const std::string_view frames(begin, static_cast<size_t>(last.data() + last.size() - begin));
    RETURN_IF_ERROR(frames_->Append(frames));
    RETURN_IF_ERROR(index_->Append(rows));
    offset_ += frames.size();
    return {};
  }

  Status BeginSegment(uint64_t first) {
    RETURN_IF_ERROR(EndSegment());
    const uint64_t number = first / kSegmentEntries;
    uint64_t place = 0;
    if (first % kSegmentEntries != 0) {
      ASSIGN_OR_RETURN(const std::unique_ptr<LogFiles> files, LogFiles::Open(dest_, Access::kRead));
      ASSIGN_OR_RETURN(const std::shared_ptr<const Segment> segment, files->OpenSegment(number));
      ASSIGN_OR_RETURN(place, segment->PlaceOf(offset_));
    }
    const uint64_t rows = (first % kSegmentEntries + kIndexStride - 1) / kIndexStride;
    for (const auto& [file, name, end] :
         {std::tuple{&frames_, SegmentName(number), place},
          std::tuple{&index_, SegmentIndexName(number), rows * kIndexRowLength}}) {
      ASSIGN_OR_RETURN(std::unique_ptr<File> opened, MakeBackupFile(dest_, name, 0644));
      *file = std::make_unique<GrowingFile>(std::move(opened), end);
    }
    return {};
  }

  Status EndSegment() {
    for (std::unique_ptr<GrowingFile>* file : {&frames_, &index_}) {
      if (*file == nullptr) continue;
      RETURN_IF_ERROR((*file)->Flush());
      if ((*file)->has_joint()) joints_.push_back(std::move(**file));
      file->reset();
    }
    return {};
  }

  // The rows after the older backup's that say something of an entry below the new size.
  Status CopyTimes() {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> from,
                     Of(kTheStore, source_->Open(kTimesName, Access::kRead)));
    ASSIGN_OR_RETURN(std::unique_ptr<File> to,
                     Of(kTheBackup, dest_->Open(kTimesName, Access::kReadWrite)));
    GrowingFile file(std::move(to), time_rows_ * kTimeRowLength);
    std::optional<TimeRow> last;
    if (time_rows_ != 0) {
      ASSIGN_OR_RETURN(last, Of(kTheStore, ReadTimeRow(*from, time_rows_ - 1)));
    }
    while (true) {
      ASSIGN_OR_RETURN(const std::optional<TimeRow> row,
                       Of(kTheStore, ReadTimeAfter(*from, time_rows_, last)));
      if (!row) break;
      RETURN_IF_ERROR(Of(kTheBackup, file.Append(EncodeTimeRow(*row))));
      last = row;
      time_rows_ += 1;
    }
    RETURN_IF_ERROR(Of(kTheBackup, file.Flush()));
    joints_.push_back(std::move(file));
    return {};
  }

  // Row `number`, which follows `last`; nothing if that is the newest entry's.
  Result<std::optional<TimeRow>> ReadTimeAfter(const File& times, uint64_t number,
                                               const std::optional<TimeRow>& last) const {
    std::optional<TimeRow> row;
    ASSIGN_OR_RETURN(const uint64_t length, times.Length());
    if ((number + 1) * kTimeRowLength <= length) {
      ASSIGN_OR_RETURN(row, ReadTimeRow(times, number));
      if (snapshot_->size() <= row->first) row.reset();
    }
    if (!row) {
      if (snapshot_->size() == 0) return row;
      if (last && last->second == snapshot_->published().time) return row;
      return FailCorrupt(kTimesName, number * kTimeRowLength, "the newest entry's row is missing");
    }
    if (last ? last->first < row->first && last->second < row->second : row->first == 0) return row;
    return FailCorrupt(kTimesName, number * kTimeRowLength, "does not go on from the row before");
  }

  Disk* const source_;
  const std::shared_ptr<const Snapshot> snapshot_;
  Disk* const dest_;
  const LogState& older_;
  uint64_t offset_;     // global, of the next frame
  uint64_t time_rows_;  // so many are in the backup, or copied
  std::unique_ptr<GrowingFile> frames_;
  std::unique_ptr<GrowingFile> index_;
  std::vector<GrowingFile> joints_;
};

// Whether a backup does without the key, if this is why the store's cannot be read.
bool IsOfKeyAlone(Code code) {
  return code == Code::kDenied || code == Code::kNotFound || code == Code::kCorrupt ||
         code == Code::kInvalid;
}

// Why there is none in `dest`, if so.
Result<std::optional<Error>> CopyKey(Result<SignerKey> key, Disk* dest, const StoreConfig& config) {
  const Result<SignerKey> present = ReadStoreKey(dest, config);
  if (present.has_value()) return std::optional<Error>();
  if (present.error().code == Code::kIo) return Within(kTheBackup, present.error());
  if (!key.has_value()) return std::optional<Error>(key.error());
  RETURN_IF_ERROR(Of(kTheBackup, WriteStoreKey(dest, *key)));
  return std::optional<Error>();
}

// The replay point of `dest`: that of the older backup, or of an empty log.
Result<ReplayPoint> Begin(Disk* source, const StoreConfig& config, const Snapshot& snapshot,
                          Disk* dest, Destination destination) {
  if (destination == Destination::kOlder) {
    ASSIGN_OR_RETURN(BackupState older, ReadOlder(dest, snapshot));
    if (!older.is_complete) RETURN_IF_ERROR(Of(kTheBackup, SettleBackup(dest)));
    return std::move(older.replay_point);
  }
  ASSIGN_OR_RETURN(const uint64_t journal_length, Of(kTheStore, JournalLength(source)));
  if (destination == Destination::kNew) {
    const StoreConfig homeless{config.origin, config.vkey, std::nullopt};
    RETURN_IF_ERROR(Of(kTheBackup, WriteStoreConfig(dest, homeless)));
  }
  RETURN_IF_ERROR(Of(kTheBackup, CreateBackupFiles(dest, journal_length)));
  return ReplayPoint{.key = HashFromBytes(dest->RandomBytes(kHashLength)),
                     .journal_length = journal_length,
                     .state = {},
                     .blocks = {}};
}

// Steps 1 to 4 of backup.h.
Status CopyNew(Disk* source, const std::shared_ptr<const Snapshot>& snapshot, Disk* dest,
               bool has_older, ReplayPoint replay_point,
               const std::function<void(uint64_t done, uint64_t total)>& progress) {
  const LogState older = replay_point.state;
  Copy copy(source, snapshot, dest, older);
  RETURN_IF_ERROR(copy.CopyBlocks(progress));
  if (has_older) RETURN_IF_ERROR(Of(kTheBackup, MarkBackupUnfinished(dest)));
  ASSIGN_OR_RETURN(replay_point.state, copy.Join());
  ASSIGN_OR_RETURN(const std::unique_ptr<LogFiles> files,
                   Of(kTheBackup, LogFiles::Open(dest, Access::kRead)));
  RETURN_IF_ERROR(Of(kTheBackup, CheckBackupEnds(*files, replay_point.state)));
  ASSIGN_OR_RETURN(replay_point.blocks,
                   Of(kTheBackup, files->PartialBlocks(replay_point.state.end)));
  return Of(kTheBackup, WriteBackupReplayPoint(dest, replay_point));
}

// Makes of `dest`, which has what the replay point says, the backup of `snapshot`.
Status Update(Disk* source, const std::shared_ptr<const Snapshot>& snapshot, Disk* dest,
              bool has_older, const ReplayPoint& replay_point,
              const std::function<void(uint64_t done, uint64_t total)>& progress) {
  if (!has_older || replay_point.state.end.size != snapshot->size()) {
    RETURN_IF_ERROR(CopyNew(source, snapshot, dest, has_older, replay_point, progress));
  }
  RETURN_IF_ERROR(Of(kTheBackup, MarkBackupComplete(dest, snapshot->published())));
  return Of(kTheBackup, has_older ? dest->SyncDirectory("") : WriteStoreFormat(dest));
}

}  // namespace

Result<BackupReport> Backup(Disk* source, Disk* dest,
                            const std::function<void(uint64_t done, uint64_t total)>& progress) {
  ASSIGN_OR_RETURN(const std::unique_ptr<StoreReader> store,
                   Of(kTheStore, StoreReader::Open(source, {})));
  ASSIGN_OR_RETURN(std::shared_ptr<const Snapshot> snapshot, Of(kTheStore, store->Latest()));
  // Before anything is changed; and again when nobody else can change it.
  ASSIGN_OR_RETURN(Destination destination, Of(kTheBackup, Recognize(dest, store->config())));
  if (destination == Destination::kOlder) RETURN_IF_ERROR(ReadOlder(dest, *snapshot));
  Result<SignerKey> key = ReadStoreKey(source, store->config());
  if (!key.has_value() && !IsOfKeyAlone(key.error().code)) return Within(kTheStore, key.error());
  ASSIGN_OR_RETURN(const std::unique_ptr<BackupLock> alone, Of(kTheBackup, BackupLock::Take(dest)));
  ASSIGN_OR_RETURN(destination, Of(kTheBackup, Recognize(dest, store->config())));
  ASSIGN_OR_RETURN(snapshot, Of(kTheStore, store->Latest()));

  ASSIGN_OR_RETURN(const ReplayPoint replay_point,
                   Begin(source, store->config(), *snapshot, dest, destination));
  BackupReport report;
  report.head = snapshot->published().head;
  report.new_entries = report.head.size - replay_point.state.end.size;
  ASSIGN_OR_RETURN(report.no_key, CopyKey(std::move(key), dest, store->config()));
  const bool has_older = destination == Destination::kOlder;
  const Status updated = Update(source, snapshot, dest, has_older, replay_point, progress);
  if (updated.has_value()) return report;
  if (updated.error().code == Code::kNoSpace && has_older) {
    static_cast<void>(RetractBackup(dest, replay_point));  // The error is what is to be told.
  }
  return tl::unexpected<Error>(updated.error());
}

}  // namespace logcore
