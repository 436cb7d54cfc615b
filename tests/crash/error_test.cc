// Operations that fail: for every n, the n-th operation of a workload of ten commits fails, with an
// I/O error or a full disk, before it happened, half-way, or after. And a disk that is really full.
//
// Whatever fails: no acknowledged entry is lost, nothing published is contradicted, not by a power
// cut either; and the store works again as soon as the disk does: at once after kNoSpace, opened
// anew after any other error.

#include <gtest/gtest.h>

#include <cstdio>

#include "tests/crash/runs.h"

namespace tlogfs_test {
namespace {

using logcore::Code;

// One store's life, in which one operation fails.
class FaultyLife {
 public:
  explicit FaultyLife(World* world) : world_(world) { world_->AllowErrors(); }

  void Run() {
    uint64_t seed = 1;
    constexpr uint64_t kCounts[] = {3, 120, 132, 1, 1, 90, 2, 40, 5, 7};
    for (const uint64_t count : kCounts) {
      Do([&](Actor* actor) { world_->Commit(actor, MakeEntries(seed, count)); });
      if (seed % 3 != 0) Do([&](Actor* actor) { world_->Publish(actor); });
      if (seed % 4 == 0) Do([&](Actor* actor) { world_->AdvanceBase(actor); });
      *world_->clock() += 1;
      if (seed == 6) Do([&](Actor* actor) { world_->Close(actor); });
      if (seed == 6) actor_.reset();
      ++seed;
    }
    Do([&](Actor* actor) { world_->Publish(actor); });
  }

  // The process goes, or the machine; then all must be well.
  void Finish(bool cut, uint64_t seed) {
    actor_.reset();
    if (cut) world_->CutPower(seed);
    Do([&](Actor* actor) { world_->Publish(actor); });
    Do([&](Actor* actor) { world_->AdvanceBase(actor); });
    world_->CheckFiles();
    Do([&](Actor* actor) { world_->Commit(actor, MakeEntries(seed, 3)); });
    Do([&](Actor* actor) { world_->Publish(actor); });
    world_->CheckFiles();
    Do([&](Actor* actor) { world_->Close(actor); });
    world_->CheckAudit();
    actor_.reset();
    world_->CutPower(seed + 1);
    world_->Read(seed);
  }

  int errors() const { return errors_; }

 private:
  // Takes a step, again after an error: in the same process if that said that it may go on.
  template <typename Step>
  void Do(const Step& step) {
    for (int attempt = 0; attempt < 4; ++attempt) {
      if (actor_ == nullptr) {
        actor_ = world_->Open();
        if (actor_ == nullptr) {
          ++errors_;
          continue;
        }
      }
      step(actor_.get());
      if (!world_->error()) return;
      ++errors_;
      last_ = world_->error()->message;
      if (world_->error()->code == Code::kNoSpace) continue;
      actor_.reset();
    }
    throw Violation("the store does not recover from one error: " + last_ + world_->Story());
  }

  World* const world_;
  ActorPtr actor_;
  int errors_ = 0;
  std::string last_;
};

struct Failure {
  Code code;
  SimDisk::Outcome outcome;
};

// Returns how many operations the workload has.
uint64_t CountOperations(bool reads) {
  const auto world = World::Create();
  if (reads) world->disk()->CountReads();
  const uint64_t before = world->disk()->operations();
  FaultyLife(world.get()).Run();
  return world->disk()->operations() - before;
}

void FailEach(bool reads, const std::vector<Failure>& failures) {
  const uint64_t operations = CountOperations(reads);
  const auto start = World::Create();
  uint64_t runs = 0, failed = 0;
  for (const Failure& failure : failures) {
    for (uint64_t n = 1; n <= operations; ++n) {
      for (const bool cut : {false, true}) {
        const auto world = start->Clone();
        if (reads) world->disk()->CountReads();
        world->disk()->FailOperation(world->disk()->operations() + n, failure.code,
                                     failure.outcome);
        try {
          FaultyLife life(world.get());
          life.Run();
          life.Finish(cut, n);
          ++runs;
          if (life.errors() != 0) ++failed;
        } catch (const Violation& violation) {
          FAIL() << "operation " << n << " of " << operations << ", code "
                 << static_cast<int>(failure.code) << ", outcome "
                 << static_cast<int>(failure.outcome) << (cut ? ", then a cut: " : ": ")
                 << violation.what();
        }
      }
    }
  }
  std::printf("%llu runs; in %llu of them an error was reported\n",
              static_cast<unsigned long long>(runs), static_cast<unsigned long long>(failed));
  EXPECT_LT(runs / 4, failed) << "errors do not come through";
}

TEST(ErrorTest, EveryOperationFailsWithAnIoError) {
  FailEach(false, {{Code::kIo, SimDisk::Outcome::kNotHappened},
                   {Code::kIo, SimDisk::Outcome::kHalf},
                   {Code::kIo, SimDisk::Outcome::kHappened}});
}

TEST(ErrorTest, EveryOperationFindsTheDiskFull) {
  FailEach(false, {{Code::kNoSpace, SimDisk::Outcome::kNotHappened},
                   {Code::kNoSpace, SimDisk::Outcome::kHalf},
                   {Code::kNoSpace, SimDisk::Outcome::kHappened}});
}

TEST(ErrorTest, TwoOperationsFail) {
  const uint64_t operations = CountOperations(false);
  const auto start = World::Create();
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    SimRandom random(seed);
    const auto world = start->Clone();
    for (int i = 0; i < 2; ++i) {
      world->disk()->FailOperation(world->disk()->operations() + 1 + random.Below(operations),
                                   random.OneIn(3) ? Code::kNoSpace : Code::kIo,
                                   static_cast<SimDisk::Outcome>(random.Below(3)));
    }
    try {
      FaultyLife life(world.get());
      life.Run();
      life.Finish(random.OneIn(2), seed);
    } catch (const Violation& violation) {
      FAIL() << "seed " << seed << ": " << violation.what();
    }
  }
}

TEST(ErrorTest, EveryReadFails) {
  FailEach(true, {{Code::kIo, SimDisk::Outcome::kNotHappened}});
}

// The disk fills at every block: commits fail with kNoSpace and nothing else, publishing what was
// committed goes on, and commits work again when there is room.
TEST(ErrorTest, AFullDiskOnlyRefuses) {
  uint64_t refused = 0;
  for (uint64_t blocks = 0; blocks < 64; ++blocks) {
    const auto world = World::Create();
    world->AllowErrors();
    world->disk()->SetCapacity(world->disk()->UsedBytes() + blocks * kSimBlock);
    const ActorPtr actor = world->Open();
    ASSERT_NE(actor, nullptr);
    bool full = false;
    for (uint64_t seed = 1; seed < 40; ++seed) {
      if (full && seed == 30) {
        world->disk()->SetCapacity(0);
        full = false;
      }
      world->Commit(actor.get(), MakeEntries(seed, 60));
      if (world->error()) {
        ASSERT_EQ(world->error()->code, Code::kNoSpace) << world->error()->message;
        full = true;
        ++refused;
      } else {
        ASSERT_FALSE(full && seed >= 30);
      }
      world->Publish(actor.get());
      ASSERT_FALSE(world->error()) << world->error()->message;
      if (seed % 8 == 0) world->AdvanceBase(actor.get());
      ASSERT_FALSE(world->error()) << world->error()->message;
    }
    world->CheckFiles();
    world->CheckAudit();
    EXPECT_GT(world->acknowledged(), 500u);
  }
  EXPECT_GT(refused, 100u);
}

}  // namespace
}  // namespace tlogfs_test
