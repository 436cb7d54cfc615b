#include "logcore/posix/commit/writer_state_file.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "logcore/posix/commit/opening.h"

namespace logcore {
namespace {

// A torn head can only be seen without the commit lock, and only for the moment of one small write.
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
  ASSIGN_OR_RETURN(const auto held_base, HoldBase());
  ASSIGN_OR_RETURN(const auto held, HoldCommit());
  Opening opening(disk, lock_.get(), journal_.get(), files_, published_, maker);
  ASSIGN_OR_RETURN(const bool opened, opening.Run(mode));
  if (!opened) return false;
  boot_id_ = opening.boot_id();
  mac_key_ = opening.base().key;
  journal_length_ = opening.base().journal_length;
  opened_ = opening.head().log;
  recoveries_ = opening.head().recoveries;
  NoteUse(opening.head());
  return true;
}

// In a living process: another one died.
Result<Recovered> WriterStateFile::RunRecovery(Head* head, RecoverFrom from) {
  return Recover(journal_.get(), files_, *published_, head, *head, from,
                 [this, head](uint64_t sequence) {
                   head->durable_sequence = sequence;
                   return Write(*head);
                 });
}

Status WriterStateFile::RecoverFromBase(Head* head) {
  const Result<Recovered> recovered = RunRecovery(head, RecoverFrom::kBase);
  if (!recovered.has_value()) return Poison(*head, recovered.error());
  head->log = recovered->state;
  head->durable_sequence = head->log.position.sequence;
  head->advancing = head->doubtful = false;
  return Write(*head);
}

Result<Head> WriterStateFile::ReadToAppend() {
  ASSIGN_OR_RETURN(std::optional<Head> head, ReadHead(*lock_));
  if (!head || head->boot_id != boot_id_) {
    return Fail(Code::kCorrupt, "lock: its head was overwritten");
  }
  if (head->state == HeadState::kPoisoned) {
    stopped_ = true;
    return tl::unexpected<Error>(Stopped());
  }
  if (head->state == HeadState::kCommitting) {  // Its writer died: it would hold the lock else.
    const Result<Recovered> recovered = RunRecovery(&*head, RecoverFrom::kHead);
    if (!recovered.has_value()) return Poison(*head, recovered.error());
    head->state = HeadState::kIdle;
    head->log = recovered->state;
    head->durable_sequence = head->log.position.sequence;
    head->doubtful |= std::exchange(head->outside, false);
    ++head->recoveries;
    RETURN_IF_ERROR(Write(*head));
  }
  if (std::exchange(recoveries_, head->recoveries) != head->recoveries) files_->ForgetReserved();
  return std::move(*head);
}

Result<Head> WriterStateFile::Read() const {
  ASSIGN_OR_RETURN(std::optional<Head> head, ReadHead(*lock_));
  if (!head) return Fail(Code::kCorrupt, "lock: its head was overwritten");
  return std::move(*head);
}

tl::unexpected<Error> WriterStateFile::Poison(Head head, Error why) {
  stopped_ = true;
  head.state = HeadState::kPoisoned;
  const Status written = Write(head);
  if (!written.has_value()) why.message += "; and " + written.error().message;
  if (why.code != Code::kCorrupt) why.code = Code::kIo;
  return tl::unexpected<Error>(std::move(why));
}

Result<Head> WriterStateFile::ReadAsReader() const {
  for (int i = 0; i < kReadAttempts; ++i) {
    ASSIGN_OR_RETURN(std::optional<Head> head, ReadHead(*lock_));
    if (head) return std::move(*head);
  }
  return Fail(Code::kCorrupt, "lock: its head cannot be read");
}

Error WriterStateFile::Stopped() {
  return {Code::kReadOnly, "append: the log stopped after an error; mount or open it again"};
}

// Frames outside the journal count as those inside: they take as long to recover.
void WriterStateFile::NoteUse(const Head& head) {
  const double frames = static_cast<double>(head.log.end.frames_end - head.base_frames_end);
  replay_length_ = std::max(UsedPart(head.base, head.log.position, journal_length_),
                            frames / static_cast<double>(journal_length_ - kRecordsStart));
}

}  // namespace logcore
