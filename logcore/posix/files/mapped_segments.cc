#include "logcore/posix/files/mapped_segments.h"

#include <algorithm>
#include <array>
#include <utility>

#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

constexpr size_t kWalks = 40;  // at a time
constexpr uint64_t kIndexLength = kSegmentEntries / kIndexStride * kIndexRowLength;

// One look-up on its way: first to its index row, then from frame to frame.
class Walk {
 public:
  void Begin(const MappedSegment* segment, const HeldEntry& entry) {
    segment_ = segment;
    entry_ = &entry;
    const uint64_t index = entry.index % kSegmentEntries;
    steps_ = index % kIndexStride;
    row_ = segment->index.get() + index / kIndexStride * kIndexRowLength;
    __builtin_prefetch(row_);
  }

  enum class Progress { kGoesOn, kFound, kLost };
  Progress Step() {
    if (row_ != nullptr) return StepFromRow();
    const uint64_t room = segment_->length - place_;  // at least a header
    const char* const frame = segment_->frames.get() + place_;
    const uint64_t length = kFrameHeaderLength + LoadBigEndian<uint16_t>(frame);
    if (room < length) return Progress::kLost;
    if (steps_ == 0) {
      *entry_->bytes = {frame + kFrameHeaderLength, length - kFrameHeaderLength};
      return Progress::kFound;
    }
    --steps_;
    return StepTo(place_ + length);
  }

  Error Lost() const {
    return FailCorrupt(SegmentName(segment_->number), place_,
                       "the way to entry " + std::to_string(entry_->index) + " leads outside")
        .value();
  }

 private:
  Progress StepFromRow() {
    const uint64_t offset = LoadBigEndian<uint64_t>(row_);
    row_ = nullptr;
    return StepTo(offset - segment_->base);  // What is before it wraps, to far outside.
  }
  Progress StepTo(uint64_t place) {
    place_ = place;
    const uint64_t length = segment_->length;
    if (length < kFrameHeaderLength || length - kFrameHeaderLength < place) return Progress::kLost;
    __builtin_prefetch(segment_->frames.get() + place);
    return Progress::kGoesOn;
  }

  const MappedSegment* segment_ = nullptr;
  const HeldEntry* entry_ = nullptr;
  const char* row_ = nullptr;  // until it was read
  uint64_t place_ = 0;         // of a frame, in the segment
  uint64_t steps_ = 0;         // still to go
};

}  // namespace

const MappedSegment* MappedSegments::Map(uint64_t number) {
  const std::lock_guard lock(mutex_);
  std::atomic<const MappedSegment*>& place = mapped_.Make(number);
  if (const MappedSegment* const segment = place.load()) return segment;  // Somebody was faster.
  const Result<std::shared_ptr<Segment>> segment = segments_->Open(number);
  if (!segment.has_value()) return nullptr;
  const Result<uint64_t> base = (*segment)->Base();
  const Result<uint64_t> length = (*segment)->frames()->Length();
  if (!base.has_value() || !length.has_value() || *length == 0) return nullptr;
  const auto frames = (*segment)->frames()->Map(*length);
  const auto index = (*segment)->index()->Map(kIndexLength);
  if (!frames.has_value() || !index.has_value()) return nullptr;
  owned_.push_back(std::make_unique<const MappedSegment>(
      MappedSegment{number, *base, *length, *frames, *index}));
  place = owned_.back().get();
  return place;
}

Status MappedSegments::Find(std::span<const HeldEntry> entries) {
  std::array<Walk, kWalks> walks;
  size_t active = std::min(kWalks, entries.size());  // The first ones are at work.
  size_t next = 0;
  const auto begin = [&](Walk* walk) {
    const HeldEntry& entry = entries[next++];
    walk->Begin(Get(entry.index / kSegmentEntries), entry);
  };
  for (size_t i = 0; i < active; ++i) begin(&walks[i]);
  while (active != 0) {
    for (size_t i = active; i-- != 0;) {
      switch (walks[i].Step()) {
        case Walk::Progress::kGoesOn:
          break;
        case Walk::Progress::kLost:
          return tl::unexpected<Error>(walks[i].Lost());
        case Walk::Progress::kFound:
          if (next < entries.size()) {
            begin(&walks[i]);
          } else {
            walks[i] = walks[--active];
          }
      }
    }
  }
  return {};
}

}  // namespace logcore
