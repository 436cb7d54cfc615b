#include "logcore/posix/files/lock_file.h"

#include <string>

namespace logcore {

Result<std::unique_ptr<AllHeld>> AllHeld::Take(Disk* disk) {
  std::unique_ptr<AllHeld> all(new AllHeld());
  ASSIGN_OR_RETURN(all->lock_, disk->Open("lock", Access::kReadWrite));
  ASSIGN_OR_RETURN(const bool opened, all->lock_->TryLock(kOpened, LockKind::kShared));
  if (!opened) return Fail(Code::kBusy, "it is being repaired");
  size_t i = 0;
  for (const LockNumber which : {kReplayPoint, kCommit, kPublish}) {
    ASSIGN_OR_RETURN(all->held_[i], Held::Take(&all->mutexes_[i], all->lock_.get(), which));
    ++i;
  }
  return all;
}

Status CheckWriterStateLength(const File& lock) {
  ASSIGN_OR_RETURN(const uint64_t length, lock.Length());
  if (length == kWriterStateLength) return {};
  return Fail(Code::kCorrupt, "lock: is " + std::to_string(length) + " bytes long, not " +
                                  std::to_string(kWriterStateLength));
}

Result<std::optional<WriterState>> ReadWriterState(const File& lock) {
  std::string bytes(kWriterStateLength, '\0');
  ASSIGN_OR_RETURN(const size_t length, lock.ReadAt(0, bytes.data(), bytes.size()));
  bytes.resize(length);
  std::optional<WriterState> writer = DecodeWriterState(bytes);
  if (!writer) return writer;
  std::string expected = EncodeWriterState(*writer);
  expected.resize(kWriterStateLength, '\0');
  if (bytes != expected) writer.reset();
  return writer;
}

Status WriteWriterState(File* lock, const WriterState& writer) {
  std::string bytes = EncodeWriterState(writer);
  bytes.resize(kWriterStateLength, '\0');  // Nothing of a longer one is left after it.
  return lock->WriteAt(0, bytes);
}

tl::unexpected<Error> FailOldState() {
  return Fail(Code::kCorrupt, "lock: its head is older than the journal");
}

}  // namespace logcore
