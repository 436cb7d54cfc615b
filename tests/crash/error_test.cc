// Operations that fail: promises D5 and D6 (logcore/README.md). For every n, the n-th operation of
// a store's life fails, with an I/O error or a full disk, before it happened, half-way, or after.
// And a disk that is really full.
//
// Whatever fails: no acknowledged entry is lost, nothing published is contradicted, not by a power
// cut either; and the store works again as soon as the disk does: at once after kNoSpace, opened
// anew after any other error.
//
// These are all the errors there are at this door (logcore/posix/disk/disk.h): posix_disk.cc makes
// kNoSpace of ENOSPC and EDQUOT, kIo of EIO and of an fsync that a signal cut short, goes on after
// EINTR and after short writes elsewhere; what is left of a short write is here a write that fails
// half-way.
//
//   TLOGFS_ERROR_PAIRS=1 error_test --gtest_filter=*AllPairs   every two operations of a short life

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "tests/crash/runs.h"

namespace tlogfs_test {
namespace {

using logcore::Code;

// The sizes of a life's batches.
const std::vector<uint64_t> kLongLife = {3, 120, 132, 1, 1, 90, 2, 40, 400, 5, 7};
const std::vector<uint64_t> kShortLife = {3, 254, 1, 2};

// One store's life, in which operations fail.
class FaultyLife {
 public:
  explicit FaultyLife(World* world, const std::vector<uint64_t>& batches = kLongLife)
      : world_(world), batches_(batches) {
    world_->AllowErrors();
  }

  void Run() {
    uint64_t seed = 1;
    for (const uint64_t count : batches_) {
      Do([&](Actor* actor) { world_->Commit(actor, MakeEntries(seed, count)); });
      if (seed % 3 != 0) Do([&](Actor* actor) { world_->Publish(actor); });
      if (seed % 4 == 0) Do([&](Actor* actor) { world_->AdvanceReplayPoint(actor); });
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
    Do([&](Actor* actor) { world_->AdvanceReplayPoint(actor); });
    world_->CheckFiles();
    Do([&](Actor* actor) { world_->Commit(actor, MakeEntries(seed, 3)); });
    Do([&](Actor* actor) { world_->Publish(actor); });
    world_->CheckFiles();
    Do([&](Actor* actor) { world_->Close(actor); });
    world_->CheckAudit();
    actor_.reset();
    world_->CutPower(seed + 1);
    world_->Read(seed, 3);
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
  const std::vector<uint64_t> batches_;
  ActorPtr actor_;
  int errors_ = 0;
  std::string last_;
};

struct Failure {
  Code code;
  SimDisk::Outcome outcome;
};

// Returns how many operations the workload has.
uint64_t CountOperations(bool reads, const std::vector<uint64_t>& batches = kLongLife) {
  const auto world = World::Create();
  if (reads) world->disk()->CountReads();
  const uint64_t before = world->disk()->operations();
  FaultyLife(world.get(), batches).Run();
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

// The second one also in what the store does about the first.
TEST(ErrorTest, AllPairsOfOperationsFail) {
  if (std::getenv("TLOGFS_ERROR_PAIRS") == nullptr) GTEST_SKIP() << "TLOGFS_ERROR_PAIRS=1 runs it";
  constexpr Failure kFailures[] = {{Code::kIo, SimDisk::Outcome::kNotHappened},
                                   {Code::kIo, SimDisk::Outcome::kHalf},
                                   {Code::kIo, SimDisk::Outcome::kHappened},
                                   {Code::kNoSpace, SimDisk::Outcome::kNotHappened},
                                   {Code::kNoSpace, SimDisk::Outcome::kHappened}};
  constexpr uint64_t kAfter = 24;  // operations of a recovery
  const uint64_t operations = CountOperations(false, kShortLife);
  const auto start = World::Create();
  const uint64_t before = start->disk()->operations();
  uint64_t runs = 0;
  for (uint64_t first = 1; first <= operations; ++first) {
    for (uint64_t second = first + 1; second <= operations + kAfter; ++second) {
      for (const Failure& one : kFailures) {
        for (const Failure& other : kFailures) {
          const bool cut = ++runs % 2 == 0;
          const auto world = start->Clone();
          world->disk()->FailOperation(before + first, one.code, one.outcome);
          world->disk()->FailOperation(before + second, other.code, other.outcome);
          try {
            FaultyLife life(world.get(), kShortLife);
            life.Run();
            life.Finish(cut, runs);
          } catch (const Violation& violation) {
            FAIL() << "run " << runs << ", operations " << first << " and " << second << ": "
                   << violation.what();
          }
        }
      }
    }
  }
  std::printf("%llu runs of a life of %llu operations\n", static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(operations));
}

TEST(ErrorTest, EveryReadFails) {
  FailEach(true, {{Code::kIo, SimDisk::Outcome::kNotHappened}});
}

// What is appended to a disk that fills, and who else writes there.
struct Filling {
  std::function<std::vector<std::string>(uint64_t seed)> batch;
  bool others = false;  // take every block that is free, or given back, once the disk was full
};

// The disk fills at every block: commits fail with kNoSpace and nothing else, publishing what was
// committed goes on, also by a process that comes then; and commits work again when there is room.
void FillTheDisk(const Filling& filling) {
  uint64_t refused = 0;
  for (uint64_t blocks = 0; blocks < 64; ++blocks) {
    const auto world = World::Create();
    SimDisk* disk = world->disk();
    world->AllowErrors();
    disk->SetCapacity(disk->UsedBytes() + blocks * kSimBlock);
    ActorPtr actor = world->Open();
    ASSERT_NE(actor, nullptr);
    bool full = false;
    bool freed = false;
    for (uint64_t seed = 1; seed < 40; ++seed) {
      if (full && seed == 25) {
        actor.reset();
        actor = world->Open();
        ASSERT_NE(actor, nullptr) << world->error()->message;
      }
      if (full && seed == 30) {
        disk->SetCapacity(0);
        full = false;
        freed = true;
      }
      world->Commit(actor.get(), filling.batch(seed));
      if (world->error()) {
        ASSERT_EQ(world->error()->code, Code::kNoSpace) << world->error()->message;
        ASSERT_FALSE(freed);
        full = true;
        ++refused;
      }
      if (full && filling.others) disk->SetCapacity(disk->UsedBytes());
      world->Publish(actor.get());
      ASSERT_FALSE(world->error()) << world->error()->message;
      ASSERT_EQ(world->visible(), world->acknowledged());
      if (seed % 8 == 0) world->AdvanceReplayPoint(actor.get());
      ASSERT_FALSE(world->error()) << world->error()->message;
    }
    world->CheckFiles();
    world->CheckAudit();
    EXPECT_GT(world->acknowledged(), 500u);
  }
  EXPECT_GT(refused, 100u);
}

TEST(ErrorTest, AFullDiskOnlyRefuses) {
  FillTheDisk({.batch = [](uint64_t seed) { return MakeEntries(seed, 60); }});
}

TEST(ErrorTest, AFullDiskOnlyRefusesWhenOthersTakeWhatIsFree) {
  FillTheDisk({.batch = [](uint64_t seed) { return MakeEntries(seed, 60); }, .others = true});
}

// Their hashes are 16 times their bytes.
TEST(ErrorTest, AFullDiskOnlyRefusesEmptyEntries) {
  for (const bool others : {false, true}) {
    FillTheDisk({.batch = [](uint64_t seed) { return std::vector<std::string>(100 + seed); },
                 .others = others});
  }
}

}  // namespace
}  // namespace tlogfs_test
