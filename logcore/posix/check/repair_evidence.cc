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

// The records after the replay point, by their headers alone: each has the mac of the one before.
Result<std::vector<JournalStep>> FollowHeaders(const File& journal,
                                               const ReplayPoint& replay_point) {
  const JournalReader reader(&journal, nullptr, replay_point);
  std::vector<JournalStep> steps;
  JournalPosition position = replay_point.state.position;
  Hash chain = replay_point.state.chain;
  LogEnd end = replay_point.state.end;
  while (true) {
    std::optional<RecordHeader> next;
    for (const uint64_t offset : {position.tail, kRecordsStart}) {
      ASSIGN_OR_RETURN(const std::optional<RecordHeader> header, reader.Header(offset));
      if (next || !header || header->sequence != position.sequence + 1 ||
          header->previous != chain || header->start_size != end.size || header->time < end.time ||
          replay_point.journal_length < offset + header->Length()) {
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
    RETURN_IF_ERROR(ReadWriterState());
    RETURN_IF_ERROR(ReadJournal());
    RETURN_IF_ERROR(CompareWriterState());
    RETURN_IF_ERROR(ReadCheckpoint());
    RETURN_IF_ERROR(CheckLengthOfLog());
    return std::move(found_);
  }

 private:
  Status ReadWriterState() {
    const Result<std::unique_ptr<File>> lock = disk_->Open("lock", Access::kRead);
    if (!lock.has_value()) return CannotMake(lock.error());
    const Status whole = CheckWriterStateLength(**lock);
    if (!whole.has_value()) return CannotMake(whole.error());
    ASSIGN_OR_RETURN(const std::string boot_id, disk_->BootId());
    ASSIGN_OR_RETURN(std::optional<WriterState> writer, logcore::ReadWriterState(**lock));
    if (writer && writer->boot_id == boot_id && found_.is_home) found_.writer = std::move(writer);
    return {};
  }

  Status ReadJournal() {
    const Result<std::unique_ptr<File>> journal = disk_->Open("journal", Access::kRead);
    if (!journal.has_value()) return CannotMake(journal.error());
    std::optional<uint64_t> sequence;
    if (found_.writer) sequence = found_.writer->replay_point.sequence;
    Result<ReplayPoint> replay_point = ReadReplayPoint(**journal, sequence);
    if (!replay_point.has_value()) return CannotMake(replay_point.error());
    found_.replay_point = std::move(*replay_point);
    const Status times = CheckTimesOfReplayPoint();
    if (!times.has_value()) return CannotMake(times.error());
    ASSIGN_OR_RETURN(found_.steps, FollowHeaders(**journal, found_.replay_point));
    found_.log = found_.replay_point.state;
    return {};
  }

  // A replay point whose checksum is right can still be one that nobody has written.
  Status CheckTimesOfReplayPoint() const {
    const LogEnd& end = found_.replay_point.state.end;
    // Both the indexes and the seconds of rows increase.
    bool is_possible = end.time_rows <= end.size && 0 <= end.time &&
                       end.time_rows <= static_cast<uint64_t>(end.time) + 1;
    const uint64_t length = is_possible ? end.time_rows * kTimeRowLength : 0;
    uint64_t kept = 0;
    for (const Block& block : found_.replay_point.blocks) {
      if (block.name != kTimesName) continue;
      is_possible = is_possible && kept == 0 && !block.bytes.empty() &&
                    block.offset == length / kBlockLength * kBlockLength;
      kept = block.bytes.size();
    }
    if (is_possible && kept == length % kBlockLength) return {};
    return Fail(Code::kCorrupt, "journal: the rows of times that its base has cannot be");
  }

  // The writer state must be on the journal's way, or one of the two was rolled back.
  Status CompareWriterState() {
    if (!found_.writer) return {};
    const WriterState& writer = *found_.writer;
    const LogState& replay_point = found_.replay_point.state;
    const uint64_t sequence = writer.log.position.sequence;
    const uint64_t newest =
        found_.steps.empty() ? replay_point.position.sequence : found_.steps.back().sequence;
    bool fits = sequence == replay_point.position.sequence && writer.log == replay_point;
    for (const JournalStep& step : found_.steps) {
      if (step.sequence != sequence) continue;
      fits = step.mac == writer.log.chain && step.head == writer.log.range.Head() &&
             step.end == writer.log.end;
    }
    if (!fits) return Fail(Code::kCorrupt, "journal: does not lead to the head in lock");
    found_.log = writer.log;
    found_.at_rest = writer.is_at_rest();
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
        length != 2 * kPublishedSlotLength || (found_.writer && !both.has_value());
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
  const auto found = std::find_if(replay_point.blocks.begin(), replay_point.blocks.end(),
                                  [](const Block& block) { return block.name == kTimesName; });
  return found == replay_point.blocks.end() ? nullptr : &*found;
}

std::vector<TimeRow> RepairEvidence::NewerTimes() const {
  std::vector<TimeRow> rows;
  uint64_t count = replay_point.state.end.time_rows;
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
