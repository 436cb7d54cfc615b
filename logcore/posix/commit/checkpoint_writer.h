// CheckpointWriter: publishes what was committed. Part of StoreWriter (store_writer.h). The order,
// under the publish lock:
//
//   the writer state is read        without the commit lock: a commit goes on meanwhile
//   `checkpoint` is read            is anything new?
//   the right edge is read back     it must give the committed compact range (publication.h)
//   signed                          while the commit was being flushed, if by this process
//   older slot := this              unsynced: what it says follows from the journal
//
// One thread, but for TakeCompleteBack, which is the committing one's. Tested by
// tests/logcore/posix/commit/store_test.cc, publication_test.cc and tests/crash.

#ifndef LOGCORE_POSIX_COMMIT_CHECKPOINT_WRITER_H_
#define LOGCORE_POSIX_COMMIT_CHECKPOINT_WRITER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "logcore/log/snapshot.h"
#include "logcore/posix/commit/publication.h"
#include "logcore/posix/commit/writer_state_file.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/published.h"
#include "logcore/tlog/merkle.h"
#include "logcore/tlog/note.h"
#include "logcore/util/result.h"

namespace logcore {

class CheckpointWriter {
 public:
  CheckpointWriter(std::string origin, SignerKey key, WriterStateFile* state, LogFiles* files,
                   PublishedFile* published, std::function<int64_t()> clock,
                   std::function<int64_t()> uptime);

  // Signs a tree that a commit is going to give, for the Publish that follows it.
  void Presign(const TreeHead& head) { Sign(head); }
  // The newest publication, made now if something was to publish.
  Result<Published> Publish();
  // Says in `checkpoint` that all of it is on the disk, if all is committed, published and before
  // the replay point: when nothing is appended any more.
  Status MarkComplete();
  // Takes that back, durably. Under the commit lock, before the next record is written.
  Status TakeCompleteBack();
  // The parts as an opening needs them. They refer to this.
  CheckpointMaker Maker();

 private:
  const std::string& Sign(const TreeHead& head);

  const std::string origin_;
  const SignerKey key_;
  WriterStateFile* const state_;
  LogFiles* const files_;
  PublishedFile* const published_;
  const std::function<int64_t()> clock_;
  const std::function<int64_t()> uptime_;
  TreeHead signed_head_;
  std::string signed_note_;  // of signed_head_; empty: none yet
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_CHECKPOINT_WRITER_H_
