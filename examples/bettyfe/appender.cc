#include "appender.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string_view>
#include <utility>

namespace bettyfe {
namespace {

constexpr size_t kMaxBatchCount = 4096;      // entries: as many receipts as an open file keeps
constexpr size_t kMaxBatchLength = 1 << 20;  // bytes
constexpr size_t kReadLength = 64 << 10;

size_t FrameLength(const Pending& pending) {
  return 2 + pending.entry.size();
}

// "INDEX LEAFHASH", of which the index is wanted. False for anything else: "lost N".
bool ParseReceipt(std::string_view line, uint64_t* index) {
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), *index);
  return error == std::errc() && end != line.data() + line.size() && *end == ' ';
}

}  // namespace

// An open `add.bundle`, opened when it is needed, and anew after a failure: the log forgets what an
// open file has left over when it is closed.
class Appender::Writer {
 public:
  explicit Writer(const std::string& path) : path_(path) {}
  ~Writer() { Close(); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Appends all, and calls done of each; what stopped it, an errno, or 0.
  int Append(const Batch& batch);

 private:
  void Compose(const Batch& batch);
  int Write();
  int WriteFrames();
  void ReadReceipts(size_t count);
  void Close();

  const std::string path_;
  int fd_ = -1;
  bool has_written_ = false;  // any of frames_
  std::string frames_;
  std::string receipts_;
  std::vector<uint64_t> indexes_;
};

int Appender::Writer::Append(const Batch& batch) {
  Compose(batch);
  int error = Write();
  ReadReceipts(batch.size());
  if (indexes_.size() < batch.size() && error == 0) error = ECONNABORTED;
  for (size_t i = 0; i < batch.size(); ++i) {
    const bool has_index = i < indexes_.size();
    batch[i].done({.error = has_index ? 0 : error, .index = has_index ? indexes_[i] : 0});
  }
  // Last, as it waits for all that the log has taken from anybody.
  if (error != 0 && (error != EAGAIN || has_written_)) Close();
  return error;
}

void Appender::Writer::Compose(const Batch& batch) {
  frames_.clear();
  for (const Pending& pending : batch) {
    frames_.push_back(static_cast<char>(pending.entry.size() >> 8));
    frames_.push_back(static_cast<char>(pending.entry.size() & 0xff));
    frames_.append(pending.entry);
  }
}

// ENOTCONN says that the file is of a mount that had ended before: nothing was sent, and there may
// be a new one.
int Appender::Writer::Write() {
  const bool was_open = fd_ >= 0;
  int error = WriteFrames();
  if (error == ENOTCONN && was_open) {
    Close();
    error = WriteFrames();
  }
  return error;
}

int Appender::Writer::WriteFrames() {
  has_written_ = false;
  if (fd_ < 0) fd_ = open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (fd_ < 0) return errno;
  std::string_view rest = frames_;
  while (!rest.empty()) {
    const ssize_t count = write(fd_, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      // Not to be tried again: the first part of it may be in the log.
      return errno == ENOTCONN && has_written_ ? ECONNABORTED : errno;
    }
    has_written_ = true;
    rest.remove_prefix(static_cast<size_t>(count));
  }
  return 0;
}

// The indexes of the entries that the log confirms: the first ones of the batch, up to all.
void Appender::Writer::ReadReceipts(size_t count) {
  indexes_.clear();
  receipts_.clear();
  while (fd_ >= 0 && indexes_.size() < count) {
    const size_t begin = receipts_.size();
    receipts_.resize(begin + kReadLength);
    const ssize_t length = read(fd_, receipts_.data() + begin, kReadLength);
    receipts_.resize(begin + static_cast<size_t>(length < 0 ? 0 : length));
    if (length <= 0) return;
    std::string_view rest = receipts_;
    for (size_t end; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1)) {
      uint64_t index = 0;
      if (!ParseReceipt(rest.substr(0, end), &index) || indexes_.size() == count) return;
      indexes_.push_back(index);
    }
    receipts_.erase(0, receipts_.size() - rest.size());
  }
}

void Appender::Writer::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

void Appender::Start() {
  thread_ = std::thread([this] { Run(); });
}

bool Appender::Add(Pending pending) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (pending_ == options_.max_pending || stopping_) return false;
    ++pending_;
    queue_.push_back(std::move(pending));
  }
  work_.notify_one();
  return true;
}

void Appender::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Appender::Run() {
  Writer writer(options_.path);
  while (true) {
    const Batch batch = TakeBatch();
    if (batch.empty()) return;
    const int error = writer.Append(batch);
    Finished(batch.size(), error);
  }
}

// The next entries, when there are any; none if there will be no more.
Appender::Batch Appender::TakeBatch() {
  std::unique_lock<std::mutex> lock(mutex_);
  work_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  Batch batch;
  size_t length = 0;
  while (!queue_.empty() && batch.size() < kMaxBatchCount) {
    length += FrameLength(queue_.front());
    if (length > kMaxBatchLength) break;
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

void Appender::Finished(size_t count, int error) {
  bool changed = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    pending_ -= count;
    // A log that is busy is still one that can be written.
    if (error != EAGAIN) changed = std::exchange(last_error_, error) != error;
  }
  if (changed && options_.on_change) options_.on_change(error);
}

}  // namespace bettyfe
