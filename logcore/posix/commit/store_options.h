// StoreOptions: how a store is made and opened. The same for all who have it open.
//
// Any thread. Tested by tests/logcore/posix/commit/store_test.cc.

#ifndef LOGCORE_POSIX_COMMIT_STORE_OPTIONS_H_
#define LOGCORE_POSIX_COMMIT_STORE_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <functional>

#include "logcore/posix/files/store_config.h"

namespace logcore {

struct StoreOptions {
  // Nanoseconds since the epoch of POSIX. Steps of the clock are taken in: a log's times never go
  // back (log_clock.h, publication_time.h). Readers need none.
  std::function<int64_t()> clock = nullptr;
  // Snapshot::Entries finds entries of complete segments in memory (mmap). For programs that can
  // take it: if a mapped file is cut short, or its disk fails, the process gets SIGBUS instead of
  // an error. The mounted log never does this.
  bool map_segments = false;
  // A batch of so many bytes of frames, or of an eighth of the journal, leaves most of them out of
  // the journal, and writes them once. For shorter ones a second sync costs more than that.
  size_t direct_length = 512 << 10;
  uint64_t gap_limit = kNoGapLimit;  // store_config.h
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_STORE_OPTIONS_H_
