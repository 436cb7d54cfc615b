#include "tests/crash/damage.h"

#include "logcore/posix/files/published.h"
#include "logcore/posix/files/segments.h"
#include "logcore/util/check.h"

namespace tlogfs_test {

using namespace logcore;

namespace {

void CutTo(SimDisk* disk, const std::string& name, uint64_t removed) {
  const uint64_t length = disk->CachedBytes(name).length();
  disk->RotLength(name, length - std::min(removed, length));
}

void FlipBit(SimDisk* disk, const std::string& name) {
  std::string bytes = disk->Cached(name);
  if (bytes.empty()) return;
  const size_t place = bytes.size() / 2;
  const char flipped = static_cast<char>(bytes[place] ^ 4);
  disk->Rot(name, place, {&flipped, 1});
}

void Lengthen(SimDisk* disk, const std::string& name) {
  disk->Rot(name, disk->CachedBytes(name).length(), "something");
}

void Replace(SimDisk* disk, const std::string& name, const std::string& bytes) {
  disk->RotLength(name, bytes.size());
  disk->Rot(name, 0, bytes);
}

}  // namespace

void Remove(SimDisk* disk, const std::string& name) {
  const auto process = disk->NewProcess();
  CHECK(process->Rename(name, name + ".away").has_value());
  const size_t slash = name.find('/');
  const std::string directory = slash == std::string::npos ? "" : name.substr(0, slash);
  CHECK(process->SyncDirectory(directory).has_value());
}

const std::vector<DamageKind>& DamageKinds() {
  static const std::vector<DamageKind> kinds = {
      {"removed", Remove},
      {"emptied", [](SimDisk* disk, const std::string& name) { disk->RotLength(name, 0); }},
      {"cut by a byte", [](SimDisk* disk, const std::string& name) { CutTo(disk, name, 1); }},
      {"cut by a block", [](SimDisk* disk, const std::string& name) { CutTo(disk, name, 4096); }},
      {"a bit flipped", FlipBit},
      {"lengthened", Lengthen},
      {"zeros",
       [](SimDisk* disk, const std::string& name) {
         Replace(disk, name, std::string(disk->CachedBytes(name).length(), '\0'));
       }},
      {"another file",
       [](SimDisk* disk, const std::string& name) { Replace(disk, name, disk->Cached("config")); }},
  };
  return kinds;
}

std::vector<std::string> DerivedFiles(uint64_t entries) {
  std::vector<std::string> names = {"checkpoint", "hashes/0", "hashes/1",
                                    "hashes/2",   "hashes/7", "times"};
  for (uint64_t number = 0; number * kSegmentEntries < entries; ++number) {
    names.push_back(SegmentIndexName(number));
  }
  return names;
}

std::map<std::string, std::string> AllFiles(const SimDisk& disk) {
  std::map<std::string, std::string> files;
  for (const std::string& name : disk.Names()) files[name] = disk.Cached(name);
  return files;
}

std::string NewestNote(SimDisk* disk) {
  const auto process = disk->NewProcess();
  const auto file = PublishedFile::Open(process.get(), Access::kRead);
  return file.value()->Read()->published.note;
}

std::vector<History> HistoriesOf(const World& start, uint64_t entries) {
  std::vector<History> histories;
  const auto add = [&](const std::string& name, const std::function<void(World*)>& live) {
    std::shared_ptr<World> world = start.Clone();
    live(world.get());
    histories.push_back({name, world});
  };
  const auto grow = [entries](World* world, Actor* actor) {
    while (world->log().size() < entries) {
      const uint64_t count = std::min<uint64_t>(entries - world->log().size(), 67);
      *world->clock() += 1;
      world->Commit(actor, MakeEntries(world->log().size(), count));
    }
    world->Publish(actor);
  };
  add("closed", [&](World* world) {
    const ActorPtr actor = world->Open();
    grow(world, actor.get());
    world->Close(actor.get());
  });
  add("killed", [&](World* world) { grow(world, world->Open().get()); });
  add("killed before it published", [&](World* world) {
    const ActorPtr actor = world->Open();
    grow(world, actor.get());
    world->AdvanceReplayPoint(actor.get());
    *world->clock() += 5;
    world->Commit(actor.get(), MakeEntries(7, 20));
    world->Commit(actor.get(), MakeEntries(8, 300));
  });
  // Before and after the record is on the disk.
  for (const uint64_t operation : {6u, 8u, 10u}) {
    add("killed in a commit", [&](World* world) {
      const ActorPtr actor = world->Open();
      grow(world, actor.get());
      world->disk()->CrashAt(world->disk()->operations() + operation);
      try {
        world->Commit(actor.get(), MakeEntries(9, 40));
      } catch (const SimCrash&) {
      }
      world->disk()->CrashAt(0);
    });
  }
  for (const uint64_t seed : {1u, 2u, 3u, 4u, 5u}) {
    add("power cut", [&](World* world) {
      const ActorPtr actor = world->Open();
      grow(world, actor.get());
      if (seed % 2 == 0) world->AdvanceReplayPoint(actor.get());
      world->Commit(actor.get(), MakeEntries(seed, 30));
      if (seed == 3) world->Publish(actor.get());
      world->CutPower(seed);
    });
  }
  return histories;
}

Result<RepairReport> RepairStore(World* world, const std::optional<std::string>& newest) {
  const auto process = world->disk()->NewProcess();
  Result<RepairReport> report =
      Repair(process.get(), {.newest = newest,
                             .clock = [world] { return *world->clock() * kNanoseconds; },
                             .progress = {},
                             .gap_limit = kGapLimit});
  process->Kill();
  return report;
}

void CheckGoesOn(World* world) {
  const ActorPtr actor = world->Open();
  world->Publish(actor.get());
  world->CheckFiles();
  world->CheckEntries(&actor->store->reader(), 1, 5);
  *world->clock() += 1;
  world->Commit(actor.get(), MakeEntries(11, 5));
  world->Publish(actor.get());
  world->CheckFiles();
  world->CheckAudit();
  world->Close(actor.get());
  world->CheckAudit();
}

}  // namespace tlogfs_test
