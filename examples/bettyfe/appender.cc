#include "appender.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

namespace bettyfe {
namespace {

constexpr size_t kMaxBatchCount = 4096;      // entries: as many receipts as an open file keeps
constexpr size_t kMaxBatchLength = 1 << 20;  // bytes
constexpr size_t kReadLength = 64 << 10;
constexpr size_t kHashDigits = 64;  // of a leaf hash in a receipt

size_t FrameLength(const Pending& pending) {
  return 2 + pending.entry.size();
}

// "INDEX LEAFHASH", of which the index is wanted. False for anything else: "lost N".
bool ParseReceipt(std::string_view line, uint64_t* index) {
  const size_t space = line.find(' ');
  if (space == line.npos || line.size() != space + 1 + kHashDigits) return false;
  if (line.find_first_not_of("0123456789abcdef", space + 1) != line.npos) return false;
  const auto [end, error] = std::from_chars(line.data(), line.data() + space, *index);
  return error == std::errc() && end == line.data() + space;
}

int ErrorOf(const struct statfs& filesystem) {
  return filesystem.f_type == FUSE_SUPER_MAGIC ? 0 : ENODEV;
}

}  // namespace

int FindLog(const std::string& path) {
  struct statfs filesystem {};
  return statfs(path.c_str(), &filesystem) != 0 ? errno : ErrorOf(filesystem);
}

std::string Explain(int error) {
  return error == ENODEV ? "no log is mounted there" : std::strerror(error);
}

// An open `add.bundle`, opened when it is needed, and anew after a failure: the log forgets what an
// open file has left over when it is closed.
class Appender::Writer {
 public:
  explicit Writer(const std::string& path) : path_(path) {}
  ~Writer() { Close(); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Appends all; what became of each. error() says what stopped it, an errno, or 0.
  std::vector<Outcome> Append(const Batch& batch);
  int error() const { return error_; }
  // Makes ready for the next one. After an error that waits for all that the log has taken from
  // anybody.
  void Renew();

 private:
  void Compose(const Batch& batch);
  int Open();
  int Write();
  int WriteFrames();
  int Confirm(size_t count);
  bool ReadReceipts(size_t count);
  void Close();

  const std::string path_;
  int fd_ = -1;
  int error_ = 0;
  std::string frames_;
  std::vector<size_t> ends_;  // of each entry's frame, in frames_
  size_t written_ = 0;        // bytes of frames_ that the log has taken
  std::string receipts_;      // what is read, and not yet a whole line
  std::vector<uint64_t> indexes_;
};

std::vector<Outcome> Appender::Writer::Append(const Batch& batch) {
  Compose(batch);
  const int refused = Write();
  error_ = refused;
  // Any other error may be that of an earlier part: then nobody knows whose the receipts are.
  if (refused == 0 || refused == EAGAIN) {
    const auto whole = std::upper_bound(ends_.begin(), ends_.end(), written_) - ends_.begin();
    const int unconfirmed = Confirm(static_cast<size_t>(whole));
    if (unconfirmed != 0) error_ = unconfirmed;
  }
  std::vector<Outcome> outcomes;
  for (size_t i = 0; i < batch.size(); ++i) {
    const bool has_index = i < indexes_.size();
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    const bool is_unknown = begin < written_ || refused == EIO;
    outcomes.push_back({.error = has_index ? 0 : (is_unknown ? ECONNABORTED : refused),
                        .index = has_index ? indexes_[i] : 0});
  }
  return outcomes;
}

void Appender::Writer::Compose(const Batch& batch) {
  frames_.clear();
  ends_.clear();
  indexes_.clear();
  for (const Pending& pending : batch) {
    frames_.push_back(static_cast<char>(pending.entry.size() >> 8));
    frames_.push_back(static_cast<char>(pending.entry.size() & 0xff));
    frames_.append(pending.entry);
    ends_.push_back(frames_.size());
  }
}

// A plain file of that name, where no log is mounted, is left alone.
int Appender::Writer::Open() {
  if (fd_ >= 0) return 0;
  fd_ = open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (fd_ < 0) return errno;
  struct statfs filesystem {};
  const int error = fstatfs(fd_, &filesystem) != 0 ? errno : ErrorOf(filesystem);
  if (error != 0) Close();
  return error;
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
  written_ = 0;
  const int error = Open();
  if (error != 0) return error;
  while (written_ < frames_.size()) {
    const ssize_t count = write(fd_, frames_.data() + written_, frames_.size() - written_);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      // A write that was cut short may have sent more than it says: nothing is known of the rest,
      // and nothing is tried again.
      return errno == ENOTCONN && written_ > 0 ? ECONNABORTED : errno;
    }
    written_ += static_cast<size_t>(count);
  }
  return 0;
}

// Reads the receipts of so many entries, which are all that the log has taken as a whole. A mount
// with `async` gives them later: then this waits. 0, or an errno: what is without index is unknown.
int Appender::Writer::Confirm(size_t count) {
  receipts_.clear();
  if (!ReadReceipts(count)) return ECONNABORTED;
  if (indexes_.size() == count) return 0;
  if (fsync(fd_) != 0) {
    indexes_.clear();  // Which part failed is not told: they may be those of later entries.
    return errno;
  }
  return ReadReceipts(count) && indexes_.size() == count ? 0 : ECONNABORTED;
}

// Takes what receipts there are, up to `count` in all. False if something else came.
bool Appender::Writer::ReadReceipts(size_t count) {
  while (indexes_.size() < count) {
    const size_t begin = receipts_.size();
    receipts_.resize(begin + kReadLength);
    const ssize_t length = read(fd_, receipts_.data() + begin, kReadLength);
    receipts_.resize(begin + static_cast<size_t>(length < 0 ? 0 : length));
    if (length <= 0) return length == 0;
    std::string_view rest = receipts_;
    for (size_t end; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1)) {
      uint64_t index = 0;
      if (!ParseReceipt(rest.substr(0, end), &index) || indexes_.size() == count) return false;
      indexes_.push_back(index);
    }
    receipts_.erase(0, receipts_.size() - rest.size());
  }
  return true;
}

void Appender::Writer::Renew() {
  if (error_ != 0 && (error_ != EAGAIN || written_ > 0)) Close();
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
    const std::vector<Outcome> outcomes = writer.Append(batch);
    GiveBack(batch.size());  // Before the answers: who has one may come with the next entry.
    for (size_t i = 0; i < batch.size(); ++i) batch[i].done(outcomes[i]);
    NoteError(writer.error());
    writer.Renew();
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

void Appender::GiveBack(size_t count) {
  const std::lock_guard<std::mutex> lock(mutex_);
  pending_ -= count;
}

void Appender::NoteError(int error) {
  // A log that is busy is still one that can be written.
  const bool changed = error != EAGAIN && std::exchange(last_error_, error) != error;
  if (changed && options_.on_change) options_.on_change(error);
}

}  // namespace bettyfe
