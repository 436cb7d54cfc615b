#include "fusefs/fuse_append.h"

#include <fcntl.h>
#include <poll.h>

#include <atomic>
#include <mutex>
#include <utility>

#include "fusefs/process.h"

namespace fusefs {
namespace {

using logcore::Appended;
using logcore::Error;
using logcore::Result;
using logcore::Sequencer;
using logcore::Status;

constexpr size_t kLengthWhenFull = 64 * 1024;

logcore::Submission MakeSubmission(Piece* piece) {
  logcore::Submission submission;
  submission.frames = std::exchange(piece->taken.frames, {});
  submission.count = piece->taken.count;
  return submission;
}

}  // namespace

// An open file, and who waits for it with poll(2).
class Appends::OpenFile {
 public:
  OpenFile(const AppendFileOptions& options, pid_t opener_thread, bool is_writable)
      : file(options), opener(opener_thread), writable(is_writable) {}
  ~OpenFile() { SetPollHandle(nullptr); }

  // One is enough: the kernel wakes all that poll this open file.
  void SetPollHandle(fuse_pollhandle* poll_handle) {
    const std::lock_guard<std::mutex> lock(poll_mutex_);
    if (poll_handle_ != nullptr) fuse_pollhandle_destroy(poll_handle_);
    poll_handle_ = poll_handle;
  }
  void WakePollers() {
    const std::lock_guard<std::mutex> lock(poll_mutex_);
    if (poll_handle_ != nullptr) fuse_lowlevel_notify_poll(poll_handle_);
  }
  // Runs on the sequencer's threads, which exceptions must not end: without memory for them,
  // receipts are missing.
  void Settle(const Piece& piece, const Result<Appended>& appended) noexcept {
    try {
      file.Settle(piece, appended);
    } catch (const std::exception&) {
    }
    if (file.has_receipts()) WakePollers();
  }

  // Who did what is asked of /proc only when there is a tail: most writes leave none.
  void NoteTail(pid_t thread) {
    const pid_t writer = ProcessOf(thread);
    file.SetTailWriter(writer);
    if (!file.knows_opener()) file.SetOpener(thread == opener ? writer : ProcessOf(opener));
  }

  AppendFile file;
  const pid_t opener;  // the thread that opened it
  const bool writable;
  std::atomic<bool> waits_for_room = false;  // WakePollers will be called when the queue has room

 private:
  std::mutex poll_mutex_;
  fuse_pollhandle* poll_handle_ = nullptr;  // owned
};

void Appends::Open(Request request, Framing framing, fuse_file_info info) {
  const int access = info.flags & O_ACCMODE;
  const auto file = std::make_shared<OpenFile>(AppendFileOptions{.framing = framing,
                                                                 .receipts = access == O_RDWR,
                                                                 .max_frames = options_.max_frames,
                                                                 .budget = budget_},
                                               request.thread(), access != O_RDONLY);
  info.fh = files_.Add(file);
  info.direct_io = 1;
  if (!request.AnswerOpen(info)) files_.Remove(info.fh);
}

void Appends::Write(Request request, uint64_t handle, uint64_t offset, std::string_view bytes,
                    int flags) {
  const OpenFilePtr open = files_.Find(handle);
  if (open == nullptr || bytes.empty()) return request.Answer(open == nullptr ? EBADF : 0);
  open->file.WritesAt((flags & O_APPEND) != 0 ? kNoPosition : offset);
  if (const auto error = open->file.TakeError()) return request.Answer(*error);

  const bool full = sequencer_->Full();
  if (full && (flags & O_NONBLOCK) != 0) return request.Answer(EAGAIN);
  if (full) bytes = bytes.substr(0, kLengthWhenFull);
  const bool wait = full || !options_.async;
  Result<Piece> piece = open->file.Take(bytes, wait);
  if (!piece.has_value()) {
    // Not EAGAIN: poll(2) would not wait.
    if (piece.error().code == logcore::Code::kBusy) return request.Answer(ENOBUFS);
    return request.Answer(piece.error());
  }
  const size_t length = piece->taken.length;
  if (open->file.has_tail()) open->NoteTail(request.thread());
  if (piece->taken.count == 0) return request.AnswerWritten(length);
  if (wait) return ParkWrite(std::move(request), open, std::move(*piece));
  SubmitUnwatched(open, std::move(*piece));
  request.AnswerWritten(length);
}

void Appends::ParkWrite(Request request, const OpenFilePtr& open, Piece piece) {
  const size_t length = piece.taken.length;
  logcore::Submission submission = MakeSubmission(&piece);
  const uint64_t number = parked_.Park(std::move(request));
  submission.on_durable = [this, open, piece, number, length](const Result<Appended>& appended) {
    open->Settle(piece, appended);
    Request waiting = parked_.Take(number);
    if (!waiting) return;
    if (!appended.has_value()) return waiting.Answer(appended.error());
    waiting.AnswerWritten(length);
  };
  Sequencer::Ticket ticket = 0;
  try {
    ticket = sequencer_->Queue(std::move(submission));
    parked_.Arm(number, [this, open, piece, ticket] {
      if (!sequencer_->Cancel(ticket)) return;  // It has its place, and Settle will come.
      open->Settle(piece, logcore::Fail(logcore::Code::kBusy, "the writer was killed"));
    });
  } catch (const std::exception&) {
    if (ticket == 0) {
      open->Settle(piece, logcore::Fail(logcore::Code::kBusy, "no memory"));
      if (Request waiting = parked_.Take(number)) waiting.Answer(ENOMEM);
      return;
    }
  }
  // Here, if nobody else does: other threads serve meanwhile.
  sequencer_->CommitHere();
}

Sequencer::Ticket Appends::SubmitUnwatched(const OpenFilePtr& open, Piece piece) {
  logcore::Submission submission = MakeSubmission(&piece);
  submission.on_durable = [open, piece](const Result<Appended>& appended) {
    open->Settle(piece, appended);
  };
  return sequencer_->Submit(std::move(submission));
}

void Appends::Flush(Request request, uint64_t handle) {
  const OpenFilePtr open = files_.Find(handle);
  if (open == nullptr || !open->writable) return request.Answer(open == nullptr ? EBADF : 0);
  Sequencer::Ticket ticket = sequencer_->Newest();
  std::optional<Error> cut_short;
  if (open->file.has_tail()) {
    const pid_t thread = request.thread();
    Result<std::optional<Piece>> tail =
        open->file.OnClose({.process = ProcessOf(thread), .killed = IsKilled(thread)});
    if (!tail.has_value()) {
      cut_short = tail.error();
    } else if (tail->has_value()) {
      ticket = SubmitUnwatched(open, std::move(**tail));
    }
  }
  // Every close reports the error, until a write or fsync does: whose close it is cannot be told.
  AnswerWhenPublished(std::move(request), ticket,
                      [open, cut_short] { return cut_short ? cut_short : open->file.PeekError(); });
}

void Appends::Fsync(Request request, uint64_t handle) {
  const OpenFilePtr open = files_.Find(handle);
  if (open == nullptr) return request.Answer(EBADF);
  AnswerWhenPublished(std::move(request), sequencer_->Newest(),
                      [open] { return open->file.TakeError(); });
}

void Appends::AnswerWhenPublished(Request request, Sequencer::Ticket ticket,
                                  std::function<std::optional<Error>()> error) {
  const uint64_t number = parked_.Park(std::move(request));
  parked_.ArmClosing(number);
  try {
    sequencer_->WhenPublished(ticket, [this, number, error](const Status& published) {
      Request waiting = parked_.Take(number);
      if (!waiting) return;
      if (const auto failed = error()) return waiting.Answer(*failed);
      if (!published.has_value()) return waiting.Answer(published.error());
      waiting.Answer(0);
    });
  } catch (const std::exception&) {
    if (Request waiting = parked_.Take(number)) waiting.Answer(ENOMEM);
  }
}

void Appends::Release(uint64_t handle) {
  const OpenFilePtr open = files_.Remove(handle);
  if (open == nullptr) return;
  if (std::optional<Piece> tail = open->file.OnRelease()) SubmitUnwatched(open, std::move(*tail));
}

void Appends::Read(Request request, uint64_t handle, uint64_t offset, size_t length) {
  const OpenFilePtr open = files_.Find(handle);
  if (open == nullptr) return request.Answer(EBADF);
  request.AnswerBytes(open->file.Read(offset, length));
}

void Appends::Poll(Request request, uint64_t handle, fuse_pollhandle* poll_handle) {
  const OpenFilePtr open = files_.Find(handle);
  if (open == nullptr) {
    if (poll_handle != nullptr) fuse_pollhandle_destroy(poll_handle);
    return request.Answer(EBADF);
  }
  // The handle first: what changes from here on wakes the poller.
  if (poll_handle != nullptr) open->SetPollHandle(poll_handle);
  unsigned events = 0;
  if (open->file.has_receipts()) events |= POLLIN | POLLRDNORM;
  if (!sequencer_->Full()) {
    events |= POLLOUT | POLLWRNORM;
  } else if (!open->waits_for_room.exchange(true)) {
    sequencer_->WhenNotFull([open] {
      open->waits_for_room = false;
      open->WakePollers();
    });
  }
  request.AnswerPoll(events);
}

}  // namespace fusefs
