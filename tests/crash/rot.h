// Bit rot: promise D7 (logcore/README.md), for every file of a store. Bytes are flipped, files are
// cut, lengthened, removed, exchanged and rolled back, one at a time; after each
//
//   - the audit finds damage and names the file;
//   - a reader gets the old bytes or an error, and no other bytes; nor another length;
//   - an opening for appending is refused, or all that it then publishes is consistent with what
//     was published before (World, world.h, sees to that).
//
// What the audit cannot and need not find, as nobody believes it:
//
//   - the journal's free space, the records before its base, and the zeros after a record: they are
//     never read again, and what an unfinished write left there looks the same;
//   - what `lock` holds after a clean closing: it is never synced, so a power cut may leave
//     anything in it, and the next writer recovers then; all that counts is on the disk;
//   - that `key` is missing: an audit needs none.
//
// Here is what rot_test.cc (bytes) and rot_files_test.cc (files) share. TLOGFS_ROT_SEED decides
// which bits, and repeats a failure, which names its seed. One thread.

#ifndef TESTS_CRASH_ROT_H_
#define TESTS_CRASH_ROT_H_

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "logcore/posix/commit/store_reader.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/tlog/tile.h"
#include "tests/crash/world.h"

namespace tlogfs_test {

uint64_t RotSeed();

// A sound store, and all bytes that readers may get of it.
class Sound {
 public:
  explicit Sound(std::unique_ptr<World> world);

  const World& world() const { return *world_; }
  const SimDisk& disk() const { return *world_->disk(); }
  uint64_t size() const { return world_->log().size(); }
  const std::map<std::string, std::string>& files() const { return files_; }
  const std::string& text() const { return text_; }

  std::string Bundle(uint64_t first, uint64_t count) const;
  std::string Tile(const logcore::TileId& id) const;

 private:
  const std::unique_ptr<World> world_;
  std::map<std::string, std::string> files_;
  std::string frames_;
  std::vector<uint64_t> offsets_{0};
  std::string text_;
};

struct Rot {
  std::string file;
  std::string what;
  std::function<void(SimDisk*)> happen;
  bool seen_by_audit = true;
  bool is_one_of_many = false;  // Not each is also read and appended to: the seed decides.
};
// One thing at a time is spoiled; then the audit, readers and writers are asked.
class RotTest : public testing::Test {
 protected:
  // All of it for one rot. Does nothing any more after the first failure.
  void Check(const Sound& sound, const Rot& rot, bool power_was_cut);
  // An opening refuses it, with an error that names the file.
  void CheckRefused(const Sound& sound, const Rot& rot, logcore::Access access);
  // A reader's opening is not refused, and names the file if it `is_told`; all that it then reads
  // is right, or an error.
  void CheckServed(const Sound& sound, const Rot& rot, bool is_told);
  // Flips one bit of the byte at `offset`.
  static Rot Flip(const Sound& sound, const std::string& file, uint64_t offset, int bit,
                  bool seen_by_audit);
  int AnyBit() { return static_cast<int>(random_.Below(8)); }
  void TearDown() override;

  SimRandom random_{RotSeed()};

 private:
  void CheckReads(const Sound& sound, SimDisk* disk);
  void CheckAppends(World* world);

  uint64_t rots_ = 0;
  uint64_t read_ = 0;
  uint64_t appended_ = 0;
  uint64_t refused_ = 0;
};

// A store grows up to `size` entries, in batches, some of which are published; then it is closed.
void Grow(World* world, uint64_t seed, uint64_t size);
void CloseCleanly(World* world);
// 300 entries, closed; and the same with 600, closed again.
inline constexpr uint64_t kOldSize = 300;
std::unique_ptr<World> OldWorld();
std::unique_ptr<World> NewWorld(const World& old);
// Just past a segment: two of them, three levels of tiles, closed.
std::unique_ptr<World> LargeWorld();

}  // namespace tlogfs_test

#endif  // TESTS_CRASH_ROT_H_
