#include "logcore/posix/files/log_files.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "logcore/posix/files/lost_file.h"
#include "logcore/posix/files/time_rows.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/tlog/tile.h"
#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

constexpr unsigned kFileMode = 0644;
constexpr unsigned kDirectoryMode = 0755;
constexpr uint64_t kLeafHashesStep = 1 << 20;
constexpr uint64_t kOtherStep = 64 * 1024;

std::string_view AsBytes(std::span<const Hash> hashes) {
  return {reinterpret_cast<const char*>(hashes.data()), hashes.size_bytes()};
}

// Of the segment's index, the first one that begins in this part.
uint64_t FirstRow(const SegmentPart& part) {
  return (part.first + kIndexStride - 1) / kIndexStride;
}

std::vector<SegmentPart> CutFrames(uint64_t size, uint64_t frames_start, std::string_view frames,
                                   uint64_t count) {
  std::vector<SegmentPart> parts;
  uint64_t place = 0;
  for (uint64_t index = size; index < size + count; ++index) {
    if (parts.empty() || index % kSegmentEntries == 0) {
      parts.push_back({.segment = index / kSegmentEntries,
                       .first = index % kSegmentEntries,
                       .skip = place,
                       .rows = {}});
    }
    SegmentPart& part = parts.back();
    if (index % kIndexStride == 0) AppendBigEndian(&part.rows, frames_start + place);
    CHECK(place + kFrameHeaderLength <= frames.size());
    place += kFrameHeaderLength + LoadBigEndian<uint16_t>(frames.data() + place);
    CHECK(place <= frames.size());
    part.length = place - part.skip;
    ++part.count;
  }
  CHECK(place == frames.size());
  return parts;
}

}  // namespace

std::string HashesName(int level) {
  return "hashes/" + std::to_string(level);
}

LogEnd EndAfter(const LogEnd& end, uint64_t count, uint64_t frames_length, int64_t time) {
  CHECK(end.time <= time);
  LogEnd next = end;
  next.size += count;
  next.frames_end += frames_length;
  if (count != 0 && (end.time_rows == 0 || end.time < time)) {
    ++next.time_rows;
    next.time = time;
  }
  return next;
}

Prepared Prepare(const CompactRange& before, uint64_t frames_start, std::string_view frames,
                 std::span<const Hash> leaf_hashes) {
  Prepared prepared{.before = before,
                    .frames_start = frames_start,
                    .after = before,
                    .completed = {},
                    .parts = CutFrames(before.size(), frames_start, frames, leaf_hashes.size())};
  prepared.after.Extend(leaf_hashes, &prepared.completed);
  prepared.completed[0] = {};
  return prepared;
}

Result<std::unique_ptr<LogFiles>> LogFiles::Open(Disk* disk, Access access, uint64_t gap_limit) {
  std::unique_ptr<LogFiles> files(new LogFiles(disk, access, gap_limit));
  for (int level = 0; level < kTileLevels; ++level) {
    ASSIGN_OR_RETURN(files->hashes_[static_cast<size_t>(level)],
                     files->OpenNeeded(HashesName(level), access));
  }
  ASSIGN_OR_RETURN(files->times_, files->OpenNeeded(kTimesName, access));
  return files;
}

// What must be there: that it is missing is damage.
Result<std::unique_ptr<File>> LogFiles::OpenNeeded(const std::string& name, Access access) {
  Result<std::unique_ptr<File>> file = disk_->Open(name, access);
  if (file.has_value()) return file;
  Error error = std::move(file).error();
  if (error.code != Code::kNotFound) return tl::unexpected<Error>(std::move(error));
  error.code = Code::kCorrupt;
  if (access == Access::kReadWrite) return tl::unexpected<Error>(std::move(error));
  lost_.push_back(error);
  return std::make_unique<LostFile>(std::move(error));
}

Status LogFiles::Create(Disk* disk) {
  RETURN_IF_ERROR(disk->MakeDirectory("entries", kDirectoryMode));
  RETURN_IF_ERROR(disk->MakeDirectory("hashes", kDirectoryMode));
  for (int level = 0; level < kTileLevels; ++level) {
    RETURN_IF_ERROR(disk->Create(HashesName(level), kFileMode));
  }
  RETURN_IF_ERROR(disk->Create(kTimesName, kFileMode));
  for (const char* directory : {"entries", "hashes", ""}) {
    RETURN_IF_ERROR(disk->SyncDirectory(directory));
  }
  return {};
}

// ---- Reading

Status LogFiles::ReadNodes(int level, uint64_t first, std::span<Hash> out) const {
  CHECK(0 <= level && level < kTileLevels);
  return ReadExactly(*hashes_[static_cast<size_t>(level)], HashesName(level), first * kHashLength,
                     reinterpret_cast<char*>(out.data()), out.size_bytes());
}

Result<std::string> LogFiles::ReadFrames(uint64_t first, uint64_t count, uint64_t size) const {
  CHECK(1 <= count && first < size && count <= size - first);
  std::string frames;
  for (uint64_t begin = first, end; begin < first + count; begin = end) {
    const uint64_t number = begin / kSegmentEntries;
    end = std::min(first + count, (number + 1) * kSegmentEntries);
    ASSIGN_OR_RETURN(const uint64_t from, FrameOffset(begin, size));
    ASSIGN_OR_RETURN(const uint64_t to, FrameOffset(end, size));
    ASSIGN_OR_RETURN(const std::shared_ptr<const Segment> segment, segments_.Open(number));
    ASSIGN_OR_RETURN(const uint64_t base, segment->Base());
    if (to < from + (end - begin) * kFrameHeaderLength ||
        from + (end - begin) * (kFrameHeaderLength + kMaxEntryLength) < to) {
      return FailCorrupt(segment->index_name(),
                         begin % kSegmentEntries / kIndexStride * kIndexRowLength,
                         "the offsets do not fit together");
    }
    const size_t done = frames.size();
    frames.resize(done + (to - from));
    RETURN_IF_ERROR(ReadExactly(*segment->frames(), segment->frames_name(), from - base,
                                frames.data() + done, to - from));
  }
  return frames;
}

// A walk over frames that begins at an entry that has an index row.
Result<FrameWalk> LogFiles::WalkFrom(uint64_t index, uint64_t size) const {
  CHECK(index < size && index % kIndexStride == 0);
  const uint64_t row = index % kSegmentEntries / kIndexStride;
  ASSIGN_OR_RETURN(const std::shared_ptr<const Segment> segment,
                   segments_.Open(index / kSegmentEntries));
  ASSIGN_OR_RETURN(const uint64_t offset, segment->Row(row));
  const uint64_t next = index + kIndexStride;
  uint64_t limit = 0;
  if (next < size && next % kSegmentEntries != 0) {
    ASSIGN_OR_RETURN(limit, segment->Row(row + 1));
  } else {
    ASSIGN_OR_RETURN(const uint64_t base, segment->Base());
    ASSIGN_OR_RETURN(const uint64_t length, segment->frames()->Length());
    limit = base + length;
  }
  return FrameWalk::Begin(segment, index, offset, limit);
}

Result<uint64_t> LogFiles::FrameOffset(uint64_t index, uint64_t size) const {
  CHECK(index <= size);
  if (index == 0) return 0;
  if (index < size && index % kIndexStride == 0) {
    ASSIGN_OR_RETURN(const std::shared_ptr<const Segment> segment,
                     segments_.Open(index / kSegmentEntries));
    return segment->Row(index % kSegmentEntries / kIndexStride);
  }
  const uint64_t start = std::min(index, size - 1) / kIndexStride * kIndexStride;
  ASSIGN_OR_RETURN(FrameWalk walk, WalkFrom(start, size));
  while (walk.index() < index) RETURN_IF_ERROR(walk.Step());
  return walk.offset();
}

Status LogFiles::CheckOffsets(uint64_t first, std::span<const uint64_t> offsets) const {
  CHECK(offsets.size() <= kTileWidth);
  const uint64_t end = first + offsets.size();
  const uint64_t first_row = (first + kIndexStride - 1) / kIndexStride;
  const uint64_t end_row = (end + kIndexStride - 1) / kIndexStride;
  if (first_row == end_row) return {};
  ASSIGN_OR_RETURN(const std::shared_ptr<const Segment> segment,
                   OpenSegment(first / kSegmentEntries));
  std::array<uint64_t, kTileWidth / kIndexStride> room;
  const auto rows = std::span(room).first(end_row - first_row);
  RETURN_IF_ERROR(segment->Rows(first_row % (kSegmentEntries / kIndexStride), rows));
  for (uint64_t row = first_row; row < end_row; ++row) {
    const uint64_t index = row * kIndexStride;
    if (rows[row - first_row] == offsets[index - first]) continue;
    return Fail(Code::kCorrupt, FramesName(index) + ": entry " + std::to_string(index) +
                                    ": is not where its row says");
  }
  return {};
}

Result<StoredLog::Piece> LogFiles::ReadPiece(uint64_t index, uint64_t offset,
                                             std::span<char> out) const {
  const uint64_t number = index / kSegmentEntries;
  ASSIGN_OR_RETURN(const std::shared_ptr<const Segment> segment, OpenSegment(number));
  ASSIGN_OR_RETURN(const uint64_t base, segment->Base());
  if (offset < base || (index % kSegmentEntries == 0 && base != offset)) {
    return FailCorrupt(segment->index_name(), 0, "the segment does not begin where it should");
  }
  ASSIGN_OR_RETURN(const size_t length,
                   segment->frames()->ReadAt(offset - base, out.data(), out.size()));
  return Piece{length, (number + 1) * kSegmentEntries};
}

bool LogFiles::Holds(uint64_t index, uint64_t size) const {
  const uint64_t number = index / kSegmentEntries;
  return mapped_ != nullptr && number < size / kSegmentEntries && mapped_->Get(number) != nullptr;
}

Status LogFiles::Find(std::span<const HeldEntry> entries) const {
  return entries.empty() ? Status() : mapped_->Find(entries);
}

Result<uint64_t> LogFiles::FindText(uint64_t offset, uint64_t size) const {
  const auto beyond = [&] {
    return Fail(Code::kInvalid, "text offset " + std::to_string(offset) +
                                    " is beyond the log of size " + std::to_string(size));
  };
  if (size == 0) return beyond();
  // The last entry with an index row that begins at or before the offset.
  uint64_t low = 0;
  uint64_t high = (size - 1) / kIndexStride;
  while (low < high) {
    const uint64_t middle = high - (high - low) / 2;
    ASSIGN_OR_RETURN(const uint64_t frame, FrameOffset(middle * kIndexStride, size));
    if (frame - middle * kIndexStride <= offset) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const uint64_t end = std::min(size, (low + 1) * kIndexStride);
  ASSIGN_OR_RETURN(FrameWalk walk, WalkFrom(low * kIndexStride, size));
  while (walk.index() < end) {
    RETURN_IF_ERROR(walk.Step());
    if (offset < walk.offset() - walk.index()) return walk.index() - 1;
  }
  if (end == size) return beyond();
  return FailCorrupt(SegmentIndexName(low * kIndexStride / kSegmentEntries),
                     low * kIndexStride % kSegmentEntries / kIndexStride * kIndexRowLength,
                     "the offsets do not fit together");
}

Result<int64_t> LogFiles::Time(uint64_t index) const {
  return FindTime(*times_, index);
}

Status LogFiles::CheckTimes(uint64_t size) const {
  return CheckTimeRows(*times_, size);
}

// ---- Writing

Status LogFiles::Reserve(const LogEnd& end, const LogAppend& append) {
  const SegmentPart& last = append.prepared->parts.back();
  CHECK(last.skip + last.length == append.frames.size());
  reserved_.clear();
  for (const SegmentPart& part : append.prepared->parts) {
    RETURN_IF_ERROR(ReservePart(end, part));
  }
  const uint64_t size = end.size + append.leaf_hashes.size();
  for (int level = 0; level < kTileLevels; ++level) {
    const size_t i = static_cast<size_t>(level);
    RETURN_IF_ERROR(hashes_room_[i].Extend(hashes_[i].get(), NodeCount(level, size) * kHashLength,
                                           level == 0 ? kLeafHashesStep : kOtherStep));
  }
  return times_room_.Extend(times_.get(), (end.time_rows + 1) * kTimeRowLength, kOtherStep);
}

Status LogFiles::ReservePart(const LogEnd& end, const SegmentPart& part) {
  const uint64_t index_length = FirstRow(part) * kIndexRowLength + part.rows.size();
  if (part.first == 0) {
    ASSIGN_OR_RETURN(const std::shared_ptr<Segment> segment, segments_.Create(part.segment));
    reserved_.push_back(segment);
    return segment->Reserve(part.length, index_length);
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Segment> segment, segments_.Open(part.segment));
  reserved_.push_back(segment);
  ASSIGN_OR_RETURN(const uint64_t place, segment->PlaceOf(end.frames_end + part.skip));
  return segment->Reserve(place + part.length, index_length);
}

Result<std::shared_ptr<Segment>> LogFiles::SegmentToWrite(uint64_t number) const {
  for (const std::shared_ptr<Segment>& segment : reserved_) {
    if (segment->number() == number) return segment;
  }
  return segments_.Open(number);
}

Result<LogEnd> LogFiles::Write(const LogEnd& end, const LogAppend& append) {
  const Prepared& prepared = *append.prepared;
  const LogEnd next = EndAfter(end, append.leaf_hashes.size(), append.frames.size(), append.time);
  CHECK(prepared.before.size() == end.size && prepared.after.size() == next.size);
  CHECK(prepared.frames_start == end.frames_end);
  for (const SegmentPart& part : prepared.parts) {
    RETURN_IF_ERROR(WritePart(end, append, part));
  }
  for (int level = 0; level < kTileLevels; ++level) {
    const size_t i = static_cast<size_t>(level);
    const std::span<const Hash> nodes =
        level == 0 ? append.leaf_hashes : std::span<const Hash>(prepared.completed[i]);
    const uint64_t first = NodeCount(level, end.size);
    CHECK(first + nodes.size() == NodeCount(level, next.size));
    if (nodes.empty()) continue;
    RETURN_IF_ERROR(hashes_[i]->WriteAt(first * kHashLength, AsBytes(nodes)));
  }
  if (end.time_rows < next.time_rows) {
    const std::string row = EncodeTimeRow({end.size, append.time});
    RETURN_IF_ERROR(times_->WriteAt(end.time_rows * kTimeRowLength, row));
  }
  return next;
}

Status LogFiles::WritePart(const LogEnd& end, const LogAppend& append, const SegmentPart& part) {
  const uint64_t offset = end.frames_end + part.skip;
  ASSIGN_OR_RETURN(const std::shared_ptr<Segment> segment, SegmentToWrite(part.segment));
  if (part.first == 0) segment->SetBase(offset);
  ASSIGN_OR_RETURN(const uint64_t place, segment->PlaceOf(offset));
  const std::string_view frames = append.frames.substr(part.skip, part.length);
  const auto [skip, direct] = append.direct;
  if (direct == 0) {
    RETURN_IF_ERROR(segment->frames()->WriteAt(place, frames));
  } else {
    CHECK(frames.size() == append.frames.size());
    const uint64_t rest = skip + direct;
    RETURN_IF_ERROR(segment->frames()->WriteAt(place, frames.substr(0, skip)));
    RETURN_IF_ERROR(segment->frames()->WriteAt(place + rest, frames.substr(rest)));
  }
  if (!part.rows.empty()) {
    RETURN_IF_ERROR(segment->index()->WriteAt(FirstRow(part) * kIndexRowLength, part.rows));
  }
  if (part.first + part.count == kSegmentEntries) {
    // Only room is at stake: that it could not be given back is no error of this append.
    static_cast<void>(segment->frames()->Cut(place + frames.size()));
  }
  return {};
}

Result<uint64_t> LogFiles::NextPlace(const LogEnd& end) const {
  if (end.size % kSegmentEntries == 0) return 0;
  ASSIGN_OR_RETURN(const std::shared_ptr<Segment> segment,
                   SegmentToWrite(end.size / kSegmentEntries));
  return segment->PlaceOf(end.frames_end);
}

// Zeros that committed frames can have in a row: the rest of an entry of zeros, all entries to the
// end of the segment empty, and the first byte of a header.
LogFiles::Gap LogFiles::GapAfter(const LogEnd& end, uint64_t place) const {
  const uint64_t entries = kSegmentEntries - end.size % kSegmentEntries;
  const uint64_t zeros = kMaxEntryLength + entries * kFrameHeaderLength + 1;
  // The block that the log ends in may hold anything after a power cut.
  const uint64_t begin = RoundUpToBlock(place);
  return {begin, RoundUpToBlock(begin + std::min(zeros, gap_limit_))};
}

Result<DirectPart> LogFiles::DirectPartOf(const LogEnd& end, uint64_t count,
                                          uint64_t frames_length) const {
  if (end.size / kSegmentEntries != (end.size + count - 1) / kSegmentEntries) return DirectPart();
  ASSIGN_OR_RETURN(const uint64_t place, NextPlace(end));
  const uint64_t skip = GapAfter(end, place).end - place;
  if (frames_length < skip) return DirectPart();
  return DirectPart{skip, (frames_length - skip) / kBlockLength * kBlockLength};
}

Status LogFiles::WriteDirect(const LogEnd& end, const LogAppend& append) {
  const auto [skip, length] = append.direct;
  ASSIGN_OR_RETURN(const uint64_t place, NextPlace(end));
  ASSIGN_OR_RETURN(const std::shared_ptr<Segment> segment,
                   SegmentToWrite(end.size / kSegmentEntries));
  RETURN_IF_ERROR(
      segment->frames()->WriteBlocksAt(place + skip, append.frames.substr(skip, length)));
  return segment->frames()->Sync();
}

Result<bool> LogFiles::ReadDirect(const LogEnd& end, const DirectPart& direct, char* out) const {
  ASSIGN_OR_RETURN(const uint64_t place, NextPlace(end));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Segment> segment,
                   segments_.Open(end.size / kSegmentEntries));
  ASSIGN_OR_RETURN(const size_t length,
                   segment->frames()->ReadAt(place + direct.skip, out, direct.length));
  return length == direct.length;
}

Status LogFiles::Sync(uint64_t from, uint64_t to) {
  CHECK(from <= to);
  if (from == to) return {};
  const uint64_t first_segment = from / kSegmentEntries;
  const uint64_t last_segment = (to - 1) / kSegmentEntries;
  for (uint64_t number = first_segment; number <= last_segment; ++number) {
    ASSIGN_OR_RETURN(const std::shared_ptr<Segment> segment, segments_.Open(number));
    RETURN_IF_ERROR(segment->sync_frames()->Sync());
    RETURN_IF_ERROR(segment->index()->Sync());
  }
  if (from % kSegmentEntries == 0 || first_segment != last_segment) {
    RETURN_IF_ERROR(disk_->SyncDirectory("entries"));
  }
  for (int level = 0; level < kTileLevels; ++level) {
    if (NodeCount(level, from) == NodeCount(level, to)) continue;
    RETURN_IF_ERROR(hashes_[static_cast<size_t>(level)]->Sync());
  }
  return times_->Sync();
}

}  // namespace logcore
