#include "fusefs/fuse_append.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>

#include <atomic>
#include <mutex>
#include <utility>

#include "fusefs/node.h"
#include "fusefs/process.h"

namespace fusefs {
namespace {

using logcore::Appended;
using logcore::Error;
using logcore::Result;
using logcore::Sequencer;
using logcore::Status;

// For a piece while the queue is full: bundles of so much are not cut. With so many who wait, lines
// come one by one.
constexpr Most kMostWhenFull{.count = 1024};
constexpr size_t kManyWaiting = 64;
// How often Rest looks, how many submissions are little then, and when memory is given back in any
// case.
constexpr std::chrono::seconds kRestAfter{1};
constexpr Sequencer::Ticket kLittle = 64;
constexpr std::chrono::seconds kRestAnyway{30};

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
  OpenFile(const AppendFileOptions& options, bool is_writable)
      : file(options), writable(is_writable), framing_(options.framing) {}
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
    if (appended.has_value()) NoteTicket(appended->ticket);
    try {
      file.Settle(piece, appended);
    } catch (const std::exception&) {
    }
    if (file.has_receipts()) WakePollers();
  }

  // The newest submission of this file that a close waits for: before a write is answered, its own.
  Sequencer::Ticket newest() const { return newest_; }
  void NoteTicket(Sequencer::Ticket ticket) {
    Sequencer::Ticket before = newest_;
    while (before < ticket && !newest_.compare_exchange_weak(before, ticket)) {
    }
  }

  // Whether it does not matter which entries are added together.
  bool cuts_anywhere() const { return kind() == Kind::kAdd; }
  Kind kind() const { return framing_ == Framing::kLines ? Kind::kAdd : Kind::kAddBundle; }

  AppendFile file;
  const bool writable;
  // Until the opener closes a descriptor of it, the opener has one.
  std::atomic<bool> opener_closed_one = false;
  std::atomic<bool> waits_for_room = false;  // WakePollers will be called when the queue has room

 private:
  const Framing framing_;
  std::atomic<Sequencer::Ticket> newest_ = 0;
  std::mutex poll_mutex_;
  fuse_pollhandle* poll_handle_ = nullptr;  // owned
};

void Appends::Open(Request request, Framing framing, fuse_file_info info) {
  const int access = info.flags & O_ACCMODE;
  // Now, as the thread waits for the answer: later it can have ended, and its id be another one's.
  const Process opener = access == O_RDONLY ? Process{} : ProcessOf(request.thread(), last_opener_);
  if (opener.known()) last_opener_ = opener.id;
  const auto file =
      std::make_shared<OpenFile>(AppendFileOptions{.framing = framing,
                                                   .receipts = access == O_RDWR,
                                                   .opener = opener,
                                                   .user = request.user(),
                                                   .most = {.frames = options_.max_frames},
                                                   .budget = budget_},
                                 access != O_RDONLY);
  info.fh = files_.Add(file);
  info.direct_io = 1;
  if (!request.AnswerOpen(info)) files_.Remove(info.fh);
}

// The closer's descriptors of other files of this name are told from copies by their number alone:
// each other opening of which it has closed no descriptor has one.
Result<std::optional<Piece>> Appends::EndTail(OpenFile* open, pid_t thread) {
  AppendFile& file = open->file;
  AppendFile::Closer closer{.process = ProcessOf(thread, file.opener().id),
                            .killed = IsKilled(thread)};
  if (!closer.killed && closer.process == file.opener()) {
    const ino_t inode = InodeNumber({.kind = open->kind()}, options_.log);
    const auto is_held = [&](const OpenFile& other) {
      return &other != open && other.writable && other.kind() == open->kind() &&
             other.file.opener() == closer.process && !other.opener_closed_one;
    };
    const size_t others = files_.CountIf(is_held);
    const std::optional<size_t> held = CountDescriptors(thread, inode);
    closer.may_hold_another = !held || others < *held;
    const Process writer = file.tail_writer();
    closer.writer_may_go_on = writer != closer.process && MayHold(writer, inode);
  }
  return file.OnClose(closer);
}

void Appends::Write(Request request, uint64_t handle, uint64_t offset, std::string_view bytes,
                    int flags) {
  const OpenFilePtr open = files_.Find(handle);
  if (open == nullptr || bytes.empty()) return request.Answer(open == nullptr ? EBADF : 0);
  open->file.WritesAt((flags & O_APPEND) != 0 ? kNoPosition : offset);
  if (const auto error = open->file.TakeError()) return request.Answer(*error);

  const bool full = sequencer_->Full();
  if (full && (flags & O_NONBLOCK) != 0) return request.Answer(EAGAIN);
  const bool wait = full || !options_.async;
  Most most = full ? kMostWhenFull : Most{.frames = options_.max_frames};
  if (full && open->cuts_anywhere() && kManyWaiting <= parked_.size()) most.count = 1;
  Result<Piece> piece = open->file.Take(bytes, wait, most);
  if (!piece.has_value()) {
    // Not EAGAIN: poll(2) would not wait.
    if (piece.error().code == logcore::Code::kBusy) return request.Answer(ENOBUFS);
    return request.Answer(piece.error());
  }
  const size_t length = piece->taken.length;
  // Who wrote it is asked only when there is a tail: most writes leave none.
  if (open->file.has_tail())
    open->file.SetTailWriter(ProcessOf(request.thread(), open->file.opener().id));
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
      if (!sequencer_->Cancel(ticket)) return false;  // It has its place, and Settle will come.
      open->Settle(piece, logcore::Fail(logcore::Code::kBusy, "the writer was killed"));
      return true;
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

void Appends::SubmitUnwatched(const OpenFilePtr& open, Piece piece) {
  logcore::Submission submission = MakeSubmission(&piece);
  submission.on_durable = [open, piece](const Result<Appended>& appended) {
    open->Settle(piece, appended);
  };
  open->NoteTicket(sequencer_->Submit(std::move(submission)));
}

void Appends::Flush(Request request, uint64_t handle) {
  const OpenFilePtr open = files_.Find(handle);
  if (open == nullptr || !open->writable) return request.Answer(open == nullptr ? EBADF : 0);
  const bool of_another = IsOfAnother(request.thread(), open->file.opener());
  if (!of_another) open->opener_closed_one = true;
  std::optional<Error> cut_short;
  if (open->file.has_tail()) {
    Result<std::optional<Piece>> tail = EndTail(open.get(), request.thread());
    if (!tail.has_value()) {
      cut_short = tail.error();
    } else if (tail->has_value()) {
      SubmitUnwatched(open, std::move(**tail));
    }
  }
  // Every close reports the error, until a write or fsync does: whose close it is cannot be told.
  const ErrorOf error = [open, cut_short] {
    return cut_short ? cut_short : open->file.PeekError();
  };
  if (of_another) {
    const std::optional<Error> failed = error();
    return failed ? request.Answer(*failed) : request.Answer(0);
  }
  if (!sequencer_->publishes_at_once()) {
    return AnswerWhen(Until::kDurable, std::move(request), open->newest(), error);
  }
  // With what others have sequenced meanwhile, if it waits at all: one publication for them all.
  AnswerWhen(Until::kPublished, std::move(request), open->newest() == 0 ? 0 : sequencer_->Newest(),
             error);
}

void Appends::Fsync(Request request, uint64_t handle) {
  const OpenFilePtr open = files_.Find(handle);
  if (open == nullptr) return request.Answer(EBADF);
  AnswerWhen(Until::kPublished, std::move(request), sequencer_->Newest(),
             [open] { return open->file.TakeError(); });
}

void Appends::AnswerWhen(Until until, Request request, Sequencer::Ticket ticket, ErrorOf error) {
  const uint64_t number = parked_.Park(std::move(request));
  parked_.ArmClosing(number);
  const auto answer = [this, number, error = std::move(error)](const Status& published) {
    Request waiting = parked_.Take(number);
    if (!waiting) return;
    if (const auto failed = error()) return waiting.Answer(*failed);
    if (!published.has_value()) return waiting.Answer(published.error());
    waiting.Answer(0);
  };
  try {
    if (until == Until::kPublished) return sequencer_->WhenPublished(ticket, answer);
    sequencer_->WhenDurable(ticket, [answer] { answer(Status()); });
  } catch (const std::exception&) {
    if (Request waiting = parked_.Take(number)) waiting.Answer(ENOMEM);
  }
}

void Appends::Release(uint64_t handle) {
  const OpenFilePtr open = files_.Remove(handle);
  if (open == nullptr) return;
  if (std::optional<Piece> tail = open->file.OnRelease()) SubmitUnwatched(open, std::move(*tail));
}

// What short-lived entries took lies between what lives longer: malloc keeps it all. Rest trims
// once more after the last append, as the thread that committed it may free its batch later.
void Appends::Rest() {
  const auto now = std::chrono::steady_clock::now();
  if (now - seen_at_ < kRestAfter) return;
  seen_at_ = now;
  const Sequencer::Ticket newest = sequencer_->Newest();
  const Sequencer::Ticket appended = newest - std::exchange(seen_, newest);
  if (rested_ == newest && settled_) return;
  const bool calm = appended == 0 || (appended <= kLittle && kLittle < newest - rested_);
  if (!(calm && sequencer_->Idle()) && now - rested_at_ < kRestAnyway) return;
  settled_ = std::exchange(rested_, newest) == newest;
  rested_at_ = now;
  malloc_trim(0);
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
