// Backups that nothing disturbs (logcore/posix/check/backup.h), of every size where files begin and
// end; and what is refused. Those that are cut short: tests/crash/backup_crash_test.cc.

#include "logcore/posix/check/backup.h"
#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/files/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "logcore/posix/check/audit.h"
#include "logcore/posix/check/backup_files.h"
#include "tests/crash/backups.h"

namespace tlogfs_test {
namespace {

using namespace logcore;
using testing::HasSubstr;

std::map<std::string, std::string> Bytes(const SimDisk& disk) {
  std::map<std::string, std::string> bytes;
  for (const std::string& name : disk.Names()) bytes[name] = disk.Cached(name);
  return bytes;
}

// A backup of `source` into `dest` is refused with `code`, a message that has `why`, and no change.
void ExpectRefused(const World& source, SimDisk* dest, Code code, const std::string& why) {
  const auto before = Bytes(*dest);
  const auto copy = source.Clone();
  const auto report = RunBackup(copy->disk(), dest);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, code) << report.error().message;
  EXPECT_THAT(report.error().message, HasSubstr(why));
  EXPECT_EQ(Bytes(*dest), before);
}

void Expect(const std::function<void()>& check) {
  try {
    check();
  } catch (const Violation& violation) {
    FAIL() << violation.what();
  }
}

// Each of them as a first backup, and all as one that grows.
void BackUpEach(const std::vector<uint64_t>& sizes) {
  const Moments moments = GrowTo(sizes);
  SimDisk growing;
  for (const auto& moment : moments) {
    SCOPED_TRACE(moment->log().size());
    Expect([&] {
      SimDisk first;
      for (SimDisk* disk : {&first, &growing}) {
        MustBackUp(*moment, disk);
        CheckDone(*disk, *moment, 1);
        CheckAdoption(*disk, {.worlds = {moment.get()}}, 1);
      }
    });
  }
}

TEST(BackupTest, OfSizesAroundTiles) {
  BackUpEach({0, 1, 2, 15, 16, 17, 255, 256, 257, 511, 512, 700});
  BackUpEach({0, 600, 601});
}

TEST(BackupTest, OfSizesAroundSegments) {
  BackUpEach({65534, 65535, 65536, 65537});
  BackUpEach({65535, 65537, 131073});
}

TEST(BackupTest, SaysWhatIsNew) {
  const Moments moments = GrowTo({300, 1000});
  SimDisk disk;
  uint64_t shown = 0;
  for (const auto& [moment, added] : {std::pair{0, 300u}, {0, 0u}, {1, 700u}, {1, 0u}}) {
    const auto source = moments[static_cast<size_t>(moment)]->Clone();
    const auto reader = source->disk()->NewProcess();
    const auto writer = disk.NewProcess();
    const auto report = Backup(reader.get(), writer.get(), [&](uint64_t done, uint64_t total) {
      EXPECT_LE(done, total);
      shown = done;
    });
    ASSERT_TRUE(report.has_value()) << report.error().message;
    EXPECT_EQ(report->new_entries, added);
    EXPECT_EQ(report->head.size, source->log().size());
    EXPECT_EQ(report->head.root, source->log().Root(report->head.size));
    EXPECT_EQ(shown, report->head.size);
    EXPECT_FALSE(report->no_key.has_value());
  }
}

// A backup is a store to whoever reads it: a backup of it is one of the log.
TEST(BackupTest, OfABackup) {
  const Moments moments = GrowTo({100, 400});
  SimDisk first, second;
  for (const auto& moment : moments) {
    Expect([&] { MustBackUp(*moment, &first); });
    const auto report = RunBackup(&first, &second);
    ASSERT_TRUE(report.has_value()) << report.error().message;
    Expect([&] { CheckDone(second, *moment, 1); });
  }
}

TEST(BackupTest, TakesNoAppendsBeforeItIsAdopted) {
  const Moments moments = GrowTo({100});
  SimDisk disk;
  Expect([&] { MustBackUp(*moments[0], &disk); });
  const auto process = disk.NewProcess();
  const auto store = StoreWriter::Open(process.get(), {});
  ASSERT_FALSE(store.has_value());
  EXPECT_EQ(store.error().code, Code::kReadOnly);
  // And no longer is one after that.
  ASSERT_TRUE(AdoptBackup(&disk, {.worlds = {moments[0].get()}}).has_value());
  ExpectRefused(*moments[0], &disk, Code::kExists, "a store that takes appends");
}

// ---- Refusals

TEST(BackupTest, RefusesWhatIsNotItsBackup) {
  const Moments moments = GrowTo({100});
  SimDisk used;
  {
    const auto process = used.NewProcess();
    ASSERT_TRUE(process->Create("letters", 0644).has_value());
  }
  ExpectRefused(*moments[0], &used, Code::kExists, "there is letters");

  const auto store = moments[0]->Clone();
  ExpectRefused(*moments[0], store->disk(), Code::kExists, "a store that takes appends");

  SimDisk other_log, other;
  {
    const auto process = other_log.NewProcess();
    ASSERT_TRUE(InitStore(process.get(), {.origin = "example.com/other", .key = {}},
                          {.clock = [] { return int64_t{1}; }})
                    .has_value());
  }
  ASSERT_TRUE(RunBackup(&other_log, &other).has_value());
  ExpectRefused(*moments[0], &other, Code::kExists, "it is one of example.com/other");
  other.Rot("format", 0, "x");
  ExpectRefused(*moments[0], &other, Code::kInvalid, "format");
}

TEST(BackupTest, RefusesToGoBackOrAside) {
  const Moments moments = GrowTo({100, 250});
  SimDisk disk;
  Expect([&] { MustBackUp(*moments[1], &disk); });
  ExpectRefused(*moments[0], &disk, Code::kInvalid,
                "the backup has 250 entries, the store only 100: it was rolled back");
  const auto fork = moments[0]->Clone();
  const ActorPtr actor = fork->Open();
  fork->Commit(actor.get(), MakeEntries(77, 100));
  fork->Commit(actor.get(), MakeEntries(78, 100));
  fork->Publish(actor.get());
  ExpectRefused(*fork, &disk, Code::kInvalid, "fork");
}

TEST(BackupTest, RefusesAnAdoptionThatDoesNotCoverTheNewestCheckpoint) {
  const Moments moments = GrowTo({100, 250});
  SimDisk disk;
  Expect([&] { MustBackUp(*moments[0], &disk); });
  const auto before = Bytes(disk);
  const Status adopted = AdoptBackup(&disk, {.worlds = {moments[1].get()}});
  ASSERT_FALSE(adopted.has_value());
  EXPECT_THAT(adopted.error().message, HasSubstr("a newer log than this was seen"));
  EXPECT_EQ(Bytes(disk), before);
}

TEST(BackupTest, RefusesASourceThatAPowerCutLeft) {
  const Moments moments = GrowTo({100});
  moments[0]->CutPower(3);
  SimDisk disk;
  ExpectRefused(*moments[0], &disk, Code::kBusy, "the store: ");
}

// Whatever byte of the log's files it is: nothing of it comes into a backup that counts.
TEST(BackupTest, RefusesADamagedSource) {
  const Moments moments = GrowTo({40, 700});
  SimDisk older;
  Expect([&] { MustBackUp(*moments[0], &older); });
  const auto whole = moments[1]->Clone();
  for (const std::string name : {"entries/0", "entries/0.index", "hashes/0", "hashes/1", "times"}) {
    const std::string bytes = whole->disk()->Cached(name);
    uint64_t refused = 0;
    for (uint64_t i = 0; i < bytes.size(); i += 1 + bytes.size() / 60) {
      SCOPED_TRACE(name + " at byte " + std::to_string(i));
      const auto source = moments[1]->Clone();
      const char rotten = static_cast<char>(~bytes[i]);
      source->disk()->Rot(name, i, {&rotten, 1});
      const auto disk = older.Clone();
      const auto report = RunBackup(source->disk(), disk.get());
      if (report.has_value()) {  // It was no byte that the newest checkpoint or what is new needs.
        Expect([&] { CheckDone(*disk, *moments[1], i); });
        continue;
      }
      ++refused;
      EXPECT_THAT(report.error().message, HasSubstr("the store: "));
      EXPECT_THAT(report.error().message, HasSubstr(name.substr(0, name.find('/'))));
      Expect([&] { CheckBackup(*disk, {.worlds = {moments[0].get(), moments[1].get()}}, i); });
    }
    EXPECT_GT(refused, 5u) << name;
  }
}

TEST(BackupTest, RefusesADamagedBackup) {
  const Moments moments = GrowTo({300, 700});
  SimDisk older;
  Expect([&] { MustBackUp(*moments[0], &older); });
  for (const auto& [name, offset] : {std::pair<std::string, uint64_t>{"hashes/0", 299 * 32},
                                     {"hashes/1", 0},
                                     {"journal", 100},
                                     {"config", 5},
                                     {"times", older.Cached("times").size() - 20}}) {
    SCOPED_TRACE(name);
    const auto disk = older.Clone();
    disk->Rot(name, offset, "rot");
    ExpectRefused(*moments[1], disk.get(), Code::kCorrupt, name.substr(0, name.find('/')));
  }
  older.RotLength("entries/0", 3000);
  ExpectRefused(*moments[1], &older, Code::kCorrupt, "the backup: entries/0");
}

// All but what means nothing in a backup: `lock`, the older replay slot and the hole in the
// journal. Both slots of checkpoint say the same.
TEST(BackupTest, TheAuditFindsRot) {
  const Moments moments = GrowTo({40, 700});
  SimDisk disk;
  Expect([&] {
    for (const auto& moment : moments) MustBackUp(*moment, &disk);
  });
  const std::map<std::string, std::pair<uint64_t, uint64_t>> begin_and_end = {
      {"config", {0, disk.Cached("config").size()}},
      {"key", {0, disk.Cached("key").size()}},
      {"journal", {kReplaySlotLength, kReplaySlotLength + 4096}},
      {"checkpoint", {0, disk.Cached("checkpoint").size()}},
      {"entries/0", {0, disk.Cached("entries/0").size()}},
      {"entries/0.index", {0, disk.Cached("entries/0.index").size()}},
      {"hashes/0", {0, disk.Cached("hashes/0").size()}},
      {"hashes/1", {0, disk.Cached("hashes/1").size()}},
      {"times", {0, disk.Cached("times").size()}}};
  for (const auto& [name, range] : begin_and_end) {
    const std::string bytes = disk.Cached(name);
    for (uint64_t i = range.first; i < range.second; i += 1 + bytes.size() / 200) {
      SCOPED_TRACE(name + " at byte " + std::to_string(i));
      const auto rotten = disk.Clone();
      const char byte = static_cast<char>(bytes[i] ^ 4);
      rotten->Rot(name, i, {&byte, 1});
      const auto auditor = rotten->NewProcess();
      const auto report = Audit(auditor.get(), {});
      ASSERT_TRUE(report.has_value()) << report.error().message;
      EXPECT_EQ(report->damages.empty(), name == "checkpoint");
      EXPECT_EQ(report->head.size, name == "config" ? report->head.size : 700u);
    }
  }
}

// ---- One at a time

TEST(BackupTest, WaitsForAnotherRunAndForAnAdoption) {
  const Moments moments = GrowTo({100, 300});
  SimDisk disk;
  Expect([&] { MustBackUp(*moments[0], &disk); });
  const auto other = disk.NewProcess();
  for (const bool adopts : {false, true}) {
    auto lock = BackupLock::Take(other.get());
    ASSERT_TRUE(lock.has_value());
    auto waits = std::async(std::launch::async, [&]() -> Status {
      if (adopts) return AdoptBackup(&disk, {.worlds = {moments[1].get()}});
      const auto source = moments[1]->Clone();
      RETURN_IF_ERROR(RunBackup(source->disk(), &disk));
      return {};
    });
    EXPECT_EQ(waits.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
    lock->reset();
    EXPECT_TRUE(waits.get().has_value());
  }
}

// ---- The key

// It is the store's damage, of which the audit tells: the log is backed up all the same.
TEST(BackupTest, DoesWithoutADamagedKey) {
  const Moments moments = GrowTo({100, 300});
  moments[0]->disk()->Rot("key", 0, "x");
  SimDisk disk;
  const auto first = RunBackup(moments[0]->disk(), &disk);
  ASSERT_TRUE(first.has_value()) << first.error().message;
  ASSERT_TRUE(first->no_key.has_value());
  EXPECT_THAT(first->no_key->message, HasSubstr("key"));
  Expect([&] { CheckDone(disk, *moments[0], 1); });
  EXPECT_FALSE(AdoptBackup(&disk, {.worlds = {moments[0].get()}}).has_value());
  // The next run brings what is there by then.
  const auto second = RunBackup(moments[1]->disk(), &disk);
  ASSERT_TRUE(second.has_value()) << second.error().message;
  EXPECT_FALSE(second->no_key.has_value());
  Expect([&] { CheckAdoption(disk, {.worlds = {moments[1].get()}}, 1); });
}

TEST(BackupTest, ReadsTheKeyBeforeItChangesAnything) {
  const Moments moments = GrowTo({100});
  const auto source = moments[0]->Clone();
  source->disk()->CountReads();
  SimDisk disk;
  uint64_t read = 0;
  source->disk()->Observe([&](const SimOperation& operation) {
    if (operation.kind != SimKind::kRead || operation.name != "key" || read != 0) return;
    read = operation.number;
    EXPECT_TRUE(disk.Names().empty());
  });
  ASSERT_TRUE(RunBackup(source->disk(), &disk).has_value());
  EXPECT_NE(read, 0u);
}

// ---- Full disks

TEST(BackupTest, GivesBackWhatItTookOfAFullDisk) {
  const Moments moments = GrowTo({300, 20000});
  SimDisk disk;
  Expect([&] { MustBackUp(*moments[0], &disk); });
  const auto before = Bytes(disk);
  const uint64_t used = disk.UsedBytes();
  for (const uint64_t more : {4096u, 40960u, 200000u}) {
    disk.SetCapacity(used + more);
    const auto source = moments[1]->Clone();
    const auto report = RunBackup(source->disk(), &disk);
    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code, Code::kNoSpace);
    EXPECT_LE(disk.UsedBytes(), used + 4096);
    for (const auto& [name, bytes] : before) {
      if (name == "checkpoint") continue;  // It says so, and then no longer.
      EXPECT_EQ(disk.Cached(name), bytes) << name;
    }
    Expect([&] { CheckDone(disk, *moments[0], more); });
  }
  disk.SetCapacity(0);
  Expect([&] { MustBackUp(*moments[1], &disk); });
}

// A row of times for each entry: `times` grows by blocks, too. Whatever room there is, all that is
// taken is taken before the older backup is touched.
TEST(BackupTest, NeedsNoRoomOnceItHasSaidThatItIsUnfinished) {
  const auto world = World::Create();
  const ActorPtr actor = world->Open();
  world->Commit(actor.get(), MakeEntries(1, 30));
  world->Publish(actor.get());
  const auto older = world->Clone();
  for (int i = 0; i < 400; ++i) {
    *world->clock() += 1;
    world->Commit(actor.get(), {"entry"});
  }
  world->Publish(actor.get());
  SimDisk first;
  Expect([&] { MustBackUp(*older, &first); });
  uint64_t refused = 0;
  for (uint64_t blocks = 0; blocks < 20; ++blocks) {
    SCOPED_TRACE(blocks);
    const auto disk = first.Clone();
    const uint64_t used = disk->UsedBytes();
    disk->SetCapacity(used + blocks * kBlockLength);
    const auto source = world->Clone();
    const auto report = RunBackup(source->disk(), disk.get());
    if (report.has_value()) break;
    ++refused;
    EXPECT_EQ(report.error().code, Code::kNoSpace);
    EXPECT_LE(disk->UsedBytes(), used);
    Expect([&] { CheckDone(*disk, *older, blocks); });
  }
  EXPECT_GT(refused, 4u);
  EXPECT_LT(refused, 20u);
}

}  // namespace
}  // namespace tlogfs_test
