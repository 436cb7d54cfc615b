// Operations that fail while a store is made, read, audited or adopted: for every n, the n-th
// operation of each fails, opening and reading too. It says so, takes it for no damage, and works
// when it is tried again. (Commits, publications and recovery: tests/crash/error_test.cc.)

#include <gtest/gtest.h>

#include <functional>

#include "logcore/log/batch.h"
#include "logcore/posix/check/adopt.h"
#include "logcore/posix/check/audit.h"
#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/files/journal.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/support/reference_log.h"
#include "tests/support/sim_disk.h"

namespace tlogfs_test {
namespace {

using namespace logcore;

constexpr uint64_t kSize = 300;
constexpr uint64_t kBatch = 100;

StoreOptions Options() {
  return {.clock = [] { return int64_t{1'700'000'000'000'000'000}; }};
}

Status Init(Disk* disk) {
  RETURN_IF_ERROR(
      InitStore(disk, {.origin = "example.com/log", .key = {}, .journal_length = kMinJournalLength},
                Options()));
  return {};
}

template <typename Value>
Status StatusOf(const Result<Value>& result) {
  if (!result.has_value()) return tl::unexpected<Error>(result.error());
  return {};
}

class FaultsTest : public testing::Test {
 protected:
  // A store that was closed.
  FaultsTest() {
    const auto process = machine_.NewProcess();
    EXPECT_TRUE(Init(process.get()).has_value());
    const auto store = StoreWriter::Open(process.get(), Options()).value();
    for (uint64_t size = 0; size < kSize; size += kBatch) {
      Batch batch;
      batch.Append(log_.Frames(size, size + kBatch), kBatch);
      EXPECT_TRUE(store->Commit(&batch).has_value());
      EXPECT_TRUE(store->Publish().has_value());
    }
    newest_ = store->reader().Latest().value()->published().note;
    EXPECT_TRUE(store->Close().has_value());
    process->Kill();
  }

  using Attempt = std::function<Status(Disk*)>;

  // Each time on another copy of `start`, with another operation that fails; `after` is called with
  // what the attempt said.
  void FailEach(const SimDisk& start, const Attempt& attempt,
                const std::function<void(Disk*, const Status&)>& after) {
    for (const SimDisk::Outcome outcome :
         {SimDisk::Outcome::kNotHappened, SimDisk::Outcome::kHappened}) {
      for (uint64_t n = 1; !HasFailure(); ++n) {
        const auto machine = start.Clone();
        machine->CountReads();
        const uint64_t failing = machine->operations() + n;
        machine->FailOperation(failing, Code::kIo, outcome);
        std::string what;
        machine->Observe([&](const SimOperation& operation) {
          if (operation.number != failing) return;
          what = std::string(SimKindName(operation.kind)) + " " + std::string(operation.name);
        });
        const auto process = machine->NewProcess();
        const Status status = attempt(process.get());
        if (machine->operations() < failing) break;
        process->Kill();
        SCOPED_TRACE("operation " + std::to_string(n) + ", " + what);
        after(machine->NewProcess().get(), status);
        ++runs_;
      }
    }
  }

  static void ExpectIo(const Status& status) {
    ASSERT_FALSE(status.has_value()) << "it went on as if nothing had happened";
    EXPECT_EQ(status.error().code, Code::kIo) << status.error().message;
  }

  // Reads everything there is, and compares it.
  Status ReadAll(Disk* disk) const {
    ASSIGN_OR_RETURN(const auto store, StoreReader::Open(disk, Options()));
    ASSIGN_OR_RETURN(const auto snapshot, store->Latest());
    EXPECT_EQ(snapshot->published().head, log_.Head(kSize));
    for (int level = kEntriesLevel; level < 2; ++level) {
      for (uint64_t index = 0; index <= FullTiles(level, kSize); ++index) {
        const bool full = index < FullTiles(level, kSize);
        const TileId id{level, index, full ? kTileWidth : PartialWidth(level, kSize)};
        ASSIGN_OR_RETURN(const uint64_t length, snapshot->TileLength(id));
        ASSIGN_OR_RETURN(const std::string bytes,
                         level == kEntriesLevel ? snapshot->Bundle(id) : snapshot->Tile(id));
        EXPECT_EQ(bytes.size(), length);
        const uint64_t first = index * kTileWidth;
        EXPECT_EQ(bytes, level == kEntriesLevel
                             ? log_.Frames(first, first + static_cast<uint64_t>(id.width))
                             : log_.Tile(level, index, id.width));
      }
    }
    return {};
  }

  std::unique_ptr<SimDisk> Copy() const {
    auto copy = machine_.Clone();
    const auto process = copy->NewProcess();
    const std::string head = copy->Cached("lock");
    EXPECT_TRUE(process->Rename("lock", "old").has_value());
    EXPECT_TRUE(process->Create("lock", 0600).value()->WriteAt(0, head).has_value());
    return copy;
  }

  SimDisk machine_;
  const ReferenceLog log_ = ReferenceLog::OfSize(kSize);
  std::string newest_;
  int runs_ = 0;
};

TEST_F(FaultsTest, Init) {
  const SimDisk empty;
  FailEach(empty, Init, [](Disk* disk, const Status& status) {
    ExpectIo(status);
    // What is there is no store, or a whole one.
    const auto store = StoreWriter::Open(disk, Options());
    EXPECT_TRUE(!store.has_value() || (*store)->reader().Latest().value()->size() == 0);
    const Status again = Init(disk);
    EXPECT_TRUE(again.has_value() || again.error().code == Code::kExists);
  });
  EXPECT_GT(runs_, 60);
}

TEST_F(FaultsTest, Reading) {
  const std::vector<std::function<Status(const Snapshot&)>> reads = {
      [](const Snapshot& snapshot) { return StatusOf(snapshot.Entry(270)); },
      [](const Snapshot& snapshot) { return StatusOf(snapshot.Entry(3)); },
      [](const Snapshot& snapshot) { return StatusOf(snapshot.EntryLength(270)); },
      [](const Snapshot& snapshot) { return StatusOf(snapshot.EntryLength(299)); },
      [](const Snapshot& snapshot) {
        return StatusOf(snapshot.TileLength({-1, 0, 100}));
      },
      [](const Snapshot& snapshot) { return StatusOf(snapshot.LeafHash(3)); },
      [](const Snapshot& snapshot) { return StatusOf(snapshot.Time(200)); },
      [](const Snapshot& snapshot) { return StatusOf(snapshot.Log(1000, 2000)); },
  };
  // Each first of all, and a second time, when all it needs is verified.
  for (const auto& read : reads) {
    for (const int times : {1, 2}) {
      const Attempt attempt = [&, times](Disk* disk) -> Status {
        ASSIGN_OR_RETURN(const auto store, StoreReader::Open(disk, Options()));
        ASSIGN_OR_RETURN(const auto snapshot, store->Latest());
        for (int i = 0; i < times; ++i) RETURN_IF_ERROR(read(*snapshot));
        return StatusOf(store->Latest());
      };
      FailEach(machine_, attempt, [&](Disk* disk, const Status& status) {
        ExpectIo(status);
        const Status again = attempt(disk);
        EXPECT_TRUE(again.has_value()) << again.error().message;
      });
    }
  }
  FailEach(
      machine_, [this](Disk* disk) { return ReadAll(disk); },
      [this](Disk* disk, const Status& status) {
        ExpectIo(status);
        EXPECT_TRUE(ReadAll(disk).has_value());
      });
  EXPECT_GT(runs_, 500);
}

// A disk that fails is no damage: the audit could not run.
TEST_F(FaultsTest, Audit) {
  const Attempt attempt = [](Disk* disk) -> Status {
    ASSIGN_OR_RETURN(const AuditReport report, Audit(disk, {}));
    for (const Damage& damage : report.damages) ADD_FAILURE() << damage.file << ": " << damage.what;
    return {};
  };
  FailEach(machine_, attempt, [&](Disk* disk, const Status& status) {
    ExpectIo(status);
    EXPECT_TRUE(attempt(disk).has_value());
  });
  EXPECT_GT(runs_, 100);
}

// Where there is damage too, it is told, or the error is.
TEST_F(FaultsTest, AuditOfADamagedStore) {
  for (const char* file : {"entries/0", "hashes/0", "hashes/1"}) {
    const auto damaged = machine_.Clone();
    damaged->Rot(file, 20, "!!!");
    const Attempt attempt = [&](Disk* disk) -> Status {
      ASSIGN_OR_RETURN(const AuditReport report, Audit(disk, {}));
      EXPECT_EQ(report.damages.size(), 1u) << file;
      for (const Damage& damage : report.damages) EXPECT_EQ(damage.file, file) << damage.what;
      return {};
    };
    FailEach(*damaged, attempt, [&](Disk* disk, const Status& status) {
      EXPECT_TRUE(status.has_value() || status.error().code == Code::kIo);
      EXPECT_TRUE(attempt(disk).has_value());
    });
  }
}

TEST_F(FaultsTest, Adopt) {
  const auto copy = Copy();
  EXPECT_EQ(StoreWriter::Open(copy->NewProcess().get(), Options()).error().code, Code::kReadOnly);
  // Left of an adoption that was cut short.
  EXPECT_TRUE(copy->NewProcess()->Create("config.new", 0644).value()->WriteAt(0, "or").has_value());
  const Attempt adopt = [this](Disk* disk) { return Adopt(disk, newest_, Options()); };
  FailEach(*copy, adopt, [&](Disk* disk, const Status& status) {
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code, Code::kIo) << status.error().message;
    const Status again = adopt(disk);
    ASSERT_TRUE(again.has_value()) << again.error().message;
    const auto store = StoreWriter::Open(disk, Options());
    ASSERT_TRUE(store.has_value()) << store.error().message;
    EXPECT_EQ((*store)->reader().Latest().value()->published().head, log_.Head(kSize));
  });
  EXPECT_GT(runs_, 200);
}

// A filesystem gives the number of an inode that was freed out again: a store that was restored has
// the number of the one that was removed, and is a copy.
TEST_F(FaultsTest, RestoredIsNotTheOriginal) {
  const auto machine = machine_.Clone();
  machine->Restore("lock");
  const auto process = machine->NewProcess();
  const auto open = [&] { return StoreWriter::Open(process.get(), Options()); };
  EXPECT_EQ(open().error().code, Code::kReadOnly);
  ASSERT_TRUE(Adopt(process.get(), newest_, Options()).has_value());
  EXPECT_TRUE(open().has_value());
}

TEST_F(FaultsTest, AdoptRefusesWhatIsDamaged) {
  const auto copy = Copy();
  copy->Rot("hashes/0", 20, "!!!");
  const auto process = copy->NewProcess();
  const Status adopted = Adopt(process.get(), newest_, Options());
  ASSERT_FALSE(adopted.has_value());
  EXPECT_EQ(adopted.error().code, Code::kCorrupt);
  EXPECT_TRUE(adopted.error().message.starts_with("hashes/0: at byte 0"))
      << adopted.error().message;
}

}  // namespace
}  // namespace tlogfs_test
