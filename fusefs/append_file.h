// AppendFile: an open `add` or `add.bundle`, less the system calls: what a write takes, what a
// close means, and what reading gives back. The caller carries the entries to the sequencer and
// comes back with what became of them.
//
//   Take     a write: whole entries to append, or none, and the rest is the tail (framing.h)
//   Settle   what became of a piece: receipts, or the tail of before, so that the write can be
//            repeated; or an error to be reported later, if its write has already been answered
//   OnClose  a descriptor of this open file was closed: whose, and what that means for the tail
//
// The tail is committed by the close of the process that opened the file, when that has no other
// descriptor of it: in `exec 3>> add; printf 'a ' >&3` the shell closes the copy that printf wrote
// to. Closes by processes that merely inherited the descriptor do not end it: in
// `{ printf 'a '; date; } >> add` date(1) closes the file before the shell does. Nor does the
// opener's close end what another process has written that still has the file open: it may be about
// to write the rest. Where it cannot be told who closes, only the last close does. When the process
// that wrote it is killed, it is dropped.
//
// Any thread. Tested by tests/fusefs/append_file_test.cc and append_close_test.cc.

#ifndef FUSEFS_APPEND_FILE_H_
#define FUSEFS_APPEND_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "fusefs/budget.h"
#include "fusefs/framing.h"
#include "fusefs/process.h"
#include "fusefs/receipts.h"
#include "logcore/log/sequencer.h"
#include "logcore/util/result.h"

namespace fusefs {

struct AppendFileOptions {
  Framing framing = Framing::kLines;
  bool receipts = false;  // opened for reading, too
  Process opener = {};
  uid_t user = 0;                            // who opened it, whose part of the budget it takes
  Most most = {};                            // for one piece
  std::shared_ptr<Budget> budget = nullptr;  // for the tail and the receipts; null: no limit
};

// A part of a write, or the tail: entries to be appended together.
struct Piece {
  Taken taken;
  uint64_t serial = 0;  // which piece of this file; for Settle
  // Whether its write is answered after Settle: then a failure takes back what the write left here.
  bool revocable = false;
  // A tail's part of the budget, held until the last copy of the piece is gone.
  std::shared_ptr<const OnItsWay> on_its_way = nullptr;
};

class AppendFile {
 public:
  explicit AppendFile(const AppendFileOptions& options)
      : options_(options), share_(options.budget, options.user) {}

  // Takes a part of what is written. With no whole entry in it (count 0) there is nothing to
  // settle. kBusy: there is no entry in it, and the budget has no room to keep it.
  logcore::Result<Piece> Take(std::string_view bytes, bool revocable) {
    return Take(bytes, revocable, options_.most);
  }
  // A piece with at most so much.
  logcore::Result<Piece> Take(std::string_view bytes, bool revocable, const Most& most);
  // Says which process wrote the tail that Take left, as far as that can be known.
  void SetTailWriter(const Process& writer);
  bool has_tail() const;
  Process tail_writer() const;  // As SetTailWriter said.
  const Process& opener() const { return options_.opener; }

  // What became of a piece that Take or EndTail gave; once for each.
  void Settle(const Piece& piece, const logcore::Result<logcore::Appended>& appended);

  struct Closer {
    Process process;
    bool killed = false;            // It ends by a signal.
    bool may_hold_another = false;  // descriptor of this open file
    bool writer_may_go_on = false;  // The tail's writer is another one, and may have one, too.
  };
  // A descriptor was closed: the tail to commit now, if there is one and this closes it; kInvalid
  // if a frame is incomplete. A killed process's tail is dropped here.
  logcore::Result<std::optional<Piece>> OnClose(const Closer& closer);
  // The last descriptor is gone: the tail to commit, whichever process left it.
  std::optional<Piece> OnRelease();

  // The first error that no write has been told; Take forgets it.
  std::optional<logcore::Error> PeekError() const;
  std::optional<logcore::Error> TakeError();

  // Receipts, up to `length` bytes, by a read at `offset`.
  std::string Read(uint64_t offset, size_t length);
  // A write at `offset` begins, or one that appends (kNoPosition).
  void WritesAt(uint64_t offset);
  bool has_receipts() const;

 private:
  std::optional<Piece> EndTailLocked(Taken taken);
  size_t HeldLocked() const;
  void GiveBackLocked();

  const AppendFileOptions options_;
  mutable std::mutex mutex_;  // guards all below
  Tail tail_;
  Process tail_writer_;
  Tail before_;             // the tail before piece `serial_`
  uint64_t serial_ = 0;     // of the newest piece
  bool unsettled_ = false;  // the newest piece is revocable and not yet settled
  Receipts receipts_;
  Share share_;  // of the budget, for tail_, before_ and receipts_
  std::optional<logcore::Error> error_;
};

}  // namespace fusefs

#endif  // FUSEFS_APPEND_FILE_H_
