#include "tests/crash/backups.h"
#include "logcore/log/batch.h"
#include "logcore/posix/check/adopt.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/commit/store_writer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "logcore/posix/check/audit.h"
#include "logcore/posix/files/published.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/tlog/entry_bundle.h"

namespace tlogfs_test {
namespace {

using logcore::Access;
using logcore::BackupReport;
using logcore::Code;
using logcore::Fail;
using logcore::PublishedFile;
using logcore::Result;
using logcore::Snapshot;
using logcore::Status;
using logcore::StoreOptions;
using logcore::StoreReader;
using logcore::StoreWriter;

StoreOptions Options(const World& world) {
  const int64_t now = world.now();
  return {.clock = [now] { return now; }};
}

void Demand(const std::string& step, const Status& status) {
  if (!status.has_value()) throw Violation(step + ": " + status.error().message);
}

template <typename T>
T Demand(const std::string& step, Result<T> result) {
  if (!result.has_value()) throw Violation(step + ": " + result.error().message);
  return std::move(*result);
}

bool Is(const Snapshot& snapshot, const World& world) {
  return snapshot.size() == world.log().size() &&
         world.log().Root(snapshot.size()) == snapshot.published().head.root;
}

// Which one a reader finds; nothing if it was told to wait, or there is none yet.
const World* Read(const SimDisk& dest, const Possible& possible, SimRandom* random) {
  const auto machine = dest.Clone();
  const auto process = machine->NewProcess();
  auto store = StoreReader::Open(process.get(), {});
  if (!store.has_value()) {
    const Code code = store.error().code;
    if (code == Code::kNotFound && possible.may_be_none) return nullptr;
    if (code == Code::kBusy && possible.may_be_busy) return nullptr;
  }
  const auto opened = Demand("read the backup", std::move(store));
  const auto snapshot = Demand("read the backup", opened->Latest());
  for (const World* world : possible.worlds) {
    if (!Is(*snapshot, *world)) continue;
    const uint64_t size = snapshot->size();
    for (uint64_t i = 0; i < 6 && size != 0; ++i) {
      const uint64_t index = i == 0 ? size - 1 : random->Below(size);
      if (Demand("read the backup", snapshot->Entry(index)) != world->log().Entry(index)) {
        throw Violation("the backup has another entry " + std::to_string(index));
      }
      if (Demand("read the backup", snapshot->Time(index)) != world->log().Time(index)) {
        throw Violation("the backup has another time of entry " + std::to_string(index));
      }
    }
    return world;
  }
  throw Violation("the backup is of size " + std::to_string(snapshot->size()) +
                  ", and of nothing that it could be of");
}

void DemandSound(SimDisk* machine) {
  const auto process = machine->NewProcess();
  const auto report = Demand("audit of the backup", logcore::Audit(process.get(), {}));
  for (const logcore::Damage& damage : report.damages) {
    throw Violation("audit of the backup: " + damage.file + ": " + damage.what);
  }
}

}  // namespace

Moments GrowTo(const std::vector<uint64_t>& sizes) {
  Moments moments;
  const auto world = World::Create();
  for (const uint64_t size : sizes) {
    const ActorPtr actor = world->Open();
    for (uint64_t seed = 1; world->log().size() < size; ++seed) {
      const uint64_t count = std::min<uint64_t>(size - world->log().size(), 150);
      world->Commit(actor.get(), MakeEntries(world->log().size() + seed, count));
      *world->clock() += static_cast<int64_t>(seed % 3);
    }
    world->Publish(actor.get());
    moments.push_back(world->Clone());
  }
  return moments;
}

Result<BackupReport> RunBackup(SimDisk* source, SimDisk* dest) {
  const auto reader = source->NewProcess();
  const auto writer = dest->NewProcess();
  Result<BackupReport> report = Fail(Code::kIo, "it was killed");
  report = logcore::Backup(reader.get(), writer.get(), nullptr);
  writer->Kill();
  reader->Kill();
  return report;
}

void MustBackUp(const World& source, SimDisk* dest) {
  const auto copy = source.Clone();
  const BackupReport report = Demand("back up", RunBackup(copy->disk(), dest));
  if (report.head.size != source.log().size()) throw Violation("back up: another size");
}

bool IsBackupOf(const SimDisk& dest, const World& source) {
  const auto machine = dest.Clone();
  const auto process = machine->NewProcess();
  const auto store = StoreReader::Open(process.get(), {});
  if (!store.has_value()) return false;
  const auto snapshot = (*store)->Latest();
  return snapshot.has_value() && Is(**snapshot, source);
}

Status AdoptBackup(SimDisk* dest, const Possible& possible) {
  const auto process = dest->NewProcess();
  const auto source = possible.worlds.front()->Clone();
  const auto reader = source->disk()->NewProcess();
  const auto published = PublishedFile::Open(reader.get(), Access::kRead).value()->Read().value();
  const Status adopted =
      Adopt(process.get(), published.published.note, Options(*possible.worlds.back()));
  process->Kill();
  return adopted;
}

void CheckAdoption(const SimDisk& dest, const Possible& possible, uint64_t seed) {
  SimRandom random(seed);
  const auto machine = dest.Clone();
  Demand("adopt the backup", AdoptBackup(machine.get(), possible));
  const StoreOptions options = Options(*possible.worlds.back());
  for (const World* world : possible.worlds) {
    if (world->log().Difference(*machine)) continue;
    DemandSound(machine.get());
    if (random.OneIn(2)) {
      machine->CutPower(random.Next());
      if (const auto difference = world->log().Difference(*machine)) {
        throw Violation("an adopted backup was not durable: " + *difference);
      }
    }
    const auto writer = machine->NewProcess();
    const auto store = Demand("open the adopted backup", StoreWriter::Open(writer.get(), options));
    logcore::Batch batch;
    std::string frames;
    logcore::AppendFrame(&frames, "one more");
    batch.Append(frames, 1);
    const auto committed = Demand("append to the adopted backup", store->Commit(&batch));
    if (committed.first_index != world->log().size()) throw Violation("it has another index");
    Demand("publish the adopted backup", store->Publish());
    Demand("close the adopted backup", store->Close());
    DemandSound(machine.get());
    return;
  }
  throw Violation("what was adopted is no backup that it could be: " +
                  *possible.worlds.back()->log().Difference(*machine));
}

void CheckBackup(const SimDisk& dest, const Possible& possible, uint64_t seed) {
  SimRandom random(seed);
  const World* found = Read(dest, possible, &random);
  if (found != nullptr) DemandSound(dest.Clone().get());
  if (found != nullptr || !possible.may_be_none) CheckAdoption(dest, possible, random.Next());
  const auto machine = dest.Clone();
  MustBackUp(*possible.worlds.back(), machine.get());
  CheckDone(*machine, *possible.worlds.back(), random.Next());
}

void CheckDone(const SimDisk& dest, const World& source, uint64_t seed) {
  SimRandom random(seed);
  const auto machine = dest.Clone();
  for (int cut = 0; cut < 2; ++cut) {
    if (cut != 0) machine->CutPower(random.Next());
    if (Read(*machine, {{&source}}, &random) == nullptr) throw Violation("nothing is there");
    if (const auto difference = source.log().Difference(*machine)) {
      throw Violation("the backup has another " + *difference);
    }
    DemandSound(machine.get());
  }
}

}  // namespace tlogfs_test
