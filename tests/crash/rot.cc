#include "tests/crash/rot.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "logcore/posix/check/audit.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/files/published.h"
#include "logcore/posix/files/segments.h"
#include "tests/crash/runs.h"

namespace tlogfs_test {

using namespace logcore;

uint64_t RotSeed() {
  const char* value = std::getenv("TLOGFS_ROT_SEED");
  return value == nullptr ? 1 : std::strtoull(value, nullptr, 10);
}

Sound::Sound(std::unique_ptr<World> world) : world_(std::move(world)) {
  world_->CheckFiles();
  world_->CheckAudit();
  for (const std::string& name : disk().Names()) files_[name] = disk().Cached(name);
  for (uint64_t i = 0; i < size(); ++i) {
    AppendFrame(&frames_, world_->log().Entry(i));
    text_ += world_->log().Entry(i) + "\n";
    offsets_.push_back(frames_.size());
  }
}

std::string Sound::Bundle(uint64_t first, uint64_t count) const {
  return frames_.substr(offsets_[first], offsets_[first + count] - offsets_[first]);
}

std::string Sound::Tile(const TileId& id) const {
  return files_.at("hashes/" + std::to_string(id.level))
      .substr(id.index * kTileWidth * kHashLength, static_cast<size_t>(id.width) * kHashLength);
}

namespace {

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
void CheckAudit(const std::string& file, SimDisk* disk) {
  const auto process = disk->NewProcess();
  const Result<AuditReport> report = Audit(process.get(), {.gap_limit = kGapLimit});
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

std::optional<TreeHead> PublishedHead(SimDisk* disk) {
  const auto process = disk->NewProcess();
  const auto file = PublishedFile::Open(process.get(), Access::kRead);
  if (!file.has_value()) return std::nullopt;
  const auto slot = (*file)->Read();
  if (!slot.has_value()) return std::nullopt;
  return slot->published.head;
}

}  // namespace

void RotTest::Check(const Sound& sound, const Rot& rot, bool power_was_cut) {
  if (HasFailure()) return;
  ++rots_;
  SCOPED_TRACE(rot.file + ": " + rot.what + (power_was_cut ? ", after a power cut" : "") +
               ", TLOGFS_ROT_SEED=" + std::to_string(RotSeed()));
  const std::unique_ptr<World> world = sound.world().Clone();
  world->AllowErrors();
  if (power_was_cut) world->CutPower(random_.Next());
  rot.happen(world->disk());
  if (rot.seen_by_audit) CheckAudit(rot.file, world->disk());
  if (!rot.is_one_of_many || random_.OneIn(6)) CheckReads(sound, world->disk());
  if (!rot.is_one_of_many || random_.OneIn(12)) CheckAppends(world.get());
}

void RotTest::CheckReads(const Sound& sound, SimDisk* disk) {
  const auto process = disk->NewProcess();
  const auto store = StoreReader::Open(process.get(), {.clock = {}});
  if (!store.has_value()) return;
  const auto snapshot = (*store)->Latest();
  if (!snapshot.has_value()) return;
  ASSERT_LE((*snapshot)->size(), sound.size());
  EXPECT_EQ((*snapshot)->published().head.root, sound.world().log().Root((*snapshot)->size()));
  ++read_;
  Reader(sound, **snapshot, &random_).ReadAll();
}

void RotTest::CheckAppends(World* world) {
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

void RotTest::CheckRefused(const Sound& sound, const Rot& rot, Access access) {
  SCOPED_TRACE(rot.file + ": " + rot.what + (access == Access::kReadWrite ? "" : ", read-only"));
  const std::unique_ptr<World> world = sound.world().Clone();
  rot.happen(world->disk());
  const auto process = world->disk()->NewProcess();
  const StoreOptions options{.clock = [] { return int64_t{1}; }, .gap_limit = kGapLimit};
  std::optional<Error> refused;
  if (access == Access::kReadWrite) {
    const auto opened = StoreWriter::Open(process.get(), options);
    if (!opened.has_value()) refused = opened.error();
  } else {
    const auto opened = StoreReader::Open(process.get(), options);
    if (!opened.has_value()) refused = opened.error();
  }
  ASSERT_TRUE(refused);
  EXPECT_NE(refused->message.find(rot.file), std::string::npos) << refused->message;
  ++refused_;
}

void RotTest::CheckServed(const Sound& sound, const Rot& rot, bool is_told) {
  SCOPED_TRACE(rot.file + ": " + rot.what + ", read-only");
  const std::unique_ptr<World> world = sound.world().Clone();
  rot.happen(world->disk());
  const auto process = world->disk()->NewProcess();
  const auto store = StoreReader::Open(process.get(), {.clock = [] { return int64_t{1}; }});
  ASSERT_TRUE(store.has_value()) << store.error().message;
  const std::optional<Error>& damage = (*store)->damage();
  EXPECT_EQ(damage.has_value(), is_told);
  if (damage) {
    EXPECT_NE(damage->message.find(rot.file), std::string::npos) << damage->message;
  }
  ASSERT_TRUE((*store)->Latest().has_value());
  CheckReads(sound, world->disk());
}

Rot RotTest::Flip(const Sound& sound, const std::string& file, uint64_t offset, int bit,
                  bool seen_by_audit) {
  const char flipped = static_cast<char>(sound.files().at(file)[offset] ^ (1 << bit));
  return {file, "bit " + std::to_string(bit) + " of byte " + std::to_string(offset) + " flipped",
          [=](SimDisk* disk) { disk->Rot(file, offset, std::string_view(&flipped, 1)); },
          seen_by_audit};
}

void RotTest::TearDown() {
  std::printf("%llu rots, %llu read, %llu appended to, %llu refused; TLOGFS_ROT_SEED=%llu\n",
              static_cast<unsigned long long>(rots_), static_cast<unsigned long long>(read_),
              static_cast<unsigned long long>(appended_), static_cast<unsigned long long>(refused_),
              static_cast<unsigned long long>(RotSeed()));
}

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

std::unique_ptr<World> LargeWorld() {
  auto world = PrepareWorld(kSegmentEntries - 10, {});
  Grow(world.get(), 300, kSegmentEntries + 300);
  CloseCleanly(world.get());
  return world;
}

}  // namespace tlogfs_test
