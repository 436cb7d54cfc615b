// `tlogfs adopt` of a store that is where it always was: somebody thought it a copy, or wanted to
// mend it. It must do no harm, whatever state it is in: after a failed sync the page cache holds
// what the disk does not, and only the writer state in `lock` knows.
//
// A life of a store in which one operation fails; then adopt; then it goes on, over several laps of
// the journal. After each step the power is cut in a copy of that world, and all that was promised
// must be there (World, tests/crash/world.h).

#include <gtest/gtest.h>

#include "logcore/posix/check/adopt.h"
#include "logcore/posix/files/published.h"
#include "tests/crash/world.h"

namespace tlogfs_test {
namespace {

using namespace logcore;

class AdoptTest : public testing::Test {
 protected:
  static void Live(World* world) {
    ActorPtr actor = world->Open();
    for (uint64_t seed = 1; seed <= 7 && actor != nullptr; ++seed) {
      world->Commit(actor.get(), MakeEntries(seed, 20 * seed));
      if (!world->error() && seed % 2 == 0) world->Publish(actor.get());
      if (!world->error() && seed % 3 == 0) world->AdvanceReplayPoint(actor.get());
      if (world->error()) return;
    }
  }

  // The power is cut, in a copy of the world.
  static void CheckCut(const World& world, uint64_t seed) {
    const auto copy = world.Clone();
    copy->CutPower(seed);
    const ActorPtr actor = copy->Open();
    ASSERT_NE(actor, nullptr) << copy->error()->message;
    copy->Publish(actor.get());
    copy->CheckFiles();
  }

  static void GoOn(World* world, uint64_t seed) {
    SimRandom random(seed);
    const ActorPtr actor = world->Open();
    ASSERT_NE(actor, nullptr) << world->error()->message;
    CheckCut(*world, random.Next());
    for (int step = 0; step < 30; ++step) {
      world->Commit(actor.get(), MakeEntries(random.Next(), 30));
      world->Publish(actor.get());
      CheckCut(*world, random.Next());
    }
  }
};

TEST_F(AdoptTest, AtHomeDoesNoHarm) {
  const auto start = World::Create();
  uint64_t operations = 0;
  {
    const auto world = start->Clone();
    const uint64_t before = world->disk()->operations();
    Live(world.get());
    operations = world->disk()->operations() - before;
  }
  int adopted = 0;
  for (uint64_t n = 1; n <= operations; ++n) {
    SCOPED_TRACE("operation " + std::to_string(n));
    const auto world = start->Clone();
    world->AllowErrors();
    world->disk()->FailOperation(world->disk()->operations() + n, Code::kIo,
                                 SimDisk::Outcome::kNotHappened);
    try {
      Live(world.get());
      const auto process = world->disk()->NewProcess();
      const auto newest = PublishedFile::Open(process.get(), Access::kRead).value()->Read();
      ASSERT_TRUE(newest.has_value());
      const Status status =
          Adopt(process.get(), newest->published.note,
                {.clock = [&] { return *world->clock() * kNanoseconds; }, .gap_limit = kGapLimit});
      process->Kill();
      ASSERT_TRUE(status.has_value()) << status.error().message;
      ++adopted;
      GoOn(world.get(), n);
    } catch (const Violation& violation) {
      FAIL() << violation.what();
    }
  }
  EXPECT_GT(adopted, 50);
}

}  // namespace
}  // namespace tlogfs_test
