// LogFiles: the log's own bytes on a Disk, by index. Which file, which offset; no journal, no lock,
// no signature, no verification (snapshot.h verifies).
//
//   entries/<n>         frames (entry_bundle.h) of entries [65536 n, 65536 (n + 1)): segment n
//   entries/<n>.index   for every 16th entry, big-endian uint64: its frame's global offset, i.e.
//                       the bytes of all frames of the log before it
//   hashes/<L>          nodes of tile level L, in order: tile (L, n, w) = [8192 n, 8192 n + 32 w)
//   times               in which second each entry was integrated (time_rows.h)
//
// All are append-only; bytes once written for an entry never change. `size` arguments say how many
// entries are known to be there: nothing at or after it is touched.
//
// Threads: reading from any; Reserve, Write, Sync by the holder of the commit lock (lock_file.h).
// At most kMaxOpenSegments segments are kept open. Tested by
// tests/logcore/posix/files/log_files_test.cc and log_files_outside_test.cc.

#ifndef LOGCORE_POSIX_FILES_LOG_FILES_H_
#define LOGCORE_POSIX_FILES_LOG_FILES_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "logcore/log/stored_log.h"
#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/mapped_segments.h"
#include "logcore/posix/files/segments.h"
#include "logcore/posix/files/store_config.h"
#include "logcore/tlog/hash.h"
#include "logcore/tlog/merkle.h"
#include "logcore/util/result.h"

namespace logcore {

// Where the log's files end: what must be known to append to them.
struct LogEnd {
  uint64_t size = 0;
  uint64_t frames_end = 0;  // global offset after the last frame
  uint64_t time_rows = 0;
  int64_t time = 0;  // second of the last row; 0 if there is none
  bool operator==(const LogEnd&) const = default;
};

// A part of frames: `length` bytes after the first `skip` ones.
struct DirectPart {
  uint64_t skip = 0;
  uint64_t length = 0;
};

// The part of frames to be appended that lies in one segment.
struct SegmentPart {
  uint64_t segment = 0;
  uint64_t first = 0;  // index of its first entry, counted from the segment's
  uint64_t count = 0;
  uint64_t skip = 0;  // bytes of frames before it
  uint64_t length = 0;
  std::string rows;  // those of the segment's index that begin here
};

// What entries add to a log: a function of them and of what is before them, and what takes longest
// to compute.
struct Prepared {
  CompactRange before;
  uint64_t frames_start = 0;  // global offset
  CompactRange after;
  CompletedNodes completed;  // but for level 0, which is the leaf hashes
  std::vector<SegmentPart> parts;
};

// `leaf_hashes`: one for each of the whole, valid frames.
Prepared Prepare(const CompactRange& before, uint64_t frames_start, std::string_view frames,
                 std::span<const Hash> leaf_hashes);

// Entries to write after a LogEnd.
struct LogAppend {
  std::string_view frames;
  std::span<const Hash> leaf_hashes;
  const Prepared* prepared;  // of these, after that end
  int64_t time = 0;          // >= LogEnd::time
  DirectPart direct = {};    // what WriteDirect writes, and Write does not
};

// Where the files end after `count` entries with so many bytes of frames, integrated at `time`,
// which is not before the end's. The clock's second is noted with its first entry.
LogEnd EndAfter(const LogEnd& end, uint64_t count, uint64_t frames_length, int64_t time);

// A byte range of one of the files, which a replay slot (journal.h) keeps: see PartialBlocks.
struct Block {
  std::string name;
  uint64_t offset = 0;
  std::string bytes;
  bool operator==(const Block&) const = default;
};

std::string HashesName(int level);  // "hashes/1"

class LogFiles final : public StoredLog {
 public:
  // Opens hashes/* and times, which must exist; segments as they are needed. If only to be read, a
  // log may lack some of them: reading these is kCorrupt.
  static Result<std::unique_ptr<LogFiles>> Open(Disk* disk, Access access,
                                                uint64_t gap_limit = kNoGapLimit);
  // Why the files that it lacks could not be opened.
  const std::vector<Error>& lost() const { return lost_; }
  // Creates the empty files of a new log, and syncs their directories.
  static Status Create(Disk* disk);
  // From now on complete segments are mapped (mapped_segments.h) when they are asked for, and their
  // entries are held in memory. To be called before anything else.
  void MapSegments() { mapped_ = std::make_unique<MappedSegments>(&segments_); }

  // ---- Reading: as stored_log.h says.

  Status ReadNodes(int level, uint64_t first, std::span<Hash> out) const override;
  Result<std::string> ReadFrames(uint64_t first, uint64_t count, uint64_t size) const override;
  Result<uint64_t> FrameOffset(uint64_t index, uint64_t size) const override;
  // Compares the rows of the index, which every 16th entry has.
  Status CheckOffsets(uint64_t first, std::span<const uint64_t> offsets) const override;
  Result<uint64_t> FindText(uint64_t offset, uint64_t size) const override;
  Result<int64_t> Time(uint64_t index) const override;
  // To the end of the segment at most.
  Result<Piece> ReadPiece(uint64_t index, uint64_t offset, std::span<char> out) const override;
  // Those of complete segments, if MapSegments was called.
  bool Holds(uint64_t index, uint64_t size) const override;
  Status Find(std::span<const HeldEntry> entries) const override;
  std::string NodesName(int level) const override { return HashesName(level); }
  std::string FramesName(uint64_t index) const override {
    return SegmentName(index / kSegmentEntries);
  }
  Result<std::shared_ptr<Segment>> OpenSegment(uint64_t number) const {
    return segments_.Open(number);
  }
  // kCorrupt unless every row that says something of an entry below `size` is right.
  Status CheckTimes(uint64_t size) const;

  // ---- Writing.

  // Makes sure that Write(end, append) will find room and its segments; new segments are created
  // and their directory is synced. kNoSpace happens here and, where blocks can be reserved, nowhere
  // later.
  //
  // Room is reserved ahead in steps of up to 1 MiB, and this remembers what is reserved. So nobody
  // may take a reservation back while another process counts on it, and there is no way to: closing
  // a log keeps the few steps, and the next opening finds them. Only a segment that is complete,
  // which no one will ever append to, gives back the rest of its last step (by Write).
  Status Reserve(const LogEnd& end, const LogAppend& append);
  // Writes, unsynced, and returns where the files end now. Idempotent.
  Result<LogEnd> Write(const LogEnd& end, const LogAppend& append);
  // Of frames to be appended, the part that fills whole blocks of the segment they go to, behind a
  // gap (kNoGapLimit): nothing else is ever in these blocks, so that they can be written before it
  // is known what becomes of the append. None if they go to several segments.
  Result<DirectPart> DirectPartOf(const LogEnd& end, uint64_t count, uint64_t frames_length) const;
  // Writes that part of an append that Reserve has made room for, and makes it durable.
  Status WriteDirect(const LogEnd& end, const LogAppend& append);
  // Reads it. False: the file ends before it does.
  Result<bool> ReadDirect(const LogEnd& end, const DirectPart& direct, char* out) const;
  // Removes what was written so after the end, durably.
  Status CutAfter(const LogEnd& end);
  // Makes every file end where `end` says, durably. Only for a backup (backup_files.h), whose files
  // hold nothing after that that was ever said to be there.
  Status CutAll(const LogEnd& end);
  // CutAfter, by whichever process, gives back what was reserved.
  void ForgetReserved() { segments_.ForgetReserved(); }

  // Makes all that was written for entries [from, to) durable, with the names. From any one thread,
  // also while another one appends.
  Status Sync(uint64_t from, uint64_t to);

  // The last, unfinished 4 KiB block of each file at `end`. Bytes after `end` are written into
  // these blocks while those before it are already durable, so a torn write could hurt them.
  Result<std::vector<Block>> PartialBlocks(const LogEnd& end) const;
  // Puts them back. kCorrupt if a file has become shorter since.
  Status WriteBlocks(std::span<const Block> blocks);
  // Syncs every file that such a block is of, whether entries were written to it or not.
  Status SyncEnds(const LogEnd& end);

  // kCorrupt unless the files are there and long enough for `size` entries, and the segments that
  // are full, which never change, end where they must. Reads a row of each segment.
  Status CheckWhole(uint64_t size) const;
  // CheckWhole, and kCorrupt unless the frames of so many entries end at that global offset, and
  // the newest entry has that time: as far as lengths and their ends can tell that all of it is
  // there.
  Status CheckEnd(uint64_t size, uint64_t frames_end, int64_t time) const;
  // kCorrupt unless every file goes on to where `end` says, or longer. The segments after the last
  // one, which may be of any length, must be files.
  Status CheckReach(const LogEnd& end) const;
  // kCorrupt unless every file ends where `end` says: what was never committed cannot be there. Of
  // the segments only the last one is looked at, and that there are none after it.
  Status CheckLengths(const LogEnd& end) const;
  // As CheckLengths, except that what WriteDirect writes may be there, behind its gap. Entries
  // that were committed, or could have been, are not taken for that.
  Status CheckLengthsBeforeCut(const LogEnd& end) const;

 private:
  struct FileEnd;
  LogFiles(Disk* disk, Access access, uint64_t gap_limit)
      : disk_(disk), gap_limit_(gap_limit), segments_(disk, access) {}
  Result<std::unique_ptr<File>> OpenNeeded(const std::string& name, Access access);

  Status ReservePart(const LogEnd& end, const SegmentPart& part);
  Result<std::shared_ptr<Segment>> SegmentToWrite(uint64_t number) const;
  Status WritePart(const LogEnd& end, const LogAppend& append, const SegmentPart& part);
  Result<FrameWalk> WalkFrom(uint64_t index, uint64_t size) const;
  Result<std::vector<FileEnd>> Ends(const LogEnd& end) const;
  // Where the frames after `end` begin in the segment they go to.
  Result<uint64_t> NextPlace(const LogEnd& end) const;
  // The blocks that stay zeros between `place` and what is outside of a record.
  struct Gap {
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  Gap GapAfter(const LogEnd& end, uint64_t place) const;
  Status CheckGap(const LogEnd& end) const;
  Status CheckLengths(const LogEnd& end, const std::string& may_go_on) const;
  Result<std::vector<std::string>> FilesAfter(const LogEnd& end) const;

  Disk* const disk_;
  const uint64_t gap_limit_;
  Segments segments_;
  // Those that the newest Reserve was for: their Write must not fail for want of a descriptor.
  std::vector<std::shared_ptr<Segment>> reserved_;
  std::unique_ptr<MappedSegments> mapped_;
  std::array<std::unique_ptr<File>, kTileLevels> hashes_;
  std::array<Reservation, kTileLevels> hashes_room_;
  std::unique_ptr<File> times_;
  std::vector<Error> lost_;
  Reservation times_room_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_FILES_LOG_FILES_H_
