#include "fusefs/fuse_session.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <thread>
#include <utility>

#include "fusefs/fuse_filesystem.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/check.h"

namespace fusefs {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Result;
using logcore::Status;
using Clock = std::chrono::steady_clock;

// After a stop the kernel's requests are answered until none comes for a while, but not for long:
// closes, most of all, by those whose writes have just been answered.
constexpr std::chrono::milliseconds kDrainPause{10};
constexpr std::chrono::milliseconds kDrainLimit{200};

constexpr std::chrono::milliseconds kEndInterval{1};  // between signals that end a thread

// libfuse says why it failed to its log function alone, which is the same for the whole process and
// has no argument of ours. It is set while this lives, and messages of this thread are kept.
class LibraryMessages {
 public:
  LibraryMessages() {
    text_.clear();
    fuse_set_log_func(Keep);
  }
  ~LibraryMessages() { fuse_set_log_func(nullptr); }
  LibraryMessages(const LibraryMessages&) = delete;
  LibraryMessages& operator=(const LibraryMessages&) = delete;

  // On one line.
  std::string Text() const { return text_.empty() ? "the filesystem could not be mounted" : text_; }

 private:
  __attribute__((format(printf, 2, 0))) static void Keep(fuse_log_level /*level*/,
                                                         const char* format, va_list arguments) {
    std::array<char, 512> line{};
    std::vsnprintf(line.data(), line.size(), format, arguments);
    std::string_view message(line.data());
    if (message.starts_with("fuse: ")) message.remove_prefix(6);
    if (message.ends_with('\n')) message.remove_suffix(1);
    if (!text_.empty()) text_ += "; ";
    text_ += message;
  }

  static thread_local std::string text_;
};
thread_local std::string LibraryMessages::text_;

// The arguments of fuse_session_new, in the form of a command line.
class Arguments {
 public:
  explicit Arguments(const SessionOptions& options) {
    char* listed = nullptr;
    Add("tlogfs");
    CHECK(fuse_opt_add_opt(&listed, "default_permissions") == 0);
    CHECK(fuse_opt_add_opt(&listed, "subtype=tlogfs") == 0);
    if (options.read_only) CHECK(fuse_opt_add_opt(&listed, "ro") == 0);
    CHECK(fuse_opt_add_opt_escaped(&listed, ("fsname=" + options.source).c_str()) == 0);
    for (const std::string& option : options.fuse_options) {
      CHECK(fuse_opt_add_opt(&listed, option.c_str()) == 0);
    }
    Add("-o");
    Add(listed);
    std::free(listed);
  }
  ~Arguments() { fuse_opt_free_args(&arguments_); }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  fuse_args* get() { return &arguments_; }

 private:
  void Add(const char* argument) { CHECK(fuse_opt_add_arg(&arguments_, argument) == 0); }

  fuse_args arguments_ = FUSE_ARGS_INIT(0, nullptr);
};

struct SessionDeleter {
  void operator()(fuse_session* session) const {
    fuse_session_unmount(session);
    fuse_session_destroy(session);
  }
};

struct FileCloser {
  explicit FileCloser(int descriptor) : fd(descriptor) {}
  ~FileCloser() {
    if (fd >= 0) close(fd);
  }
  FileCloser(const FileCloser&) = delete;
  FileCloser& operator=(const FileCloser&) = delete;
  const int fd;
};

// A signal that interrupts a system call and does nothing else; nor does it when this is gone.
class WakeSignal {
 public:
  static constexpr int kNumber = SIGURG;

  WakeSignal() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    CHECK(sigaction(kNumber, &action, &before_) == 0);
  }
  ~WakeSignal() { sigaction(kNumber, &before_, nullptr); }
  WakeSignal(const WakeSignal&) = delete;
  WakeSignal& operator=(const WakeSignal&) = delete;

  // For the calling thread.
  static void Unblock() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, kNumber);
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  }

 private:
  struct sigaction before_ {};
};

tl::unexpected<logcore::Error> Failed(const char* what, int error) {
  return Fail(Code::kIo, std::string(what) + ": " + std::generic_category().message(error));
}

}  // namespace

// Three threads serve, each in a blocking read of the kernel's next request: it wakes one of them.
// While one commits, which may take as long as the disk does, and one waits for a page of a file,
// there is one left.
// The thread of Run attends to all else. To end a thread that is in read(2), it is sent a signal of
// no effect, again and again, as the signal may come just before the read.
class FuseSession::Impl {
 public:
  Impl(logcore::PublishedLog* log, logcore::Sequencer* sequencer, const SessionOptions& options)
      : sequencer_(sequencer),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        filesystem_(log, sequencer, options) {}

  Status Mount(const SessionOptions& options) {
    if (wake_.fd < 0) return Failed("eventfd", errno);
    const LibraryMessages messages;
    Arguments arguments(options);
    const fuse_lowlevel_ops operations = Filesystem::Operations();
    session_.reset(fuse_session_new(arguments.get(), &operations, sizeof operations, &filesystem_));
    if (session_ == nullptr) return Fail(Code::kInvalid, messages.Text());
    if (fuse_session_mount(session_.get(), options.mountpoint.c_str()) != 0) {
      return Fail(Code::kIo, messages.Text());
    }
    return {};
  }

  Status Run(const std::function<void()>& ready) {
    const WakeSignal signal;
    std::array<Worker, 3> workers;
    Status status;
    try {
      for (Worker& worker : workers) worker.thread = std::thread([&] { Serve(&worker); });
    } catch (const std::system_error& error) {
      // One can do it.
      if (!workers[0].thread.joinable()) status = Failed("thread", error.code().value());
    }
    if (status.has_value()) Attend(ready);
    stop_ = true;
    for (Worker& worker : workers) End(&worker);
    if (sequencer_ != nullptr) sequencer_->Stop();  // Answers all that is parked.
    if (status.has_value()) Drain();
    fuse_session_exit(session_.get());
    fuse_session_unmount(session_.get());
    for (Worker& worker : workers) {
      if (status.has_value()) status = std::move(worker.status);
    }
    return status;
  }

  void Stop() {
    stop_ = true;
    Wake();
  }

 private:
  struct Worker {
    std::thread thread;
    std::atomic<bool> ended = false;
    Status status;
  };

  struct Buffer : fuse_buf {
    Buffer() : fuse_buf{} {}
    ~Buffer() { std::free(mem); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
  };

  // Answers requests until stop_ is set or the filesystem is unmounted.
  void Serve(Worker* worker) {
    WakeSignal::Unblock();
    Buffer buffer;
    while (!stop_ && !fuse_session_exited(session_.get())) {
      const Result<bool> served = ServeOne(&buffer);
      if (!served.has_value()) {
        worker->status = tl::unexpected<logcore::Error>(served.error());
        break;
      }
      if (*served && !answered_.exchange(true)) Wake();
      if (filesystem_.TakeNews()) Wake();
    }
    stop_ = true;
    worker->ended = true;
    Wake();
  }

  // Until stop_ is set: calls `ready`, and has the filesystem look after what nobody asks for.
  void Attend(const std::function<void()>& ready) {
    bool called = false;
    while (!stop_) {
      pollfd wait{.fd = wake_.fd, .events = POLLIN, .revents = 0};
      poll(&wait, 1, filesystem_.LookInterval());
      uint64_t count = 0;
      // Nothing to read is no error: the time was over.
      [[maybe_unused]] const ssize_t length = read(wake_.fd, &count, sizeof count);
      if (answered_ && !std::exchange(called, true)) ready();
      filesystem_.LookAfter();
    }
  }

  void End(Worker* worker) {
    if (!worker->thread.joinable()) return;
    while (!worker->ended) {
      pthread_kill(worker->thread.native_handle(), WakeSignal::kNumber);
      std::this_thread::sleep_for(kEndInterval);
    }
    worker->thread.join();
  }

  // Async-signal-safe.
  void Wake() const {
    const int error = errno;
    const uint64_t one = 1;
    // It cannot fail, except that the count is full: then it is awake.
    if (write(wake_.fd, &one, sizeof one) < 0) errno = error;
  }

  // False if there was no request.
  Result<bool> ServeOne(Buffer* buffer) {
    const int length = fuse_session_receive_buf(session_.get(), buffer);
    if (length == -EINTR || length == -EAGAIN || length == 0) return false;
    if (length < 0) return Failed("read from the kernel", -length);
    fuse_session_process_buf(session_.get(), buffer);
    return true;
  }

  void Drain() {
    const int fd = fuse_session_fd(session_.get());
    // A request can be taken back between poll and read.
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) return;
    const Clock::time_point end = Clock::now() + kDrainLimit;
    Buffer buffer;
    while (!fuse_session_exited(session_.get()) && Clock::now() < end) {
      pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
      if (poll(&wait, 1, static_cast<int>(kDrainPause.count())) <= 0) return;
      const Result<bool> served = ServeOne(&buffer);
      if (!served.has_value()) return;
    }
  }

  logcore::Sequencer* const sequencer_;
  const FileCloser wake_;  // an eventfd: something happened that Attend should look at
  std::atomic<bool> stop_ = false;
  std::atomic<bool> answered_ = false;  // the first request
  // The session goes after the filesystem, whose requests it answers.
  std::unique_ptr<fuse_session, SessionDeleter> session_;
  Filesystem filesystem_;
};

FuseSession::FuseSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FuseSession::~FuseSession() = default;

Result<std::unique_ptr<FuseSession>> FuseSession::Mount(logcore::PublishedLog* log,
                                                        logcore::Sequencer* sequencer,
                                                        const SessionOptions& options) {
  CHECK(options.read_only == (sequencer == nullptr));
  CHECK(options.read_only || !options.static_site);
  // The program makes no such store; others, with the library, may.
  if (!options.read_only &&
      sequencer->max_batch_length() < logcore::kFrameHeaderLength + logcore::kMaxEntryLength) {
    return Fail(Code::kInvalid, "its journal is too small for the longest entry: mount it ro");
  }
  auto impl = std::make_unique<Impl>(log, sequencer, options);
  RETURN_IF_ERROR(impl->Mount(options));
  return std::unique_ptr<FuseSession>(new FuseSession(std::move(impl)));
}

Status FuseSession::Run(const std::function<void()>& ready) {
  return impl_->Run(ready);
}
void FuseSession::Stop() {
  impl_->Stop();
}

}  // namespace fusefs
