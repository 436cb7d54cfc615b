// Bit rot: promise D7 (logcore/README.md), for every file of a store. Bytes are flipped, files are
// cut, lengthened, removed, exchanged and rolled back, one at a time; after each
//
//   - the audit finds damage and names the file;
//   - a reader gets the old bytes or an error, and no other bytes; nor another length;
//   - an opening for appending is refused, or all that it then publishes is consistent with what
//     was published before (World, world.h, sees to that).
//
// Each byte in use is flipped in one bit, which the seed decides; of zeros one in kZerosStride.
// TLOGFS_ROT_SEED does other bits, and repeats a failure, which names its seed.
//
// What the audit cannot and need not find, as nobody believes it:
//
//   - the journal's free space, the records before its base, and the zeros after a record: they are
//     never read again, and what an unfinished write left there looks the same;
//   - `lock` after a clean closing: it is never synced, so a power cut may leave anything in it,
//     and the next writer recovers then;
//   - the two lines of `config` that say where its home is: a store that is not there is a copy, to
//     which nothing can be appended;
//   - that `key` is missing: an audit needs none.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "logcore/audit.h"
#include "logcore/bytes.h"
#include "logcore/entry_bundle.h"
#include "logcore/journal_reader.h"
#include "logcore/tile.h"
#include "tests/crash/runs.h"
#include "tests/crash/world.h"

namespace tlogfs_test {
namespace {

using namespace logcore;

constexpr uint64_t kZerosStride = 197;
constexpr uint64_t kOldSize = 300;

uint64_t Seed() {
  const char* value = std::getenv("TLOGFS_ROT_SEED");
  return value == nullptr ? 1 : std::strtoull(value, nullptr, 10);
}

// A sound store, and all bytes that readers may get of it.
class Sound {
 public:
  explicit Sound(std::unique_ptr<World> world) : world_(std::move(world)) {
    world_->CheckFiles();
    world_->CheckAudit();
    for (const std::string& name : disk().Names()) files_[name] = disk().Cached(name);
    for (uint64_t i = 0; i < size(); ++i) {
      AppendFrame(&frames_, world_->log().Entry(i));
      text_ += world_->log().Entry(i) + "\n";
      offsets_.push_back(frames_.size());
    }
  }

  const World& world() const { return *world_; }
  const SimDisk& disk() const { return *world_->disk(); }
  uint64_t size() const { return world_->log().size(); }
  const std::map<std::string, std::string>& files() const { return files_; }
  const std::string& text() const { return text_; }

  std::string Bundle(uint64_t first, uint64_t count) const {
    return frames_.substr(offsets_[first], offsets_[first + count] - offsets_[first]);
  }
  std::string Tile(const TileId& id) const {
    return files_.at("hashes/" + std::to_string(id.level))
        .substr(id.index * kTileWidth * kHashLength, static_cast<size_t>(id.width) * kHashLength);
  }

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

// What readers of a rotten store get.
class Reader {
 public:
  Reader(const Sound& sound, const Snapshot& snapshot, SimRandom* random)
      : sound_(sound), snapshot_(snapshot), random_(random) {}

  // Twice: what was verified once is read in another way.
  void ReadAll() {
    for (int pass = 0; pass < 2; ++pass) {
      for (int level = kEntriesLevel; level < kTileLevels; ++level) ReadTiles(level);
      for (int i = 0; i < 24; ++i) {
        ReadEntry(random_->OneIn(3) ? random_->Below(kTileWidth) : random_->Below(size()));
      }
      ReadEntry(size() - 1);
      for (int i = 0; i < 6; ++i) {
        ReadLog(random_->Below(snapshot_.LogLength()), i == 0 ? 1 : 1 + random_->Below(3000));
      }
    }
  }

 private:
  uint64_t size() const { return snapshot_.size(); }

  template <typename Value, typename Expected>
  void Expect(const std::string& what, const Result<Value>& got, const Expected& expected) {
    EXPECT_TRUE(!got.has_value() || *got == expected) << what << ": other bytes";
  }

  void ReadTiles(int level) {
    const uint64_t full = FullTiles(level, size());
    for (uint64_t step = 0; step < std::min<uint64_t>(full + 1, 6); ++step) {
      const uint64_t index = full < 6 ? step : step == 0 ? full : random_->Below(full);
      const int whole = index < full ? kTileWidth : PartialWidth(level, size());
      if (whole == 0) continue;
      const int any = 1 + static_cast<int>(random_->Below(static_cast<uint64_t>(whole)));
      for (const int width : {any, any / 16 * 16, whole - 1, whole, 1}) {
        const TileId id{level, index, width};
        if (width == 0 || !TileExists(id, size())) continue;
        const std::string expected =
            level == kEntriesLevel ? sound_.Bundle(index * kTileWidth, static_cast<uint64_t>(width))
                                   : sound_.Tile(id);
        Expect("length of " + TilePath(id), snapshot_.TileLength(id), expected.size());
        Expect(TilePath(id), level == kEntriesLevel ? snapshot_.Bundle(id) : snapshot_.Tile(id),
               expected);
      }
    }
  }

  void ReadEntry(uint64_t index) {
    if (size() <= index) return;
    const std::string what = "entry " + std::to_string(index);
    const std::string expected = sound_.world().log().Entry(index);
    Expect("length of " + what, snapshot_.EntryLength(index), expected.size());
    Expect(what, snapshot_.Entry(index), expected);
    Expect("leaf hash of " + what, snapshot_.LeafHash(index), HashLeaf(expected));
    Expect("time of " + what, snapshot_.Time(index), sound_.world().log().Time(index));
  }

  void ReadLog(uint64_t offset, uint64_t length) {
    length = std::min(length, snapshot_.LogLength() - offset);
    Expect("log at byte " + std::to_string(offset), snapshot_.Log(offset, length),
           sound_.text().substr(offset, length));
  }

  const Sound& sound_;
  const Snapshot& snapshot_;
  SimRandom* const random_;
};

class RotTest : public testing::Test {
 protected:
  // All of it for one rot. Stops the test at the first failure.
  void Check(const Sound& sound, const Rot& rot, bool power_was_cut) {
    if (HasFailure()) return;
    ++rots_;
    SCOPED_TRACE(rot.file + ": " + rot.what + (power_was_cut ? ", after a power cut" : "") +
                 ", TLOGFS_ROT_SEED=" + std::to_string(Seed()));
    const std::unique_ptr<World> world = sound.world().Clone();
    world->AllowErrors();
    if (power_was_cut) world->CutPower(random_.Next());
    rot.happen(world->disk());
    if (rot.seen_by_audit) CheckAudit(rot.file, world->disk());
    if (!rot.is_one_of_many || random_.OneIn(6)) CheckReads(sound, world->disk());
    if (!rot.is_one_of_many || random_.OneIn(12)) CheckAppends(world.get());
  }

  static void CheckAudit(const std::string& file, SimDisk* disk) {
    const auto process = disk->NewProcess();
    const Result<AuditReport> report = Audit(process.get(), {});
    if (!report.has_value()) {  // Without `format` it is no store, and that is what is said.
      EXPECT_TRUE(file == "format" && report.error().code == Code::kNotFound)
          << report.error().message;
      return;
    }
    std::string found;
    bool named = false;
    for (const Damage& damage : report->damages) {
      found += damage.file + ": " + damage.what + "; ";
      named = named || damage.file == file;
    }
    EXPECT_TRUE(named) << "the audit found: " << found;
  }

  void CheckReads(const Sound& sound, SimDisk* disk) {
    const auto process = disk->NewProcess();
    const auto store = Store::Open(process.get(), Store::Mode::kReadOnly, {.clock = {}});
    if (!store.has_value()) return;
    const auto snapshot = (*store)->Latest();
    if (!snapshot.has_value()) return;
    ASSERT_LE((*snapshot)->size(), sound.size());
    EXPECT_EQ((*snapshot)->published().head.root, sound.world().log().Root((*snapshot)->size()));
    ++read_;
    Reader(sound, **snapshot, &random_).ReadAll();
  }

  void CheckAppends(World* world) {
    const std::optional<TreeHead> before = PublishedHead(world->disk());
    try {
      const ActorPtr actor = world->Open();
      if (actor != nullptr) {
        ++appended_;
        world->Commit(actor.get(), MakeEntries(random_.Next(), 1 + random_.Below(40)));
        if (!world->error()) world->Publish(actor.get());
      }
    } catch (const Violation& violation) {
      ADD_FAILURE() << violation.what();
    }
    const std::optional<TreeHead> after = PublishedHead(world->disk());
    if (!after || after == before) return;
    EXPECT_EQ(after->root, world->log().Root(after->size)) << "size " << after->size;
    EXPECT_LE(before ? before->size : 0, after->size) << "a smaller checkpoint was published";
  }

  static std::optional<TreeHead> PublishedHead(SimDisk* disk) {
    const auto process = disk->NewProcess();
    const auto file = PublishedFile::Open(process.get(), Access::kRead);
    if (!file.has_value()) return std::nullopt;
    const auto slot = (*file)->Read();
    if (!slot.has_value()) return std::nullopt;
    return slot->published.head;
  }

  // Flips one bit of the byte at `offset`.
  Rot Flip(const Sound& sound, const std::string& file, uint64_t offset, bool seen_by_audit) {
    const int bit = static_cast<int>(random_.Below(8));
    const char flipped = static_cast<char>(sound.files().at(file)[offset] ^ (1 << bit));
    return {file, "bit " + std::to_string(bit) + " of byte " + std::to_string(offset) + " flipped",
            [=](SimDisk* disk) { disk->Rot(file, offset, std::string_view(&flipped, 1)); },
            seen_by_audit};
  }

  void TearDown() override {
    std::printf("%llu rots, %llu read, %llu appended to; TLOGFS_ROT_SEED=%llu\n",
                static_cast<unsigned long long>(rots_), static_cast<unsigned long long>(read_),
                static_cast<unsigned long long>(appended_),
                static_cast<unsigned long long>(Seed()));
  }

  SimRandom random_{Seed()};

 private:
  uint64_t rots_ = 0;
  uint64_t read_ = 0;
  uint64_t appended_ = 0;
};

void Grow(World* world, uint64_t seed, uint64_t size) {
  const ActorPtr actor = world->Open();
  for (uint64_t batch = 1; world->log().size() < size; ++batch) {
    *world->clock() += 1;
    const uint64_t room = size - world->log().size();
    world->Commit(actor.get(), MakeEntries(seed + batch, std::min<uint64_t>(room, 67)));
    if (batch % 2 == 0 || world->log().size() == size) world->Publish(actor.get());
  }
}

void CloseCleanly(World* world) {
  const ActorPtr actor = world->Open();
  world->Close(actor.get());
}

// 600 entries, closed; and the same when it had 300, closed.
std::unique_ptr<World> OldWorld() {
  auto world = World::Create();
  Grow(world.get(), 100, kOldSize);
  CloseCleanly(world.get());
  return world;
}
std::unique_ptr<World> NewWorld(const World& old) {
  auto world = old.Clone();
  Grow(world.get(), 200, 2 * kOldSize);
  CloseCleanly(world.get());
  return world;
}

// Whether the audit is to find a flip of that byte of a store that was closed; see above.
bool SeenByAudit(const Sound& sound, const std::string& file, uint64_t offset) {
  if (file == "lock") return false;
  if (file == "journal") return offset < kRecordsStart;
  return file != "config" || offset < sound.files().at(file).find("filesystem ");
}

void Replace(SimDisk* disk, const std::string& file, const std::string& bytes) {
  disk->RotLength(file, bytes.size());
  disk->Rot(file, 0, bytes);
}

void Remove(SimDisk* disk, const std::string& file) {
  const auto process = disk->NewProcess();
  EXPECT_TRUE(process->Rename(file, file + ".away").has_value());
}

TEST_F(RotTest, EveryByte) {
  const Sound sound(NewWorld(*OldWorld()));
  for (const auto& [file, bytes] : sound.files()) {
    for (uint64_t offset = 0; offset < bytes.size(); ++offset) {
      const bool counts = file != "journal" || offset < kRecordsStart;
      if ((bytes[offset] == '\0' || !counts) && !random_.OneIn(kZerosStride)) continue;
      Rot flip = Flip(sound, file, offset, SeenByAudit(sound, file, offset));
      flip.is_one_of_many = 2000 < bytes.size();
      Check(sound, flip, random_.OneIn(4));
    }
  }
}

// Two segments, three levels.
TEST_F(RotTest, BytesOfALargeLog) {
  auto world = PrepareWorld(kSegmentEntries - 10, {});
  Grow(world.get(), 300, kSegmentEntries + 300);
  CloseCleanly(world.get());
  const Sound sound(std::move(world));
  for (const auto& [file, bytes] : sound.files()) {
    const uint64_t used = file == "journal" ? kRecordsStart : bytes.size();
    for (int i = 0; i < 9 && !bytes.empty(); ++i) {
      const uint64_t offset = i == 0 ? used - 1 : random_.Below(used);
      Check(sound, Flip(sound, file, offset, SeenByAudit(sound, file, offset)), random_.OneIn(4));
    }
  }
}

// Nothing was closed: the journal has records that count, and the lock's head is this boot's.
TEST_F(RotTest, JournalAndLockOfALiveStore) {
  auto live = NewWorld(*OldWorld());
  Grow(live.get(), 400, 900);
  const Sound sound(std::move(live));
  const std::string& journal = sound.files().at("journal");
  std::vector<std::pair<uint64_t, uint64_t>> records;  // in bytes, without their padding
  const Base base = *DecodeBase(journal.substr(0, kBaseSlotLength));
  for (uint64_t at = kRecordsStart; at < journal.size(); at += kJournalBlock) {
    const auto header = DecodeRecordHeader(base.key, journal.substr(at), base.journal_length);
    if (!header || header->start_size < 2 * kOldSize) continue;
    records.emplace_back(at, at + kRecordHeaderLength + header->frames_length);
  }
  ASSERT_EQ(records.size(), 5u);
  // After a power cut the files may be torn as well, before the next writer has mended them; and
  // the last record could be one whose writing was cut.
  for (const auto& [begin, end] : records) {
    for (uint64_t offset = begin; offset < end; offset += 1 + random_.Below(5)) {
      const bool cut = begin != records.back().first && random_.OneIn(4);
      Check(sound, Flip(sound, "journal", offset, !cut), cut);
    }
  }
  for (uint64_t offset = 0; offset < kMaxHeadLength; offset += offset < 500 ? 1 : 37) {
    Check(sound, Flip(sound, "lock", offset, true), false);
  }
}

TEST_F(RotTest, LengthsAndNames) {
  const Sound sound(NewWorld(*OldWorld()));
  for (const auto& [file, bytes] : sound.files()) {
    const bool seen = file != "lock";
    for (const bool power_was_cut : {false, true}) {
      for (const uint64_t length :
           {uint64_t{0}, uint64_t{1}, bytes.size() / 2, bytes.size() / 24 * 12,
            bytes.size() - std::min<size_t>(24, bytes.size()),
            bytes.size() - std::min<size_t>(32, bytes.size()), bytes.size() - 1, bytes.size() + 1,
            bytes.size() + 24, bytes.size() + 32, bytes.size() + 5000}) {
        if (length == bytes.size() || bytes.size() + 5000 < length) continue;
        Check(sound,
              {file, "length " + std::to_string(length) + " of " + std::to_string(bytes.size()),
               [&name = file, length](SimDisk* disk) { disk->RotLength(name, length); }, seen},
              power_was_cut);
      }
      Check(sound,
            {file, "removed", [&name = file](SimDisk* disk) { Remove(disk, name); },
             seen && file != "key"},
            power_was_cut);
    }
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
    }
  }
}

// A snapshot of everything but `lock`, restored: in the same boot its head tells; after another it
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
