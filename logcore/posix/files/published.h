// The file `checkpoint`: what is published, in two slots that are written in turn, in place.
//
//   slot: magic 8 | sequence 8 | boot id 16 | frames end 8 | time 8 | published at 8
//         | settled at 8 | moment 8 | note length 8 | note | SHA-256 of all this 32
//
// publication_time.h says what the three after `time` are; a slot that is written again for the
// same version of the checkpoint keeps them. A slot of the magic "tlogpub1", of earlier versions,
// has none of the three: it counts as published in the second after its newest entry.
//
// The valid slot of the greater sequence counts. Publishing never syncs it: what it says follows
// from the journal, which is synced. The boot id says in which boot the log's files were last
// written unsynced; it is zero once all that the slot covers is on the disk, so that a reader that
// cannot see the journal knows whether it may believe the files after a power cut.
//
// Threads: Read() from any; Write() by the holder of the publication lock (lock_file.h). Tested by
// tests/logcore/posix/commit/store_refusals_test.cc and publication_test.cc.

#ifndef LOGCORE_POSIX_FILES_PUBLISHED_H_
#define LOGCORE_POSIX_FILES_PUBLISHED_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "logcore/log/snapshot.h"
#include "logcore/posix/disk/disk.h"
#include "logcore/util/result.h"

namespace logcore {

inline constexpr uint64_t kPublishedSlotLength = 32 * 1024;
// The boot id that says that all is on the disk.
inline constexpr std::string_view kCompleteBoot{"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16};

class PublishedFile {
 public:
  static Status Create(Disk* disk, const Published& first, const std::string& boot_id);
  // kCorrupt if it is to be written and has not the length of two slots.
  static Result<std::unique_ptr<PublishedFile>> Open(Disk* disk, Access access);

  struct Slot {
    Published published;
    std::string boot_id;
  };
  // The bytes of a whole file that has `slot` in both places, the second time as the publication
  // after it. kTooLarge if the note does not fit.
  static Result<std::string> Encode(Slot slot);
  // The newest valid slot; kCorrupt if none is. The tree head in it is parsed from the note,
  // whose signature is not verified here.
  Result<Slot> Read() const;
  // kCorrupt if it is not of the length of two slots.
  Status CheckLength() const;
  // kCorrupt if a slot is neither valid nor empty, or anything stands after what it holds, or after
  // both.
  Status CheckBothSlots() const;
  // Whether any slot does: also the older one, which a power cut may make the newest.
  Result<bool> SaysComplete() const;
  // Whether a newer slot than `sequence` may be there: one small read.
  Result<bool> IsNewer(uint64_t sequence) const;
  // Writes the older slot.
  Status Write(const Slot& slot);
  // Writes one slot after the other, and syncs each: a power cut tears one at most, and what the
  // slots held before cannot come back. The sequence goes up by two.
  Status WriteBoth(Slot* slot);
  Status Sync() { return file_->Sync(); }

 private:
  explicit PublishedFile(std::unique_ptr<File> file) : file_(std::move(file)) {}
  Result<std::string> ReadSlot(uint64_t number) const;
  std::unique_ptr<File> file_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_FILES_PUBLISHED_H_
