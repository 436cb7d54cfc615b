#include "tests/crash/runs.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/crash/aftermath.h"

namespace tlogfs_test {

namespace {

// lock numbers of logcore/posix/files/lock_file.h: who lets another process work inside an
// operation must know that it will not wait for this one.
constexpr int kCommitLock = 1;
constexpr int kPublishLock = 2;

constexpr uint64_t kTile = 256;
constexpr uint64_t kSegment = 65536;

// The ways to crash before `operation`, numbered. Some begin with a reader: what it sees, the power
// cut must keep.
void CrashHere(const World& world, const SimOperation& operation, uint64_t way, uint64_t seed,
               RunCount* count) {
  const auto crashed = world.Clone();
  SimDisk* disk = crashed->disk();
  SimRandom random(seed);
  const uint64_t kind = way % 8;
  if (kind == 0 || kind == 2 || kind == 4) crashed->Read(random.Next(), 0);
  if (kind == 1 && operation.kind == SimKind::kWrite && operation.bytes.size() > kSimBlock) {
    const uint64_t first = kSimBlock - operation.offset % kSimBlock;
    const uint64_t blocks = (operation.bytes.size() - first) / kSimBlock;
    disk->WritePart(operation, first + random.Below(blocks + 1) * kSimBlock);
  }
  if (kind == 3 || kind == 7) {  // A restart that is cut short as well, or two.
    for (uint64_t restarts = 1 + random.Below(2); restarts != 0; --restarts) {
      disk->CrashAt(disk->operations() + 1 + random.Below(random.OneIn(2) ? 4 : 16));
      try {
        const ActorPtr actor = crashed->Open();
      } catch (const SimCrash&) {
        ++count->deeper;
      }
    }
    disk->CrashAt(0);
  }
  if (kind == 5) {  // One that publishes what the cut must keep.
    const ActorPtr actor = crashed->Open();
    crashed->Publish(actor.get());
  }
  if (kind >= 2) {
    ++count->cuts;
    crashed->CutPower(random.Next());
    if (kind == 2) crashed->Read(random.Next(), 0);
  }
  Aftermath(crashed.get(), random.Next(), count).Check();
}

// A life of a store in the same order each time; the seed decides bytes, sizes and turns. Two
// processes take turns, and sometimes one works while another is in the midst of something.
class Life {
 public:
  Life(World* world, uint64_t seed) : world_(world), random_(seed) {}

  void Run() {
    Reopen();
    if (world_->log().size() == 0) {
      for (const uint64_t count : {uint64_t{1}, 2 + random_.Below(40), 60 + random_.Below(90)}) {
        Append(count);
      }
    }
    CrossEdge();
    Reopen();
    for (int i = 0; i < 12; ++i) {
      Append(random_.OneIn(6) ? 1 + random_.Below(150) : 1 + random_.Below(4));
      if (random_.OneIn(3)) *world_->clock() += ClockStep(&random_);
    }
    world_->AdvanceReplayPoint(Turn());
    world_->Publish(Turn());
    // One process closes in good order, the other goes on.
    world_->Close(actors_[0].get());
    actors_[0] = world_->Open();
    Append(2);
    // The end of one boot, and a little of the next one.
    world_->Close(actors_[1].get());
    for (ActorPtr& actor : actors_) actor.reset();
    world_->CutPower(random_.Next());
    Reopen();
    Append(1 + random_.Below(10));
  }

  // Lets the other process work in the midst of an operation, where that is possible.
  void Interrupt(const SimOperation& operation) {
    if (interrupting_ || turn_ == nullptr) return;
    Actor* other = actors_[turn_ == actors_[0].get() ? 1 : 0].get();
    if (other == nullptr || !random_.OneIn(3)) return;
    SimDisk* disk = world_->disk();
    interrupting_ = true;
    const bool may_commit = (in_advance_ && operation.kind == SimKind::kSync) || in_publish_;
    if (may_commit && !disk->IsLocked("lock", kCommitLock) && other->store->ReplayLength() < 0.5) {
      world_->Commit(other, MakeEntries(random_.Next(), 1 + random_.Below(4)));
    }
    if (!disk->IsLocked("lock", kPublishLock) && random_.OneIn(2)) world_->Publish(other);
    interrupting_ = false;
  }

 private:
  Actor* Turn() { return actors_[random_.Below(2)].get(); }

  void Reopen() {
    for (ActorPtr& actor : actors_) actor.reset();
    for (ActorPtr& actor : actors_) actor = world_->Open();
  }

  // Over the next full tile, or segment, in one of the ways there are: each of the sizes one before
  // it, it, and one after it ends a batch, or lies inside one.
  void CrossEdge() {
    const uint64_t size = world_->log().size();
    const uint64_t edge = size < kTile ? kTile : kSegment;
    const std::vector<std::vector<uint64_t>> ways = {
        {edge - 1, edge, edge + 1}, {edge - 1, edge + 1},
        {edge, edge + 1},           {edge - 2, edge},
        {edge - 2, edge + 1},       {edge + 1},
        {edge - 1, edge + 2},       {edge, edge + random_.Below(9)},
        {edge + random_.Below(200)}};
    for (const uint64_t to : ways[random_.Below(ways.size())]) {
      if (world_->log().size() < to) Append(to - world_->log().size());
    }
  }

  void Append(uint64_t count) {
    turn_ = Turn();
    if (count == 1 || !random_.OneIn(3)) {
      world_->Commit(turn_, MakeEntries(random_.Next(), count));
    } else {
      const uint64_t first = 1 + random_.Below(count - 1);
      world_->CommitAndPrepare(turn_, MakeEntries(random_.Next(), first),
                               MakeEntries(random_.Next(), count - first));
      world_->CommitNext(turn_);
    }
    turn_ = nullptr;
    if (random_.Below(4) != 0) {
      turn_ = Turn();
      in_publish_ = true;
      world_->Publish(turn_);
      in_publish_ = false;
      turn_ = nullptr;
    }
    if (random_.OneIn(5)) {
      turn_ = Turn();
      in_advance_ = true;
      world_->AdvanceReplayPoint(turn_);
      in_advance_ = false;
      turn_ = nullptr;
    }
  }

  World* const world_;
  SimRandom random_;
  ActorPtr actors_[2];
  Actor* turn_ = nullptr;  // in the midst of something that another may interrupt
  bool in_advance_ = false;
  bool in_publish_ = false;
  bool interrupting_ = false;
};

// One world from crash to crash.
class History {
 public:
  History(World* world, uint64_t seed, RunCount* count)
      : world_(world), random_(seed), count_(count) {}

  void Run(int crashes) {
    for (int i = 0; i < crashes; ++i) {
      SimDisk* disk = world_->disk();
      disk->CrashAt(disk->operations() + 1 + random_.Below(random_.OneIn(4) ? 150 : 20),
                    random_.Below(4));
      try {
        while (true) Step();
      } catch (const SimCrash&) {
        disk->CrashAt(0);
        ++count_->states;
        Crash();
      }
    }
    actors_.clear();
    Aftermath(world_, random_.Next(), count_).Check();
  }

 private:
  void Step() {
    if (actors_.empty() || (actors_.size() < 3 && random_.OneIn(12))) {
      actors_.push_back(world_->Open());
      if (random_.OneIn(2)) PublishAndCheck(actors_.back().get());
      return;
    }
    if (random_.OneIn(2)) *world_->clock() += ClockStep(&random_);
    const size_t who = random_.Below(actors_.size());
    Actor* actor = actors_[who].get();
    switch (random_.Below(20)) {
      case 0:
        actors_.erase(actors_.begin() + static_cast<std::ptrdiff_t>(who));
        break;
      case 1:
        world_->Close(actor);
        break;
      case 2:
        world_->AdvanceReplayPoint(actor);
        break;
      case 3:
        world_->Read(random_.Next(), 2);
        break;
      case 4:
        world_->CheckEntries(&actor->store->reader(), random_.Next(), 3);
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        PublishAndCheck(actor);
        break;
      default: {
        if (!actor->next_entries.empty()) return world_->CommitNext(actor);
        const auto entries = MakeEntries(random_.Next(), Count());
        if (random_.OneIn(2)) return world_->Commit(actor, entries);
        world_->CommitAndPrepare(actor, entries, MakeEntries(random_.Next(), Count()));
      }
    }
  }

  uint64_t Count() { return random_.OneIn(6) ? 1 + random_.Below(200) : 1 + random_.Below(5); }

  void PublishAndCheck(Actor* actor) {
    world_->Publish(actor);
    if (!random_.OneIn(4)) return;
    // Another may have died in a commit, with its record durable and the files not yet written:
    // only a step that takes the commit lock mends that.
    world_->AdvanceReplayPoint(actor);
    world_->Publish(actor);
    world_->CheckFiles();
  }

  void Crash() {
    // Whoever is dead is gone; the others go on, or not.
    std::erase_if(actors_, [](const ActorPtr& actor) { return actor->process->dead(); });
    const uint64_t fate = random_.Below(10);
    if (fate < 4) actors_.clear();
    if (fate < 4 && random_.OneIn(3)) return;
    if (fate >= 4 && fate < 7) return;
    actors_.clear();
    ++count_->cuts;
    world_->CutPower(random_.Next());
    if (random_.OneIn(4)) world_->Read(random_.Next(), 2);
    if (random_.OneIn(16)) {
      const auto copy = world_->Clone();
      Aftermath(copy.get(), random_.Next(), count_).Check();
    }
  }

  World* const world_;
  SimRandom random_;
  RunCount* const count_;
  std::vector<ActorPtr> actors_;
};

}  // namespace

void RunEveryOperation(uint64_t seed, uint64_t cuts, const World& start, RunCount* count) {
  const auto world = start.Clone();
  Life life(world.get(), seed);
  world->disk()->Observe([&](const SimOperation& operation) {
    // Reserving changes nothing that a crash could show.
    if (operation.kind != SimKind::kAllocate) {
      for (uint64_t way = 0; way < cuts; ++way) {
        CrashHere(*world, operation, way, SimRandom(seed * 1000003 + operation.number).Next() + way,
                  count);
      }
    }
    life.Interrupt(operation);
  });
  life.Run();
  world->disk()->Observe(nullptr);
}

void RunHistory(uint64_t seed, const World& start, int crashes, RunCount* count) {
  const auto world = start.Clone();
  History(world.get(), seed, count).Run(crashes);
}

void RunInit(uint64_t seed, uint64_t cuts, const Prepare& prepare, RunCount* count) {
  const auto crash_at = [&](SimDisk* disk) {
    disk->Observe([&, disk](const SimOperation& operation) {
      for (uint64_t way = 0; way < cuts; ++way) {
        ++count->states;
        ++count->cuts;
        const auto crashed = disk->Clone();
        crashed->CutPower(SimRandom(seed + operation.number).Next() + way);
        World::CheckUnfinished(crashed.get());
      }
    });
    if (prepare) prepare(disk);
  };
  const auto world = World::Create(crash_at);
  world->disk()->Observe(nullptr);
  for (uint64_t way = 0; way < 8 * cuts; ++way) {
    const auto crashed = world->Clone();
    ++count->cuts;
    crashed->CutPower(seed + way);
    Aftermath(crashed.get(), seed + way, count).Check();
  }
}

std::unique_ptr<World> PrepareWorld(uint64_t size, const Prepare& prepare) {
  auto world = World::Create(prepare);
  const ActorPtr actor = world->Open();
  while (world->log().size() < size) {
    const uint64_t count = std::min<uint64_t>(size - world->log().size(), 1500);
    std::vector<std::string> entries;
    for (uint64_t i = 0; i < count; ++i) entries.push_back(std::to_string(i));
    world->Commit(actor.get(), entries);
  }
  world->Publish(actor.get());
  world->CheckFiles();
  return world;
}

}  // namespace tlogfs_test
