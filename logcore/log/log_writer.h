// LogWriter: a log as a sequencer appends to it, wherever it is stored. It is the door behind which
// another storage can stand: a store on a disk is one (logcore/posix/commit/store_writer.h), a log
// in memory another (tests/support/memory_log.h).
//
// A commit makes a batch durable and gives its entries their indexes; nobody sees them yet. A
// publication makes all that is committed visible, under a signed checkpoint (published_log.h). The
// *replay point* is what an opening after a crash starts from: it reads again what was committed
// after it.
//
// Threads: Commit from one thread at a time; so too Prepare; Presign and Publish; and
// AdvanceReplayPoint. These may be four threads, which is what Sequencer (sequencer.h) has.
// ReplayLength and max_batch_length from any. Close when nobody calls anything else. Tested by
// tests/logcore/log/sequencer_test.cc, with both kinds.

#ifndef LOGCORE_LOG_LOG_WRITER_H_
#define LOGCORE_LOG_LOG_WRITER_H_

#include <cstdint>
#include <functional>
#include <span>

#include "logcore/log/batch.h"
#include "logcore/tlog/hash.h"
#include "logcore/util/result.h"

namespace logcore {

struct Committed {
  uint64_t first_index = 0;
  std::span<const Hash> leaf_hashes;  // the batch's
};

class LogWriter {
 public:
  virtual ~LogWriter() = default;

  // The longest frames, in bytes, that a batch may have.
  virtual uint64_t max_batch_length() const = 0;

  // Makes the batch's entries, at least one, durable, and gives them their indexes. Any error means
  // that none of them will be acknowledged. After one that IsOfOneAppend (result.h), and after
  // kReadOnly, none was added; after any other it is unknown, and this writer takes no more:
  // kReadOnly from then on. `on_flush`, if given, is called once it is known where the batch goes,
  // before it is flushed: a good time for Presign, and for Prepare of the batch after it. What is
  // prepared of the batch is this writer's.
  virtual Result<Committed> Commit(Batch* batch, const std::function<void()>& on_flush) = 0;
  Result<Committed> Commit(Batch* batch) { return Commit(batch, nullptr); }
  // While another batch is being committed, after its `on_flush`: computes what this one will add
  // if it is the next to be committed. Commit does so for a batch that is not prepared.
  virtual void Prepare(Batch* batch) = 0;

  // Signs in advance what Publish will publish after the commit that is being flushed.
  virtual void Presign() = 0;
  // Publishes all that is committed, by whichever process, and also what one that died committed.
  // Returns the published size. Nothing to do is success.
  virtual Result<uint64_t> Publish() = 0;

  // How much there was to replay after the last Commit or move of the replay point: 0 to 1 of the
  // most that there may be. A commit that finds no room moves the replay point itself, and waits.
  virtual double ReplayLength() const = 0;
  // Moves the replay point to this writer's last commit, or further, unless it is there.
  virtual Status AdvanceReplayPoint() = 0;

  // Leaves nothing to replay. What was committed must be published; nothing may be appended after.
  virtual Status Close() = 0;
};

}  // namespace logcore

#endif  // LOGCORE_LOG_LOG_WRITER_H_
