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
  void Begin(const MappedLookup& lookup) {
    lookup_ = &lookup;
    row_ = lookup.segment->index.get() + lookup.index / kIndexStride * kIndexRowLength;
    __builtin_prefetch(row_);
  }

  enum class Progress { kGoesOn, kFound, kLost };
  Progress Step() {
    if (row_ != nullptr) return StepFromRow();
    const MappedSegment& segment = *lookup_->segment;
    const uint64_t room = segment.length - place_;  // at least a header
    const char* const frame = segment.frames.get() + place_;
    const uint64_t length = kFrameHeaderLength + LoadBigEndian<uint16_t>(frame);
    if (room < length) return Progress::kLost;
    if (steps_ == 0) {
      *lookup_->entry = {frame + kFrameHeaderLength, length - kFrameHeaderLength};
      return Progress::kFound;
    }
    --steps_;
    return StepTo(place_ + length);
  }

  Error Lost() const {
    return FailCorrupt(
               SegmentName(lookup_->segment->number), place_,
               "the way to entry " +
                   std::to_string(lookup_->segment->number * kSegmentEntries + lookup_->index) +
                   " leads outside")
        .value();
  }

 private:
  Progress StepFromRow() {
    const uint64_t offset = LoadBigEndian<uint64_t>(row_);
    row_ = nullptr;
    steps_ = lookup_->index % kIndexStride;
    return StepTo(offset - lookup_->segment->base);  // What is before it wraps, to far outside.
  }
  Progress StepTo(uint64_t place) {
    place_ = place;
    const uint64_t length = lookup_->segment->length;
    if (length < kFrameHeaderLength || length - kFrameHeaderLength < place) return Progress::kLost;
    __builtin_prefetch(lookup_->segment->frames.get() + place);
    return Progress::kGoesOn;
  }

  const MappedLookup* lookup_ = nullptr;
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

Status FindMapped(std::span<const MappedLookup> lookups) {
  std::array<Walk, kWalks> walks;
  size_t active = std::min(kWalks, lookups.size());  // The first ones are at work.
  size_t next = active;
  for (size_t i = 0; i < active; ++i) walks[i].Begin(lookups[i]);
  while (active != 0) {
    for (size_t i = active; i-- != 0;) {
      switch (walks[i].Step()) {
        case Walk::Progress::kGoesOn:
          break;
        case Walk::Progress::kLost:
          return tl::unexpected<Error>(walks[i].Lost());
        case Walk::Progress::kFound:
          if (next < lookups.size()) {
            walks[i].Begin(lookups[next++]);
          } else {
            walks[i] = walks[--active];
          }
      }
    }
  }
  return {};
}

}  // namespace logcore
