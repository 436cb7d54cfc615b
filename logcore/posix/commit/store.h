// Store: one log in one directory. README.md draws the files; journal.h, published.h and
// log_files.h say what is in them.
//
// Commit() is the heart: everything goes through the journal, with its bytes, in one write and one
// sync, and only then into the log's files, unsynced. Publish() makes what was committed visible
// under a signed checkpoint. Readers see published snapshots only.
//
// Any number of processes may have a store open for appending: the lock file's lock is held for
// each commit, and its *head* tells the next one what the last one did.
//
// Threads: Latest() from any; Commit() from one thread at a time, so too Prepare(), Presign() and
// Publish(), and AdvanceBase() and FreeJournal(): four different ones, if you like. Sequencer
// (sequencer.h) does just that. Tested by tests/logcore/posix/commit/store_test.cc,
// origins_test.cc, prepare_test.cc and tests/crash.

#ifndef LOGCORE_POSIX_COMMIT_STORE_H_
#define LOGCORE_POSIX_COMMIT_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "logcore/log/published_log.h"
#include "logcore/log/snapshot.h"
#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/published.h"
#include "logcore/posix/files/store_config.h"
#include "logcore/tlog/note.h"
#include "logcore/util/result.h"

namespace logcore {

struct StoreOptions {
  // Nanoseconds since the epoch of POSIX. Steps of the clock are taken in: a log's times never go
  // back (log_clock.h, publication_time.h).
  std::function<int64_t()> clock;
  // Snapshot::Entries finds entries of complete segments in memory (mmap). For programs that can
  // take it: if a mapped file is cut short, or its disk fails, the process gets SIGBUS instead of
  // an error. The mounted log never does this.
  bool map_segments = false;
  // A batch of so many bytes of frames, or of an eighth of the journal, leaves most of them out of
  // the journal, and writes them once. For shorter ones a second sync costs more than that.
  size_t outside_length = 512 << 10;
  uint64_t gap_limit = kNoGapLimit;  // log_files.h
};

struct InitOptions {
  std::string origin;
  std::optional<SignerKey> key;  // None: a new one is made, of that name.
  uint64_t journal_length = kDefaultJournalLength;
};

// Entries on their way into the log: the bytes of one journal record, built in place, and their
// leaf hashes.
class Batch {
 public:
  Batch();
  void Clear();
  // `frames` are `count` whole, valid frames (entry_bundle.h). Hashes them.
  void Append(std::string_view frames, uint64_t count);
  // For frames whose hashes are known (HashLeafFrames).
  void Append(std::string_view frames, std::span<const Hash> leaf_hashes);
  uint64_t count() const { return leaf_hashes_.size(); }
  std::string_view frames() const;
  std::span<const Hash> leaf_hashes() const { return leaf_hashes_; }
  // Store::Prepare's, if any, until Commit finds that something came in between.
  const std::optional<Prepared>& prepared() const { return prepared_; }

 private:
  friend class Store;
  std::string record_;  // room for the record's header, then the frames
  std::vector<Hash> leaf_hashes_;
  std::optional<Prepared> prepared_;
};

struct Committed {
  uint64_t first_index = 0;
  std::span<const Hash> leaf_hashes;  // the batch's
};

enum class OpeningMode : int;  // opening.h
class Writer;

class Store final : public PublishedLog {
 public:
  // Creates a store in an empty directory; durable when it returns. Returns the verifier key.
  // kExists if the directory is not empty; kInvalid if the origin is not valid (checkpoint.h) or,
  // without a key, is none that a key can have (note.h). After any error it is as it was before,
  // unless the disk refuses that as well. An init that was killed leaves what is no store, and no
  // directory for another one.
  static Result<VerifierKey> Init(Disk* disk, const InitOptions& init, const StoreOptions& options);

  enum class Mode {
    // No key, no lock, no journal: read permission is enough. Of a damaged log, all that verifies
    // can be read; see damage().
    kReadOnly,
    kAppend,  // Recovers first, if the last writer died or the machine went down.
  };
  // Never creates anything, and a refusal changes nothing. Refuses (kCorrupt) to append to what is
  // damaged or was rolled back in part, (kReadOnly) to a copy, (kDenied) with a key that others can
  // read, (kBusy) during a repair; and (kBusy) a read-only opening after a power cut, before any
  // writer has recovered. The disk must outlive the store.
  static Result<std::unique_ptr<Store>> Open(Disk* disk, Mode mode, const StoreOptions& options);

  ~Store() override;

  const StoreConfig& config() const { return config_; }
  const VerifierKey& vkey() const override { return config_.vkey; }
  // The first thing that the opening of a read-only store found to be lost, cut or damaged: an
  // opening for appending would have been refused for it. That there is none does not
  // show that the store is sound: that is the audit's to say.
  const std::optional<Error>& damage() const { return damage_; }
  // One pread when nothing is new.
  Result<std::shared_ptr<const Snapshot>> Latest() override;
  int64_t PublicationTimeOf(const Published& published) const override;

  // Makes the batch's entries durable, and gives them their indexes. Any error means that none of
  // them will be acknowledged: after kNoSpace, kTooLarge or kReadOnly none was added; after any
  // other it is unknown, and this store takes no more.
  // `on_head_known`, if given, is called before the flush: a good time for Presign().
  Result<Committed> Commit(Batch* batch, const std::function<void()>& on_head_known = nullptr);
  // While another batch is committed, after its `on_head_known`: computes what this one will add
  // to the log if it is the next to be committed. Commit does so for a batch that is not prepared.
  void Prepare(Batch* batch);
  // Signs in advance what Publish will publish after the commit that is being flushed.
  void Presign();
  // Publishes all that is committed, by whichever process. Nothing to do is success.
  // Returns the published size. Also what a writer that died had committed is published so.
  Result<uint64_t> Publish();
  // How much of the journal is in use, 0 to 1, as of the last Commit. From any thread.
  double JournalUse() const;
  // Makes the log's files durable up to now, and frees the journal before it.
  Status AdvanceBase();
  // AdvanceBase, unless any process has done so since this one's last commit.
  Status FreeJournal();
  // AdvanceBase, and marks the store as complete on the disk. Nothing may be appended after.
  Status Close();

  // The largest frames a Batch may hold.
  uint64_t max_batch_length() const;

 private:
  friend class Adoption;  // adopt.h
  Store(Disk* disk, StoreConfig config);
  Status OpenToRead(Disk* disk, const StoreOptions& options);
  // False, and it is not open: the last writer did not leave it idle, and `mode` is kIfIdle.
  Result<bool> OpenToAppend(Disk* disk, const StoreOptions& options, OpeningMode mode);
  // Mends what the last writer left, if all of it can be.
  static Status Mend(Disk* disk, const StoreConfig& config, const StoreOptions& options);
  // The newest slot, if readers in this boot may believe it.
  Result<Published> BelievablePublished() const;

  Disk* const disk_;
  const StoreConfig config_;
  std::string boot_id_;
  std::unique_ptr<File> opened_;  // holds kOpened (lock_file.h); none when read-only
  std::shared_ptr<LogFiles> files_;
  const std::shared_ptr<Verified> verified_;
  std::unique_ptr<PublishedFile> published_;
  std::unique_ptr<Writer> writer_;  // none when read-only
  std::optional<Error> damage_;

  std::mutex latest_mutex_;
  std::shared_ptr<const Snapshot> latest_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_STORE_H_
