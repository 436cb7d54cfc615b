// JournalReader: what a journal holds, verified: its replay slots, and the chain of records after a
// state. Reads only. Recovery (recovery.h) writes down what it finds; the audit compares it.
//
// One thread. Tested by tests/logcore/posix/commit/store_test.cc and tests/crash.

#ifndef LOGCORE_POSIX_FILES_JOURNAL_READER_H_
#define LOGCORE_POSIX_FILES_JOURNAL_READER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/tlog/merkle.h"
#include "logcore/util/result.h"

namespace logcore {

// The bytes of replay slot 0 or 1, as many as are there.
Result<std::string> ReadReplaySlot(const File& journal, uint64_t number);
// The valid replay slot of `sequence`, or the newest one; kCorrupt if it is not there.
Result<ReplayPoint> ReadReplayPoint(const File& journal, std::optional<uint64_t> sequence);

// A record that is what it says: mac, chain, frames and root.
struct JournalRecord {
  uint64_t offset = 0;
  RecordHeader header;
  std::string bytes;  // all of it, with its padding
  DirectPart direct;
  std::string joined_frames;  // if some are outside
  std::vector<Hash> leaf_hashes;
  Prepared prepared;

  std::string_view frames() const {
    if (direct.length != 0) return joined_frames;
    return std::string_view(bytes).substr(kRecordHeaderLength, header.frames_length);
  }
  JournalPosition end() const { return {header.sequence, offset + header.Length(), offset}; }
};

class JournalReader {
 public:
  // `journal` and `files` outlive this.
  JournalReader(const File* journal, const LogFiles* files, const ReplayPoint& replay_point)
      : journal_(journal),
        files_(files),
        key_(replay_point.key),
        length_(replay_point.journal_length) {}

  // The record that follows `state`, if there is a valid one.
  Result<std::optional<JournalRecord>> After(const LogState& state) const;
  // The header at `offset`, if its mac is right.
  Result<std::optional<RecordHeader>> Header(uint64_t offset) const;
  // kCorrupt unless the newest record before `state` is there, or the replay point is that state. A
  // journal that was rolled back does not have it.
  Status CheckNewest(const LogState& state, const ReplayPoint& replay_point) const;
  // kCorrupt if there is any record that a torn end after `sequence` does not explain: one of
  // sequence + 2 or later.
  Status CheckNothingLater(uint64_t sequence) const;

 private:
  Result<std::optional<JournalRecord>> RecordAt(uint64_t offset, const LogState& state) const;

  // False: what is outside of it is not there.
  Result<bool> JoinFrames(const LogState& state, JournalRecord* record) const;

  const File* const journal_;
  const LogFiles* const files_;
  const Hash key_;
  const uint64_t length_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_FILES_JOURNAL_READER_H_
