// The journal: where a batch becomes durable. One file of fixed length, written with zeros by init
// so that a sync never has to touch the filesystem's own metadata; used as a ring.
//
//   0        64 KiB   128 KiB                                          length
//   +--------+--------+------+---------+--------+- - - - - - - - - - - -+
//   |replay 0|replay 1| ...  | record  | record |  (free)               |
//   +--------+--------+------+---------+--------+- - - - - - - - - - - -+
//                            ^ point.tail       ^ tail
//
// A *record* holds one batch, with its bytes, at a multiple of 4 KiB, never across the end:
//
//   magic 8 | sequence 8 | start size 8 | size 8 | frames length 8 | direct 8 | time 8 | root 32
//   | previous 32 | mac 32 | frames ... | zeros up to the next 4 KiB
//
// A long one need not hold all its frames. `direct` bytes of them, those that fill whole 4 KiB
// blocks of the segment they go to behind a gap (log_files.h), are there already, synced before the
// record was written.
//
// Sequences count up by one for ever, so a record of an older lap cannot pass for a new one.
// `previous` is the mac of the record before: a chain. mac = SHA-256(key || the fields before it),
// with a random key that only the journal holds: no entry's bytes can pass for a record. The frames
// are covered by `root`, which recovery recomputes from them and everything before.
//
// A *replay slot* says from where recovery replays: the log's files are durable up to it, except
// that the last, unfinished 4 KiB block of each may be torn by later writes: their bytes are kept
// here. The two slots are written in turn; the valid one of the greater sequence counts.
//
// The *writer state* (in the file `lock`) is the same state, newer: what the last commit left, with
// its compact range, so that the next writer, of whichever process, reads a few hundred bytes and
// goes on. It is never synced; it means something only in the boot that wrote it.
//
// Pure functions from state to bytes and back. Any thread. Tested by
// tests/logcore/posix/files/journal_test.cc.

#ifndef LOGCORE_POSIX_FILES_JOURNAL_H_
#define LOGCORE_POSIX_FILES_JOURNAL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "logcore/posix/files/log_files.h"
#include "logcore/tlog/hash.h"
#include "logcore/tlog/merkle.h"
#include "logcore/util/result.h"

namespace logcore {

inline constexpr uint64_t kJournalBlock = 4096;
inline constexpr uint64_t kReplaySlotLength = 64 * 1024;
inline constexpr uint64_t kRecordsStart = 2 * kReplaySlotLength;
inline constexpr uint64_t kMinJournalLength = kRecordsStart + 16 * kJournalBlock;
inline constexpr uint64_t kMaxJournalLength = uint64_t{1} << 32;
inline constexpr size_t kRecordHeaderLength = 7 * 8 + 3 * kHashLength;

// A place in the journal: after which record, where the next one may begin, and where that record
// does, which may have been written over once a replay slot covers it. 0: there has been none.
struct JournalPosition {
  uint64_t sequence = 0;
  uint64_t tail = kRecordsStart;
  uint64_t record = 0;
  bool operator==(const JournalPosition&) const = default;
};

// Everything that a writer must know to append: the log at the end of one record.
struct LogState {
  JournalPosition position;
  Hash chain;  // mac of the newest record; zeros before the first
  LogEnd end;
  CompactRange range;
  bool operator==(const LogState&) const = default;
};

struct RecordHeader {
  uint64_t sequence = 0;
  uint64_t start_size = 0;
  uint64_t size = 0;
  uint64_t frames_length = 0;
  uint64_t direct = 0;  // bytes of the frames that are not in the record
  int64_t time = 0;
  Hash root;
  Hash previous;
  Hash mac;

  uint64_t Length() const;  // of the whole record, padding included
};

// Fills in `mac` and writes the header over the first kRecordHeaderLength bytes at `out`.
void EncodeRecordHeader(const Hash& key, RecordHeader* header, char* out);
// Nothing unless the mac is right and the numbers are possible in a journal of `journal_length`.
std::optional<RecordHeader> DecodeRecordHeader(const Hash& key, std::string_view bytes,
                                               uint64_t journal_length);

// Where a record of `length` bytes goes after `tail`, when everything from the replay point on must
// be kept. Nothing: there is no room.
std::optional<uint64_t> PlaceRecord(const JournalPosition& replay_point,
                                    const JournalPosition& tail, uint64_t length,
                                    uint64_t journal_length);

// How much of the ring, 0 to 1, is kept for what came after it.
double UsedPart(const JournalPosition& replay_point, const JournalPosition& tail,
                uint64_t journal_length);

struct ReplayPoint {
  Hash key;  // of the macs
  uint64_t journal_length = 0;
  LogState state;
  std::vector<Block> blocks;
  bool operator==(const ReplayPoint&) const = default;
};

std::string EncodeReplayPoint(
    const ReplayPoint& replay_point);  // at most kReplaySlotLength; zeros fill the slot
std::optional<ReplayPoint> DecodeReplayPoint(std::string_view slot);

enum class WriterPhase : uint8_t {
  kIdle = 1,
  kCommitting = 2,  // A writer is, or died, inside a commit: recover before anything else.
  kPoisoned = 3,    // A sync failed: the page cache cannot be believed. Recover in a new process.
};

struct WriterState {
  std::string boot_id;  // 16 bytes
  WriterPhase phase = WriterPhase::kIdle;
  JournalPosition replay_point = {};  // of a replay slot on the disk: the journal before it is free
  uint64_t durable_size = 0;          // entries up to which the log's files were durable then
  uint64_t durable_frames_end = 0;
  LogState log = {};
  // `checkpoint` says, or is about to say, that all is on the disk: to be taken back, durably,
  // before anything is appended.
  bool complete = false;
  // The newest record that is known to be on the disk. While a writer is committing, it may be one
  // more than `log` has: durable, and not yet in the files.
  uint64_t durable_sequence = 0;
  // The replay point is being advanced. If nobody holds the replay point lock, who did that died,
  // or could not say that a sync failed: the page cache cannot be believed.
  bool advancing = false;
  // The commit under way writes frames outside its record.
  bool direct = false;
  // Who died in such a commit may have been told that a write to a segment failed, one of an
  // earlier commit even, and have told nobody: the replay point must not be advanced on the word of
  // a sync.
  bool doubtful = false;
  // How often a commit that had died was recovered from in this boot. Each may have given back room
  // that other processes had reserved.
  uint64_t recoveries = 0;
  // Nobody is at work, nor has died at work: there is nothing to recover from.
  bool is_at_rest() const { return phase == WriterPhase::kIdle && !advancing && !doubtful; }
  bool operator==(const WriterState&) const = default;
};

inline constexpr size_t kWriterStateLength = 4096;
std::string EncodeWriterState(const WriterState& writer);
std::optional<WriterState> DecodeWriterState(std::string_view bytes);

}  // namespace logcore

#endif  // LOGCORE_POSIX_FILES_JOURNAL_H_
