// View: the bytes, lengths and times of nodes, from a snapshot of the log. What there is and what
// it is called is tree.h.
//
// It also remembers the checkpoints that it showed: a node of `checkpoint` is one version, and is
// served after the next one is published, for as long as the kernel knows the node (an open file
// is enough for that). Nothing else of the mount has to be remembered.
//
// Any thread. Tested by tests/fusefs/view_test.cc.

#ifndef FUSEFS_VIEW_H_
#define FUSEFS_VIEW_H_

#include <array>
#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "fusefs/node.h"
#include "logcore/log/snapshot.h"
#include "logcore/util/result.h"

namespace fusefs {

// The newest versions of `checkpoint` that stay although the kernel has forgotten them: an NFS
// client may still have their numbers.
inline constexpr size_t kMaxCheckpoints = 4096;
// Bundles longer than this are read whole and kept while they are being read in pieces: a bundle is
// verified as a whole, and can have 16 MiB.
inline constexpr size_t kLongFile = 128 * 1024;

struct Attributes {
  uint64_t length = 0;  // bytes; 0 for directories and what has no length
  timespec mtime{};
  timespec ctime{};  // as mtime, but that of a version of `checkpoint` never changes
};

class View {
 public:
  // `vkey`: the verifier key, without a newline. `time_of`: what PublishedLog::PublicationTimeOf
  // says.
  View(const std::string& vkey,
       std::function<int64_t(const logcore::Published& checkpoint)> time_of)
      : vkey_line_(vkey + "\n"), time_of_(std::move(time_of)) {}

  // kNotFound where the snapshot (or, of checkpoints, this view) does not have the node.
  logcore::Result<Attributes> AttributesOf(const Node& node, const logcore::Snapshot& snapshot);
  // Bytes [offset, offset + length) of a file; fewer only at its end. Not of kAppend.
  logcore::Result<std::string> Read(const Node& node, const logcore::Snapshot& snapshot,
                                    uint64_t offset, size_t length);
  // One version of `checkpoint`. The snapshot's own is remembered.
  logcore::Result<std::shared_ptr<const logcore::Published>> Checkpoint(
      const Node& node, const logcore::Snapshot& snapshot);
  // The kernel is being told of the node, once more; Forget is what it says, or that it was not
  // told after all.
  logcore::Status Remember(const Node& node, const logcore::Snapshot& snapshot);
  void Forget(const Node& node, uint64_t times);

 private:
  struct LongFile {
    uint64_t number = 0;  // of its node
    std::shared_ptr<const std::string> bytes;
  };
  struct Known {
    std::shared_ptr<const logcore::Published> checkpoint;
    uint64_t times = 0;  // how often the kernel was told of it
  };

  logcore::Result<std::shared_ptr<const logcore::Published>> FindCheckpoint(
      const Node& node, const logcore::Snapshot& snapshot);  // with the lock
  logcore::Result<std::string> ReadBundle(const Node& node, const logcore::Snapshot& snapshot,
                                          uint64_t offset, size_t length);
  std::shared_ptr<const std::string> FindLongFile(uint64_t number);
  void KeepLongFile(LongFile file);

  const std::string vkey_line_;
  const std::function<int64_t(const logcore::Published&)> time_of_;
  std::mutex mutex_;  // guards all below
  // By size: the newest ones that were shown, and those that the kernel knows.
  std::map<uint64_t, std::shared_ptr<const logcore::Published>> checkpoints_;
  std::map<uint64_t, Known> known_;
  std::array<LongFile, 2> long_files_;  // most recently read first
};

}  // namespace fusefs

#endif  // FUSEFS_VIEW_H_
