#include "tests/bench/limits.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "logcore/tlog/entry_bundle.h"
#include "logcore/tlog/hash.h"
#include "logcore/tlog/merkle.h"
#include "tests/bench/measure.h"

namespace bench {
namespace {

constexpr size_t kRing = 64 << 20;  // of a prewritten file, like the journal's

// A file to be written in place.
class RawFile {
 public:
  RawFile(const std::string& path, uint64_t prewritten) {
    fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd_ < 0) Fail("cannot create " + path);
    const std::string zeros(1 << 20, '\0');
    for (uint64_t at = 0; at < prewritten; at += zeros.size()) {
      Write(at,
            std::string_view(zeros).substr(0, std::min<uint64_t>(zeros.size(), prewritten - at)));
    }
    Sync();
  }
  ~RawFile() { close(fd_); }
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;

  void Write(uint64_t offset, std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t written = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written <= 0) Fail("pwrite");
      bytes.remove_prefix(static_cast<size_t>(written));
      offset += static_cast<uint64_t>(written);
    }
  }
  void Sync() const {
    if (fdatasync(fd_) != 0) Fail("fdatasync");
  }

 private:
  int fd_ = -1;
};

// The bare group commit: a buffer that fills while the one before it is being flushed.
class Group {
 public:
  explicit Group(const std::string& path) : file_(path, kRing), thread_([this] { Run(); }) {}
  ~Group() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    work_.notify_one();
    thread_.join();
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  void Append(std::string_view record) {
    std::unique_lock<std::mutex> lock(mutex_);
    gathering_.append(record);
    const uint64_t mine = group_;
    work_.notify_one();
    durable_.wait(lock, [&] { return mine < flushed_; });
  }

 private:
  void Run() {
    std::string bytes;
    uint64_t offset = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      work_.wait(lock, [&] { return stop_ || !gathering_.empty(); });
      if (gathering_.empty()) return;
      bytes.swap(gathering_);
      gathering_.clear();
      ++group_;
      lock.unlock();
      bytes.resize((bytes.size() + 4095) / 4096 * 4096);
      if (kRing < offset + bytes.size()) offset = 0;
      file_.Write(offset, bytes);
      file_.Sync();
      offset += bytes.size();
      lock.lock();
      flushed_ = group_;
      durable_.notify_all();
    }
  }

  RawFile file_;
  std::mutex mutex_;  // guards all below
  std::condition_variable work_;
  std::condition_variable durable_;
  std::string gathering_;
  uint64_t group_ = 0;    // that gathers
  uint64_t flushed_ = 0;  // groups before it are durable
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace

void MeasureHash(size_t entry_length, double seconds) {
  std::string frames;
  uint64_t count = 0;
  for (; frames.size() < (1 << 20); ++count) {
    logcore::AppendFrame(&frames, MakeLine(count, entry_length));
  }
  std::vector<logcore::Hash> leaf_hashes(count);
  logcore::CompactRange range;
  const auto start = Clock::now();
  while (SecondsSince(start) < seconds) {
    logcore::HashLeafFrames(frames, leaf_hashes);
    logcore::CompletedNodes completed;
    range.Extend(leaf_hashes, &completed);
  }
  Report().Rate(static_cast<double>(range.size()), SecondsSince(start)).Print();
}

void MeasureDisk(const std::string& path, uint64_t bytes, size_t piece, bool prewritten) {
  const RawFile file(path, prewritten ? bytes : 0);
  std::string buffer(piece, 'x');
  const auto start = Clock::now();
  for (uint64_t at = 0; at < bytes; at += piece) {
    file.Write(at, buffer);
    file.Sync();
  }
  Report().Rate(static_cast<double>(bytes), SecondsSince(start)).Print();
  unlink(path.c_str());
}

void MeasureFlush(const std::string& path, double seconds) {
  const RawFile file(path, kRing);
  const std::string block(4096, 'x');
  Latencies latencies;
  uint64_t offset = 0;
  const auto start = Clock::now();
  while (SecondsSince(start) < seconds) {
    const auto began = Clock::now();
    file.Write(offset, block);
    file.Sync();
    latencies.Add(began);
    offset = (offset + block.size()) % kRing;
  }
  const double took = SecondsSince(start);
  Report().Rate(static_cast<double>(latencies.count()), took).Add(&latencies).Print();
  unlink(path.c_str());
}

void MeasureGroup(const std::string& path, size_t entry_length, int writers, double seconds) {
  Latencies all;
  double took = 0;
  {
    Group group(path);
    std::vector<Latencies> latencies(static_cast<size_t>(writers));
    const auto start = Clock::now();
    std::vector<std::thread> threads;
    for (size_t i = 0; i < latencies.size(); ++i) {
      threads.emplace_back([&, i] {
        const std::string record = MakeLine(i, entry_length);
        while (SecondsSince(start) < seconds) {
          const auto began = Clock::now();
          group.Append(record);
          latencies[i].Add(began);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    took = SecondsSince(start);
    for (const Latencies& one : latencies) all.Add(one);
  }
  Report().Rate(static_cast<double>(all.count()), took).Add(&all).Print();
  unlink(path.c_str());
}

}  // namespace bench
