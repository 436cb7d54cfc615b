// The part of LogFiles that knows where the files end: what a replay slot keeps of that, and what
// may not be there.

#include <algorithm>
#include <optional>
#include <utility>

#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/time_rows.h"
#include "logcore/tlog/tile.h"
#include "logcore/util/bytes.h"

namespace logcore {
namespace {

constexpr std::string_view kEntriesPrefix = "entries/";
constexpr std::string_view kIndexSuffix = ".index";
constexpr std::string_view kEndsEarly = "the file ends before the log does";

// The segment that "12" or "12.index" belongs to.
std::optional<uint64_t> ParseSegmentFile(std::string_view name) {
  if (name.ends_with(kIndexSuffix)) name.remove_suffix(kIndexSuffix.size());
  return ParseDecimal(name);
}

Status CheckLength(const File& file, const std::string& name, uint64_t length) {
  ASSIGN_OR_RETURN(const uint64_t found, file.Length());
  if (found < length) return FailCorrupt(name, found, kEndsEarly);
  if (length < found) return FailCorrupt(name, length, "the file goes on after the end of the log");
  return {};
}

}  // namespace

// Where one file ends.
struct LogFiles::FileEnd {
  std::string name;
  File* file;
  uint64_t length;
  std::shared_ptr<const Segment> segment;  // whose file it is: keeps it open
};

Result<std::vector<LogFiles::FileEnd>> LogFiles::Ends(const LogEnd& end) const {
  std::vector<FileEnd> ends;
  for (int level = 0; level < kTileLevels; ++level) {
    ends.push_back({HashesName(level), hashes_[static_cast<size_t>(level)].get(),
                    NodeCount(level, end.size) * kHashLength, nullptr});
  }
  ends.push_back({kTimesName, times_.get(), end.time_rows * kTimeRowLength, nullptr});
  if (end.size == 0) return ends;
  const uint64_t last = end.size - 1;
  ASSIGN_OR_RETURN(const std::shared_ptr<const Segment> segment,
                   segments_.Open(last / kSegmentEntries));
  ASSIGN_OR_RETURN(const uint64_t frames_length, segment->PlaceOf(end.frames_end));
  const uint64_t rows = last % kSegmentEntries / kIndexStride + 1;
  ends.push_back({SegmentName(segment->number()), segment->frames(), frames_length, segment});
  ends.push_back(
      {SegmentIndexName(segment->number()), segment->index(), rows * kIndexRowLength, segment});
  return ends;
}

Result<std::vector<Block>> LogFiles::PartialBlocks(const LogEnd& end) const {
  ASSIGN_OR_RETURN(const std::vector<FileEnd> ends, Ends(end));
  std::vector<Block> blocks;
  for (const FileEnd& file : ends) {
    const size_t length = file.length % kBlockLength;
    if (length == 0) continue;
    Block block{file.name, file.length - length, std::string(length, '\0')};
    RETURN_IF_ERROR(ReadExactly(*file.file, file.name, block.offset, block.bytes.data(), length));
    blocks.push_back(std::move(block));
  }
  return blocks;
}

Status LogFiles::WriteBlocks(std::span<const Block> blocks) {
  for (const Block& block : blocks) {
    File* file = block.name == kTimesName ? times_.get() : nullptr;
    for (int level = 0; level < kTileLevels; ++level) {
      if (block.name == HashesName(level)) file = hashes_[static_cast<size_t>(level)].get();
    }
    std::shared_ptr<Segment> segment;
    if (block.name.starts_with(kEntriesPrefix)) {
      const std::optional<uint64_t> number =
          ParseSegmentFile(std::string_view(block.name).substr(kEntriesPrefix.size()));
      if (number) {
        ASSIGN_OR_RETURN(segment, segments_.Open(*number));
        file = block.name.ends_with(kIndexSuffix) ? segment->index() : segment->frames();
      }
    }
    if (file == nullptr || block.offset % kBlockLength != 0 || kBlockLength <= block.bytes.size()) {
      return FailCorrupt(block.name, block.offset, "no block that could have been kept");
    }
    ASSIGN_OR_RETURN(const uint64_t length, file->Length());
    if (length < block.offset + block.bytes.size()) {
      return FailCorrupt(block.name, length, kEndsEarly);
    }
    RETURN_IF_ERROR(file->WriteAt(block.offset, block.bytes));
    if (segment != nullptr) segment->ForgetBase();
  }
  return {};
}

Status LogFiles::SyncEnds(const LogEnd& end) {
  ASSIGN_OR_RETURN(const std::vector<FileEnd> ends, Ends(end));
  for (const FileEnd& file : ends) RETURN_IF_ERROR(file.file->Sync());
  return {};
}

Status LogFiles::CheckWhole(uint64_t size) const {
  for (int level = 0; level < kTileLevels; ++level) {
    const uint64_t length = NodeCount(level, size) * kHashLength;
    ASSIGN_OR_RETURN(const uint64_t found, hashes_[static_cast<size_t>(level)]->Length());
    if (found < length) return FailCorrupt(HashesName(level), found, kEndsEarly);
  }
  std::shared_ptr<const Segment> before;
  for (uint64_t number = 0; number * kSegmentEntries < size; ++number) {
    ASSIGN_OR_RETURN(std::shared_ptr<const Segment> segment, segments_.Open(number));
    if (before != nullptr) {
      ASSIGN_OR_RETURN(const uint64_t end, segment->Base());
      ASSIGN_OR_RETURN(const uint64_t length, before->PlaceOf(end));
      RETURN_IF_ERROR(CheckLength(*before->frames(), before->frames_name(), length));
      RETURN_IF_ERROR(CheckLength(*before->index(), before->index_name(),
                                  kSegmentEntries / kIndexStride * kIndexRowLength));
    }
    before = std::move(segment);
  }
  return {};
}

Status LogFiles::CheckEnd(uint64_t size, uint64_t frames_end, int64_t time) const {
  RETURN_IF_ERROR(CheckWhole(size));
  ASSIGN_OR_RETURN(const uint64_t offset, FrameOffset(size, size));
  if (offset != frames_end) {
    return Fail(Code::kCorrupt, "entries: end at byte " + std::to_string(offset) + ", not " +
                                    std::to_string(frames_end));
  }
  if (size == 0) return {};
  ASSIGN_OR_RETURN(const int64_t newest, Time(size - 1));
  if (newest != time) return Fail(Code::kCorrupt, "times: the newest entry's is not there");
  return {};
}

Status LogFiles::CheckReach(const LogEnd& end) const {
  ASSIGN_OR_RETURN(const std::vector<FileEnd> ends, Ends(end));
  for (const FileEnd& file : ends) {
    ASSIGN_OR_RETURN(const uint64_t found, file.file->Length());
    if (found < file.length) return FailCorrupt(file.name, found, kEndsEarly);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names, FilesAfter(end));
  for (const std::string& name : names) RETURN_IF_ERROR(disk_->Open(name, Access::kRead));
  return {};
}

Status LogFiles::CheckLengths(const LogEnd& end) const {
  return CheckLengths(end, "");
}

Status LogFiles::CheckLengthsBeforeCut(const LogEnd& end) const {
  RETURN_IF_ERROR(CheckGap(end));
  return CheckLengths(end, SegmentName(end.size / kSegmentEntries));
}

// Committed frames begin right at the end.
Status LogFiles::CheckGap(const LogEnd& end) const {
  const std::string name = SegmentName(end.size / kSegmentEntries);
  const Result<std::unique_ptr<File>> file = disk_->Open(name, Access::kRead);
  if (!file.has_value()) {
    if (file.error().code == Code::kNotFound) return {};  // Nothing has gone there.
    return tl::unexpected<Error>(file.error());
  }
  ASSIGN_OR_RETURN(const uint64_t length, (*file)->Length());
  ASSIGN_OR_RETURN(const uint64_t place, NextPlace(end));
  if (length <= place) return {};
  const Gap gap = GapAfter(end, place);
  std::string bytes(gap.end - gap.begin, '\0');
  ASSIGN_OR_RETURN(const size_t read, (*file)->ReadAt(gap.begin, bytes.data(), bytes.size()));
  if (gap.end < length && IsZeros(std::string_view(bytes).substr(0, read))) return {};
  return FailCorrupt(name, place,
                     "entries that the journal does not know, as if it was rolled back");
}

Status LogFiles::CheckLengths(const LogEnd& end, const std::string& may_go_on) const {
  ASSIGN_OR_RETURN(const std::vector<FileEnd> ends, Ends(end));
  for (const FileEnd& file : ends) {
    uint64_t length = file.length;
    if (file.name == may_go_on) {
      ASSIGN_OR_RETURN(const uint64_t found, file.file->Length());
      length = std::max(length, found);
    }
    RETURN_IF_ERROR(CheckLength(*file.file, file.name, length));
  }
  // Segments after the last one may have been created, by a commit that failed, but are empty.
  ASSIGN_OR_RETURN(const std::vector<std::string> names, FilesAfter(end));
  for (const std::string& name : names) {
    if (name == may_go_on) continue;
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file, disk_->Open(name, Access::kRead));
    RETURN_IF_ERROR(CheckLength(*file, name, 0));
  }
  return {};
}

// Those of segments after the last one.
Result<std::vector<std::string>> LogFiles::FilesAfter(const LogEnd& end) const {
  std::vector<std::string> found;
  ASSIGN_OR_RETURN(const std::vector<std::string> names, disk_->List("entries"));
  for (const std::string& name : names) {
    const std::optional<uint64_t> number = ParseSegmentFile(name);
    if (!number || (end.size != 0 && *number <= (end.size - 1) / kSegmentEntries)) continue;
    found.push_back(std::string(kEntriesPrefix) + name);
  }
  return found;
}

Status LogFiles::CutAll(const LogEnd& end) {
  ASSIGN_OR_RETURN(const std::vector<FileEnd> ends, Ends(end));
  for (const FileEnd& file : ends) {
    RETURN_IF_ERROR(file.file->Cut(file.length));
    RETURN_IF_ERROR(file.file->Sync());
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names, FilesAfter(end));
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file, disk_->Open(name, Access::kReadWrite));
    RETURN_IF_ERROR(file->Cut(0));
    RETURN_IF_ERROR(file->Sync());
  }
  return {};
}

Status LogFiles::CutAfter(const LogEnd& end) {
  const uint64_t number = end.size / kSegmentEntries;
  if (end.size % kSegmentEntries == 0) {
    ASSIGN_OR_RETURN(const std::vector<std::string> names, disk_->List("entries"));
    if (!std::binary_search(names.begin(), names.end(), std::to_string(number))) return {};
  }
  ASSIGN_OR_RETURN(const uint64_t place, NextPlace(end));
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                   disk_->Open(SegmentName(number), Access::kReadWrite));
  ASSIGN_OR_RETURN(const uint64_t length, file->Length());
  if (place < length) {
    RETURN_IF_ERROR(file->Cut(place));
    ForgetReserved();
  }
  return file->Sync();  // Who has cut it may have died before.
}

}  // namespace logcore
