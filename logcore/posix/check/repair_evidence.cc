#include "logcore/posix/check/repair_evidence.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "logcore/posix/files/journal_reader.h"
#include "logcore/posix/files/lock_file.h"

namespace logcore {
namespace {

// Repair has no way with these; the README has one.
tl::unexpected<Error> CannotMake(Error error) {
  if (error.code == Code::kNotFound) error.code = Code::kCorrupt;
  error.message += "; it cannot be made again, see the README";
  return tl::unexpected<Error>(std::move(error));
}

// The records after the base, by their headers alone: each has the mac of the one before.
Result<std::vector<JournalStep>> FollowHeaders(const File& journal, const Base& base) {
  const JournalReader reader(&journal, nullptr, base);
  std::vector<JournalStep> steps;
  JournalPosition position = base.state.position;
  Hash chain = base.state.chain;
  LogEnd end = base.state.end;
  while (true) {
    std::optional<RecordHeader> next;
    for (const uint64_t offset : {position.tail, kRecordsStart}) {
      ASSIGN_OR_RETURN(const std::optional<RecordHeader> header, reader.Header(offset));
      if (next || !header || header->sequence != position.sequence + 1 ||
          header->previous != chain || header->start_size != end.size || header->time < end.time ||
          base.journal_length < offset + header->Length()) {
        continue;
      }
      next = header;
      position = {header->sequence, offset + header->Length()};
    }
    if (!next) return steps;
    chain = next->mac;
    end = EndAfter(end, next->size - end.size, next->frames_length, next->time);
    steps.push_back({next->sequence, next->mac, next->start_size, {next->size, next->root}, end});
  }
}

class Gatherer {
 public:
  Gatherer(Disk* disk, StoreConfig config) : disk_(disk), found_(std::move(config)) {}

  Result<RepairEvidence> Run(const std::optional<std::string>& newest) {
    if (newest) {
      Result<Checkpoint> checkpoint =
          OpenCheckpoint(*newest, found_.config.origin, found_.config.vkey);
      if (!checkpoint.has_value()) return Within("the newest checkpoint", checkpoint.error());
      found_.newest = std::move(*checkpoint);
      found_.newest_note = *newest;
    }
    const Status home = CheckAtHome(disk_, found_.config);
    if (!home.has_value() && home.error().code != Code::kReadOnly) return CannotMake(home.error());
    found_.is_home = home.has_value();
    RETURN_IF_ERROR(ReadHead());
    RETURN_IF_ERROR(ReadJournal());
    RETURN_IF_ERROR(CompareHead());
    RETURN_IF_ERROR(ReadCheckpoint());
    RETURN_IF_ERROR(CheckLengthOfLog());
    return std::move(found_);
  }

 private:
  Status ReadHead() {
    const Result<std::unique_ptr<File>> lock = disk_->Open("lock", Access::kRead);
    if (!lock.has_value()) return CannotMake(lock.error());
    const Status whole = CheckHeadLength(**lock);
    if (!whole.has_value()) return CannotMake(whole.error());
    ASSIGN_OR_RETURN(const std::string boot_id, disk_->BootId());
    ASSIGN_OR_RETURN(std::optional<Head> head, logcore::ReadHead(**lock));
    if (head && head->boot_id == boot_id && found_.is_home) found_.head = std::move(head);
    return {};
  }

  Status ReadJournal() {
    const Result<std::unique_ptr<File>> journal = disk_->Open("journal", Access::kRead);
    if (!journal.has_value()) return CannotMake(journal.error());
    std::optional<uint64_t> sequence;
    if (found_.head) sequence = found_.head->base.sequence;
    Result<Base> base = ReadBase(**journal, sequence);
    if (!base.has_value()) return CannotMake(base.error());
    found_.base = std::move(*base);
    const Status times = CheckTimesOfBase();
    if (!times.has_value()) return CannotMake(times.error());
    ASSIGN_OR_RETURN(found_.steps, FollowHeaders(**journal, found_.base));
    found_.log = found_.base.state;
    return {};
  }

  // A base whose checksum is right can still be one that nobody has written.
  Status CheckTimesOfBase() const {
    const LogEnd& end = found_.base.state.end;
    // Both the indexes and the seconds of rows increase.
    bool is_possible = end.time_rows <= end.size && 0 <= end.time &&
                       end.time_rows <= static_cast<uint64_t>(end.time) + 1;
    const uint64_t length = is_possible ? end.time_rows * kTimeRowLength : 0;
    uint64_t kept = 0;
    for (const Block& block : found_.base.blocks) {
      if (block.name != kTimesName) continue;
      is_possible = is_possible && kept == 0 && !block.bytes.empty() &&
                    block.offset == length / kBlockLength * kBlockLength;
      kept = block.bytes.size();
    }
    if (is_possible && kept == length % kBlockLength) return {};
    return Fail(Code::kCorrupt, "journal: the rows of times that its base has cannot be");
  }

  // The head must be on the journal's way, or one of the two was rolled back.
  Status CompareHead() {
    if (!found_.head) return {};
    const Head& head = *found_.head;
    const LogState& base = found_.base.state;
    const uint64_t sequence = head.log.position.sequence;
    const uint64_t newest =
        found_.steps.empty() ? base.position.sequence : found_.steps.back().sequence;
    bool fits = sequence == base.position.sequence && head.log == base;
    for (const JournalStep& step : found_.steps) {
      if (step.sequence != sequence) continue;
      fits = step.mac == head.log.chain && step.head == head.log.range.Head() &&
             step.end == head.log.end;
    }
    if (!fits) return Fail(Code::kCorrupt, "journal: does not lead to the head in lock");
    found_.log = head.log;
    found_.at_rest = head.is_at_rest();
    if (found_.at_rest && sequence < newest) {
      return Fail(Code::kCorrupt, "lock: its head is older than the journal");
    }
    return {};
  }

  Status ReadCheckpoint() {
    found_.checkpoint_is_damaged = true;
    const Result<std::unique_ptr<File>> file = disk_->Open("checkpoint", Access::kRead);
    if (!file.has_value()) return IsLost(file.error());
    ASSIGN_OR_RETURN(const auto published, PublishedFile::Open(disk_, Access::kRead));
    Result<PublishedFile::Slot> slot = published->Read();
    if (!slot.has_value()) return IsLost(slot.error());
    if (!OpenCheckpoint(slot->published.note, found_.config.origin, found_.config.vkey).has_value())
      return {};
    found_.slot = std::move(*slot);
    // A slot that a power cut tore is for recovery to write again.
    ASSIGN_OR_RETURN(const uint64_t length, (*file)->Length());
    const Status both = published->CheckBothSlots();
    found_.checkpoint_is_damaged =
        length != 2 * kPublishedSlotLength || (found_.head && !both.has_value());
    return {};
  }

  static Status IsLost(const Error& error) {
    if (error.code == Code::kNotFound || error.code == Code::kCorrupt) return {};
    return tl::unexpected<Error>(error);
  }

  Status CheckLengthOfLog() const {
    if (!found_.slot && !found_.newest) {
      return Fail(Code::kCorrupt,
                  "checkpoint: is lost, and the journal alone cannot tell whether it was rolled "
                  "back: give --newest, the newest checkpoint that anybody saw");
    }
    const uint64_t size =
        found_.steps.empty() ? found_.log.end.size : found_.steps.back().head.size;
    for (const auto& [what, head] :
         {std::pair{"was published", found_.slot ? found_.slot->published.head : TreeHead()},
          std::pair{"was seen", found_.newest ? found_.newest->head : TreeHead()}}) {
      if (head.size <= found_.log.end.size) continue;
      const JournalStep* const step = found_.StepOf(head.size);
      if (step != nullptr && step->head == head && !found_.at_rest) continue;
      return Fail(Code::kCorrupt, "journal: ends at size " + std::to_string(size) +
                                      ", or goes another way, but a checkpoint of size " +
                                      std::to_string(head.size) + " " + what);
    }
    return {};
  }

  Disk* const disk_;
  RepairEvidence found_;
};

}  // namespace

const JournalStep* RepairEvidence::StepOf(uint64_t size) const {
  const auto found = std::find_if(steps.begin(), steps.end(), [size](const JournalStep& step) {
    return step.head.size == size;
  });
  return found == steps.end() ? nullptr : &*found;
}

const Block* RepairEvidence::TimesBlock() const {
  const auto found = std::find_if(base.blocks.begin(), base.blocks.end(),
                                  [](const Block& block) { return block.name == kTimesName; });
  return found == base.blocks.end() ? nullptr : &*found;
}

std::vector<TimeRow> RepairEvidence::NewerTimes() const {
  std::vector<TimeRow> rows;
  uint64_t count = base.state.end.time_rows;
  for (const JournalStep& step : steps) {
    if (log.end.size < step.head.size) break;
    if (count < step.end.time_rows) rows.push_back({step.start_size, step.end.time});
    count = step.end.time_rows;
  }
  return rows;
}

Result<RepairEvidence> GatherEvidence(Disk* disk, const std::optional<std::string>& newest) {
  Result<StoreConfig> config = ReadStoreConfig(disk);
  if (!config.has_value()) {
    const bool is_store = disk->Info("format").has_value();
    return is_store ? CannotMake(config.error()) : tl::unexpected<Error>(config.error());
  }
  return Gatherer(disk, std::move(*config)).Run(newest);
}

}  // namespace logcore
