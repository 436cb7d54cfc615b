// World: a simulated machine with a store on it, the processes that have it open, and all that was
// ever promised about it. Every step of a process goes through the World, which compares what the
// store says with what it said before; what does not fit is a Violation.
//
// The promises: an acknowledged entry stays at its index, with its bytes; a published size and root
// that anybody could have read are never contradicted, nor followed by a smaller one; a batch is
// there as a whole or not at all; a store that was not damaged opens.
//
// After a crash it is open whether the batch under way is in the log. So the World keeps *all* logs
// that are possible (two as a rule); what is read later rules some of them out, and it is a
// violation when none is left.
//
// One thread. Used by the tests in this folder.

#ifndef TESTS_CRASH_WORLD_H_
#define TESTS_CRASH_WORLD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/files/journal.h"
#include "logcore/tlog/note.h"
#include "tests/crash/log_model.h"
#include "tests/support/sim_disk.h"

namespace tlogfs_test {

// Batches are short here, as a rule: what is outside of a record begins in the next block.
inline constexpr uint64_t kGapLimit = 0;

struct WorldOptions {
  std::function<void(SimDisk*)> prepare = nullptr;  // called before init: sabotage, observers
  uint64_t gap_limit = kGapLimit;
  uint64_t journal_length = logcore::kMinJournalLength;
};

class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One process with the store open.
struct Actor {
  ~Actor();
  std::unique_ptr<SimProcess> process;
  std::unique_ptr<logcore::StoreWriter> store;
  // Of CommitAndPrepare, until CommitNext.
  std::vector<std::string> next_entries;
  logcore::Batch next;
};
using ActorPtr = std::unique_ptr<Actor>;

class World {
 public:
  // A machine with an empty store.
  static std::unique_ptr<World> Create(const std::function<void(SimDisk*)>& prepare = nullptr);
  static std::unique_ptr<World> Create(const WorldOptions& options);
  // After an init that did not finish: there is no store, or a whole one that is empty.
  static void CheckUnfinished(SimDisk* disk);
  // The same world, all its processes killed.
  std::unique_ptr<World> Clone() const;

  SimDisk* disk() { return disk_.get(); }
  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t visible() const { return visible_; }
  // A log that is possible.
  const LogModel& log() const { return *possible_.front(); }
  int64_t* clock() { return &clock_; }
  int64_t now() const { return clock_; }

  // Steps. All throw Violation; and SimCrash, when the machine was told to crash in them: the
  // process is dead then.
  ActorPtr Open();
  // The same. `direct`: whole blocks of any batch's frames are written outside of its record; else
  // those of batches from 8 KiB on.
  ActorPtr Open(bool direct);
  void Commit(Actor* actor, const std::vector<std::string>& entries);
  // The same; in the midst of it `next` is prepared, for a CommitNext that may come or not.
  void CommitAndPrepare(Actor* actor, const std::vector<std::string>& entries,
                        const std::vector<std::string>& next);
  void CommitNext(Actor* actor);
  void Publish(Actor* actor);
  void AdvanceReplayPoint(Actor* actor);
  void Close(Actor* actor);
  // A reader comes by: opens the store read-only, looks at what is published, reads some entries.
  void Read(uint64_t seed, int entries);
  void CutPower(uint64_t seed);
  // The machine goes down in good order, and boots: nothing that was written is lost.
  void Reboot();

  // By an actor that has just published, with no commit since: every file is as it must be.
  void CheckFiles();
  // All of it, by logcore's own audit.
  void CheckAudit();
  // Reads so many entries back through the newest snapshot: the last one, and some others.
  void CheckEntries(logcore::StoreReader* store, uint64_t seed, int entries);

  // What errors a step may end with, beside success; by default none. An actor whose step ended
  // with kIo or kCorrupt is to be dropped. For tests that inject errors.
  void AllowErrors(bool allow = true) { allow_errors_ = allow; }
  bool errors_allowed() const { return allow_errors_; }
  // The last steps before now, a line each: for the report of a violation.
  std::string Story() const;
  // The last step's error, if it had one.
  const std::optional<logcore::Error>& error() const { return error_; }

 private:
  World() = default;
  logcore::StoreOptions Options() const;
  void Commit(Actor* actor, const std::vector<std::string>& entries, logcore::Batch* batch,
              const std::function<void()>& on_head_known);
  [[noreturn]] void Violate(const std::string& what) const;
  void Observe(const std::string& step, const logcore::Published& published);
  // Notes the step about to be taken, for the report of a violation.
  void Step(const std::string& step);
  bool Failed(const char* step, const logcore::Error& error);

  std::unique_ptr<SimDisk> disk_;
  std::vector<LogModelPtr> possible_;
  uint64_t acknowledged_ = 0;
  uint64_t visible_ = 0;
  bool unpublished_since_cut_ = false;
  uint64_t gap_limit_ = kGapLimit;
  bool closed_ = false;  // in good order, with nothing appended since: a power cut takes nothing
  int64_t clock_ = 1'700'000'000;
  uint64_t openings_ = 0;
  bool allow_errors_ = false;
  std::optional<logcore::Error> error_;
  std::vector<std::string> story_;
};

// A batch of entries of the sort that logs see: `count` of them, different for every seed.
std::vector<std::string> MakeEntries(uint64_t seed, uint64_t count);

}  // namespace tlogfs_test

#endif  // TESTS_CRASH_WORLD_H_
