// MemoryLog: a log in memory, behind both doors of logcore/log: it proves that they are doors. It
// is stricter than a store. It fails the test when a caller does what a door does not allow: two
// commits at once, a publication beside another, anything after Close, a read of what is not
// published. And it fails on demand.
//
// Threads as LogWriter, PublishedLog and StoredLog say.

#ifndef TESTS_SUPPORT_MEMORY_LOG_H_
#define TESTS_SUPPORT_MEMORY_LOG_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "logcore/log/batch.h"
#include "logcore/log/log_writer.h"
#include "logcore/log/published_log.h"
#include "logcore/log/snapshot.h"
#include "logcore/log/stored_log.h"
#include "logcore/log/verified.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/tlog/merkle.h"
#include "logcore/tlog/note.h"

namespace tlogfs_test {

// The stored bytes. Grows under its own lock.
class MemoryBytes final : public logcore::StoredLog {
 public:
  void Append(std::string_view frames, std::span<const logcore::Hash> leaf_hashes, int64_t time) {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < leaf_hashes.size(); ++i) {
      const std::string_view entry = logcore::TakeFrame(&frames).value();
      offsets_.push_back(offsets_.back() + logcore::kFrameHeaderLength + entry.size());
      logcore::AppendFrame(&frames_, entry);
      times_.push_back(time);
    }
    range_.Extend(leaf_hashes, &nodes_);
  }
  // From now on readers may have so many entries.
  void Publish(uint64_t size) { published_ = size; }
  logcore::CompactRange range() const {
    const std::lock_guard lock(mutex_);
    return range_;
  }
  uint64_t frames_end() const {
    const std::lock_guard lock(mutex_);
    return offsets_.back();
  }
  // Changes one byte of what readers get.
  void Spoil(uint64_t offset) {
    const std::lock_guard lock(mutex_);
    frames_.at(offset) = static_cast<char>(~frames_[offset]);
  }

  logcore::Status ReadNodes(int level, uint64_t first,
                            std::span<logcore::Hash> out) const override {
    const std::lock_guard lock(mutex_);
    const std::vector<logcore::Hash>& nodes = nodes_.at(static_cast<size_t>(level));
    if (nodes.size() < first + out.size()) return Short(NodesName(level));
    EXPECT_LE((first + out.size()) << (8 * level), published_) << "is not published";
    std::copy_n(nodes.begin() + static_cast<ptrdiff_t>(first), out.size(), out.begin());
    return {};
  }
  logcore::Result<std::string> ReadFrames(uint64_t first, uint64_t count,
                                          uint64_t size) const override {
    const std::lock_guard lock(mutex_);
    ExpectMayRead(first + count, size);
    return frames_.substr(offsets_.at(first), offsets_.at(first + count) - offsets_.at(first));
  }
  logcore::Result<uint64_t> FrameOffset(uint64_t index, uint64_t size) const override {
    const std::lock_guard lock(mutex_);
    ExpectMayRead(index, size);
    return offsets_.at(index);
  }
  logcore::Status CheckOffsets(uint64_t first, std::span<const uint64_t> offsets) const override {
    const std::lock_guard lock(mutex_);
    if (offsets_.size() < first + offsets.size()) return Short("offsets");
    const auto begin = offsets_.begin() + static_cast<ptrdiff_t>(first);
    if (std::equal(offsets.begin(), offsets.end(), begin)) return {};
    return logcore::Fail(logcore::Code::kCorrupt, "offsets: are others");
  }
  logcore::Result<uint64_t> FindText(uint64_t offset, uint64_t size) const override {
    const std::lock_guard lock(mutex_);
    ExpectMayRead(size, size);
    if (offsets_.at(size) - size <= offset) {
      return logcore::Fail(logcore::Code::kInvalid, "is behind the end");
    }
    uint64_t index = 0;
    while (offsets_[index + 1] - (index + 1) <= offset) ++index;
    return index;
  }
  logcore::Result<int64_t> Time(uint64_t index) const override {
    const std::lock_guard lock(mutex_);
    ExpectMayRead(index + 1, published_);
    return times_.at(index);
  }
  // In pieces of uneven lengths, as a storage may.
  logcore::Result<Piece> ReadPiece(uint64_t index, uint64_t offset,
                                   std::span<char> out) const override {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(offsets_.at(index), offset);
    const uint64_t end = std::min((index / kPiece + 1) * kPiece, uint64_t{times_.size()});
    const size_t length = std::min<size_t>(out.size(), offsets_[end] - offset);
    std::copy_n(frames_.data() + offset, length, out.data());
    return Piece{.length = length, .end = (index / kPiece + 1) * kPiece};
  }
  std::string NodesName(int level) const override { return "nodes " + std::to_string(level); }
  std::string FramesName(uint64_t index) const override {
    return "piece " + std::to_string(index / kPiece);
  }

 private:
  static constexpr uint64_t kPiece = 1000;  // entries
  static tl::unexpected<logcore::Error> Short(const std::string& name) {
    return logcore::Fail(logcore::Code::kCorrupt, name + ": is too short");
  }
  void ExpectMayRead(uint64_t end, uint64_t size) const {
    EXPECT_LE(end, size) << "is behind what is known to be there";
    EXPECT_LE(size, published_) << "is not published";
  }

  mutable std::mutex mutex_;  // guards all below
  std::string frames_;
  std::vector<uint64_t> offsets_ = {0};
  std::vector<int64_t> times_;
  logcore::CompletedNodes nodes_;
  logcore::CompactRange range_;
  std::atomic<uint64_t> published_ = 0;
};

class MemoryLog final : public logcore::LogWriter, public logcore::PublishedLog {
 public:
  enum class Call { kCommit, kPublish, kAdvanceReplayPoint };

  // `clock`: nanoseconds.
  explicit MemoryLog(std::string origin, std::function<int64_t()> clock)
      : origin_(std::move(origin)),
        clock_(std::move(clock)),
        key_(logcore::SignerKey::Generate(origin_).value()) {
    Show({});
  }

  // The next such call fails so, before it does anything.
  void FailNext(Call call, logcore::Error error) {
    const std::lock_guard lock(mutex_);
    failures_[call] = std::move(error);
  }
  MemoryBytes& bytes() { return *bytes_; }

  // ---- LogWriter

  using LogWriter::Commit;
  uint64_t max_batch_length() const override { return 1 << 20; }
  logcore::Result<logcore::Committed> Commit(logcore::Batch* batch,
                                             const std::function<void()>& on_flush) override {
    const Alone alone(&committing_, "commits");
    EXPECT_FALSE(closed_);
    EXPECT_LT(0u, batch->count());
    EXPECT_EQ(logcore::CountFrames(batch->frames()).count, batch->count());
    if (stopped_) return logcore::Fail(logcore::Code::kReadOnly, "append: the log stopped");
    RETURN_IF_ERROR(MayFail(Call::kCommit));
    if (on_flush) on_flush();
    const uint64_t first_index = bytes_->range().size();
    time_ = std::max<int64_t>(time_, clock_() / logcore::kNanoseconds);
    bytes_->Append(batch->frames(), batch->leaf_hashes(), time_);
    ++to_replay_;
    return logcore::Committed{first_index, batch->leaf_hashes()};
  }
  void Prepare(logcore::Batch* batch) override {
    const Alone alone(&preparing_, "preparations");
    EXPECT_FALSE(closed_);
    EXPECT_LT(0u, batch->count());
    batch->set_prepared(std::make_unique<logcore::PreparedBatch>());
  }
  void Presign() override { const Alone alone(&publishing_, "publications"); }
  logcore::Result<uint64_t> Publish() override {
    const Alone alone(&publishing_, "publications");
    EXPECT_FALSE(closed_);
    RETURN_IF_ERROR(MayFail(Call::kPublish));
    const logcore::CompactRange range = bytes_->range();
    const uint64_t shown = Latest().value()->size();
    if (shown < range.size()) Show(range);
    return range.size();
  }
  double ReplayLength() const override {
    return std::min(1.0, static_cast<double>(to_replay_) / 8);
  }
  logcore::Status AdvanceReplayPoint() override {
    const Alone alone(&advancing_, "moves of the replay point");
    EXPECT_FALSE(closed_);
    RETURN_IF_ERROR(MayFail(Call::kAdvanceReplayPoint));
    to_replay_ = 0;
    return {};
  }
  logcore::Status Close() override {
    EXPECT_FALSE(committing_ || publishing_ || advancing_);
    EXPECT_EQ(Latest().value()->size(), bytes_->range().size()) << "not all is published";
    closed_ = true;
    return {};
  }

  // ---- PublishedLog

  const logcore::VerifierKey& vkey() const override { return key_.verifier(); }
  logcore::Result<std::shared_ptr<const logcore::Snapshot>> Latest() override {
    const std::lock_guard lock(mutex_);
    return latest_;
  }
  int64_t PublicationTimeOf(const logcore::Published& published) const override {
    return published.publication.at;
  }

 private:
  // Nobody else is in what it guards.
  class Alone {
   public:
    Alone(std::atomic<bool>* busy, const char* what) : busy_(busy) {
      EXPECT_FALSE(busy_->exchange(true)) << "two " << what << " at once";
    }
    ~Alone() { *busy_ = false; }
    Alone(const Alone&) = delete;
    Alone& operator=(const Alone&) = delete;

   private:
    std::atomic<bool>* const busy_;
  };

  logcore::Status MayFail(Call call) {
    const std::lock_guard lock(mutex_);
    const auto failure = failures_.extract(call);
    if (failure.empty()) return {};
    if (call != Call::kPublish && !logcore::IsOfOneAppend(failure.mapped().code)) stopped_ = true;
    return tl::unexpected<logcore::Error>(failure.mapped());
  }

  void Show(const logcore::CompactRange& range) {
    const std::lock_guard lock(mutex_);
    bytes_->Publish(range.size());
    const int64_t now = clock_();
    latest_ = std::make_shared<const logcore::Snapshot>(
        logcore::Published{.sequence = ++sequence_,
                           .head = range.Head(),
                           .frames_end = bytes_->frames_end(),
                           .time = range.size() == 0 ? now / logcore::kNanoseconds : time_.load(),
                           .publication = {.at = now, .settled = now, .moment = 0},
                           .note = logcore::SignCheckpoint(origin_, range.Head(), key_)},
        bytes_, verified_);
  }

  const std::string origin_;
  const std::function<int64_t()> clock_;
  const logcore::SignerKey key_;
  const std::shared_ptr<MemoryBytes> bytes_ = std::make_shared<MemoryBytes>();
  const std::shared_ptr<logcore::Verified> verified_ = std::make_shared<logcore::Verified>();
  std::atomic<bool> committing_ = false;
  std::atomic<bool> preparing_ = false;
  std::atomic<bool> publishing_ = false;
  std::atomic<bool> advancing_ = false;
  std::atomic<bool> stopped_ = false;
  std::atomic<bool> closed_ = false;
  std::atomic<int64_t> time_ = 0;
  std::atomic<uint64_t> to_replay_ = 0;

  std::mutex mutex_;  // guards all below
  uint64_t sequence_ = 0;
  std::shared_ptr<const logcore::Snapshot> latest_;
  std::map<Call, logcore::Error> failures_;
};

}  // namespace tlogfs_test

#endif  // TESTS_SUPPORT_MEMORY_LOG_H_
