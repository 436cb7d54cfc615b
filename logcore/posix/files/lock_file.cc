#include "logcore/posix/files/lock_file.h"

#include <string>

namespace logcore {

Result<std::unique_ptr<AllHeld>> AllHeld::Take(Disk* disk) {
  std::unique_ptr<AllHeld> all(new AllHeld());
  ASSIGN_OR_RETURN(all->lock_, disk->Open("lock", Access::kReadWrite));
  ASSIGN_OR_RETURN(const bool opened, all->lock_->TryLock(kOpened, LockKind::kShared));
  if (!opened) return Fail(Code::kBusy, "it is being repaired");
  size_t i = 0;
  for (const LockNumber which : {kBase, kCommit, kPublish}) {
    ASSIGN_OR_RETURN(all->held_[i], Held::Take(&all->mutexes_[i], all->lock_.get(), which));
    ++i;
  }
  return all;
}

Status CheckHeadLength(const File& lock) {
  ASSIGN_OR_RETURN(const uint64_t length, lock.Length());
  if (length == kMaxHeadLength) return {};
  return Fail(Code::kCorrupt, "lock: is " + std::to_string(length) + " bytes long, not " +
                                  std::to_string(kMaxHeadLength));
}

Result<std::optional<Head>> ReadHead(const File& lock) {
  std::string bytes(kMaxHeadLength, '\0');
  ASSIGN_OR_RETURN(const size_t length, lock.ReadAt(0, bytes.data(), bytes.size()));
  bytes.resize(length);
  std::optional<Head> head = DecodeHead(bytes);
  if (!head) return head;
  std::string expected = EncodeHead(*head);
  expected.resize(kMaxHeadLength, '\0');
  if (bytes != expected) head.reset();
  return head;
}

Status WriteHead(File* lock, const Head& head) {
  std::string bytes = EncodeHead(head);
  bytes.resize(kMaxHeadLength, '\0');  // Nothing of a longer one is left after it.
  return lock->WriteAt(0, bytes);
}

tl::unexpected<Error> FailOldHead() {
  return Fail(Code::kCorrupt, "lock: its head is older than the journal");
}

}  // namespace logcore
