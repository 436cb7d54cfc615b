// StoredLog: the stored bytes of a log, which nobody has verified. It is all that reading needs of
// a storage, and the door behind which another one can stand: Snapshot (snapshot.h) verifies every
// byte that passes, so a storage that lies is caught wherever the bytes come from. The files of a
// store are one (logcore/posix/files/log_files.h).
//
// `size` says how many entries are known to be there: nothing at or after it is asked for. Offsets
// are global: bytes of all frames of the log (entry_bundle.h) before something. Text offsets are
// those of the file `log`, in which each entry stands with a newline after it: a frame's 2-byte
// length becomes one newline, so the text offset of entry i is its frame's offset - i.
//
// kCorrupt where what is stored is too short or makes no sense. Any thread. Tested by
// tests/logcore/log/snapshot_test.cc, scan_test.cc and entries_test.cc.

#ifndef LOGCORE_LOG_STORED_LOG_H_
#define LOGCORE_LOG_STORED_LOG_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "logcore/tlog/hash.h"
#include "logcore/util/result.h"

namespace logcore {

// An entry that is held in memory, and where the view of it goes.
struct HeldEntry {
  uint64_t index;
  std::string_view* bytes;
};

class StoredLog {
 public:
  virtual ~StoredLog() = default;

  // Nodes of tile level `level`, from node `first` on.
  virtual Status ReadNodes(int level, uint64_t first, std::span<Hash> out) const = 0;
  // Frames of entries [first, first + count), count >= 1.
  virtual Result<std::string> ReadFrames(uint64_t first, uint64_t count, uint64_t size) const = 0;
  // Offset of entry `index`'s frame; of the end of the last one if index == size.
  virtual Result<uint64_t> FrameOffset(uint64_t index, uint64_t size) const = 0;
  // kCorrupt unless the offsets that are stored for entries from `first` on, which lie in one
  // bundle, are these. What is not stored is not compared.
  virtual Status CheckOffsets(uint64_t first, std::span<const uint64_t> offsets) const = 0;
  // The entry (or its newline) that text offset `offset` lies in. The offset must be below the text
  // offset of `size`; kInvalid if it is not.
  virtual Result<uint64_t> FindText(uint64_t offset, uint64_t size) const = 0;
  // The second in which entry `index` was integrated; index < size.
  virtual Result<int64_t> Time(uint64_t index) const = 0;

  // What one read from an offset on gives.
  struct Piece {
    size_t length = 0;  // bytes; 0 only if nothing is there
    uint64_t end = 0;   // Frames of entries from this one on are not in it.
  };
  // Bytes from `offset` on, where the frame of entry `index` begins: as many as `out` has room for,
  // or fewer where storage goes on elsewhere.
  virtual Result<Piece> ReadPiece(uint64_t index, uint64_t offset, std::span<char> out) const = 0;

  // Whether the entry is held in memory, where it can be found without a copy; index < size.
  virtual bool Holds(uint64_t /*index*/, uint64_t /*size*/) const { return false; }
  // Finds entries that it holds. The views live as long as this.
  virtual Status Find(std::span<const HeldEntry> /*entries*/) const { return {}; }

  // Where nodes of a level, and frames from entry `index` on, are: "hashes/0", "entries/1".
  virtual std::string NodesName(int level) const = 0;
  virtual std::string FramesName(uint64_t index) const = 0;
};

}  // namespace logcore

#endif  // LOGCORE_LOG_STORED_LOG_H_
