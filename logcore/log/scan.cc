#include "logcore/log/scan.h"

#include <algorithm>
#include <string>
#include <utility>

#include "logcore/log/verified.h"
#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

// The whole frames at the front of `bytes`, at most `limit`.
void ParseWhole(std::string_view bytes, uint64_t limit, std::vector<std::string_view>* entries) {
  entries->clear();
  const char* at = bytes.data();
  const char* const end = at + bytes.size();
  for (; limit != 0 && kFrameHeaderLength <= static_cast<size_t>(end - at); --limit) {
    const size_t length = LoadBigEndian<uint16_t>(at);
    at += kFrameHeaderLength;
    if (static_cast<size_t>(end - at) < length) return;
    entries->emplace_back(at, length);
    at += length;
  }
}

}  // namespace

Scan::Scan(std::shared_ptr<const Snapshot> snapshot, uint64_t first, uint64_t end,
           const ScanOptions& options)
    : snapshot_(std::move(snapshot)), end_(end), options_(options), index_(first) {
  CHECK(first <= end && kMinScanPiece <= options.piece);
}

// Looks up where it begins and ends. Should the index be wrong there, then the bundles that are
// verified, or the lengths that must fit together, tell.
Status Scan::Begin() {
  const uint64_t size = snapshot_->size();
  ASSIGN_OR_RETURN(offset_, snapshot_->stored_->FrameOffset(index_, size));
  end_offset_ = snapshot_->published().frames_end;
  if (end_ != size) {
    ASSIGN_OR_RETURN(end_offset_, snapshot_->stored_->FrameOffset(end_, size));
  }
  if (end_offset_ < offset_) {
    return snapshot_->FailEntries(index_, end_, "the offsets do not fit together");
  }
  buffer_length_ = std::min<uint64_t>(options_.piece, end_offset_ - offset_);
  buffer_ = std::make_unique_for_overwrite<char[]>(buffer_length_);
  return {};
}

// All entries that lie whole in the next `buffer_length_` bytes: at least one.
Status Scan::ReadPiece() {
  const size_t length = std::min<uint64_t>(buffer_length_, end_offset_ - offset_);
  ASSIGN_OR_RETURN(const StoredLog::Piece piece,
                   snapshot_->stored_->ReadPiece(index_, offset_, {buffer_.get(), length}));
  ParseWhole({buffer_.get(), piece.length}, std::min(end_, piece.end) - index_, &entries_);
  if (!entries_.empty()) return {};
  return snapshot_->FailEntries(index_, index_ + 1, "is cut short");
}

// How many entries of the piece are verified: at least one. A bundle that lies whole in it is
// hashed where it lies. One that does not is left to the next piece, which begins with it; if this
// one does already (the bundle is larger, or the scan begins or ends in it), it is read for itself.
Result<size_t> Scan::CountVerified() {
  size_t done = 0;
  while (done < entries_.size()) {
    const uint64_t index = index_ + done;
    const uint64_t bundle = index / kTileWidth;
    const uint64_t first = bundle * kTileWidth;
    const uint64_t whole_end = std::min(first + kTileWidth, snapshot_->size());
    const size_t part = std::min<uint64_t>(whole_end - index, entries_.size() - done);
    const int width = static_cast<int>(index + part - first);
    const int known = snapshot_->verified_->Width(kEntriesLevel, bundle);
    if (known < width) {
      if (index == first && index + part == whole_end) {
        const std::span<const std::string_view> entries(&entries_[done], part);
        const uint64_t before = static_cast<uint64_t>(entries[0].data() - entries_[0].data());
        RETURN_IF_ERROR(snapshot_->CheckBundle(bundle, 0, known, offset_ + before, entries));
      } else if (done == 0) {
        RETURN_IF_ERROR(snapshot_->VerifyBundle(bundle, width));
      } else {
        return done;
      }
    }
    done += part;
  }
  return done;
}

Result<std::span<const std::string_view>> Scan::Next() {
  if (snapshot_->size() < end_) {
    return Fail(Code::kNotFound, "entry " + std::to_string(end_ - 1) +
                                     " is not in a tree of size " +
                                     std::to_string(snapshot_->size()));
  }
  if (index_ == end_) return std::span<const std::string_view>();
  if (buffer_ == nullptr) RETURN_IF_ERROR(Begin());
  RETURN_IF_ERROR(ReadPiece());
  size_t count = entries_.size();
  if (options_.verified) {
    ASSIGN_OR_RETURN(count, CountVerified());
  }
  const auto entries = std::span<const std::string_view>(entries_).first(count);
  const std::string_view last = entries.back();
  const uint64_t next = offset_ + static_cast<uint64_t>(last.data() + last.size() - buffer_.get());
  if (index_ + count == end_ && next != end_offset_) {
    return snapshot_->FailEntries(end_ - 1, end_, "does not end where it should");
  }
  index_ += count;
  offset_ = next;
  return entries;
}

}  // namespace logcore
