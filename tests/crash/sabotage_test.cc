// Tests of the crash tests: a store that forgets one of its syncs or writes, or does one too late,
// must be found out. The simulated disk ignores or delays one kind of operation, and the workloads
// of runs.h must end in a violation within kMaxStates crashes; how many it took is printed.
// TLOGFS_SABOTAGE=TEXT tries only those whose names contain it.
//
// The checks of the tree's right edge are no operations: the last test damages what only they see.
//
// Not here, because leaving them out loses nothing:
//   init: first sync of the root   the second one is of the same names, and before `format`
//   init: sync of entries/         it is empty; the first segment syncs it
//   sync of entries/               both, that of a commit that creates a segment and that of the
//                                  next replay point: either alone is enough, as recovery creates
//                                  what is missing; left out are both
//   replay point: the state names it
//                                  only room: the next commit that needs some waits for ever
//   recovery: erasing a torn record, and the last sync of the journal, which is for that: a record
//                                  is adopted only if its frames give its root, so what is left of
//                                  one stays what it is until it is written over
//   recovery: last sync of files   the writer state keeps the old one, so the next syncs all of it
//   recovery: sync of a record before the state says durable
//                                  the last sync of the journal does it too
//   sync of hashes/2 and above     they get a first byte at 65,536 entries and more; the same code
//                                  syncs them as hashes/0 and hashes/1
//   recovery: sync of what was cut off a segment
//                                  the next recovery cuts it again; that none is to come, where
//                                  the log was closed, is looked at by outside_test.cc
//   allocate, release              only room; error_test.cc fills the disk

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/published.h"
#include "tests/crash/runs.h"

namespace tlogfs_test {
namespace {

using logcore::Code;
using logcore::WriterPhase;
using logcore::WriterState;

constexpr uint64_t kMaxStates = 100'000;

enum class Where { kAnywhere, kAtSegments, kRecoveredTwice };

struct Sabotage {
  std::string name;
  SimDisk::Predicate chosen;
  uint64_t delay = 0;  // 0: left out
  Where where = Where::kAnywhere;
  uint64_t first_seed = 1;  // of what is rare, shortly before one that finds it
};

// What a process is about, in its SimOperation::mark.
enum Mark : uint64_t {
  kOpened = 1,               // has written a writer state that is not recovery's own note
  kInCommit = 2,             // its last head said so
  kAdvancing = 4,            // the same
  kComplete = 8,             // the same
  kRecordRewritten = 16,     // by recovery, and not yet synced
  kWroteLogFile = 32,        // once
  kErasedReplayPoint = 128,  // recovery did, and has not yet synced it
  kClosing = 64,             // its last checkpoint slot says that all is on the disk
  kWroteOutside = 256,       // frames that no record holds, and has not yet synced them
};

bool IsLogFile(std::string_view name) {
  return name.starts_with("entries/") || name.starts_with("hashes/") || name == "times";
}

std::optional<WriterState> HeadOf(const SimOperation& operation) {
  if (operation.kind != SimKind::kWrite || operation.name != "lock") return std::nullopt;
  return logcore::DecodeWriterState(operation.bytes);
}

// Whole blocks of frames, as only a long record leaves them out.
bool IsOutside(const SimOperation& operation) {
  return operation.offset % logcore::kBlockLength == 0 && !operation.bytes.empty() &&
         operation.bytes.size() % logcore::kBlockLength == 0;
}

// Keeps the mark, after all that looks at it. Chooses nothing.
bool Track(const SimOperation& operation) {
  uint64_t& mark = *operation.mark;
  const auto set = [&mark](Mark bit, bool on) { mark = on ? mark | bit : mark & ~uint64_t{bit}; };
  if (const std::optional<WriterState> head = HeadOf(operation)) {
    if (head->durable_sequence == head->log.position.sequence) set(kOpened, true);
    set(kInCommit, head->phase == WriterPhase::kCommitting);
    set(kAdvancing, head->advancing);
    set(kComplete, head->complete);
  }
  const bool is_write = operation.kind == SimKind::kWrite;
  if (operation.name == "journal") {
    set(kErasedReplayPoint, is_write && operation.offset < logcore::kRecordsStart);
    set(kRecordRewritten, is_write && operation.bytes.starts_with("tlog"));
  }
  if (is_write && operation.name == "checkpoint") {
    set(kClosing, operation.bytes.substr(16, 16) == logcore::kCompleteBoot);
  }
  if (is_write && IsLogFile(operation.name)) set(kWroteLogFile, true);
  if (operation.name.starts_with("entries/") && operation.kind != SimKind::kRead) {
    set(kWroteOutside, is_write && IsOutside(operation));
  }
  return false;
}

SimDisk::Predicate And(SimDisk::Predicate first, SimDisk::Predicate second) {
  return [=](const SimOperation& operation) { return first(operation) && second(operation); };
}
SimDisk::Predicate Marked(Mark bit, bool on = true) {
  return [=](const SimOperation& operation) { return ((*operation.mark & bit) != 0) == on; };
}
SimDisk::Predicate Sync(const std::string& name) {
  return SimDisk::Matching(SimKind::kSync, name);
}
SimDisk::Predicate Write(const std::string& name) {
  return SimDisk::Matching(SimKind::kWrite, name);
}
SimDisk::Predicate Directory(const std::string& name) {
  return SimDisk::Matching(SimKind::kSyncDirectory, name);
}
template <typename Condition>
SimDisk::Predicate HeadThat(const Condition& condition) {
  return [=](const SimOperation& operation) {
    const std::optional<WriterState> head = HeadOf(operation);
    return head && condition(*head);
  };
}
// Init is the first operations of the machine, fewer than these.
bool InInit(const SimOperation& operation) {
  return operation.number < 40;
}
bool AfterInit(const SimOperation& operation) {
  return !InInit(operation);
}
bool InSlots(const SimOperation& operation) {
  return operation.offset < logcore::kRecordsStart;
}
bool InRing(const SimOperation& operation) {
  return !InSlots(operation);
}
bool IsZeros(const SimOperation& operation) {
  return operation.bytes.find_first_not_of('\0') == std::string_view::npos;
}
bool IsNotZeros(const SimOperation& operation) {
  return !IsZeros(operation);
}
bool OfLogFile(const SimOperation& operation) {
  return IsLogFile(operation.name);
}
bool AtBlock(const SimOperation& operation) {
  return operation.offset % logcore::kJournalBlock == 0;
}
SimDisk::Predicate Slot(uint64_t number) {
  return [number](const SimOperation& operation) {
    return operation.offset == number * logcore::kPublishedSlotLength;
  };
}
SimDisk::Predicate InRecovery(SimDisk::Predicate predicate) {
  return And(And(AfterInit, Marked(kOpened, false)), std::move(predicate));
}
SimDisk::Predicate Later(SimDisk::Predicate predicate) {
  return And(Marked(kOpened), std::move(predicate));
}

SimDisk::Predicate Completing() {
  return And(And(Marked(kOpened), Marked(kComplete, false)),
             HeadThat([](const WriterState& head) { return head.complete; }));
}

std::vector<Sabotage> LeftOut() {
  return {
      {"init: sync of config", Sync("config")},
      {"init: sync of format", Sync("format")},
      {"init: sync of key", Sync("key")},
      {"init: sync of lock", Sync("lock")},
      {"init: sync of the journal", And(Sync("journal"), InInit)},
      {"init: sync of checkpoint", And(Sync("checkpoint"), InInit)},
      {"init: syncs of the root directory", Directory("")},
      {"init: sync of directory hashes", Directory("hashes")},
      {"commit: head says committing", HeadThat([](const WriterState& head) {
         return head.phase == WriterPhase::kCommitting &&
                head.durable_sequence == head.log.position.sequence;
       })},
      {"commit: write of the record", Later(And(Write("journal"), InRing))},
      {"commit: sync of the record", Later(And(Sync("journal"), InRing))},
      {"commit: head says durable", Later(HeadThat([](const WriterState& head) {
         return head.log.position.sequence < head.durable_sequence;
       }))},
      {"commit: write of the frames", Later(Write("entries/0"))},
      {"commit: write of frames outside the record", Later(And(IsOutside, Write("entries/0")))},
      {"commit: sync of frames outside the record",
       Later(And(Marked(kWroteOutside), Sync("entries/0")))},
      {"commit: write of the index", Later(Write("entries/0.index"))},
      {"commit: write of hashes/0", Later(Write("hashes/0"))},
      {"commit: write of hashes/1", Later(Write("hashes/1"))},
      {"commit: write of times", Later(Write("times"))},
      {"commit: head says idle", And(Marked(kInCommit), HeadThat([](const WriterState& head) {
                                       return head.phase == WriterPhase::kIdle;
                                     }))},
      {"commit: sync of directory entries", Directory("entries"), 0, Where::kAtSegments},
      {"base: head says advancing",
       And(Marked(kAdvancing, false),
           HeadThat([](const WriterState& head) { return head.advancing; }))},
      {"base: sync of the frames", Later(Sync("entries/0"))},
      {"base: sync of the index", Later(Sync("entries/0.index"))},
      {"base: sync of hashes/0", Later(Sync("hashes/0"))},
      {"base: sync of hashes/1", Later(Sync("hashes/1"))},
      {"base: sync of times", Later(Sync("times"))},
      {"base: sync of the next segment", Later(Sync("entries/1*")), 0, Where::kAtSegments},
      {"base: write of the base slot", Later(And(Write("journal"), InSlots))},
      {"base: sync of the base slot", Later(And(Sync("journal"), InSlots))},
      {"publish: write of slot 0", And(AfterInit, And(Write("checkpoint"), Slot(0)))},
      {"publish: write of slot 1", And(AfterInit, And(Write("checkpoint"), Slot(1)))},
      {"close: head says complete", Completing()},
      {"close: sync of checkpoint", And(And(AfterInit, Sync("checkpoint")), Marked(kClosing))},
      {"after a close: sync of slot 0",
       And(And(AfterInit, Sync("checkpoint")), And(Slot(0), Marked(kClosing, false)))},
      {"after a close: sync of slot 1",
       And(And(AfterInit, Sync("checkpoint")), And(Slot(1), Marked(kClosing, false)))},
      {"recovery: erasing the other base", InRecovery(And(Write("journal"), InSlots))},
      {"recovery: sync of that", InRecovery(And(Sync("journal"), Marked(kErasedReplayPoint)))},
      {"recovery: rewriting the base's blocks",
       InRecovery(And(And(OfLogFile, Write("*")), AtBlock))},
      {"recovery: sync of those",
       InRecovery(And(And(OfLogFile, Sync("*")), Marked(kWroteLogFile)))},
      {"recovery: sync of blocks that were right",
       InRecovery(And(And(OfLogFile, Sync("*")), Marked(kWroteLogFile, false))), 0,
       Where::kAnywhere, 5006},
      {"recovery: rewriting a record", InRecovery(And(Write("journal"), And(InRing, IsNotZeros)))},
      {"recovery: sync of a record",
       InRecovery(And(Sync("journal"), And(InRing, Marked(kRecordRewritten))))},
      {"recovery: head says durable", InRecovery(HeadThat([](const WriterState& head) {
         return head.log.position.sequence < head.durable_sequence;
       })),
       0, Where::kRecoveredTwice},
      {"recovery: cutting off what is outside a torn record",
       And(AfterInit, SimDisk::Matching(SimKind::kCut, "entries/*"))},
      {"recovery: rewriting the log's files", InRecovery(And(OfLogFile, Write("*")))},
  };
}

// Each ordering: the first of two things happens only after the second.
std::vector<Sabotage> TooLate() {
  const auto committing = HeadThat([](const WriterState& head) {
    return head.phase == WriterPhase::kCommitting &&
           head.durable_sequence == head.log.position.sequence;
  });
  const auto advancing = And(Marked(kAdvancing, false),
                             HeadThat([](const WriterState& head) { return head.advancing; }));
  return {
      {"late: head says committing, after the record", committing, 1},
      {"late: record, after its sync", Later(And(Write("journal"), InRing)), 1},
      {"late: sync of the record, after the head", Later(And(Sync("journal"), InRing)), 1},
      {"late: sync of the record, after the files", Later(And(Sync("journal"), InRing)), 6},
      {"late: frames, after the head says idle", Later(Write("entries/0")), 4},
      {"late: head says advancing, after the base slot", advancing, 6},
      {"late: sync of the frames, after the base slot", Later(Sync("entries/0")), 7},
      {"late: sync of the index, after the base slot", Later(Sync("entries/0.index")), 6},
      {"late: sync of hashes/0, after the base slot", Later(Sync("hashes/0")), 5},
      {"late: sync of times, after the base slot", Later(Sync("times")), 3},
      {"late: base slot, after its sync", Later(And(Write("journal"), InSlots)), 1},
      {"late: sync of the base slot, after the head", Later(And(Sync("journal"), InSlots)), 1,
       Where::kAnywhere, 19},
      {"late: head says complete, after checkpoint", Completing(), 2},
      {"late: checkpoint, after its sync",
       And(AfterInit, And(Write("checkpoint"), Marked(kComplete))), 1},
      {"late: recovery's record, after its sync",
       InRecovery(And(Write("journal"), And(InRing, IsNotZeros))), 1},
      {"late: recovery's sync of a record, after the files",
       InRecovery(And(Sync("journal"), And(InRing, Marked(kRecordRewritten)))), 6},
  };
}

// Every death in a commit, then every death in the recovery of that, then one early in the recovery
// of both, and a power cut: what the first recovery has made durable the second must not write
// over.
void RunRecoveredTwice(uint64_t seed, const World& start, RunCount* count) {
  const auto dies_at = [](World* world, uint64_t operation, const std::function<void()>& what) {
    world->disk()->CrashAt(world->disk()->operations() + operation);
    bool died = false;
    try {
      what();
    } catch (const SimCrash&) {
      died = true;
    }
    world->disk()->CrashAt(0);
    return died;
  };
  const auto opens = [](World* world) { static_cast<void>(world->Open(false)); };
  for (uint64_t in_commit = 1; count->states < kMaxStates; ++in_commit) {
    const auto one = start.Clone();
    ActorPtr actor = one->Open(false);
    if (!dies_at(one.get(), in_commit, [&] { one->Commit(actor.get(), MakeEntries(seed, 40)); })) {
      return;
    }
    actor.reset();
    for (uint64_t in_first = 1;; ++in_first) {
      const auto two = one->Clone();
      if (!dies_at(two.get(), in_first, [&] { opens(two.get()); })) break;
      for (uint64_t in_second = 1; in_second <= 20; ++in_second) {
        const auto three = two->Clone();
        if (!dies_at(three.get(), in_second, [&] { opens(three.get()); })) break;
        ++count->states;
        three->CutPower(seed * 1000 + in_second);
        const ActorPtr last = three->Open(false);
        three->Publish(last.get());
        three->CheckFiles();
      }
    }
  }
}

// Runs until a violation, which it prints: then 0, else 1.
int Search(const Sabotage& sabotage) {
  RunCount count;
  const auto prepare = [&](SimDisk* disk) {
    if (sabotage.delay == 0) disk->Ignore(sabotage.chosen);
    if (sabotage.delay != 0) disk->Delay(sabotage.chosen, sabotage.delay);
    disk->Delay(Track, 1);
  };
  try {
    if (sabotage.where == Where::kAtSegments) {
      const auto start = PrepareWorld(65536 - 2, prepare);
      for (uint64_t seed = 1; count.states < kMaxStates; ++seed) {
        RunHistory(seed, *start, 6, &count);
      }
    }
    if (sabotage.where == Where::kRecoveredTwice) {
      const auto start = World::Create(prepare);
      for (uint64_t seed = 1; count.states < kMaxStates; ++seed) {
        RunRecoveredTwice(seed, *start, &count);
      }
    }
    for (uint64_t seed = sabotage.first_seed; count.states < kMaxStates; ++seed) {
      RunInit(seed, 2, prepare, &count);
      const auto start = World::Create(prepare);
      RunEveryOperation(seed, 4, *start, &count);
      for (uint64_t i = 0; i < 10; ++i) {
        RunSurvivors(10 * seed + i, *start, &count);
        RunHistory(10 * seed + i, *start, 40, &count);
      }
    }
  } catch (const Violation& violation) {
    const std::string what = violation.what();
    std::printf("%-52s %6llu states: %s\n", sabotage.name.c_str(),
                static_cast<unsigned long long>(count.states),
                what.substr(0, what.find('\n')).c_str());
    std::fflush(stdout);
    return 0;
  }
  return 1;
}

void FindAll(const std::vector<Sabotage>& sabotages) {
  const char* wanted = std::getenv("TLOGFS_SABOTAGE");
  for (const Sabotage& sabotage : sabotages) {
    if (wanted != nullptr && sabotage.name.find(wanted) == std::string::npos) continue;
    // In a process of its own: a store that is deceived may rightly stop in a CHECK.
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) _exit(Search(sabotage));
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    const bool checked = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    if (checked) std::printf("%-52s stopped in a CHECK\n", sabotage.name.c_str());
    EXPECT_TRUE(checked || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        << sabotage.name << ": nothing noticed";
  }
}

TEST(SabotageTest, WhatIsLeftOutIsFound) {
  FindAll(LeftOut());
}

TEST(SabotageTest, WhatComesTooLateIsFound) {
  FindAll(TooLate());
}

// The same, of a store that forgets nothing.
TEST(SabotageTest, RecoveredTwiceWithoutSabotage) {
  RunCount count;
  EXPECT_NO_THROW(RunRecoveredTwice(1, *World::Create(), &count));
  EXPECT_GT(count.states, 1000u);
}

// A node of the newest tile is damaged, in a block that no recovery writes again. Nothing is signed
// over it: not by who has the store open, not by who opens it, not after a power cut. (D7)
TEST(SabotageTest, TheRightEdgeIsLookedAt) {
  enum class Then { kPublish, kOpen, kCutAndOpen };
  for (const Then then : {Then::kPublish, Then::kOpen, Then::kCutAndOpen}) {
    const auto world = World::Create();
    ActorPtr actor = world->Open();
    world->Commit(actor.get(), MakeEntries(1, 200));
    world->Publish(actor.get());
    world->AdvanceReplayPoint(actor.get());
    world->Commit(actor.get(), MakeEntries(2, 1));
    if (then != Then::kPublish) actor.reset();
    if (then == Then::kCutAndOpen) world->CutPower(1);
    char byte = world->disk()->Cached("hashes/0")[5 * sizeof(logcore::Hash)];
    byte = static_cast<char>(byte ^ 1);
    world->disk()->Rot("hashes/0", 5 * sizeof(logcore::Hash), {&byte, 1});
    world->AllowErrors();
    if (then == Then::kPublish) {
      world->Publish(actor.get());
    } else {
      actor = world->Open();
    }
    ASSERT_TRUE(world->error().has_value()) << static_cast<int>(then);
    EXPECT_EQ(world->error()->code, Code::kCorrupt) << world->error()->message;
    EXPECT_EQ(world->visible(), 200u);
  }
}

}  // namespace
}  // namespace tlogfs_test
