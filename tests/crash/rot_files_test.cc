// Rot of whole files (rot.h): cut, lengthened, removed, exchanged, rolled back.

#include <gtest/gtest.h>

#include <set>

#include "tests/crash/rot.h"

namespace tlogfs_test {
namespace {

using namespace logcore;

void Replace(SimDisk* disk, const std::string& file, const std::string& bytes) {
  disk->RotLength(file, bytes.size());
  disk->Rot(file, 0, bytes);
}

void Remove(SimDisk* disk, const std::string& file) {
  const auto process = disk->NewProcess();
  EXPECT_TRUE(process->Rename(file, file + ".away").has_value());
}
TEST_F(RotTest, LengthsAndNames) {
  const Sound sound(NewWorld(*OldWorld()));
  for (const auto& [file, bytes] : sound.files()) {
    for (const bool power_was_cut : {false, true}) {
      for (const uint64_t length :
           {uint64_t{0}, uint64_t{1}, bytes.size() / 2, bytes.size() / 24 * 12,
            bytes.size() - std::min<size_t>(24, bytes.size()),
            bytes.size() - std::min<size_t>(32, bytes.size()), bytes.size() - 1, bytes.size() + 1,
            bytes.size() + 24, bytes.size() + 32, bytes.size() + 5000}) {
        if (length == bytes.size() || bytes.size() + 5000 < length) continue;
        Check(sound,
              {file, "length " + std::to_string(length) + " of " + std::to_string(bytes.size()),
               [&name = file, length](SimDisk* disk) { disk->RotLength(name, length); }},
              power_was_cut);
      }
      Check(sound,
            {file, "removed", [&name = file](SimDisk* disk) { Remove(disk, name); }, file != "key"},
            power_was_cut);
    }
  }
}

// Names and lengths tell at once: nothing is appended. A reader gets what verifies, and is told, if
// it can be known: it has no key, journal or lock, and cannot know where the files of a log end to
// which somebody may be appending. Only without the configuration or a signed checkpoint there is
// nothing to verify with.
TEST_F(RotTest, LostAndCutFilesAreRefusedForAppendingAndToldToReaders) {
  const std::set<std::string> writers = {"journal", "key", "lock"};
  const std::set<std::string> needed = {"config", "format"};
  const std::set<std::string> fixed = {"checkpoint", "entries/0", "entries/0.index", "times"};
  const Sound sound(LargeWorld());
  for (const auto& [file, bytes] : sound.files()) {
    const std::string& name = file;
    const auto check = [&](const Rot& rot, bool is_told, bool is_refused) {
      CheckRefused(sound, rot, Access::kReadWrite);
      if (is_refused) CheckRefused(sound, rot, Access::kRead);
      if (!is_refused) CheckServed(sound, rot, is_told);
    };
    const bool is_needed = needed.contains(name);
    const bool is_files = !writers.contains(name);
    check({name, "removed", [&](SimDisk* disk) { Remove(disk, name); }}, is_files,
          is_needed || name == "checkpoint");
    for (const uint64_t length : {uint64_t{0}, bytes.size() / 2, bytes.size() - 1}) {
      if (bytes.size() <= length) continue;
      check({name, "cut", [&](SimDisk* disk) { disk->RotLength(name, length); }}, is_files,
            is_needed || (name == "checkpoint" && length == 0));
    }
    const uint64_t more = bytes.size() + 32;
    check({name, "longer", [&](SimDisk* disk) { disk->RotLength(name, more); }},
          fixed.contains(name), is_needed);
  }
}

TEST_F(RotTest, ExchangedFilesAreRefusedForAppendingAndToldToReaders) {
  const Sound sound(LargeWorld());
  const std::pair<std::string, std::string> pairs[] = {
      {"entries/0", "entries/1"}, {"entries/0.index", "entries/1.index"}, {"hashes/0", "hashes/1"}};
  for (const auto& files : pairs) {
    const Rot exchanged{files.first.substr(0, files.first.find('/')), "exchanged",
                        [&](SimDisk* disk) {
                          Replace(disk, files.first, sound.files().at(files.second));
                          Replace(disk, files.second, sound.files().at(files.first));
                        }};
    CheckRefused(sound, exchanged, Access::kReadWrite);
    CheckServed(sound, exchanged, true);
  }
}

TEST_F(RotTest, OtherFiles) {
  const Sound sound(NewWorld(*OldWorld()));
  auto other_world = World::Create();
  Grow(other_world.get(), 7000, 2 * kOldSize);
  CloseCleanly(other_world.get());
  const Sound other(std::move(other_world));
  const auto put = [&](const std::string& file, const std::string& what, const std::string& bytes) {
    if (sound.files().at(file) == bytes) return;
    for (const bool power_was_cut : {false, true}) {
      Check(sound, {file, what, [&](SimDisk* disk) { Replace(disk, file, bytes); }, file != "lock"},
            power_was_cut);
    }
  };
  for (const auto& [file, bytes] : sound.files()) {
    for (const auto& [another, its_bytes] : sound.files()) put(file, "is " + another, its_bytes);
    // Its checkpoint has the right signature, as both have one key: the hashes contradict it.
    if (file != "checkpoint") put(file, "is another log's", other.files().at(file));
  }
  Check(sound,
        {"hashes", "checkpoint is another log's",
         [&](SimDisk* disk) { Replace(disk, "checkpoint", other.files().at("checkpoint")); }},
        false);
  Check(sound,
        {"hashes/0", "exchanged with hashes/1",
         [&](SimDisk* disk) {
           Replace(disk, "hashes/0", sound.files().at("hashes/1"));
           Replace(disk, "hashes/1", sound.files().at("hashes/0"));
         }},
        false);
}

TEST_F(RotTest, RolledBack) {
  const auto old = OldWorld();
  const Sound before(old->Clone());
  const Sound sound(NewWorld(*old));
  for (const bool power_was_cut : {false, true}) {
    for (const auto& [file, bytes] : before.files()) {
      if (bytes == sound.files().at(file)) continue;
      Check(sound,
            {file, "rolled back",
             [&name = file, &old_bytes = bytes](SimDisk* disk) { Replace(disk, name, old_bytes); },
             file != "lock" || !power_was_cut},
            power_was_cut);
      // A checkpoint alone is made anew.
      if (file == "checkpoint") continue;
      const Rot back{"", "rolled back", [&name = file, &old_bytes = bytes](SimDisk* disk) {
                       Replace(disk, name, old_bytes);
                     }};
      CheckRefused(sound, back, Access::kReadWrite);
    }
  }
}

// A snapshot of everything but `lock`, restored: in the same boot its state tells; after another it
// is a whole store of 300 entries again, which nobody can tell from this one's past.
TEST_F(RotTest, AllButTheLockRolledBack) {
  const auto old = OldWorld();
  const Sound before(old->Clone());
  const Sound sound(NewWorld(*old));
  Check(sound,
        {"journal", "and all else rolled back, but lock",
         [&](SimDisk* disk) {
           for (const auto& [file, bytes] : before.files()) {
             if (file != "lock") Replace(disk, file, bytes);
           }
         }},
        false);
}

}  // namespace
}  // namespace tlogfs_test
