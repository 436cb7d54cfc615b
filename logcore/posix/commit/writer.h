// Writer: what appends to a store. The order of a commit, of a publication and of a new base slot
// are written here once; opening.h and recovery.h are their counterpart. Part of Store (store.h),
// which says the threads.
//
// Locks on the file `lock`, taken in this order; each process also has a mutex for each, as the
// lock is the process's:
//
//   base       advancing the base, sync and all
//   turnstile  in line for the next one: the first to wait here is the first to commit
//   commit     reading and writing the head, and a commit
//   publish    publishing
//
// Commit:
//   head := committing; record -> journal; sync journal     durable
//   files written, unsynced; head := idle with the new state
//   Of a long batch, before that: whole blocks of frames -> segment; sync segment
// Publish:
//   tree read back == head's compact range; signed (while the commit was being flushed, if by this
//   process); older slot of `checkpoint` written, unsynced
// AdvanceBase:
//   head := advancing; files synced; no commit died meanwhile; base slot -> journal; sync journal;
//   head.base := it
//
// Tested by tests/crash/crash_test.cc and sabotage_test.cc, which leaves each of these steps out.

#ifndef LOGCORE_POSIX_COMMIT_WRITER_H_
#define LOGCORE_POSIX_COMMIT_WRITER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "logcore/posix/commit/log_clock.h"
#include "logcore/posix/commit/publication.h"
#include "logcore/posix/commit/recovery.h"
#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/published.h"
#include "logcore/tlog/note.h"
#include "logcore/util/result.h"

namespace logcore {

enum class OpeningMode : int;  // opening.h
struct StoreOptions;

class Writer {
 public:
  // Opens it as opening.h says. Null: the last writer did not leave it idle, and `mode` is kIfIdle.
  static Result<std::unique_ptr<Writer>> Open(Disk* disk, std::string origin, SignerKey key,
                                              LogFiles* files, PublishedFile* published,
                                              const StoreOptions& options, OpeningMode mode);

  // `record`: kRecordHeaderLength bytes to be filled in, then the frames; as long after as before,
  // unless the log has stopped. An error that is not IsOfOneAppend stops it in this process.
  // `prepared`: PrepareNext's; what was appended, after.
  // `on_head_known`: called before the flush, when Presign and PrepareNext have something to do;
  // can be empty.
  Result<uint64_t> Commit(std::string* record, std::span<const Hash> leaf_hashes,
                          std::optional<Prepared>* prepared,
                          const std::function<void()>& on_head_known);
  // What these entries will add after the commit under way. Nothing if other processes commit in
  // between as well: it would be in vain.
  std::optional<Prepared> PrepareNext(std::string_view frames, std::span<const Hash> leaf_hashes);
  // Signs the tree that the commit under way is going to give, for the Publish that follows it.
  void Presign();
  // The newest publication, made now if something was to publish.
  Result<Published> Publish();
  double JournalUse() const { return journal_use_.load(std::memory_order_relaxed); }
  Status AdvanceBase();
  // AdvanceBase, unless a base that any process has written covers this one's last commit.
  Status FreeJournal();
  // After AdvanceBase and Publish, when nothing is appended any more: says in `checkpoint` that all
  // of it is on the disk.
  Status MarkComplete();

  uint64_t max_frames_length() const;
  // The state as of the opening.
  const LogState& opened() const { return opened_; }

 private:
  Writer(Disk* disk, std::string origin, SignerKey key, LogFiles* files, PublishedFile* published,
         const StoreOptions& options);

  Result<uint64_t> TryCommit(std::string* record, std::span<const Hash> leaf_hashes,
                             std::optional<Prepared>* prepared,
                             const std::function<void()>& on_head_known);
  Result<bool> Run(Disk* disk, OpeningMode mode);
  // The ones below, down to Poison: under the commit lock.
  Result<Head> HeadForAppend();
  Result<Recovered> RunRecovery(Head* head, RecoverFrom from);
  Status RecoverFromBase(Head* head);
  // Makes every process stop, until one that is new has recovered.
  tl::unexpected<Error> Poison(Head head, Error why);
  // Where the record of `append` goes, if there is room.
  std::optional<uint64_t> Place(const Head& head, const LogAppend& append) const;
  void NoteComing(const LogAppend& append);
  Result<uint64_t> WriteRecord(Head head, std::string* record, LogAppend append, uint64_t offset);
  Status MakeDurable(const LogState& log, const LogAppend& append, uint64_t offset,
                     std::string_view record);
  static Error Stopped();
  void NoteUse(const Head& head);
  // `sequence`: of a record. Nothing is done if the base covers it by now.
  Status AdvanceBaseTo(uint64_t sequence);
  Result<bool> BeginAdvance(uint64_t sequence, Head* noted);
  Result<bool> IsDoubtful();
  Status MarkIncomplete();
  const std::string& Sign(const TreeHead& head);
  CheckpointMaker Maker();

  const std::string origin_;
  const SignerKey key_;
  LogFiles* const files_;
  PublishedFile* const published_;
  const std::function<int64_t()> clock_;
  const std::function<int64_t()> uptime_;
  LogClock log_clock_;  // under the commit lock
  uint64_t outside_length_;
  std::string boot_id_;
  Hash mac_key_;
  uint64_t journal_length_ = 0;
  LogState opened_;

  std::unique_ptr<File> lock_;
  std::unique_ptr<File> journal_;
  // The base thread's own opening: the kernel reports a failed write once to each, and one must not
  // take the report from the other.
  std::unique_ptr<File> base_journal_;
  std::mutex base_mutex_;
  std::mutex commit_mutex_;
  uint64_t recoveries_ = 0;   // that files_ knows of; under the commit lock, as the next one
  std::string short_record_;  // without the frames outside of it
  std::mutex publish_mutex_;
  std::mutex coming_mutex_;
  // Of the newest commit, from before its flush on.
  CompactRange coming_;
  uint64_t coming_frames_end_ = 0;
  bool alone_ = false;  // It began where the one before it ended: nobody else commits.
  TreeHead signed_head_;
  std::string signed_note_;  // of signed_head_; empty: none yet
  std::atomic<bool> stopped_ = false;
  std::atomic<double> journal_use_ = 0;
  // The record of this process's last commit; before the first, the newest one of the opening.
  std::atomic<uint64_t> own_sequence_ = 0;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_WRITER_H_
