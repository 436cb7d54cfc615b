#include "logcore/posix/commit/store_writer.h"

#include <optional>
#include <utility>

#include "logcore/posix/commit/checkpoint_writer.h"
#include "logcore/posix/commit/opening.h"
#include "logcore/posix/commit/record_writer.h"
#include "logcore/posix/commit/recovery.h"
#include "logcore/posix/commit/replay_point_writer.h"
#include "logcore/posix/commit/writer_state_file.h"
#include "logcore/posix/disk/staged_disk.h"
#include "logcore/posix/files/lock_file.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/published.h"
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

// Mends what the last writer left, if all of it can be.
Status Mend(Disk* disk, const StoreConfig& config, const StoreOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AllHeld> held, AllHeld::Take(disk));
  StagedDisk staged(disk, Access::kReadWrite);
  ASSIGN_OR_RETURN(const std::unique_ptr<StoreWriter> writer,
                   StoreWriter::OpenAs(&staged, config, options, OpeningMode::kMend));
  return staged.Apply();
}

}  // namespace

StoreWriter::StoreWriter() = default;
StoreWriter::~StoreWriter() = default;

Result<std::unique_ptr<StoreWriter>> StoreWriter::Open(Disk* disk, const StoreOptions& options) {
  ASSIGN_OR_RETURN(const StoreConfig config, ReadStoreConfig(disk));
  RETURN_IF_ERROR(CheckAtHome(disk, config));
  while (true) {
    ASSIGN_OR_RETURN(std::unique_ptr<StoreWriter> writer,
                     OpenAs(disk, config, options, OpeningMode::kIfIdle));
    if (writer != nullptr) {
      // What a writer that died had committed; after a power cut, that the files are complete.
      RETURN_IF_ERROR(writer->Publish());
      return writer;
    }
    RETURN_IF_ERROR(Mend(disk, config, options));
  }
}

Result<std::unique_ptr<StoreWriter>> StoreWriter::OpenAs(Disk* disk, const StoreConfig& config,
                                                         const StoreOptions& options,
                                                         OpeningMode mode) {
  std::unique_ptr<StoreWriter> writer(new StoreWriter());
  writer->disk_ = disk;
  ASSIGN_OR_RETURN(std::string boot_id, disk->BootId());
  ASSIGN_OR_RETURN(writer->opened_, HoldOpened(disk));
  ASSIGN_OR_RETURN(writer->files_, LogFiles::Open(disk, Access::kReadWrite, options.gap_limit));
  LogFiles* const files = writer->files_.get();
  if (options.map_segments) files->MapSegments();
  ASSIGN_OR_RETURN(writer->published_, PublishedFile::Open(disk, Access::kReadWrite));
  PublishedFile* const published = writer->published_.get();
  ASSIGN_OR_RETURN(SignerKey key, ReadStoreKey(disk, config));
  const auto uptime = [disk] { return disk->Uptime(); };

  ASSIGN_OR_RETURN(writer->state_, WriterStateFile::Open(disk, files, published));
  WriterStateFile* const state = writer->state_.get();
  writer->checkpoints_ = std::make_unique<CheckpointWriter>(
      config.origin, std::move(key), state, files, published, options.clock, uptime);
  ASSIGN_OR_RETURN(writer->replay_points_, ReplayPointWriter::Open(disk, state, files));
  const CheckpointMaker maker = writer->checkpoints_->Maker();
  ASSIGN_OR_RETURN(const bool opened, state->Run(disk, mode, &maker));
  if (!opened) return nullptr;
  const LogEnd& end = state->opened().end;
  RETURN_IF_ERROR(files->CheckEnd(end.size, end.frames_end, end.time));
  writer->records_ = std::make_unique<RecordWriter>(
      state, writer->checkpoints_.get(), writer->replay_points_.get(), files,
      LogClock(options.clock, uptime), options.direct_length);
  writer->reader_ = std::make_unique<StoreReader>(disk, config, std::move(boot_id), writer->files_,
                                                  writer->published_);
  return writer;
}

uint64_t StoreWriter::max_batch_length() const {
  return records_->max_frames_length();
}

Result<Committed> StoreWriter::Commit(Batch* batch, const std::function<void()>& on_flush) {
  CHECK(0 < batch->count());
  ASSIGN_OR_RETURN(const uint64_t first_index, records_->Commit(batch, on_flush));
  return Committed{first_index, batch->leaf_hashes()};
}

void StoreWriter::Prepare(Batch* batch) {
  CHECK(0 < batch->count());
  records_->PrepareNext(batch);
}

void StoreWriter::Presign() {
  if (const std::optional<TreeHead> coming = records_->Coming()) checkpoints_->Presign(*coming);
}

Result<uint64_t> StoreWriter::Publish() {
  ASSIGN_OR_RETURN(Published published, checkpoints_->Publish());
  const uint64_t size = published.head.size;
  reader_->Show(std::move(published));
  return size;
}

double StoreWriter::ReplayLength() const {
  return state_->replay_length();
}

Status StoreWriter::AdvanceReplayPoint() {
  return replay_points_->AdvanceTo(records_->newest());
}

Status StoreWriter::AdvanceReplayPointToEnd() {
  return replay_points_->AdvanceTo(UINT64_MAX);
}

Status StoreWriter::Close() {
  RETURN_IF_ERROR(AdvanceReplayPointToEnd());
  return checkpoints_->MarkComplete();
}

Status StoreWriter::CheckCovers(const TreeHead& head) const {
  return logcore::CheckCovers(*files_, state_->opened(), head);
}

Status StoreWriter::SyncAll() {
  return SyncStore(disk_, files_.get(), state_->opened().end.size);
}

}  // namespace logcore
