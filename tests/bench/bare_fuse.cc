// bare_fuse MOUNTPOINT FILE: the peer of a mounted log, without a log. Two files:
//
//   group   a write is answered when it is on the disk: all that wait are written to FILE (in
//           place; it was prewritten) and synced once
//   count   a write is answered at once
//
// As a log's `add`: each opening has a node of its own, late replies, two threads that serve.
// Ends when it is unmounted; SIGTERM, SIGINT and SIGHUP unmount it.

#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr uint64_t kRing = 64 << 20;
constexpr uint64_t kBlock = 4096;

// Node numbers: 1 is the root; the others are of openings, and odd ones of `count`.
bool IsCount(fuse_ino_t node) {
  return node % 2 == 1;
}

class Bare {
 public:
  explicit Bare(const char* file) : fd_(open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
    const std::string zeros(1 << 20, '\0');
    for (uint64_t at = 0; at < kRing; at += zeros.size()) {
      if (pwrite(fd_, zeros.data(), zeros.size(), static_cast<off_t>(at)) < 0) Give("pwrite");
    }
    if (fdatasync(fd_) != 0) Give("fdatasync");
    thread_ = std::thread([this] { Run(); });
  }
  ~Bare() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    work_.notify_one();
    thread_.join();
    close(fd_);
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;

  fuse_ino_t NewNode(bool count) { return (next_.fetch_add(1) * 2) | (count ? 1 : 0); }

  void Write(fuse_req_t request, std::string_view bytes) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      gathering_.append(bytes);
      waiting_.push_back({request, bytes.size()});
    }
    work_.notify_one();
  }

 private:
  struct Waiting {
    fuse_req_t request;
    size_t length;
  };

  [[noreturn]] static void Give(const char* what) {
    std::perror(what);
    std::_Exit(1);
  }

  void Run() {
    std::string bytes;
    std::vector<Waiting> waiting;
    uint64_t offset = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      work_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      bytes.swap(gathering_);
      waiting.swap(waiting_);
      gathering_.clear();
      waiting_.clear();
      lock.unlock();
      bytes.resize((bytes.size() + kBlock - 1) / kBlock * kBlock);
      if (kRing < offset + bytes.size()) offset = 0;
      if (pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)) < 0) Give("pwrite");
      if (fdatasync(fd_) != 0) Give("fdatasync");
      offset += bytes.size();
      for (const Waiting& one : waiting) fuse_reply_write(one.request, one.length);
      lock.lock();
    }
  }

  const int fd_;
  std::atomic<uint64_t> next_ = 1;
  std::mutex mutex_;  // guards all below
  std::condition_variable work_;
  std::string gathering_;
  std::vector<Waiting> waiting_;
  bool stop_ = false;
  std::thread thread_;
};

Bare* BareOf(fuse_req_t request) {
  return static_cast<Bare*>(fuse_req_userdata(request));
}

struct stat StatOf(fuse_ino_t node) {
  struct stat status {};
  status.st_ino = node == FUSE_ROOT_ID ? node : 2 + (node & 1);
  status.st_mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0600;
  status.st_nlink = 1;
  return status;
}

fuse_lowlevel_ops Operations() {
  fuse_lowlevel_ops operations{};
  operations.init = [](void*, fuse_conn_info* connection) {
    connection->want &= ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                                               FUSE_CAP_SPLICE_MOVE | FUSE_CAP_WRITEBACK_CACHE);
  };
  operations.lookup = [](fuse_req_t request, fuse_ino_t, const char* name) {
    const bool count = strcmp(name, "count") == 0;
    if (!count && strcmp(name, "group") != 0) {
      fuse_reply_err(request, ENOENT);
      return;
    }
    fuse_entry_param entry{};
    entry.ino = BareOf(request)->NewNode(count);
    entry.attr = StatOf(entry.ino);
    entry.attr_timeout = 1e9;
    fuse_reply_entry(request, &entry);
  };
  operations.getattr = [](fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
    const struct stat status = StatOf(node);
    fuse_reply_attr(request, &status, 1);
  };
  operations.open = [](fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
    info->direct_io = 1;
    info->nonseekable = 1;
    fuse_reply_open(request, info);
  };
  operations.write = [](fuse_req_t request, fuse_ino_t node, const char* bytes, size_t length,
                        off_t, fuse_file_info*) {
    if (IsCount(node)) {
      fuse_reply_write(request, length);
    } else {
      BareOf(request)->Write(request, {bytes, length});
    }
  };
  operations.flush = [](fuse_req_t request, fuse_ino_t, fuse_file_info*) {
    fuse_reply_err(request, 0);
  };
  operations.release = operations.flush;
  return operations;
}

void Serve(fuse_session* session) {
  fuse_buf buffer{};
  while (!fuse_session_exited(session)) {
    const int length = fuse_session_receive_buf(session, &buffer);
    if (length == -EINTR) continue;
    if (length <= 0) break;
    fuse_session_process_buf(session, &buffer);
  }
  std::free(buffer.mem);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: bare_fuse MOUNTPOINT FILE\n");
    return 2;
  }
  Bare bare(argv[2]);
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  fuse_opt_add_arg(&arguments, "bare_fuse");
  const fuse_lowlevel_ops operations = Operations();
  fuse_session* session = fuse_session_new(&arguments, &operations, sizeof(operations), &bare);
  fuse_opt_free_args(&arguments);
  if (session == nullptr || fuse_session_mount(session, argv[1]) != 0) return 1;
  if (fuse_set_signal_handlers(session) != 0) return 1;
  // Signals come to this thread: it unmounts, and that wakes the other.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread second([session] { Serve(session); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  Serve(session);
  fuse_session_unmount(session);
  second.join();
  fuse_remove_signal_handlers(session);
  fuse_session_destroy(session);
  return 0;
}
