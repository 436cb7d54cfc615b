// Damage of the files that repair (logcore/posix/check/repair.h) makes again, on a simulated disk;
// and what the tests of repair have in common. One thread.

#ifndef TESTS_CRASH_DAMAGE_H_
#define TESTS_CRASH_DAMAGE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "logcore/posix/check/repair.h"
#include "tests/crash/world.h"

namespace tlogfs_test {

struct DamageKind {
  std::string what;
  std::function<void(SimDisk*, const std::string& name)> happen;
};
// Lost, emptied, cut, flipped, lengthened, zeros, another file's bytes. Some do nothing to a file
// that is empty.
const std::vector<DamageKind>& DamageKinds();
void Remove(SimDisk* disk, const std::string& name);

// The files that follow from others, of a store that has `entries` of them.
std::vector<std::string> DerivedFiles(uint64_t entries);
// All files, by name.
std::map<std::string, std::string> AllFiles(const SimDisk& disk);
// The newest checkpoint of the store, as a note; the store must have one.
std::string NewestNote(SimDisk* disk);

// What happened to a store before it was damaged.
struct History {
  std::string name;
  std::shared_ptr<World> world;
};
// Closed, killed with and without entries that were acknowledged and not published, killed in the
// midst of a commit, after a power cut.
std::vector<History> HistoriesOf(const World& start, uint64_t entries);

// By a process of its own.
logcore::Result<logcore::RepairReport> RepairStore(World* world,
                                                   const std::optional<std::string>& newest);
// The store opens, has all that was promised, in files that are byte for byte what they were to be,
// takes appends, and is sound. Throws Violation.
void CheckGoesOn(World* world);

}  // namespace tlogfs_test

#endif  // TESTS_CRASH_DAMAGE_H_
