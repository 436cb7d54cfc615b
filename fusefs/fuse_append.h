// Appends: the system calls on open `add` and `add.bundle`. What they mean is append_file.h; here
// they meet the sequencer, and requests that have to wait are parked (fuse_parked.h).
//
//   write   parked until its entries are durable; if they all lack their ends, answered at once.
//           `async`: answered once sequenced, as long as the queue has room
//   flush   (each close of a descriptor) commits the tail if the close ends it; parked until what
//           was written to this open file is durable, and published if that waits for no timer.
//           A close by a process that did not open the file is answered at once
//   fsync   parked until all that was sequenced before is published
//   release (after the last close) commits what tail is left; nobody hears of it
//   read    receipts
//   poll    POLLOUT while the queue has room, POLLIN while there are receipts
//
// Memory: a write takes at most 65,536 entries of its bytes. When the queue is full it takes less,
// and one line if many wait already, and its answer waits until that is durable: each writer then
// holds no more than it would by waiting outside. What open files keep between two writes has a
// budget (budget.h), and so have tails that were closed and are not yet durable: beyond it, bytes
// that complete no entry are refused with ENOBUFS, and receipts are lost. What a burst has left
// free is given back to the system soon after it.
//
// Any thread. Nothing blocks but Write, which commits what is queued if nobody else does. Tested by
// tests/mount (append, closes, greedy, writers).

#ifndef FUSEFS_FUSE_APPEND_H_
#define FUSEFS_FUSE_APPEND_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "fusefs/append_file.h"
#include "fusefs/fuse_parked.h"
#include "fusefs/fuse_request.h"
#include "fusefs/table.h"
#include "logcore/log/sequencer.h"

namespace fusefs {

class Appends {
 public:
  struct Options {
    bool async = false;
    size_t max_frames = 0;  // bytes of frames in one submission
    logcore::Hash log;      // for InodeNumber
  };
  // The sequencer outlives this; it must be stopped before this goes.
  Appends(logcore::Sequencer* sequencer, const Options& options, fuse_interrupt_func_t on_interrupt)
      : sequencer_(sequencer), options_(options), parked_(on_interrupt) {}

  void Open(Request request, Framing framing, fuse_file_info info);
  void Write(Request request, uint64_t handle, uint64_t offset, std::string_view bytes, int flags);
  void Flush(Request request, uint64_t handle);
  void Fsync(Request request, uint64_t handle);
  void Release(uint64_t handle);
  void Read(Request request, uint64_t handle, uint64_t offset, size_t length);
  // Takes over `poll_handle`, which can be null.
  void Poll(Request request, uint64_t handle, fuse_pollhandle* poll_handle);

  Parked& parked() { return parked_; }
  // Gives memory back to the system if something was appended: when nothing has been for a second,
  // when little came after much, and every half minute in any case. To be called now and then, by
  // one thread.
  void Rest();

 private:
  class OpenFile;
  using OpenFilePtr = std::shared_ptr<OpenFile>;
  enum class Until { kDurable, kPublished };
  // What a close or fsync reports, besides the publication's failure.
  using ErrorOf = std::function<std::optional<logcore::Error>()>;

  // The tail to be committed by this thread's close, if it is one that ends it.
  logcore::Result<std::optional<Piece>> EndTail(OpenFile* open, pid_t thread);
  void ParkWrite(Request request, const OpenFilePtr& file, Piece piece);
  void SubmitUnwatched(const OpenFilePtr& file, Piece piece);
  void AnswerWhen(Until until, Request request, logcore::Sequencer::Ticket ticket, ErrorOf error);

  logcore::Sequencer* const sequencer_;
  const Options options_;
  const std::shared_ptr<Budget> budget_ = std::make_shared<Budget>(kBudgetLength);
  Parked parked_;
  // The newest when Rest last looked, and when memory was last given back; whether it was given
  // back twice since then.
  logcore::Sequencer::Ticket seen_ = 0;
  logcore::Sequencer::Ticket rested_ = 0;
  bool settled_ = false;
  std::chrono::steady_clock::time_point seen_at_;
  std::chrono::steady_clock::time_point rested_at_;
  Table<OpenFile> files_;
  std::atomic<pid_t> last_opener_ = 0;  // whose thread the next one may be
};

}  // namespace fusefs

#endif  // FUSEFS_FUSE_APPEND_H_
