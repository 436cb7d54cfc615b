// Files of a store put back to an older state, in place: by a restore that was interrupted, by
// rsync of a part, by cp of some. A life of a store has two moments, old and new; then *every*
// subset of the files that differ between them has its old bytes again. After each
//
//   - an opening for appending is refused, and has changed no byte; or it has every entry that was
//     acknowledged up to the new moment, and goes on with what was published;
//   - the audit calls nothing sound that does not open;
//   - a reader gets what was published at one of the two moments, or an error;
//   - an adoption, shown the older or the newer checkpoint, is refused and has changed no byte, or
//     the log has all that was acknowledged.
//
// All files put back at once is the older store, which nobody can tell from inside: left out. So
// are subsets without files that the older store, once recovered, has with the newer bytes as well.
//
// The two moments are ends of a process's life in every way there are: it lives, it has closed in
// good order, it was killed between two steps or in a commit. Between the two, and after the second
// one, the machine goes on or boots.

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "logcore/audit.h"
#include "logcore/published.h"
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

void Put(SimDisk* disk, const std::string& name, const std::string& bytes) {
  disk->RotLength(name, bytes.size());
  disk->Rot(name, 0, bytes);
}

enum class End { kLive, kClosed, kUnpublished, kKilledInCommit };
constexpr End kEnds[] = {End::kLive, End::kClosed, End::kUnpublished, End::kKilledInCommit};

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
  bool advances_base = false;
  std::string Name() const {
    return "size " + std::to_string(size) + ", content " +
           std::to_string(static_cast<int>(content)) + ", ends " +
           std::to_string(static_cast<int>(old_end)) + " and " +
           std::to_string(static_cast<int>(new_end)) + (boots_between ? ", boots between" : "") +
           (advances_base ? ", advances the base" : "");
  }
};

class RollbackTest : public testing::Test {
 protected:
  // A part of a life, which ends so.
  static void Live(World* world, End end, Content content, uint64_t seed, bool advances_base) {
    ActorPtr actor = world->Open(false);
    for (uint64_t i = 0; i < 3; ++i) {
      *world->clock() += 1;
      world->Commit(actor.get(), Entries(content, seed + i));
      if (end != End::kUnpublished || i == 0) world->Publish(actor.get());
      if (advances_base && i == 1) world->AdvanceBase(actor.get());
    }
    if (end == End::kClosed) world->Close(actor.get());
    if (end != End::kKilledInCommit) return;
    SimDisk* const disk = world->disk();
    disk->CrashAt(disk->operations() + 4 + seed % 8);  // before the record, in it, or after it
    try {
      world->Commit(actor.get(), Entries(content, seed + 3));
    } catch (const SimCrash&) {
    }
    disk->CrashAt(0);
  }

  void Check(const Case& test) {
    SCOPED_TRACE(test.Name());
    const auto world = World::Create(WorldOptions{.gap_limit = kNoGapLimit});
    if (test.size != 0) {
      const ActorPtr actor = world->Open(false);
      world->Commit(actor.get(), MakeEntries(7, test.size));
      world->Publish(actor.get());
    }
    Live(world.get(), test.old_end, Content::kText, 10, false);
    old_ = FilesOf(*world->disk());
    old_note_ = Newest(world->disk());
    const auto recovered = world->Clone();
    static_cast<void>(recovered->Open(false));
    const Files mended = FilesOf(*recovered->disk());
    if (test.boots_between) world->Reboot();
    Live(world.get(), test.new_end, test.content, 20, test.advances_base);
    const Files newer = FilesOf(*world->disk());
    new_note_ = Newest(world->disk());
    std::vector<std::string> differ;
    for (const auto& [name, bytes] : newer) {
      if (old_.contains(name) && old_.at(name) != bytes) differ.push_back(name);
    }
    ASSERT_GE(differ.size(), 5u);
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
        ++states_;
        if (HasFailure()) return;
      }
    }
  }

  void CheckState(const World& state) {
    const bool is_sound = IsSound(*state.Clone());
    const bool opens = Opens(*state.Clone());
    if (is_sound) {
      EXPECT_TRUE(opens) << "the audit calls sound what does not open";
    }
    Reads(*state.Clone());
    for (const std::string& newest : {old_note_, new_note_}) Adopts(*state.Clone(), newest);
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
    } catch (const Violation& violation) {
      const std::string what = violation.what();
      ADD_FAILURE() << what.substr(0, what.find('\n'));
    }
    return true;
  }

  static void Reads(World& world) {
    const auto process = world.disk()->NewProcess();
    const auto store = Store::Open(process.get(), Store::Mode::kReadOnly, {.clock = {}});
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
    const Status adopted = Store::Adopt(process.get(), newest,
                                        {.clock = [&] { return *world.clock() * kNanoseconds; }});
    process->Kill();
    if (!adopted.has_value()) {
      EXPECT_TRUE(FilesOf(*world.disk()) == before) << "a refusal has changed something";
      return;
    }
    EXPECT_TRUE(Opens(world));
  }

  static std::string Newest(SimDisk* disk) {
    const auto process = disk->NewProcess();
    return PublishedFile::Open(process.get(), Access::kRead).value()->Read()->published.note;
  }

  void TearDown() override {
    std::printf("%llu states, %llu of them open, %llu are called sound\n",
                static_cast<unsigned long long>(states_), static_cast<unsigned long long>(opened_),
                static_cast<unsigned long long>(sound_));
  }

  Files old_;
  std::string old_note_;
  std::string new_note_;
  uint64_t states_ = 0;
  uint64_t opened_ = 0;
  uint64_t sound_ = 0;
};

TEST_F(RollbackTest, EverySubsetOfTheFiles) {
  bool advances_base = false;
  for (const End old_end : kEnds) {
    for (const End new_end : kEnds) {
      for (const bool boots_between : {false, true}) {
        advances_base = !advances_base;
        Check({.size = 100,
               .content = Content::kText,
               .old_end = old_end,
               .new_end = new_end,
               .boots_between = boots_between,
               .advances_base = advances_base});
        if (HasFailure()) return;
      }
      advances_base = !advances_base;
    }
  }
}

// A copy that was begun while the log was still being closed, put back: the journal is of before
// the last base slot, the head of after it. The entries are whole, and it opens.
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
    Put(mixed->disk(), "journal", journal);
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
