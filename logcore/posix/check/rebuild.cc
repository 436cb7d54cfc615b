#include "logcore/posix/check/rebuild.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "logcore/posix/files/segments.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/tlog/tile.h"
#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

constexpr size_t kReadLength = 1 << 20;
constexpr uint64_t kPieceEntries = 16384;

// The frames of one segment, one piece after the other.
class SegmentFrames {
 public:
  SegmentFrames(std::string name, std::unique_ptr<File> file, std::span<const Block> kept)
      : name_(std::move(name)), file_(std::move(file)) {
    for (const Block& block : kept) {
      if (block.name == name_) kept_ = &block;
    }
  }

  // The next frames, at most `limit`, at least one. The view lives until the next call.
  Result<std::string_view> Next(uint64_t index, uint64_t limit) {
    while (true) {
      const std::string_view rest = std::string_view(window_).substr(begin_);
      size_t length = 0;
      for (uint64_t count = 0; count < limit && kFrameHeaderLength <= rest.size() - length;
           ++count) {
        const size_t next =
            length + kFrameHeaderLength + LoadBigEndian<uint16_t>(rest.data() + length);
        if (rest.size() < next) break;
        length = next;
      }
      if (length != 0) {
        begin_ += length;
        return rest.substr(0, length);
      }
      ASSIGN_OR_RETURN(const bool more, ReadMore());
      if (!more) {
        return FailCorrupt(name_, place(), "entry " + std::to_string(index) + " is cut short");
      }
    }
  }

  // That nothing comes after the last frame.
  Status CheckEnd() const {
    ASSIGN_OR_RETURN(const uint64_t length, file_->Length());
    if (length == place()) return {};
    return FailCorrupt(name_, place(), "the file goes on after the segment's last entry");
  }

 private:
  uint64_t place() const { return window_place_ + begin_; }

  Result<bool> ReadMore() {
    window_.erase(0, begin_);
    window_place_ += std::exchange(begin_, 0);
    const size_t done = window_.size();
    const uint64_t from = window_place_ + done;
    window_.resize(done + kReadLength);
    ASSIGN_OR_RETURN(const size_t length, file_->ReadAt(from, window_.data() + done, kReadLength));
    if (kept_ != nullptr) {
      const uint64_t begin = std::max(from, kept_->offset);
      const uint64_t end = std::min(from + length, kept_->offset + kept_->bytes.size());
      if (begin < end) {
        kept_->bytes.copy(window_.data() + done + (begin - from), end - begin,
                          begin - kept_->offset);
      }
    }
    window_.resize(done + length);
    return length != 0;
  }

  const std::string name_;
  const std::unique_ptr<File> file_;
  const Block* kept_ = nullptr;
  std::string window_;
  size_t begin_ = 0;           // what is before it in the window was given out
  uint64_t window_place_ = 0;  // of the window, in the file
};

class Rebuilder {
 public:
  Rebuilder(Disk* disk, const RebuildOptions& options, const TakeBytes& take)
      : disk_(disk), options_(options), take_(take) {}

  Result<Rebuilt> Run() {
    stops_ = options_.stops;
    stops_.insert(options_.size);
    NoteStop();
    while (range_.size() < options_.size) RETURN_IF_ERROR(OneSegment());
    return std::move(rebuilt_);
  }

 private:
  Status OneSegment() {
    const uint64_t number = range_.size() / kSegmentEntries;
    const uint64_t segment_end = (number + 1) * kSegmentEntries;
    const std::string name = SegmentName(number);
    Result<std::unique_ptr<File>> file = disk_->Open(name, Access::kRead);
    if (!file.has_value()) {
      const Error& error = file.error();
      return Fail(error.code == Code::kNotFound ? Code::kCorrupt : error.code, error.message);
    }
    SegmentFrames frames(name, std::move(*file), options_.kept);
    rebuilt_.segment_bases.push_back(frames_end_);
    while (range_.size() < std::min(segment_end, options_.size)) {
      const uint64_t stop = *stops_.upper_bound(range_.size());
      const uint64_t limit = std::min({stop, segment_end, range_.size() + kPieceEntries});
      ASSIGN_OR_RETURN(const std::string_view piece,
                       frames.Next(range_.size(), limit - range_.size()));
      RETURN_IF_ERROR(TakePiece(piece));
    }
    return range_.size() == segment_end ? frames.CheckEnd() : Status();
  }

  Status TakePiece(std::string_view frames) {
    const uint64_t first = range_.size();
    std::string rows;
    uint64_t index = first;
    for (size_t place = 0; place < frames.size(); ++index) {
      if (index % kIndexStride == 0) AppendBigEndian(&rows, frames_end_ + place);
      place += kFrameHeaderLength + LoadBigEndian<uint16_t>(frames.data() + place);
    }
    if (!rows.empty()) {
      const uint64_t row = (first % kSegmentEntries + kIndexStride - 1) / kIndexStride;
      RETURN_IF_ERROR(
          take_(SegmentIndexName(first / kSegmentEntries), row * kIndexRowLength, rows));
    }
    std::vector<Hash> leaf_hashes(index - first);
    HashLeafFrames(frames, leaf_hashes);
    CompletedNodes completed;
    range_.Extend(leaf_hashes, &completed);
    frames_end_ += frames.size();
    for (int level = 0; level < kTileLevels; ++level) {
      const std::vector<Hash>& nodes = completed[static_cast<size_t>(level)];
      if (nodes.empty()) continue;
      RETURN_IF_ERROR(
          take_(HashesName(level), NodeCount(level, first) * kHashLength,
                {reinterpret_cast<const char*>(nodes.data()), nodes.size() * kHashLength}));
    }
    NoteStop();
    if (options_.progress) options_.progress(range_.size(), options_.size);
    return {};
  }

  void NoteStop() {
    if (stops_.count(range_.size()) == 0) return;
    rebuilt_.points.insert_or_assign(range_.size(), LogPoint{range_, frames_end_});
  }

  Disk* const disk_;
  const RebuildOptions& options_;
  const TakeBytes& take_;
  std::set<uint64_t> stops_;
  Rebuilt rebuilt_;
  CompactRange range_;
  uint64_t frames_end_ = 0;
};

}  // namespace

Result<Rebuilt> Rebuild(Disk* disk, const RebuildOptions& options, const TakeBytes& take) {
  CHECK(options.stops.empty() || *options.stops.rbegin() <= options.size);
  return Rebuilder(disk, options, take).Run();
}

}  // namespace logcore
