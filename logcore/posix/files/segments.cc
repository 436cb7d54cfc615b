#include "logcore/posix/files/segments.h"

#include <algorithm>

#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/bytes.h"

namespace logcore {
namespace {

// Everyone may read a log's bytes who may enter its directory; only its owner writes.
constexpr unsigned kFileMode = 0644;
constexpr uint64_t kFramesStep = 1 << 20;
constexpr uint64_t kIndexStep = kSegmentEntries / kIndexStride * kIndexRowLength;  // All of it.
constexpr size_t kWindowLength = 4096;

}  // namespace

std::string SegmentName(uint64_t number) {
  return "entries/" + std::to_string(number);
}

std::string SegmentIndexName(uint64_t number) {
  return SegmentName(number) + ".index";
}

tl::unexpected<Error> FailCorrupt(const std::string& file, uint64_t offset, std::string_view why) {
  return Fail(Code::kCorrupt,
              file + " at byte " + std::to_string(offset) + ": " + std::string(why));
}

Status ReadExactly(const File& file, const std::string& name, uint64_t offset, char* out,
                   size_t length) {
  ASSIGN_OR_RETURN(const size_t count, file.ReadAt(offset, out, length));
  if (count != length) return FailCorrupt(name, offset + count, "the file ends too early");
  return {};
}

Status WriteZeros(File* file, uint64_t begin, uint64_t end) {
  const std::string zeros(std::min<uint64_t>(end - begin, 1 << 20), '\0');
  for (uint64_t offset = begin; offset < end; offset += zeros.size()) {
    RETURN_IF_ERROR(file->WriteAt(offset, std::string_view(zeros).substr(0, end - offset)));
  }
  return {};
}

Status Reservation::Extend(File* file, uint64_t length, uint64_t step) {
  if (length <= length_) return {};
  uint64_t goal = (length + step - 1) / step * step;
  Status status = file->Allocate(goal);
  if (!status.has_value() && status.error().code == Code::kNoSpace) {
    goal = length;  // The disk is nearly full: take only what is needed.
    status = file->Allocate(goal);
  }
  if (status.has_value()) length_ = goal;
  return status;
}

Result<uint64_t> Segment::Base() const {
  const uint64_t known = base_;
  if (known != kUnknown) return known;
  char row[kIndexRowLength];
  RETURN_IF_ERROR(ReadExactly(*index_, index_name_, 0, row, sizeof(row)));
  const uint64_t base = LoadBigEndian<uint64_t>(row);
  // Each of the entries before takes at least a header, and at most a frame of the longest.
  const uint64_t before = number_ * kSegmentEntries;
  if (base / kFrameHeaderLength < before ||
      before * (kFrameHeaderLength + kMaxEntryLength) < base) {
    return FailCorrupt(index_name_, 0, "no possible offset");
  }
  base_ = base;
  return base;
}

Result<uint64_t> Segment::PlaceOf(uint64_t offset) const {
  ASSIGN_OR_RETURN(const uint64_t base, Base());
  if (base <= offset) return offset - base;
  return FailCorrupt(index_name_, 0, "the segment begins after the end of the log");
}

Result<uint64_t> Segment::Row(uint64_t row) const {
  ASSIGN_OR_RETURN(const uint64_t base, Base());
  if (row == 0) return base;
  uint64_t offset = 0;
  RETURN_IF_ERROR(Rows(row, std::span(&offset, 1)));
  return offset;
}

Status Segment::Rows(uint64_t first, std::span<uint64_t> offsets) const {
  ASSIGN_OR_RETURN(const uint64_t base, Base());
  const uint64_t place = first * kIndexRowLength;
  char* const bytes = reinterpret_cast<char*>(offsets.data());
  RETURN_IF_ERROR(ReadExactly(*index_, index_name_, place, bytes, offsets.size_bytes()));
  for (size_t i = 0; i < offsets.size(); ++i) {
    const uint64_t offset = LoadBigEndian<uint64_t>(bytes + i * kIndexRowLength);
    const uint64_t before = (first + i) * kIndexStride;
    if (offset < base + before * kFrameHeaderLength ||
        base + before * (kFrameHeaderLength + kMaxEntryLength) < offset) {
      return FailCorrupt(index_name_, place + i * kIndexRowLength, "no possible offset");
    }
    offsets[i] = offset;
  }
  return {};
}

Status Segment::Reserve(uint64_t frames_length, uint64_t index_length) {
  RETURN_IF_ERROR(frames_room_.Extend(frames_.get(), frames_length, kFramesStep));
  return index_room_.Extend(index_.get(), index_length, kIndexStep);
}

std::shared_ptr<Segment> Segments::Find(uint64_t number) const {
  const auto found = std::find_if(open_.begin(), open_.end(), [number](const auto& segment) {
    return segment->number() == number;
  });
  if (found == open_.end()) return nullptr;
  open_.splice(open_.begin(), open_, found);
  return open_.front();
}

Result<std::shared_ptr<Segment>> Segments::Open(uint64_t number) const {
  {
    const std::lock_guard lock(mutex_);
    if (std::shared_ptr<Segment> segment = Find(number)) return segment;
  }
  Result<std::shared_ptr<Segment>> opened = OpenFiles(number);
  if (!opened.has_value() && opened.error().code == Code::kBusy) {
    {
      const std::lock_guard lock(mutex_);
      open_.clear();  // They may hold all the descriptors that there are.
    }
    opened = OpenFiles(number);
  }
  RETURN_IF_ERROR(opened);
  const std::lock_guard lock(mutex_);
  // Another thread may have been faster. There must be one only: it remembers what is reserved.
  if (std::shared_ptr<Segment> segment = Find(number)) return segment;
  open_.push_front(std::move(*opened));
  if (kMaxOpenSegments < open_.size()) open_.pop_back();
  return open_.front();
}

Result<std::shared_ptr<Segment>> Segments::OpenFiles(uint64_t number) const {
  Result<std::unique_ptr<File>> frames = disk_->Open(SegmentName(number), access_);
  Result<std::unique_ptr<File>> index = disk_->Open(SegmentIndexName(number), access_);
  Result<std::unique_ptr<File>> sync_frames = nullptr;
  if (access_ == Access::kReadWrite) sync_frames = disk_->Open(SegmentName(number), access_);
  for (const auto* file : {&frames, &index, &sync_frames}) {
    if (file->has_value()) continue;
    const Error& error = file->error();
    return Fail(error.code == Code::kNotFound ? Code::kCorrupt : error.code, error.message);
  }
  return std::make_shared<Segment>(number, std::move(frames).value(), std::move(index).value(),
                                   std::move(sync_frames).value());
}

Result<std::shared_ptr<Segment>> Segments::Create(uint64_t number) {
  for (const std::string& name : {SegmentName(number), SegmentIndexName(number)}) {
    const Result<std::unique_ptr<File>> file = disk_->Create(name, kFileMode);
    if (!file.has_value() && file.error().code != Code::kExists) {
      return tl::unexpected<Error>(file.error());
    }
  }
  RETURN_IF_ERROR(disk_->SyncDirectory("entries"));
  return Open(number);
}

void Segments::ForgetReserved() {
  const std::lock_guard lock(mutex_);
  for (const std::shared_ptr<Segment>& segment : open_) segment->ForgetReserved();
}

Result<FrameWalk> FrameWalk::Begin(std::shared_ptr<const Segment> segment, uint64_t index,
                                   uint64_t offset, uint64_t limit) {
  FrameWalk walk;
  ASSIGN_OR_RETURN(walk.base_, segment->Base());
  walk.segment_ = std::move(segment);
  walk.index_ = index;
  walk.offset_ = offset;
  walk.limit_ = limit;
  return walk;
}

Status FrameWalk::Step() {
  const uint64_t place = offset_ - base_;
  if (window_offset_ + window_.size() < place + kFrameHeaderLength) {
    window_.resize(kWindowLength);
    ASSIGN_OR_RETURN(const size_t length,
                     segment_->frames()->ReadAt(place, window_.data(), window_.size()));
    window_.resize(length);
    window_offset_ = place;
  }
  if (window_offset_ + window_.size() < place + kFrameHeaderLength) {
    return FailCorrupt(segment_->frames_name(), place, "the file ends too early");
  }
  const uint64_t next = offset_ + kFrameHeaderLength +
                        LoadBigEndian<uint16_t>(window_.data() + (place - window_offset_));
  if (limit_ < next) {
    return FailCorrupt(segment_->frames_name(), place,
                       "the length of entry " + std::to_string(index_) + " leads outside");
  }
  offset_ = next;
  ++index_;
  return {};
}

}  // namespace logcore
