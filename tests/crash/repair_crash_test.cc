// Repair (logcore/posix/check/repair.h) that is cut short: killed, or by the power, at every
// operation. Then each file is the damaged one or the new one, the damaged one is still there by
// one of its names, and repairing once more ends it. And sabotage: each sync of a repair is left
// out, which the same runs must notice.

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/crash/damage.h"
#include "tests/crash/runs.h"

namespace tlogfs_test {
namespace {

using namespace logcore;

// Damaged stores, by what they are called.
struct Patient {
  std::string name;
  std::shared_ptr<World> world;
  std::string newest;
  std::map<std::string, std::string> damaged;  // the files that are
};

class RepairCrashTest : public testing::Test {
 protected:
  static std::vector<Patient> Patients(uint64_t entries,
                                       const std::function<void(SimDisk*)>& prepare) {
    std::vector<Patient> patients;
    const auto start = PrepareWorld(entries - 200, prepare);
    for (const History& history : HistoriesOf(*start, entries)) {
      // Each kind once.
      if (!patients.empty() && patients.back().name == history.name) continue;
      Patient patient{history.name, history.world, NewestNote(history.world->disk()), {}};
      SimDisk* const disk = history.world->disk();
      size_t turn = patients.size();
      for (const std::string& name : DerivedFiles(entries)) {
        // Where the power was cut, the end of each file is not known: they are shortened to a part
        // that is, so that they differ for sure.
        if (turn++ % 4 == 0) continue;
        disk->RotLength(name, disk->CachedBytes(name).length() == 0 ? 5 : 16);
        patient.damaged[name] = disk->Cached(name);
      }
      patients.push_back(std::move(patient));
    }
    return patients;
  }

  // The damaged bytes are there, by one of the two names, or its third and so on. Not known after a
  // power cut, where the store had not been closed: what was not synced of them may be lost, and
  // recovery writes over what comes after its base.
  static void CheckEvidence(const SimDisk& disk, const Patient& patient, bool was_cut) {
    if ((was_cut && patient.name != "closed") || patient.name == "power cut") return;
    const std::vector<std::string> names = disk.Names();
    for (const auto& file : patient.damaged) {
      const std::string& name = file.first;
      const std::string& bytes = file.second;
      const bool found = std::any_of(names.begin(), names.end(), [&](const std::string& other) {
        return (other == name || other.starts_with(name + ".damaged")) &&
               disk.Cached(other) == bytes;
      });
      if (!found) throw Violation("the damaged " + name + " is gone");
    }
  }

  static void RepairNow(World* world, const Patient& patient) {
    const Result<RepairReport> report = RepairStore(world, patient.newest);
    if (!report.has_value()) throw Violation("repair: " + report.error().message);
  }

  // What is left of a repair that stopped there.
  static void CheckLeft(World* world, const Patient& patient, uint64_t seed) {
    if (seed != 0) world->CutPower(seed);
    CheckEvidence(*world->disk(), patient, seed != 0);
    RepairNow(world, patient);
    CheckEvidence(*world->disk(), patient, seed != 0);
    const auto cut = world->Clone();
    cut->CutPower(seed + 1);
    CheckGoesOn(cut.get());
    CheckGoesOn(world);
  }

  // Returns how many states were looked at.
  static uint64_t CrashEverywhere(const Patient& patient) {
    const auto whole = patient.world->Clone();
    const uint64_t begin = whole->disk()->operations();
    RepairNow(whole.get(), patient);
    const uint64_t end = whole->disk()->operations();
    uint64_t states = 0;
    // It is done, and durable: no more repair is needed, not after a power cut either.
    for (uint64_t cut = 1; cut <= 10 * kCuts; ++cut) {
      const auto done = whole->Clone();
      done->CutPower(cut);
      CheckEvidence(*done->disk(), patient, true);
      CheckGoesOn(done.get());
      ++states;
    }
    for (uint64_t number = begin + 1; number <= end; ++number) {
      const auto world = patient.world->Clone();
      world->disk()->CrashAt(number);
      try {
        RepairNow(world.get(), patient);
      } catch (const SimCrash&) {
      }
      world->disk()->CrashAt(0);
      for (uint64_t cut = 0; cut <= kCuts; ++cut) {
        const auto left = world->Clone();
        CheckLeft(left.get(), patient, cut == 0 ? 0 : 1000 * number + cut);
        ++states;
      }
    }
    return states;
  }

  // So many that no file is within the block of it that the replay point keeps, which recovery puts
  // back.
  static constexpr uint64_t kManyEntries = 8500;
  static constexpr uint64_t kCuts = 4;  // of the power, at each operation

  // A store that has lost so many rows of `times`, some of them no block has: the replay point gets
  // another one.
  static std::unique_ptr<World> WithoutTimes(const std::function<void(SimDisk*)>& prepare) {
    auto world = World::Create(prepare);
    {
      const ActorPtr actor = world->Open();
      for (uint64_t seed = 1; seed <= 400; ++seed) {
        *world->clock() += 2;
        world->Commit(actor.get(), MakeEntries(seed, 1));
      }
      world->Publish(actor.get());
      world->Close(actor.get());
    }
    world->disk()->RotLength("times", 1000);
    return world;
  }

  // Whatever stops it, a repair can end it. Times are others then: files are not compared.
  static void CrashWhileTheBaseIsWritten(const std::function<void(SimDisk*)>& prepare) {
    const auto damaged = WithoutTimes(prepare);
    const auto repair = [](World* world) {
      const Result<RepairReport> report = RepairStore(world, std::nullopt);
      if (!report.has_value()) throw Violation("repair: " + report.error().message);
      return report->lost_times;
    };
    const auto go_on = [](World* world, uint64_t cut) {
      for (int i = 0; i < 2; ++i) {
        world->CutPower(cut);
        const ActorPtr actor = world->Open();
        world->Publish(actor.get());
        world->CheckAudit();
        world->Commit(actor.get(), MakeEntries(1, 1));
        world->AdvanceReplayPoint(actor.get());
        world->Publish(actor.get());
        world->CheckAudit();
      }
    };
    const auto whole = damaged->Clone();
    const uint64_t begin = whole->disk()->operations();
    if (repair(whole.get()) != 301) throw Violation("another number of lost rows");
    const uint64_t end = whole->disk()->operations();
    for (uint64_t cut = 1; cut <= 20; ++cut) go_on(whole->Clone().get(), cut);
    for (uint64_t number = begin + 1; number <= end; ++number) {
      const auto world = damaged->Clone();
      world->disk()->CrashAt(number);
      try {
        repair(world.get());
      } catch (const SimCrash&) {
      }
      world->disk()->CrashAt(0);
      for (uint64_t cut = 0; cut <= kCuts; ++cut) {
        const auto left = world->Clone();
        if (cut != 0) left->CutPower(cut * number);
        repair(left.get());
        go_on(left.get(), cut + number);
      }
    }
  }

  // Whether the runs notice that `chosen` is left out.
  static bool IsNoticed(const SimDisk::Predicate& chosen) {
    try {
      for (const Patient& patient :
           Patients(kManyEntries, [&](SimDisk* disk) { disk->Ignore(chosen); })) {
        CrashEverywhere(patient);
      }
    } catch (const Violation&) {
      return true;
    }
    return false;
  }
};

TEST_F(RepairCrashTest, WhileTheBaseIsWritten) {
  try {
    CrashWhileTheBaseIsWritten(nullptr);
  } catch (const Violation& violation) {
    FAIL() << violation.what();
  }
}

TEST_F(RepairCrashTest, ASyncOfTheBaseThatIsLeftOutIsNoticed) {
  const auto is_noticed = [](const SimDisk::Predicate& chosen) {
    try {
      CrashWhileTheBaseIsWritten([&](SimDisk* disk) { disk->Ignore(chosen); });
    } catch (const Violation&) {
      return true;
    }
    return false;
  };
  // In a repair: after it made the new files, and before it put them in place.
  EXPECT_TRUE(is_noticed([](const SimOperation& operation) {
    if (operation.name.ends_with(".repaired")) *operation.mark |= 1;
    if (operation.kind == SimKind::kLink) *operation.mark &= ~uint64_t{1};
    const bool is_sync = operation.kind == SimKind::kSync && operation.name == "journal";
    return is_sync && (*operation.mark & 1) != 0;
  }));
  // What a repair that was killed has left: the first that the next one does.
  EXPECT_TRUE(is_noticed([](const SimOperation& operation) {
    return operation.kind == SimKind::kSyncDirectory && 60 < operation.number &&
           operation.of_process <= 3;
  }));
  EXPECT_FALSE(is_noticed([](const SimOperation&) { return false; }));
}

TEST_F(RepairCrashTest, AtEveryOperation) {
  uint64_t states = 0;
  for (const Patient& patient : Patients(300, nullptr)) {
    SCOPED_TRACE(patient.name);
    try {
      states += CrashEverywhere(patient);
    } catch (const Violation& violation) {
      FAIL() << violation.what();
    }
  }
  EXPECT_GT(states, 1000u);
}

// A commit has no such names, and syncs no such directories but when it begins a segment.
TEST_F(RepairCrashTest, ASyncThatIsLeftOutIsNoticed) {
  EXPECT_TRUE(IsNoticed(SimDisk::Matching(SimKind::kSync, "*.repaired")));
  for (const char* directory : {"entries", "hashes", ""}) {
    const auto synced = SimDisk::Matching(SimKind::kSyncDirectory, directory);
    const auto in_repair = [synced](const SimOperation& operation) {
      return synced(operation) && 60 < operation.number;
    };
    EXPECT_TRUE(IsNoticed(in_repair)) << directory;
    // The one before the files are renamed, which only keeps the damaged ones; and the one after.
    for (const bool first : {true, false}) {
      const auto one = [in_repair, first](const SimOperation& operation) {
        if (operation.kind == SimKind::kLink) *operation.mark |= 1 << 20;
        if (operation.kind == SimKind::kRename) *operation.mark &= ~uint64_t{1 << 20};
        const bool is_first = (*operation.mark & 1 << 20) != 0;
        return in_repair(operation) && is_first == first;
      };
      EXPECT_TRUE(IsNoticed(one)) << directory << (first ? ", first" : ", second");
    }
  }
}

}  // namespace
}  // namespace tlogfs_test
