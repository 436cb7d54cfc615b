// Segments: the files entries/<n> and entries/<n>.index (log_files.h draws them), opened as they
// are needed, the most recently used kept open; and walking over frames by their lengths.
//
// Threads: any; Segment::Reserve from one thread at a time. Tested by
// tests/logcore/posix/files/log_files_test.cc.

#ifndef LOGCORE_POSIX_FILES_SEGMENTS_H_
#define LOGCORE_POSIX_FILES_SEGMENTS_H_

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include "logcore/posix/disk/disk.h"
#include "logcore/util/result.h"

namespace logcore {

inline constexpr uint64_t kSegmentEntries = 65536;
inline constexpr uint64_t kIndexStride = 16;
inline constexpr uint64_t kIndexRowLength = 8;
inline constexpr size_t kMaxOpenSegments = 128;

std::string SegmentName(uint64_t number);       // "entries/12"
std::string SegmentIndexName(uint64_t number);  // "entries/12.index"

// kCorrupt: "times at byte 16: too short".
tl::unexpected<Error> FailCorrupt(const std::string& file, uint64_t offset, std::string_view why);

// Reads exactly `length` bytes; kCorrupt if the file ends before.
Status ReadExactly(const File& file, const std::string& name, uint64_t offset, char* out,
                   size_t length);

// Writes zeros from `begin` up to `end`.
Status WriteZeros(File* file, uint64_t begin, uint64_t end);

// A file's room for appending, reserved in steps, so that most calls have nothing to do.
class Reservation {
 public:
  // Room for the first `length` bytes, and a step more where there is room for it.
  Status Extend(File* file, uint64_t length, uint64_t step);
  void Forget() { length_ = 0; }

 private:
  uint64_t length_ = 0;
};

class Segment {
 public:
  // `sync_frames`: the frames, opened once more; null if nothing is to be synced.
  Segment(uint64_t number, std::unique_ptr<File> frames, std::unique_ptr<File> index,
          std::unique_ptr<File> sync_frames)
      : number_(number),
        frames_name_(SegmentName(number)),
        index_name_(SegmentIndexName(number)),
        frames_(std::move(frames)),
        index_(std::move(index)),
        sync_frames_(std::move(sync_frames)) {}

  uint64_t number() const { return number_; }
  const std::string& frames_name() const { return frames_name_; }
  const std::string& index_name() const { return index_name_; }
  File* frames() const { return frames_.get(); }
  File* index() const { return index_.get(); }
  // For the syncs of a ReplayPointWriter: the kernel reports a failed write once to each opening,
  // and a commit that syncs its frames must not take the report away.
  File* sync_frames() const { return sync_frames_.get(); }

  // Global offset of the segment's first frame: its first index row, which never changes.
  Result<uint64_t> Base() const;
  void SetBase(uint64_t base) { base_ = base; }
  // Where a global offset lies in the file of frames; kCorrupt if the segment begins after it.
  Result<uint64_t> PlaceOf(uint64_t offset) const;
  // To be called after bytes of the index were written over: Base() reads it again.
  void ForgetBase() { base_ = kUnknown; }
  // Global offset of the frame of entry 16 * `row` of this segment.
  Result<uint64_t> Row(uint64_t row) const;
  // Rows from `first` on, in one read.
  Status Rows(uint64_t first, std::span<uint64_t> offsets) const;

  Status Reserve(uint64_t frames_length, uint64_t index_length);
  void ForgetReserved() { frames_room_.Forget(); }

 private:
  static constexpr uint64_t kUnknown = ~uint64_t{0};
  const uint64_t number_;
  const std::string frames_name_;
  const std::string index_name_;
  const std::unique_ptr<File> frames_;
  const std::unique_ptr<File> index_;
  const std::unique_ptr<File> sync_frames_;
  mutable std::atomic<uint64_t> base_{kUnknown};
  Reservation frames_room_;
  Reservation index_room_;
};

class Segments {
 public:
  Segments(Disk* disk, Access access) : disk_(disk), access_(access) {}

  // kCorrupt if it is not there; kBusy if there are no descriptors left, even with all closed that
  // nobody uses.
  Result<std::shared_ptr<Segment>> Open(uint64_t number) const;
  // Creates what is not there yet (a commit that failed may have left it), and makes the names
  // durable.
  Result<std::shared_ptr<Segment>> Create(uint64_t number);
  // The next Reserve of each asks the disk again.
  void ForgetReserved();

 private:
  std::shared_ptr<Segment> Find(uint64_t number) const;
  Result<std::shared_ptr<Segment>> OpenFiles(uint64_t number) const;

  Disk* const disk_;
  const Access access_;
  mutable std::mutex mutex_;
  mutable std::list<std::shared_ptr<Segment>> open_;  // most recently used first
};

// Steps from one frame of a segment to the next, reading nothing but the lengths (and what lies in
// the same few KiB). kCorrupt where a length leads past `limit`.
class FrameWalk {
 public:
  // Begins at entry `index`, whose frame has the global offset `offset`.
  static Result<FrameWalk> Begin(std::shared_ptr<const Segment> segment, uint64_t index,
                                 uint64_t offset, uint64_t limit);
  uint64_t index() const { return index_; }
  uint64_t offset() const { return offset_; }
  Status Step();

 private:
  FrameWalk() = default;
  std::shared_ptr<const Segment> segment_;
  uint64_t base_ = 0;
  uint64_t index_ = 0;
  uint64_t offset_ = 0;
  uint64_t limit_ = 0;
  std::string window_;  // what was read of the file
  uint64_t window_offset_ = 0;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_FILES_SEGMENTS_H_
