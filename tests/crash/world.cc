#include "tests/crash/world.h"

#include <algorithm>
#include <utility>

#include "logcore/log/batch.h"
#include "logcore/log/snapshot.h"
#include "logcore/posix/check/audit.h"
#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/support/sim_signatures.h"

namespace tlogfs_test {

using logcore::Batch;
using logcore::Code;
using logcore::Error;
using logcore::StoreOptions;
using logcore::StoreReader;
using logcore::StoreWriter;

namespace {

constexpr size_t kMaxStory = 16;
constexpr char kSigner[] =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

std::string Name(Code code) {
  constexpr const char* kNames[] = {"kNotFound", "kExists", "kInvalid",  "kTooLarge", "kDenied",
                                    "kNoSpace",  "kBusy",   "kReadOnly", "kCorrupt",  "kIo"};
  return kNames[static_cast<size_t>(code)];
}

Batch BatchOf(const std::vector<std::string>& entries) {
  std::string frames;
  for (const std::string& entry : entries) logcore::AppendFrame(&frames, entry);
  Batch batch;
  batch.Append(frames, entries.size());
  return batch;
}

}  // namespace

Actor::~Actor() {
  process->Kill();
}

std::unique_ptr<World> World::Create(const std::function<void(SimDisk*)>& prepare) {
  return Create(WorldOptions{.prepare = prepare});
}

std::unique_ptr<World> World::Create(const WorldOptions& options) {
  RememberSignatures();
  std::unique_ptr<World> world(new World());
  world->disk_ = std::make_unique<SimDisk>();
  world->possible_ = {LogModel::Empty()};
  world->gap_limit_ = options.gap_limit;
  if (options.prepare) options.prepare(world->disk_.get());
  const auto process = world->disk_->NewProcess();
  const auto key = logcore::SignerKey::Parse(kSigner);
  const auto vkey = InitStore(
      process.get(),
      {.origin = "PeterNeumann", .key = key.value(), .journal_length = options.journal_length},
      {.clock = [clock = world->clock_] { return clock * logcore::kNanoseconds; }});
  if (!vkey.has_value()) throw Violation("init: " + vkey.error().message);
  process->Kill();
  return world;
}

void World::CheckUnfinished(SimDisk* disk) {
  const auto process = disk->NewProcess();
  const auto store = StoreWriter::Open(
      process.get(), {.clock = [] { return int64_t{1}; }, .gap_limit = kGapLimit});
  if (!store.has_value()) return;
  const auto size = (*store)->Publish();
  if (!size.has_value() || *size != 0) throw Violation("a store whose init did not finish opens");
}

std::unique_ptr<World> World::Clone() const {
  std::unique_ptr<World> clone(new World());
  clone->disk_ = disk_->Clone();
  clone->possible_ = possible_;
  clone->acknowledged_ = acknowledged_;
  clone->visible_ = visible_;
  clone->unpublished_since_cut_ = unpublished_since_cut_;
  clone->gap_limit_ = gap_limit_;
  clone->closed_ = closed_;
  clone->clock_ = clock_;
  clone->openings_ = openings_;
  clone->story_ = story_;
  return clone;
}

void World::Step(const std::string& step) {
  error_.reset();
  if (story_.size() == kMaxStory) story_.erase(story_.begin());
  story_.push_back(std::to_string(disk_->operations()) + ": " + step + " (acknowledged " +
                   std::to_string(acknowledged_) + ", visible " + std::to_string(visible_) + ")");
}

std::string World::Story() const {
  std::string story;
  for (const std::string& step : story_) story += "\n  after operation " + step;
  return story;
}

void World::Violate(const std::string& what) const {
  throw Violation(what + Story());
}

bool World::Failed(const char* step, const Error& error) {
  if (!allow_errors_) {
    Violate(std::string(step) + ": " + Name(error.code) + ": " + error.message);
  }
  error_ = error;
  return true;
}

// The first process, and every other one, leaves all the blocks it can out of the journal.
ActorPtr World::Open() {
  return Open(openings_++ % 2 == 0);
}

ActorPtr World::Open(bool direct) {
  Step("open");
  auto actor = std::make_unique<Actor>();
  actor->process = disk_->NewProcess();
  StoreOptions options = Options();
  if (direct) options.direct_length = 1;
  auto store = StoreWriter::Open(actor->process.get(), options);
  if (!store.has_value()) {
    Failed("open", store.error());
    return nullptr;
  }
  actor->store = std::move(*store);
  return actor;
}

void World::Commit(Actor* actor, const std::vector<std::string>& entries) {
  Batch batch = BatchOf(entries);
  Commit(actor, entries, &batch, nullptr);
}

void World::CommitAndPrepare(Actor* actor, const std::vector<std::string>& entries,
                             const std::vector<std::string>& next) {
  Batch batch = BatchOf(entries);
  Commit(actor, entries, &batch, [&] {
    actor->next_entries = next;
    actor->next = BatchOf(next);
    actor->store->Prepare(&actor->next);
  });
}

void World::CommitNext(Actor* actor) {
  if (actor->next_entries.empty()) Violate("nothing was prepared");
  const std::vector<std::string> entries = std::exchange(actor->next_entries, {});
  Commit(actor, entries, &actor->next, nullptr);
}

void World::Commit(Actor* actor, const std::vector<std::string>& entries, Batch* batch,
                   const std::function<void()>& on_head_known) {
  Step("commit of " + std::to_string(entries.size()));
  closed_ = false;
  const std::vector<LogModelPtr> before = possible_;
  std::vector<LogModelPtr> after;
  for (const LogModelPtr& log : before) after.push_back(log->Append(entries, clock_));
  possible_.insert(possible_.end(), after.begin(), after.end());
  const auto committed = actor->store->Commit(batch, on_head_known);
  if (!committed.has_value()) {
    const Code code = committed.error().code;
    if (code == Code::kNoSpace || code == Code::kTooLarge || code == Code::kReadOnly) {
      possible_ = before;
    }
    Failed("commit", committed.error());
    return;
  }
  possible_.clear();
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i]->size() == committed->first_index) possible_.push_back(after[i]);
  }
  if (possible_.empty()) {
    Violate("commit: index " + std::to_string(committed->first_index) + ", but " +
            std::to_string(acknowledged_) + " were acknowledged");
  }
  acknowledged_ = committed->first_index + entries.size();
}

void World::Publish(Actor* actor) {
  Step("publish");
  const uint64_t acknowledged = acknowledged_;
  const auto size = actor->store->Publish();
  if (!size.has_value()) {
    Failed("publish", size.error());
    return;
  }
  const auto snapshot = actor->store->reader().Latest();
  if (!snapshot.has_value()) {
    Failed("latest", snapshot.error());
    return;
  }
  if ((*snapshot)->size() != *size || *size < acknowledged) {
    Violate("publish: published " + std::to_string((*snapshot)->size()) + ", said " +
            std::to_string(*size) + ", acknowledged " + std::to_string(acknowledged));
  }
  Observe("publish", (*snapshot)->published());
  unpublished_since_cut_ = false;
}

void World::Observe(const std::string& step, const logcore::Published& published) {
  const auto [size, root] = published.head;
  if (size < visible_) {
    Violate(step + ": published size went back from " + std::to_string(visible_) + " to " +
            std::to_string(size));
  }
  const uint64_t now = size;
  std::erase_if(possible_, [&, expected = root](const LogModelPtr& log) {
    return log->Root(now) != expected;
  });
  if (possible_.empty()) {
    Violate(step + ": published size " + std::to_string(size) +
            " with a root that no possible log has");
  }
  visible_ = size;
}

void World::AdvanceReplayPoint(Actor* actor) {
  Step("advance base");
  const auto status = actor->store->AdvanceReplayPointToEnd();
  if (!status.has_value()) Failed("advance base", status.error());
}

void World::Close(Actor* actor) {
  Step("close");
  const uint64_t before = disk_->operations();
  const auto status = actor->store->Close();
  if (!status.has_value()) {
    Failed("close", status.error());
    return;
  }
  // It does nothing if another process has said that all is on the disk, or died saying so.
  if (disk_->operations() == before) return;
  closed_ = possible_.size() == 1 && log().size() == visible_ && !unpublished_since_cut_;
}

void World::Read(uint64_t seed, int entries) {
  Step("read-only open");
  const auto process = disk_->NewProcess();
  const auto store = StoreReader::Open(process.get(), Options());
  if (!store.has_value()) {
    if (unpublished_since_cut_ && store.error().code == Code::kBusy) return;
    Violate("read-only open: " + Name(store.error().code) + ": " + store.error().message);
  }
  const auto snapshot = (*store)->Latest();
  if (!snapshot.has_value()) Violate("read-only latest: " + snapshot.error().message);
  Observe("read-only open", (*snapshot)->published());
  unpublished_since_cut_ = false;
  if (entries != 0) CheckEntries(store->get(), seed, entries);
}

void World::CutPower(uint64_t seed) {
  Step("power cut " + std::to_string(seed));
  disk_->CutPower(seed);
  unpublished_since_cut_ = !closed_;
}

void World::Reboot() {
  Step("reboot");
  disk_->Reboot();
  unpublished_since_cut_ = !closed_;
}

StoreOptions World::Options() const {
  return {.clock = [this] { return clock_ * logcore::kNanoseconds; }, .gap_limit = gap_limit_};
}

void World::CheckFiles() {
  std::string difference;
  std::erase_if(possible_, [&](const LogModelPtr& log) {
    const std::optional<std::string> different = log->Difference(*disk_);
    if (different) difference = *different;
    return different.has_value();
  });
  if (possible_.empty()) Violate("file " + difference + " is not as it must be");
}

void World::CheckAudit() {
  const auto process = disk_->NewProcess();
  const auto report = logcore::Audit(process.get(), {.gap_limit = gap_limit_});
  if (!report.has_value()) Violate("audit: " + report.error().message);
  for (const logcore::Damage& damage : report->damages) {
    Violate("audit: " + damage.file + ": " + damage.what);
  }
  if (report->head.size != visible_ || log().Root(visible_) != report->head.root) {
    Violate("audit: found another head than the published one");
  }
}

void World::CheckEntries(StoreReader* store, uint64_t seed, int entries) {
  // After a power cut it is for the first one who publishes to say what is visible.
  if (unpublished_since_cut_) return;
  const auto snapshot = store->Latest();
  if (!snapshot.has_value()) Violate("latest: " + snapshot.error().message);
  Observe("latest", (*snapshot)->published());
  const uint64_t size = (*snapshot)->size();
  SimRandom random(seed);
  for (int i = 0; i < entries && size != 0; ++i) {
    const uint64_t index = i == 0 ? size - 1 : random.Below(size);
    const auto entry = (*snapshot)->Entry(index);
    if (!entry.has_value()) Violate("entry: " + entry.error().message);
    if (*entry != log().Entry(index)) {
      Violate("entry " + std::to_string(index) + " has other bytes");
    }
    const auto time = (*snapshot)->Time(index);
    if (!time.has_value()) Violate("time: " + time.error().message);
    // Two appends of the same bytes that nobody acknowledged differ in nothing else.
    std::erase_if(possible_, [&](const LogModelPtr& log) {
      return index < log->size() && log->Time(index) != *time;
    });
    if (possible_.empty()) Violate("entry " + std::to_string(index) + " has another time");
  }
}

std::vector<std::string> MakeEntries(uint64_t seed, uint64_t count) {
  SimRandom random(seed);
  std::vector<std::string> entries;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t length = random.Below(30);
    if (random.OneIn(16)) length = 0;
    if (random.OneIn(32)) length = random.Below(count < 8 ? 3000 : 300);
    // Some batches fill blocks of the segment, one or two.
    if (i == 0 && count < 8 && random.OneIn(8)) length = 4000 + random.Below(6000);
    std::string entry(length, static_cast<char>(random.Next()));
    for (size_t at = 0; at < entry.size() && at < 8; ++at) {
      entry[at] = static_cast<char>(random.Next());
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace tlogfs_test
