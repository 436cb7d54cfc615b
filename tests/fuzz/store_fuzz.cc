// A whole store whose files the input has changed: opening it read-only and for appending, every
// read, and the audit. None may crash, hang or ask for memory without bound; none may give bytes
// or sign a tree other than the valid log's; and what the audit calls sound, opens and reads.
//
//   input: which store 1 | changes: kind 1, file 1, offset 4, length 2, and what the kind needs
//
// Files of which hashes guard a part (checkpoint, journal, lock) are reached below the checksum
// with kMend, which makes it right again.

#include <map>
#include <memory>
#include <vector>

#include "logcore/log/batch.h"
#include "logcore/posix/check/audit.h"
#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/published.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/reference_log.h"
#include "tests/support/sim_disk.h"

namespace {

using namespace logcore;
using tlogfs_test::ReferenceLog;
using tlogfs_test::SimDisk;
using tlogfs_test::TakeUpTo;

constexpr char kSigner[] =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
constexpr uint64_t kMaxFileLength = 64 << 20;  // Over it, the fault would be the disk's.
constexpr size_t kMaxChanges = 16;
constexpr int64_t kNow = 1'700'000'000;

StoreOptions Clock(int64_t now) {
  return {.clock = [now] { return now * logcore::kNanoseconds; }};
}

// ---- Valid stores of one log

constexpr char kOneMore[] = "one more";

struct Stores {
  ReferenceLog log;
  std::vector<uint64_t> batches;            // where each ends
  std::map<uint64_t, ReferenceLog> longer;  // of so many of its entries, and one more
  std::unique_ptr<SimDisk> killed, closed;  // by a kill with a batch unpublished; by Close()
};

void Append(StoreWriter* store, const ReferenceLog& log, uint64_t from, uint64_t to) {
  Batch batch;
  batch.Append(log.Frames(from, to), to - from);
  CHECK(store->Commit(&batch).value().first_index == from);
}

Stores MakeStores() {
  Stores stores{.log = ReferenceLog::OfSize(290),
                .batches = {0, 3, 255, 257, 270, 290},
                .longer = {},
                .killed = std::make_unique<SimDisk>(),
                .closed = nullptr};
  const auto process = stores.killed->NewProcess();
  const InitOptions init{.origin = "PeterNeumann",
                         .key = SignerKey::Parse(kSigner).value(),
                         .journal_length = kMinJournalLength};
  CHECK(InitStore(process.get(), init, Clock(kNow)).has_value());
  const auto store = StoreWriter::Open(process.get(), Clock(kNow + 1)).value();
  for (size_t i = 1; i < stores.batches.size(); ++i) {
    Append(store.get(), stores.log, stores.batches[i - 1], stores.batches[i]);
    if (i == 2) CHECK(store->AdvanceReplayPointToEnd().has_value());
    if (i + 1 < stores.batches.size()) CHECK(store->Publish().has_value());
  }
  for (const uint64_t size : stores.batches) {
    ReferenceLog* const log = &stores.longer[size];
    for (uint64_t i = 0; i < size; ++i) log->Add(stores.log.entry(i));
    log->Add(kOneMore);
  }
  process->Kill();
  stores.closed = stores.killed->Clone();
  const auto closer = stores.closed->NewProcess();
  const auto closing = StoreWriter::Open(closer.get(), Clock(kNow + 2)).value();
  CHECK(closing->Publish().value() == stores.log.size() && closing->Close().has_value());
  closer->Kill();
  return stores;
}

// ---- Changes

enum Change : uint8_t { kWrite, kLength, kReplace, kCopy, kFlip, kMend, kChanges };

// Makes right the checksum after `length` bytes at `offset`.
void Mend(SimDisk* disk, const std::string& name, uint64_t offset, size_t length) {
  const std::string bytes = disk->Cached(name);
  if (bytes.size() < kHashLength || offset >= bytes.size() - kHashLength) return;
  const std::string_view body = std::string_view(bytes).substr(offset, length);
  disk->Rot(name, offset + body.size(), Sha256({body}).view());
}

void Apply(SimDisk* disk, ByteReader* input) {
  const std::vector<std::string> names = disk->Names();
  const auto kind = static_cast<Change>(input->Integer<uint8_t>() % kChanges);
  const std::string& name = names[input->Integer<uint8_t>() % names.size()];
  const uint64_t file_length = disk->CachedBytes(name).length();
  const uint64_t wanted = input->Integer<uint32_t>();
  const uint64_t offset = wanted % (file_length + 1);
  const size_t length = input->Integer<uint16_t>();
  switch (kind) {
    case kWrite:
      disk->Rot(name, offset, TakeUpTo(input, length % 256));
      break;
    case kLength:
      disk->RotLength(name, length % 2 == 0 ? offset : wanted % kMaxFileLength);
      break;
    case kReplace:
      disk->RotLength(name, 0);
      disk->Rot(name, 0, TakeUpTo(input, length));
      break;
    case kCopy: {  // A write that went to the wrong place.
      const std::string from = disk->Cached(names[input->Integer<uint8_t>() % names.size()]);
      const uint64_t start = input->Integer<uint32_t>() % (from.size() + 1);
      disk->Rot(name, offset, std::string_view(from).substr(start, length));
      break;
    }
    case kFlip: {
      if (offset == file_length) break;
      std::string byte(1, '\0');
      disk->CachedBytes(name).Read(offset, byte.data(), 1);
      byte[0] = static_cast<char>(byte[0] ^ (1 << length % 8));
      disk->Rot(name, offset, byte);
      break;
    }
    case kMend:
    default:
      Mend(disk, name, offset, length);
  }
}

// ---- What must be true

// Whether all of the log could be read. What could is the valid log's.
bool CheckReads(const Snapshot& snapshot, const ReferenceLog& log) {
  const uint64_t size = snapshot.size();
  CHECK(size <= log.size() && snapshot.published().head == log.Head(size));
  bool whole = true;
  std::string text;
  for (uint64_t i = 0; i < size; ++i) {
    text += log.entry(i) + "\n";
    if (i % 16 != 0 && i + 1 != size) continue;
    const auto entry = snapshot.Entry(i);
    const auto hash = snapshot.LeafHash(i);
    const auto length = snapshot.EntryLength(i);
    if (entry.has_value()) CHECK(*entry == log.entry(i));
    if (hash.has_value()) CHECK(*hash == log.LeafHash(i));
    whole = whole && entry.has_value() && hash.has_value() && length.has_value() &&
            snapshot.Time(i).has_value();
  }
  const auto read = snapshot.Log(0, text.size() + 1);
  if (read.has_value()) CHECK(*read == text);
  whole = whole && read.has_value();
  for (int level = kEntriesLevel; level < 2; ++level) {
    for (uint64_t index = 0; index <= FullTiles(level, size); ++index) {
      const bool full = index < FullTiles(level, size);
      const TileId id{level, index, full ? kTileWidth : PartialWidth(level, size)};
      if (id.width == 0) continue;
      const bool is_bundle = level == kEntriesLevel;
      const auto tile = is_bundle ? snapshot.Bundle(id) : snapshot.Tile(id);
      const uint64_t first = index * kTileWidth;
      const auto end = first + static_cast<uint64_t>(id.width);
      if (tile.has_value()) {
        CHECK(*tile == (is_bundle ? log.Frames(first, end) : log.Tile(level, index, id.width)));
      }
      whole = whole && tile.has_value() && snapshot.TileLength(id).has_value();
    }
  }
  return whole;
}

void OpenToRead(const SimDisk& disk, const ReferenceLog& log) {
  const auto machine = disk.Clone();
  const auto process = machine->NewProcess();
  const auto vkey = SignerKey::Parse(kSigner).value().verifier();
  const auto audit = Audit(process.get(), {.vkey = vkey, .progress = nullptr});
  const bool is_sound = audit.has_value() && audit->damages.empty();
  if (is_sound) CHECK(audit->head == log.Head(audit->head.size));

  const auto store = StoreReader::Open(process.get(), Clock(kNow + 3));
  if (!store.has_value()) {
    CHECK(!is_sound || store.error().code == Code::kBusy);
    return;
  }
  const auto snapshot = (*store)->Latest();
  const bool whole = snapshot.has_value() && CheckReads(**snapshot, log);
  CHECK(whole || !is_sound);
}

// Appends an entry. What was acknowledged but not published may be gone with the bytes that said
// it; whatever is signed now is a tree of the log's first entries, and then the new one.
void OpenToAppend(const SimDisk& disk, const Stores& stores) {
  const auto machine = disk.Clone();
  const auto process = machine->NewProcess();
  const auto store = StoreWriter::Open(process.get(), Clock(kNow + 3));
  if (!store.has_value()) return;
  Batch batch;
  std::string frame;
  AppendFrame(&frame, kOneMore);
  batch.Append(frame, 1);
  const auto committed = (*store)->Commit(&batch);
  if (!committed.has_value()) return;
  CHECK(stores.longer.contains(committed->first_index));
  const ReferenceLog& log = stores.longer.at(committed->first_index);
  const auto published = (*store)->Publish();
  const auto snapshot = (*store)->reader().Latest();
  if (snapshot.has_value()) {
    CheckReads(**snapshot, log);
    if (published.has_value()) CHECK((*snapshot)->size() == log.size());
  }
  (void)(*store)->AdvanceReplayPointToEnd();
  (void)(*store)->Close();
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Stores stores = MakeStores();
  ByteReader input(tlogfs_test::InputBytes(data, size));
  const uint8_t which = input.Integer<uint8_t>();
  const auto disk = (which % 2 == 0 ? stores.killed : stores.closed)->Clone();
  if ((which & 2) != 0) disk->CutPower(which >> 2);
  for (size_t i = 0; i < kMaxChanges && !input.rest().empty(); ++i) Apply(disk.get(), &input);
  OpenToRead(*disk, stores.log);
  OpenToAppend(*disk, stores);
  return 0;
}
