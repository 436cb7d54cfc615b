#include "logcore/posix/commit/writer_state_file.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "logcore/posix/commit/opening.h"

namespace logcore {
namespace {

// A torn state can only be seen without the commit lock, and only for the moment of one small
// write.
constexpr int kReadAttempts = 1000;

}  // namespace

Result<std::unique_ptr<WriterStateFile>> WriterStateFile::Open(Disk* disk, LogFiles* files,
                                                               PublishedFile* published) {
  std::unique_ptr<WriterStateFile> state(new WriterStateFile(files, published));
  ASSIGN_OR_RETURN(state->lock_, disk->Open("lock", Access::kReadWrite));
  ASSIGN_OR_RETURN(state->journal_, disk->Open("journal", Access::kReadWrite));
  return state;
}

Result<bool> WriterStateFile::Run(Disk* disk, OpeningMode mode, const CheckpointMaker* maker) {
  ASSIGN_OR_RETURN(const auto held_replay_point, HoldReplayPoint());
  ASSIGN_OR_RETURN(const auto held, HoldCommit());
  Opening opening(disk, lock_.get(), journal_.get(), files_, published_, maker);
  ASSIGN_OR_RETURN(const bool opened, opening.Run(mode));
  if (!opened) return false;
  boot_id_ = opening.boot_id();
  mac_key_ = opening.replay_point().key;
  journal_length_ = opening.replay_point().journal_length;
  opened_ = opening.writer().log;
  recoveries_ = opening.writer().recoveries;
  NoteUse(opening.writer());
  return true;
}

// In a living process: another one died.
Result<Recovered> WriterStateFile::RunRecovery(WriterState* writer, RecoverFrom from) {
  return Recover(journal_.get(), files_, *published_, writer, *writer, from,
                 [this, writer](uint64_t sequence) {
                   writer->durable_sequence = sequence;
                   return Write(*writer);
                 });
}

Status WriterStateFile::RecoverFromReplayPoint(WriterState* writer) {
  const Result<Recovered> recovered = RunRecovery(writer, RecoverFrom::kReplayPoint);
  if (!recovered.has_value()) return Poison(*writer, recovered.error());
  writer->log = recovered->state;
  writer->durable_sequence = writer->log.position.sequence;
  writer->advancing = writer->doubtful = false;
  return Write(*writer);
}

Result<WriterState> WriterStateFile::ReadToAppend() {
  ASSIGN_OR_RETURN(std::optional<WriterState> writer, ReadWriterState(*lock_));
  if (!writer || writer->boot_id != boot_id_) {
    return Fail(Code::kCorrupt, "lock: its head was overwritten");
  }
  if (writer->phase == WriterPhase::kPoisoned) {
    stopped_ = true;
    return tl::unexpected<Error>(Stopped());
  }
  if (writer->phase == WriterPhase::kCommitting) {  // Its writer died: it would hold the lock else.
    const Result<Recovered> recovered = RunRecovery(&*writer, RecoverFrom::kWriterState);
    if (!recovered.has_value()) return Poison(*writer, recovered.error());
    writer->phase = WriterPhase::kIdle;
    writer->log = recovered->state;
    writer->durable_sequence = writer->log.position.sequence;
    writer->doubtful |= std::exchange(writer->direct, false);
    ++writer->recoveries;
    RETURN_IF_ERROR(Write(*writer));
  }
  if (std::exchange(recoveries_, writer->recoveries) != writer->recoveries)
    files_->ForgetReserved();
  return std::move(*writer);
}

Result<WriterState> WriterStateFile::Read() const {
  ASSIGN_OR_RETURN(std::optional<WriterState> writer, ReadWriterState(*lock_));
  if (!writer) return Fail(Code::kCorrupt, "lock: its head was overwritten");
  return std::move(*writer);
}

tl::unexpected<Error> WriterStateFile::Poison(WriterState writer, Error why) {
  stopped_ = true;
  writer.phase = WriterPhase::kPoisoned;
  const Status written = Write(writer);
  if (!written.has_value()) why.message += "; and " + written.error().message;
  if (why.code != Code::kCorrupt) why.code = Code::kIo;
  return tl::unexpected<Error>(std::move(why));
}

Result<WriterState> WriterStateFile::ReadAsReader() const {
  for (int i = 0; i < kReadAttempts; ++i) {
    ASSIGN_OR_RETURN(std::optional<WriterState> writer, ReadWriterState(*lock_));
    if (writer) return std::move(*writer);
  }
  return Fail(Code::kCorrupt, "lock: its head cannot be read");
}

Error WriterStateFile::Stopped() {
  return {Code::kReadOnly, "append: the log stopped after an error; mount or open it again"};
}

// Frames outside the journal count as those inside: they take as long to recover.
void WriterStateFile::NoteUse(const WriterState& writer) {
  const double frames = static_cast<double>(writer.log.end.frames_end - writer.durable_frames_end);
  replay_length_ = std::max(UsedPart(writer.replay_point, writer.log.position, journal_length_),
                            frames / static_cast<double>(journal_length_ - kRecordsStart));
}

}  // namespace logcore
