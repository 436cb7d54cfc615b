// RunSurvivors of runs.h. A living process cannot be copied, so the same life is lived again for
// every operation at which somebody is to die.

#include <array>

#include "tests/crash/aftermath.h"
#include "tests/crash/runs.h"

namespace tlogfs_test {
namespace {

enum class Deed { kCommit, kPublish, kAdvanceReplayPoint, kClose, kOpen };
constexpr Deed kDeeds[] = {Deed::kCommit, Deed::kPublish, Deed::kAdvanceReplayPoint, Deed::kClose,
                           Deed::kOpen};

// Three live stores, one of which dies at operation `number` of its deed.
class Survivors {
 public:
  Survivors(World* world, uint64_t seed, RunCount* count)
      : world_(world), random_(seed), count_(count) {}

  // False if the deed has fewer operations.
  bool Run(Deed deed, uint64_t number) {
    for (ActorPtr& actor : actors_) actor = world_->Open();
    // Each has done something, and remembers what was then.
    for (size_t turn = 0, turns = 4 + random_.Below(4); turn < turns; ++turn)
      Do(RandomDeed(), turn % kActors);
    if (random_.OneIn(3)) {  // Of another boot: recovered, and nothing since is on the disk.
      for (ActorPtr& actor : actors_) actor.reset();
      world_->CutPower(random_.Next());
      for (ActorPtr& actor : actors_) actor = world_->Open();
    }
    Do(Deed::kCommit, 0);
    if (random_.OneIn(2)) Do(Deed::kPublish, random_.Below(kActors));
    if (!DiesDoing(deed, 0, number)) return false;
    // The next one may die in what it does for the dead one.
    if (random_.OneIn(3) && actors_[1] != nullptr &&
        DiesDoing(RandomDeed(), 1, 1 + random_.Below(12))) {
      ++count_->deeper;
    }
    GoOn();
    return true;
  }

 private:
  static constexpr size_t kActors = 3;

  Deed RandomDeed() {
    return random_.OneIn(2) ? Deed::kCommit : kDeeds[random_.Below(std::size(kDeeds))];
  }

  void Do(Deed deed, size_t who) {
    ActorPtr& actor = actors_[who];
    switch (deed) {
      case Deed::kCommit:
        return world_->Commit(actor.get(), MakeEntries(random_.Below(8), 1 + random_.Below(4)));
      case Deed::kPublish:
        return world_->Publish(actor.get());
      case Deed::kAdvanceReplayPoint:
        return world_->AdvanceReplayPoint(actor.get());
      case Deed::kClose:
        return world_->Close(actor.get());
      case Deed::kOpen:
        actor.reset();
        actor = world_->Open();
    }
  }

  // Often the operation before had failed, as a sync that real kernels take for done: the next one
  // says so to the others, if it comes to that.
  bool DiesDoing(Deed deed, size_t who, uint64_t number) {
    SimDisk* disk = world_->disk();
    const uint64_t last = disk->operations() + number;
    disk->CrashAt(last, random_.Below(3));
    if (random_.OneIn(2)) {
      disk->FailOperation(last - 1, logcore::Code::kIo, SimDisk::Outcome::kNotHappened);
      world_->AllowErrors();
    }
    bool died = false;
    try {
      Do(deed, who);
    } catch (const SimCrash&) {
      died = true;
    }
    disk->CrashAt(0);
    disk->FailNone();
    if (StoppedByError()) died = true;
    if (!died) return false;
    actors_[who].reset();
    ++count_->states;
    world_->Read(random_.Next(), random_.OneIn(8) ? 2 : 0);
    return true;
  }

  // Whoever is told of the failed operation says so; then nobody goes on who was there.
  bool StoppedByError() {
    const std::optional<logcore::Error>& error = world_->error();
    if (!error) return false;
    if (error->code != logcore::Code::kIo && error->code != logcore::Code::kReadOnly) {
      throw Violation("after a failed operation: " + error->message + world_->Story());
    }
    for (ActorPtr& actor : actors_) actor.reset();
    return true;
  }

  // Whoever lives goes on; a new one comes; in the end they die as well.
  void GoOn() {
    if (random_.OneIn(3)) {  // Or only new ones.
      for (ActorPtr& actor : actors_) actor.reset();
    }
    const size_t others = random_.OneIn(2) ? kActors : 1;
    for (uint64_t i = 0, steps = 1 + random_.Below(5); i < steps; ++i) {
      const size_t who = random_.Below(others);
      if (actors_[who] == nullptr) {
        actors_[who] = world_->Open();
      } else {
        Do(RandomDeed(), who);
      }
      StoppedByError();
    }
    for (ActorPtr& actor : actors_) {
      if (actor != nullptr && random_.OneIn(2)) world_->Publish(actor.get());
    }
    for (ActorPtr& actor : actors_) actor.reset();
    world_->AllowErrors(false);
    if (random_.OneIn(2)) {
      if (random_.OneIn(2)) world_->Read(random_.Next(), 0);
      ++count_->cuts;
      world_->CutPower(random_.Next());
    }
    Aftermath(world_, random_.Next(), count_).Check();
  }

  World* const world_;
  SimRandom random_;
  RunCount* const count_;
  std::array<ActorPtr, kActors> actors_;
};

}  // namespace

void RunSurvivors(uint64_t seed, const World& start, RunCount* count) {
  for (const Deed deed : kDeeds) {
    for (uint64_t number = 1;; ++number) {
      const auto world = start.Clone();
      const uint64_t life = seed * 16 + static_cast<uint64_t>(deed);
      if (!Survivors(world.get(), life, count).Run(deed, number)) break;
    }
  }
}

}  // namespace tlogfs_test
