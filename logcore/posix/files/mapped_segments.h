// Complete segments (segments.h), mapped into memory: their files never change any more, so entries
// are found and given out where they lie, without a system call and without a copy.
//
// Every offset is checked against the mapped length before it is followed. Of a file that is cut
// short later, or cannot be read, the kernel tells by SIGBUS: only for programs that can take it.
//
// Any thread. Tested by tests/logcore/log/entries_test.cc.

#ifndef LOGCORE_POSIX_FILES_MAPPED_SEGMENTS_H_
#define LOGCORE_POSIX_FILES_MAPPED_SEGMENTS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "logcore/log/stored_log.h"
#include "logcore/posix/files/segments.h"
#include "logcore/util/growing_array.h"
#include "logcore/util/result.h"

namespace logcore {

struct MappedSegment {
  uint64_t number = 0;
  uint64_t base = 0;  // global offset of its first frame
  uint64_t length = 0;
  std::shared_ptr<const char> frames;
  std::shared_ptr<const char> index;  // all of its rows
};

class MappedSegments {
 public:
  explicit MappedSegments(const Segments* segments) : segments_(segments) {}

  // A complete segment, mapped when it is first asked for, for the life of this. Null: it cannot be
  // mapped, and is to be read.
  const MappedSegment* Get(uint64_t number) {
    const auto* const found = mapped_.Find(number);
    const MappedSegment* const segment = found == nullptr ? nullptr : found->load();
    return segment != nullptr ? segment : Map(number);
  }
  // Entries of segments that Get has given. In a large log each step from one frame to the next
  // waits for the memory, so many look-ups are under way in turns, each asking for what it needs
  // next.
  Status Find(std::span<const HeldEntry> entries);

 private:
  const MappedSegment* Map(uint64_t number);

  const Segments* const segments_;
  GrowingArray<std::atomic<const MappedSegment*>> mapped_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<const MappedSegment>> owned_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_FILES_MAPPED_SEGMENTS_H_
