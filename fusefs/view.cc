#include "fusefs/view.h"

#include <algorithm>
#include <utility>

#include "fusefs/tree.h"
#include "logcore/tlog/merkle.h"

namespace fusefs {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Published;
using logcore::Result;
using logcore::Snapshot;
using logcore::Status;

tl::unexpected<logcore::Error> NoSuchNode() {
  return Fail(Code::kNotFound, "no such file in this log");
}

std::string Slice(const std::string& bytes, uint64_t offset, size_t length) {
  if (bytes.size() <= offset) return {};
  return bytes.substr(static_cast<size_t>(offset), length);
}

// The last entry below a tile, or in a bundle: the one that completed it.
uint64_t LastEntryOf(const Node& tile) {
  const uint64_t nodes = tile.index * logcore::kTileWidth + static_cast<uint64_t>(tile.width);
  const int height = tile.level == logcore::kEntriesLevel ? 0 : 8 * tile.level;
  return (nodes << height) - 1;
}

timespec TimeOf(int64_t nanoseconds) {
  return {.tv_sec = nanoseconds / logcore::kNanoseconds,
          .tv_nsec = nanoseconds % logcore::kNanoseconds};
}

Attributes AtSecond(uint64_t length, int64_t second) {
  const timespec time{.tv_sec = second, .tv_nsec = 0};
  return {.length = length, .mtime = time, .ctime = time};
}

// When an entry was integrated. Where the store has lost that, as `times` is damaged, the time of
// the newest publication stands for it: no bytes of the log depend on it, and without one no
// listing of the directory would succeed.
Result<int64_t> EntryTime(const Snapshot& snapshot, uint64_t index) {
  Result<int64_t> time = snapshot.Time(index);
  if (!time.has_value() && time.error().code == Code::kCorrupt) return snapshot.published().time;
  return time;
}

Result<Attributes> At(Result<uint64_t> length, Result<int64_t> time) {
  ASSIGN_OR_RETURN(const uint64_t bytes, std::move(length));
  ASSIGN_OR_RETURN(const int64_t second, std::move(time));
  return AtSecond(bytes, second);
}

}  // namespace

Result<Attributes> View::AttributesOf(const Node& node, const Snapshot& snapshot) {
  const Shape shape{.size = snapshot.size(), .appendable = true};
  if (!Exists(node, shape)) return NoSuchNode();
  const int64_t newest = snapshot.published().time;
  switch (node.kind) {
    case Kind::kLog:
      return AtSecond(snapshot.LogLength(), newest);
    case Kind::kVkey:
      // As old as the log: the time of init is not kept once there are entries.
      return At(vkey_line_.size(), snapshot.size() == 0 ? newest : EntryTime(snapshot, 0));
    case Kind::kTile:
      return At(snapshot.TileLength(TileIdOf(node)), EntryTime(snapshot, LastEntryOf(node)));
    case Kind::kEntry:
      return At(snapshot.EntryLength(node.index), EntryTime(snapshot, node.index));
    case Kind::kCheckpoint: {
      ASSIGN_OR_RETURN(const auto checkpoint, Checkpoint(node, snapshot));
      return Attributes{.length = checkpoint->note.size(),
                        .mtime = TimeOf(time_of_(*checkpoint)),
                        .ctime = TimeOf(checkpoint->publication.at)};
    }
    default:  // Directories change, and entries are added, with each publication.
      return AtSecond(0, newest);
  }
}

Result<std::string> View::Read(const Node& node, const Snapshot& snapshot, uint64_t offset,
                               size_t length) {
  if (!Exists(node, {.size = snapshot.size()})) return NoSuchNode();
  switch (node.kind) {
    case Kind::kLog:
      return snapshot.Log(offset, length);
    case Kind::kVkey:
      return Slice(vkey_line_, offset, length);
    case Kind::kCheckpoint: {
      ASSIGN_OR_RETURN(const auto checkpoint, Checkpoint(node, snapshot));
      return Slice(checkpoint->note, offset, length);
    }
    case Kind::kEntry: {
      ASSIGN_OR_RETURN(const std::string entry, snapshot.Entry(node.index));
      return Slice(entry, offset, length);
    }
    case Kind::kTile: {
      if (node.level == logcore::kEntriesLevel) return ReadBundle(node, snapshot, offset, length);
      ASSIGN_OR_RETURN(const std::string tile, snapshot.Tile(TileIdOf(node)));
      return Slice(tile, offset, length);
    }
    default:
      return Fail(Code::kInvalid, "not a file to be read");
  }
}

Result<std::string> View::ReadBundle(const Node& node, const Snapshot& snapshot, uint64_t offset,
                                     size_t length) {
  const uint64_t number = NodeNumber(node);
  if (const auto kept = FindLongFile(number)) return Slice(*kept, offset, length);
  ASSIGN_OR_RETURN(std::string bytes, snapshot.Bundle(TileIdOf(node)));
  if (bytes.size() <= kLongFile) return Slice(bytes, offset, length);
  const auto kept = std::make_shared<const std::string>(std::move(bytes));
  KeepLongFile({number, kept});
  return Slice(*kept, offset, length);
}

Result<std::shared_ptr<const Published>> View::Checkpoint(const Node& node,
                                                          const Snapshot& snapshot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return FindCheckpoint(node, snapshot);
}

Result<std::shared_ptr<const Published>> View::FindCheckpoint(const Node& node,
                                                              const Snapshot& snapshot) {
  if (const auto known = known_.find(node.index); known != known_.end()) {
    return known->second.checkpoint;
  }
  if (const auto found = checkpoints_.find(node.index); found != checkpoints_.end()) {
    return found->second;
  }
  if (node.index != snapshot.size()) return NoSuchNode();
  const auto checkpoint = std::make_shared<const Published>(snapshot.published());
  checkpoints_.emplace(node.index, checkpoint);
  if (checkpoints_.size() > kMaxCheckpoints) checkpoints_.erase(checkpoints_.begin());
  return checkpoint;
}

Status View::Remember(const Node& node, const Snapshot& snapshot) {
  if (node.kind != Kind::kCheckpoint) return {};
  const std::lock_guard<std::mutex> lock(mutex_);
  ASSIGN_OR_RETURN(auto checkpoint, FindCheckpoint(node, snapshot));
  Known& known = known_[node.index];
  known.checkpoint = std::move(checkpoint);
  ++known.times;
  return {};
}

void View::Forget(const Node& node, uint64_t times) {
  if (node.kind != Kind::kCheckpoint) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto known = known_.find(node.index);
  if (known == known_.end()) return;
  known->second.times -= std::min(times, known->second.times);
  if (known->second.times == 0) known_.erase(known);
}

std::shared_ptr<const std::string> View::FindLongFile(uint64_t number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (LongFile& file : long_files_) {
    if (file.bytes == nullptr || file.number != number) continue;
    std::swap(file, long_files_.front());
    return long_files_.front().bytes;
  }
  return nullptr;
}

void View::KeepLongFile(LongFile file) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::move_backward(long_files_.begin(), long_files_.end() - 1, long_files_.end());
  long_files_.front() = std::move(file);
}

}  // namespace fusefs
