#include "logcore/posix/commit/store_reader.h"

#include <utility>

#include "logcore/log/edge.h"
#include "logcore/log/verified.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/published.h"
#include "logcore/tlog/checkpoint.h"

namespace logcore {

StoreReader::StoreReader(Disk* disk, StoreConfig config, std::string boot_id,
                         std::shared_ptr<const LogFiles> files,
                         std::shared_ptr<const PublishedFile> published)
    : disk_(disk),
      config_(std::move(config)),
      boot_id_(std::move(boot_id)),
      files_(std::move(files)),
      published_(std::move(published)),
      verified_(std::make_shared<Verified>()) {}

StoreReader::~StoreReader() = default;

Result<std::unique_ptr<StoreReader>> StoreReader::Open(Disk* disk, const StoreOptions& options) {
  ASSIGN_OR_RETURN(StoreConfig config, ReadStoreConfig(disk));
  ASSIGN_OR_RETURN(std::string boot_id, disk->BootId());
  ASSIGN_OR_RETURN(std::shared_ptr<LogFiles> files,
                   LogFiles::Open(disk, Access::kRead, options.gap_limit));
  if (options.map_segments) files->MapSegments();
  ASSIGN_OR_RETURN(std::shared_ptr<PublishedFile> published,
                   PublishedFile::Open(disk, Access::kRead));
  auto reader = std::make_unique<StoreReader>(disk, std::move(config), std::move(boot_id),
                                              std::move(files), std::move(published));
  RETURN_IF_ERROR(reader->Check());
  return reader;
}

// Whatever is damaged, each byte that is served is verified when it is read.
Status StoreReader::Check() {
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

Result<Published> StoreReader::BelievablePublished() const {
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

Result<std::shared_ptr<const Snapshot>> StoreReader::Latest() {
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

int64_t StoreReader::PublicationTimeOf(const Published& published) const {
  return ShownTime(published.publication, MomentOf(boot_id_, disk_->Uptime()));
}

void StoreReader::Show(Published published) {
  const std::lock_guard<std::mutex> lock(latest_mutex_);
  if (latest_ == nullptr || latest_->published().sequence < published.sequence) {
    latest_ = std::make_shared<const Snapshot>(std::move(published), files_, verified_);
  }
}

}  // namespace logcore
