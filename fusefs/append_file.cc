#include "fusefs/append_file.h"

#include <algorithm>
#include <utility>

#include "logcore/tlog/entry_bundle.h"

namespace fusefs {
namespace {

constexpr size_t kMaxTailLength = logcore::kFrameHeaderLength + logcore::kMaxEntryLength;

}  // namespace

using logcore::Error;
using logcore::Result;

Result<Piece> AppendFile::Take(std::string_view bytes, bool revocable, const Most& most) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool keep_rest = (HasBytes(tail_) || share_.MayBegin()) &&
                         share_.Resize(HeldLocked() + std::min(bytes.size(), kMaxTailLength));
  Result<Taken> taken = TakeBytes(options_.framing, bytes, most, &tail_, &before_, keep_rest);
  if (!revocable) Forget(&before_);
  GiveBackLocked();
  Piece piece;
  ASSIGN_OR_RETURN(piece.taken, std::move(taken));
  if (piece.taken.count == 0) return piece;
  tail_writer_ = {};
  piece.serial = ++serial_;
  piece.revocable = unsettled_ = revocable;
  return piece;
}

void AppendFile::SetTailWriter(const Process& writer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  tail_writer_ = writer;
}

Process AppendFile::tail_writer() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return tail_writer_;
}

bool AppendFile::has_tail() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return HasBytes(tail_);
}

void AppendFile::Settle(const Piece& piece, const Result<logcore::Appended>& appended) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool newest = piece.serial == serial_ && unsettled_;
  if (newest) unsettled_ = false;
  if (appended.has_value()) {
    if (newest) Forget(&before_);
    if (!options_.receipts) return GiveBackLocked();
    const size_t length = receipts_.LengthWith(appended->leaf_hashes.size()) - receipts_.length();
    const bool room = share_.Resize(HeldLocked() + length);
    receipts_.Add(appended->first_index, appended->leaf_hashes, room);
  } else if (!piece.revocable) {
    if (!error_) error_ = appended.error();
  } else if (newest) {
    tail_ = std::exchange(before_, Tail());
  }
  GiveBackLocked();
}

Result<std::optional<Piece>> AppendFile::OnClose(const Closer& closer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!HasBytes(tail_) || !closer.process.known()) return std::nullopt;
  if (closer.killed) {
    // Also if the write that left it is still on its way: a writer that is killed does not wait.
    const bool drop = closer.process == tail_writer_ && options_.framing == Framing::kLines;
    if (drop) Forget(&tail_);
    GiveBackLocked();
    return std::nullopt;
  }
  // While somebody waits for a write the file stays open, so there is another close to come.
  if (unsettled_) return std::nullopt;
  if (closer.process != options_.opener || closer.may_hold_another || closer.writer_may_go_on) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(Taken taken, EndTail(options_.framing, &tail_));
  return EndTailLocked(std::move(taken));
}

std::optional<Piece> AppendFile::OnRelease() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!HasBytes(tail_)) return std::nullopt;
  Result<Taken> taken = EndTail(options_.framing, &tail_);
  if (!taken.has_value()) return std::nullopt;
  return EndTailLocked(std::move(*taken));
}

std::optional<Piece> AppendFile::EndTailLocked(Taken taken) {
  Piece piece;
  piece.taken = std::move(taken);
  piece.serial = ++serial_;
  unsettled_ = false;
  Forget(&before_);
  if (piece.taken.count > 0) piece.on_its_way = share_.SetOut(piece.taken.frames.size());
  GiveBackLocked();
  if (piece.taken.count == 0) return std::nullopt;
  return piece;
}

size_t AppendFile::HeldLocked() const {
  return tail_.bytes.size() + before_.bytes.size() + receipts_.length();
}

// After what may have made it less.
void AppendFile::GiveBackLocked() {
  static_cast<void>(share_.Resize(HeldLocked()));
}

std::optional<Error> AppendFile::PeekError() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return error_;
}

std::optional<Error> AppendFile::TakeError() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(error_, std::nullopt);
}

std::string AppendFile::Read(uint64_t offset, size_t length) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::string text = receipts_.Read(offset, length);
  GiveBackLocked();
  return text;
}

void AppendFile::WritesAt(uint64_t offset) {
  if (!options_.receipts) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  receipts_.GoOn(offset);
  GiveBackLocked();
}

bool AppendFile::has_receipts() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return !receipts_.empty();
}

}  // namespace fusefs
