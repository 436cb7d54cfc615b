// PublishedLog: a log as readers get it, whatever publishes it: its key, and the newest snapshot. A
// reader of a store is one (logcore/posix/commit/store_reader.h).
//
// Any thread. Tested by tests/fusefs/view_test.cc.

#ifndef LOGCORE_LOG_PUBLISHED_LOG_H_
#define LOGCORE_LOG_PUBLISHED_LOG_H_

#include <cstdint>
#include <memory>

#include "logcore/log/snapshot.h"
#include "logcore/tlog/note.h"
#include "logcore/util/result.h"

namespace logcore {

class PublishedLog {
 public:
  virtual ~PublishedLog() = default;

  virtual const VerifierKey& vkey() const = 0;
  // The newest published snapshot, by whichever process. Cheap when nothing is new.
  virtual Result<std::shared_ptr<const Snapshot>> Latest() = 0;
  // When a checkpoint of this log was published, as readers are to see it now: nanoseconds since
  // the epoch (publication_time.h).
  virtual int64_t PublicationTimeOf(const Published& published) const = 0;
};

}  // namespace logcore

#endif  // LOGCORE_LOG_PUBLISHED_LOG_H_
