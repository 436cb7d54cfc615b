#include "tests/crash/aftermath.h"

namespace tlogfs_test {
namespace {

constexpr int kMaxDepth = 3;

}  // namespace

int64_t ClockStep(SimRandom* random) {
  constexpr int64_t kHour = 3600;
  switch (random->Below(12)) {
    case 0:
      return kHour;
    case 1:
      return -kHour;
    case 2:
      return -1;
    default:
      return static_cast<int64_t>(random->Below(3));
  }
}

void Aftermath::CheckAt(int depth) {
  ++count_->states;
  if (depth > 0) ++count_->deeper;
  // Somebody looks, before anything is mended.
  if (random_.OneIn(2)) world_->Read(random_.Next(), random_.OneIn(4) ? 2 : 0);
  if (depth < kMaxDepth && random_.OneIn(4)) {
    const uint64_t reach = random_.OneIn(2) ? 12 : 60;
    world_->disk()->CrashAt(world_->disk()->operations() + 1 + random_.Below(reach),
                            random_.Below(3));
  }
  try {
    Live(depth);
  } catch (const SimCrash&) {
    world_->disk()->CrashAt(0);
    if (random_.Below(3) != 0) {
      if (random_.OneIn(2)) world_->Read(random_.Next(), 0);
      ++count_->cuts;
      world_->CutPower(random_.Next());
    }
    CheckAt(depth + 1);
  }
  world_->disk()->CrashAt(0);
}

void Aftermath::Live(int depth) {
  const ActorPtr actor = world_->Open();
  world_->Publish(actor.get());
  world_->CheckFiles();
  *world_->clock() += ClockStep(&random_);
  // Few different ones: then what comes after many crashes is the same tree, signed once.
  if (!random_.OneIn(8)) {
    world_->Commit(actor.get(), MakeEntries(random_.Below(8), 1 + random_.Below(3)));
  }
  if (random_.OneIn(8)) world_->AdvanceReplayPoint(actor.get());
  world_->Publish(actor.get());
  world_->CheckFiles();
  if (random_.OneIn(8)) world_->CheckEntries(&actor->store->reader(), random_.Next(), 3);
  if (random_.OneIn(8)) world_->Read(random_.Next(), 1);
  if (random_.OneIn(depth == 0 ? 8 : 2)) {  // What a recovery left that was cut short, counts now.
    world_->Close(actor.get());
    if (random_.OneIn(2)) {  // Closed in good order, it can be read after a power cut.
      ++count_->cuts;
      world_->CutPower(random_.Next());
      world_->Read(random_.Next(), 1);
      return;
    }
  }
  if (random_.OneIn(32)) {
    ++count_->audits;
    world_->CheckAudit();
  }
}

}  // namespace tlogfs_test
