// Files of a store put back to an older state, in place: by a restore that was interrupted, by
// rsync of a part, by cp of some. A life of a store has two moments, old and new; then *every*
// subset of the files that differ between them has its old bytes again. After each
//
//   - an opening for appending is refused, and has changed no byte; or it has every entry that was
//     acknowledged up to the new moment, and goes on with what was published;
//   - the audit calls nothing sound that does not open;
//   - a reader gets what was published at one of the two moments, or an error;
//   - an adoption, shown the older or the newer checkpoint, is refused and has changed no byte, or
//     the log has all that was acknowledged;
//   - so is a repair (logcore/posix/check/repair.h), shown none or the newer one, or the store
//     opens after it.
//
// All files put back at once is the older store, which nobody can tell from inside: left out. So
// are subsets without files that the older store, once recovered, has with the newer bytes as well.
//
// The two moments are ends of a process's life in every way there are: it lives, it has closed in
// good order, it was killed between two steps, or in a commit before or after its record. Between
// the two, and after the second one, the machine goes on or boots.

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "logcore/log/batch.h"
#include "logcore/posix/check/adopt.h"
#include "logcore/posix/check/audit.h"
#include "logcore/posix/check/repair.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/published.h"
#include "tests/crash/world.h"

namespace tlogfs_test {
namespace {

using namespace logcore;

using Files = std::map<std::string, std::string>;

Files FilesOf(const SimDisk& disk) {
  Files files;
  for (const std::string& name : disk.Names()) files[name] = disk.Cached(name);
  return files;
}

// The bytes are on the disk.
void Put(SimDisk* disk, const std::string& name, const std::string& bytes) {
  disk->RotLength(name, bytes.size());
  disk->Rot(name, 0, bytes);
}

// As cp(1) does it: the bytes are in the page cache, and nobody syncs them.
void PutUnsynced(SimDisk* disk, const std::string& name, const std::string& bytes) {
  const auto process = disk->NewProcess();
  const auto file = process->Open(name, Access::kReadWrite).value();
  EXPECT_TRUE(file->Cut(0).has_value() && file->WriteAt(0, bytes).has_value());
}

enum class End { kLive, kClosed, kUnpublished, kKilledInCommit, kKilledBeforeRecord };
constexpr End kEnds[] = {End::kLive, End::kClosed, End::kUnpublished, End::kKilledInCommit,
                         End::kKilledBeforeRecord};

// What is appended between the two moments: the frames alone may have to tell that it was.
enum class Content { kText, kEmpty, kZeros };

std::vector<std::string> Entries(Content content, uint64_t seed) {
  switch (content) {
    case Content::kText:
      return MakeEntries(seed, 1 + seed % 20);
    case Content::kEmpty:
      return std::vector<std::string>(1 + seed % 20);
    case Content::kZeros:
      return std::vector<std::string>(1 + seed % 3, std::string(1000 * seed % 4500, '\0'));
  }
  return {};
}

struct Case {
  uint64_t size = 0;  // before the older moment
  Content content = Content::kText;
  End old_end = End::kLive;
  End new_end = End::kLive;
  bool boots_between = false;
  bool advances = false;
  uint64_t commits = 3;  // between the two moments
  std::string Name() const {
    return "size " + std::to_string(size) + ", content " +
           std::to_string(static_cast<int>(content)) + ", ends " +
           std::to_string(static_cast<int>(old_end)) + " and " +
           std::to_string(static_cast<int>(new_end)) + (boots_between ? ", boots between" : "") +
           (advances ? ", advances the base" : "") + ", " + std::to_string(commits) + " commits";
  }
};

class RollbackTest : public testing::Test {
 protected:
  // A part of a life, which ends so.
  static void Live(World* world, End end, Content content, uint64_t seed, bool advances,
                   uint64_t commits) {
    ActorPtr actor = world->Open(false);
    for (uint64_t i = 0; i < commits; ++i) {
      *world->clock() += 1;
      world->Commit(actor.get(), Entries(content, seed + i));
      if (end != End::kUnpublished || i == 0) world->Publish(actor.get());
      if (advances && i == 1) world->AdvanceReplayPoint(actor.get());
    }
    if (end == End::kClosed) {
      world->Publish(actor.get());
      world->Close(actor.get());
    }
    if (end != End::kKilledInCommit && end != End::kKilledBeforeRecord) return;
    SimDisk* const disk = world->disk();
    // The writer state says that a commit is under way; and, or not, that its record is durable.
    disk->CrashAt(disk->operations() + (end == End::kKilledBeforeRecord ? 2 : 4 + seed % 8));
    try {
      world->Commit(actor.get(), Entries(content, seed + 3));
    } catch (const SimCrash&) {
    }
    disk->CrashAt(0);
    if (end != End::kKilledBeforeRecord) return;
    const std::optional<WriterState> head = DecodeWriterState(disk->Cached("lock"));
    ASSERT_TRUE(head && head->phase == WriterPhase::kCommitting);
    ASSERT_EQ(head->durable_sequence, head->log.position.sequence);
  }

  void Check(const Case& test) {
    SCOPED_TRACE(test.Name());
    const auto world = World::Create(WorldOptions{.gap_limit = kNoGapLimit});
    if (test.size != 0) {
      const ActorPtr actor = world->Open(false);
      world->Commit(actor.get(), MakeEntries(7, test.size));
      world->Publish(actor.get());
    }
    Live(world.get(), test.old_end, Content::kText, 10, false, 3);
    old_ = FilesOf(*world->disk());
    old_note_ = Newest(world->disk());
    const auto recovered = world->Clone();
    static_cast<void>(recovered->Open(false));
    const Files mended = FilesOf(*recovered->disk());
    if (test.boots_between) world->Reboot();
    Live(world.get(), test.new_end, test.content, 20, test.advances, test.commits);
    const Files newer = FilesOf(*world->disk());
    new_note_ = Newest(world->disk());
    std::vector<std::string> differ;
    for (const auto& [name, bytes] : newer) {
      if (old_.contains(name) && old_.at(name) != bytes) differ.push_back(name);
    }
    ASSERT_GE(differ.size(), test.commits == 0 ? 3u : 5u);
    for (uint64_t subset = 0; subset + 1 < uint64_t{1} << differ.size(); ++subset) {
      bool is_new = false;  // something that stays
      for (size_t i = 0; i < differ.size(); ++i) {
        if ((subset >> i & 1) == 0 && newer.at(differ[i]) != mended.at(differ[i])) is_new = true;
      }
      if (!is_new) continue;
      for (const bool boots_after : {false, true}) {
        const auto mixed = world->Clone();
        std::string names;
        for (size_t i = 0; i < differ.size(); ++i) {
          if ((subset >> i & 1) == 0) continue;
          Put(mixed->disk(), differ[i], old_.at(differ[i]));
          names += " " + differ[i];
        }
        if (boots_after) mixed->Reboot();
        SCOPED_TRACE("put back:" + names + (boots_after ? ", then it boots" : ""));
        CheckState(*mixed);
        // In one boot a writer state that is older than all the rest is told from the rest.
        if (names == " lock" && test.commits != 0 && !test.boots_between && !boots_after) {
          EXPECT_FALSE(Opens(*mixed));
        }
        ++states_;
        if (HasFailure()) return;
      }
    }
  }

  void CheckState(const World& state) {
    const bool is_sound = IsSound(*state.Clone());
    const bool opens = Opens(*state.Clone());
    if (opens) DiesWhileOpening(state);
    if (is_sound) {
      EXPECT_TRUE(opens) << "the audit calls sound what does not open";
    }
    Reads(*state.Clone());
    for (const std::string& newest : {old_note_, new_note_}) Adopts(*state.Clone(), newest);
    Repairs(*state.Clone(), std::nullopt);
    Repairs(*state.Clone(), new_note_);
    opened_ += opens ? 1 : 0;
    sound_ += is_sound ? 1 : 0;
  }

  static bool IsSound(World& world) {
    const auto process = world.disk()->NewProcess();
    const Result<AuditReport> report = Audit(process.get(), {});
    return report.has_value() && report->damages.empty();
  }

  static bool Opens(World& world) {
    const Files before = FilesOf(*world.disk());
    world.AllowErrors();
    try {
      const ActorPtr actor = world.Open(false);
      if (actor == nullptr) {
        EXPECT_TRUE(FilesOf(*world.disk()) == before) << "a refusal has changed something";
        return false;
      }
      world.AllowErrors(false);
      world.Publish(actor.get());
      world.CheckFiles();
      world.Commit(actor.get(), MakeEntries(3, 5));
      world.Publish(actor.get());
      world.CheckFiles();
      world.CheckAudit();
      for (uint64_t seed = 0; seed < 4; ++seed) {  // What was mended stays so.
        const auto cut = world.Clone();
        cut->CutPower(seed);
        const ActorPtr again = cut->Open(false);
        cut->Publish(again.get());
        cut->CheckFiles();
      }
    } catch (const Violation& violation) {
      const std::string what = violation.what();
      ADD_FAILURE() << what.substr(0, what.find('\n'));
    }
    return true;
  }

  // Some deaths in the opening, each with a power cut: then it opens, and has all entries.
  void DiesWhileOpening(const World& state) const {
    for (uint64_t operation = 1 + states_ % 4;; operation += 4) {
      const auto world = state.Clone();
      SimDisk* const disk = world->disk();
      disk->CrashAt(disk->operations() + operation);
      bool died = false;
      try {
        static_cast<void>(world->Open(false));
      } catch (const SimCrash&) {
        died = true;
      }
      disk->CrashAt(0);
      if (!died) return;
      SCOPED_TRACE("died at operation " + std::to_string(operation) + " of the opening");
      world->CutPower(operation);
      EXPECT_TRUE(Opens(*world));
    }
  }

  static void Reads(World& world) {
    const auto process = world.disk()->NewProcess();
    const auto store = StoreReader::Open(process.get(), {.clock = {}});
    if (!store.has_value()) return;
    const auto snapshot = (*store)->Latest();
    if (!snapshot.has_value()) return;
    ASSERT_EQ((*snapshot)->published().head.root, world.log().Root((*snapshot)->size()));
    for (uint64_t i = 0; i < (*snapshot)->size(); ++i) {
      const auto entry = (*snapshot)->Entry(i);
      EXPECT_TRUE(!entry.has_value() || *entry == world.log().Entry(i)) << i;
    }
  }

  static void Adopts(World& world, const std::string& newest) {
    world.disk()->Restore("lock");
    const Files before = FilesOf(*world.disk());
    const auto process = world.disk()->NewProcess();
    const Status adopted =
        Adopt(process.get(), newest, {.clock = [&] { return *world.clock() * kNanoseconds; }});
    process->Kill();
    if (!adopted.has_value()) {
      EXPECT_TRUE(FilesOf(*world.disk()) == before) << "a refusal has changed something";
      return;
    }
    EXPECT_TRUE(Opens(world));
  }

  void Repairs(World& world, const std::optional<std::string>& newest) {
    const Files before = FilesOf(*world.disk());
    const auto process = world.disk()->NewProcess();
    const Result<RepairReport> report = Repair(
        process.get(),
        {.newest = newest, .clock = [&] { return *world.clock() * kNanoseconds; }, .progress = {}});
    process->Kill();
    if (!report.has_value()) {
      EXPECT_TRUE(FilesOf(*world.disk()) == before)
          << "a repair has changed something: " << report.error().message;
      return;
    }
    ++repaired_;
    try {
      const ActorPtr actor = world.Open(false);
      world.Publish(actor.get());
      EXPECT_LE(world.acknowledged(), world.visible());
      if (report->lost_times == 0) world.CheckFiles();
      world.CheckAudit();
    } catch (const Violation& violation) {
      const std::string what = violation.what();
      ADD_FAILURE() << "repaired: " << what.substr(0, what.find('\n'));
    }
  }

  static std::string Newest(SimDisk* disk) {
    const auto process = disk->NewProcess();
    return PublishedFile::Open(process.get(), Access::kRead).value()->Read()->published.note;
  }

  void TearDown() override {
    std::printf("%llu states, %llu of them open, %llu are called sound; %llu repairs\n",
                static_cast<unsigned long long>(states_), static_cast<unsigned long long>(opened_),
                static_cast<unsigned long long>(sound_),
                static_cast<unsigned long long>(repaired_));
  }

  Files old_;
  std::string old_note_;
  std::string new_note_;
  uint64_t states_ = 0;
  uint64_t opened_ = 0;
  uint64_t sound_ = 0;
  uint64_t repaired_ = 0;
};

TEST_F(RollbackTest, EverySubsetOfTheFiles) {
  bool advances = false;
  for (const End old_end : kEnds) {
    for (const End new_end : kEnds) {
      for (const bool boots_between : {false, true}) {
        advances = !advances;
        Check({.size = 100,
               .content = Content::kText,
               .old_end = old_end,
               .new_end = new_end,
               .boots_between = boots_between,
               .advances = advances});
        if (HasFailure()) return;
      }
      advances = !advances;
    }
  }
}

// Nothing is appended between the two moments, and the log is closed.
TEST_F(RollbackTest, EverySubsetOfTheFilesOfTheClosing) {
  for (const End old_end : kEnds) {
    if (old_end == End::kClosed) continue;
    Check({.size = 100, .old_end = old_end, .new_end = End::kClosed, .commits = 0});
  }
}

// A copy that was begun while the log was still being closed, put back: the journal is of before
// the last replay slot, the writer state of after it. The entries are whole, and it opens.
TEST_F(RollbackTest, JournalOfBeforeTheClosing) {
  const auto world = World::Create(WorldOptions{.gap_limit = kNoGapLimit});
  ActorPtr actor = world->Open(false);
  world->Commit(actor.get(), MakeEntries(1, 100));
  world->Publish(actor.get());
  const std::string journal = world->disk()->Cached("journal");
  world->Close(actor.get());
  actor.reset();
  for (const bool boots : {false, true}) {
    const auto mixed = world->Clone();
    for (const auto& [name, bytes] : FilesOf(*mixed->disk())) {
      PutUnsynced(mixed->disk(), name, name == "journal" ? journal : bytes);
    }
    if (boots) mixed->Reboot();
    EXPECT_TRUE(IsSound(*mixed->Clone()));
    EXPECT_TRUE(Opens(*mixed->Clone()));
    for (uint64_t seed = 0; seed < 20; ++seed) {  // What was mended stays so.
      const auto cut = mixed->Clone();
      static_cast<void>(cut->Open(false));
      cut->CutPower(seed);
      EXPECT_TRUE(Opens(*cut));
    }
  }
}

// A journal put back under a process that lives, when another one has died in a commit: without the
// newest record nothing is appended after it.
TEST_F(RollbackTest, JournalUnderALivingProcess) {
  int died_in_commit = 0;
  for (uint64_t operation = 1; operation <= 20; ++operation) {
    const auto world = World::Create(WorldOptions{.gap_limit = kNoGapLimit});
    const ActorPtr actor = world->Open(false);
    world->Commit(actor.get(), MakeEntries(1, 100));
    const std::string journal = world->disk()->Cached("journal");
    world->Commit(actor.get(), MakeEntries(2, 5));
    ActorPtr other = world->Open(false);
    SimDisk* const disk = world->disk();
    disk->CrashAt(disk->operations() + operation);
    try {
      world->Commit(other.get(), MakeEntries(3, 5));
    } catch (const SimCrash&) {
    }
    disk->CrashAt(0);
    other.reset();
    if (DecodeWriterState(disk->Cached("lock"))->phase != WriterPhase::kCommitting) continue;
    ++died_in_commit;
    Put(disk, "journal", journal);
    Batch batch;
    batch.Append(std::string("\0\1x", 3), 1);
    const auto committed = actor->store->Commit(&batch);
    ASSERT_FALSE(committed.has_value()) << operation;
    EXPECT_EQ(committed.error().code, Code::kCorrupt) << committed.error().message;
  }
  EXPECT_GE(died_in_commit, 3);  // before the record, in it, after it
}

// Frames of zeros alone, around the edge of a block, and in an empty log.
TEST_F(RollbackTest, EverySubsetOfFilesWithOtherEntries) {
  for (const Content content : {Content::kEmpty, Content::kZeros}) {
    for (const uint64_t size : {0u, 254u, 300u}) {
      Check({.size = size, .content = content, .old_end = End::kClosed, .new_end = End::kLive});
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace tlogfs_test
