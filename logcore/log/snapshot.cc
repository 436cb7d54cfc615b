#include "logcore/log/snapshot.h"

#include <algorithm>
#include <array>
#include <utility>

#include "logcore/log/edge.h"
#include "logcore/log/verified.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

tl::unexpected<Error> NotInTree(const std::string& what, uint64_t size) {
  return Fail(Code::kNotFound, what + " is not in a tree of size " + std::to_string(size));
}

}  // namespace

Snapshot::Snapshot(Published published, std::shared_ptr<const StoredLog> stored,
                   std::shared_ptr<Verified> verified)
    : published_(std::move(published)),
      stored_(std::move(stored)),
      verified_(std::move(verified)) {}

// "entries/0: entries 256 to 511: WHY".
tl::unexpected<Error> Snapshot::FailEntries(uint64_t first, uint64_t end,
                                            std::string_view why) const {
  std::string what = first + 1 == end ? "entry " : "entries ";
  what += std::to_string(first);
  if (first + 1 != end) what += " to " + std::to_string(end - 1);
  return Fail(Code::kCorrupt, stored_->FramesName(first) + ": " + what + ": " + std::string(why));
}

Snapshot::~Snapshot() = default;

// ---- Tiles

// The partial tiles of all levels give the published root together, or none of them is believed.
// They are kept, so that what is given out are the very bytes that were hashed.
Result<const ProvenEdge*> Snapshot::VerifiedEdge() const {
  const std::lock_guard lock(edge_mutex_);
  if (edge_ != nullptr) return edge_.get();
  ASSIGN_OR_RETURN(ProvenEdge edge, ProveEdge(*stored_, published_.head));
  for (int level = 0; level < kTileLevels; ++level) {
    const int width = PartialWidth(level, size());
    if (width == 0 || !edge.is_stored[static_cast<size_t>(level)]) continue;
    verified_->Add({level, FullTiles(level, size()), width});
  }
  edge_ = std::make_unique<const ProvenEdge>(std::move(edge));
  return edge_.get();
}

// A node that a tile of the level below must give. On the edge it is known even where the files
// have lost it: so one damaged tile takes no other one with it.
Result<Hash> Snapshot::ReadParent(int level, uint64_t index) const {
  if (index / kTileWidth == FullTiles(level, size())) {
    ASSIGN_OR_RETURN(const ProvenEdge* const edge, VerifiedEdge());
    return edge->tiles[static_cast<size_t>(level)][index % kTileWidth];
  }
  Hash node;
  RETURN_IF_ERROR(ReadNodes(level, index, std::span(&node, 1)));
  return node;
}

// Nodes of one tile, from node `first` of its level on; verified. A full tile's root is a node of
// the tile above: that is the recursion, and the edge of the tree ends it.
Status Snapshot::ReadNodes(int level, uint64_t first, std::span<Hash> out) const {
  const uint64_t index = first / kTileWidth;
  const size_t skip = first % kTileWidth;
  CHECK(skip + out.size() <= kTileWidth && first + out.size() <= NodeCount(level, size()));
  if (verified_->Covers({level, index, static_cast<int>(skip + out.size())})) {
    return stored_->ReadNodes(level, first, out);
  }
  if (index == FullTiles(level, size())) {
    ASSIGN_OR_RETURN(const ProvenEdge* const edge, VerifiedEdge());
    if (!edge->is_stored[static_cast<size_t>(level)]) {
      return Fail(Code::kCorrupt, stored_->NodesName(level) + ": tile " + std::to_string(index) +
                                      " is not the published one");
    }
    const std::vector<Hash>& nodes = edge->tiles[static_cast<size_t>(level)];
    std::copy_n(nodes.begin() + static_cast<ptrdiff_t>(skip), out.size(), out.begin());
    return {};
  }
  std::vector<Hash> nodes(kTileWidth);
  RETURN_IF_ERROR(stored_->ReadNodes(level, index * kTileWidth, nodes));
  ASSIGN_OR_RETURN(const Hash parent, ReadParent(level + 1, index));
  std::vector<Hash> scratch = nodes;
  if (PerfectRoot(scratch) != parent) {
    return Fail(Code::kCorrupt, stored_->NodesName(level) + ": tile " + std::to_string(index) +
                                    " does not give node " + std::to_string(index) + " of " +
                                    stored_->NodesName(level + 1));
  }
  verified_->Add({level, index, kTileWidth});
  std::copy_n(nodes.begin() + static_cast<ptrdiff_t>(skip), out.size(), out.begin());
  return {};
}

Result<std::string> Snapshot::Tile(const TileId& id) const {
  if (id.level < 0 || !TileExists(id, size())) return NotInTree(TilePath(id), size());
  std::vector<Hash> nodes(static_cast<size_t>(id.width));
  RETURN_IF_ERROR(ReadNodes(id.level, id.index * kTileWidth, nodes));
  return std::string(reinterpret_cast<const char*>(nodes.data()), nodes.size() * kHashLength);
}

Result<uint64_t> Snapshot::TileLength(const TileId& id) const {
  if (!TileExists(id, size())) return NotInTree(TilePath(id), size());
  const uint64_t width = static_cast<uint64_t>(id.width);
  if (id.level != kEntriesLevel) return width * kHashLength;
  const uint64_t first = id.index * kTileWidth;
  RETURN_IF_ERROR(VerifyBundle(id.index, id.width));
  ASSIGN_OR_RETURN(const uint64_t begin, stored_->FrameOffset(first, size()));
  ASSIGN_OR_RETURN(const uint64_t end, stored_->FrameOffset(first + width, size()));
  if (end < begin) return FailEntries(first, first + width, "the offsets do not fit together");
  return end - begin;
}

Result<Hash> Snapshot::LeafHash(uint64_t index) const {
  return Node(0, index);
}

Result<Hash> Snapshot::Node(int height, uint64_t index) const {
  CHECK(0 <= height);
  if (height >= 63 || (size() >> height) <= index) {
    return NotInTree("node " + std::to_string(index) + " of height " + std::to_string(height),
                     size());
  }
  const int above = height % 8;
  std::vector<Hash> nodes(size_t{1} << above);
  RETURN_IF_ERROR(ReadNodes(height / 8, index << above, nodes));
  return PerfectRoot(nodes);
}

// ---- Entries

// Frames of entries [from, to) of a bundle, as they are when verified: what is not yet is read to
// the end of the bundle in this tree, and hashed before anything of it is given out.
Result<std::string> Snapshot::ReadBundle(uint64_t bundle, int from, int to) const {
  const uint64_t first = bundle * kTileWidth;
  const int known = verified_->Width(kEntriesLevel, bundle);
  if (to <= known) {
    return stored_->ReadFrames(first + static_cast<uint64_t>(from),
                               static_cast<uint64_t>(to - from), size());
  }
  const bool full = bundle < FullTiles(kEntriesLevel, size());
  const int whole = full ? kTileWidth : PartialWidth(kEntriesLevel, size());
  const int begin = std::min(from, known);
  const uint64_t count = static_cast<uint64_t>(whole - begin);
  ASSIGN_OR_RETURN(std::string frames,
                   stored_->ReadFrames(first + static_cast<uint64_t>(begin), count, size()));
  const Result<std::vector<std::string_view>> entries = ParseFrames(frames, count);
  if (!entries.has_value()) {
    return FailEntries(first, first + static_cast<uint64_t>(whole), entries.error().message);
  }
  ASSIGN_OR_RETURN(const uint64_t offset,
                   stored_->FrameOffset(first + static_cast<uint64_t>(begin), size()));
  RETURN_IF_ERROR(CheckBundle(bundle, begin, known, offset, *entries));
  // Where the frame of entry `i` of the bundle begins.
  const auto place = [&](int i) {
    if (i == whole) return frames.size();
    const std::string_view entry = (*entries)[static_cast<size_t>(i - begin)];
    return static_cast<size_t>(entry.data() - frames.data()) - kFrameHeaderLength;
  };
  return frames.substr(place(from), place(to) - place(from));
}

// Hashes entries of a bundle, from the one after the first `known` on, which are verified, to its
// end in this tree, and remembers that. `entries` are those from `begin` on (at most `known`), as
// they lie one after the other; the first one's frame should have the global offset `offset`.
Status Snapshot::CheckBundle(uint64_t bundle, int begin, int known, uint64_t offset,
                             std::span<const std::string_view> entries) const {
  const uint64_t first = bundle * kTileWidth;
  const int whole = begin + static_cast<int>(entries.size());
  CHECK(begin <= known && known < whole && whole <= kTileWidth);
  const char* const frames = entries.front().data() - kFrameHeaderLength;
  // Where the frame of entry `i` of the bundle begins.
  const auto place = [&](int i) {
    const std::string_view entry = entries[static_cast<size_t>(i - begin)];
    return static_cast<size_t>(entry.data() - frames) - kFrameHeaderLength;
  };
  const size_t length = place(whole - 1) + kFrameHeaderLength + entries.back().size();
  std::array<Hash, kTileWidth> stored_room;
  std::array<Hash, kTileWidth> computed_room;
  const auto stored = std::span(stored_room).first(static_cast<size_t>(whole - known));
  const auto computed = std::span(computed_room).first(stored.size());
  RETURN_IF_ERROR(ReadNodes(0, first + static_cast<uint64_t>(known), stored));
  HashLeafFrames({frames + place(known), length - place(known)}, computed);
  const auto bad = std::mismatch(computed.begin(), computed.end(), stored.begin()).first;
  if (bad != computed.end()) {
    const uint64_t index =
        first + static_cast<uint64_t>(known) + static_cast<uint64_t>(bad - computed.begin());
    return FailEntries(index, index + 1, "the hash is not the one in the tree");
  }
  // The offsets too, which later reads and all lengths are taken from.
  std::array<uint64_t, kTileWidth> offsets_room;
  const auto offsets = std::span(offsets_room).first(entries.size());
  for (int i = begin; i < whole; ++i) offsets[static_cast<size_t>(i - begin)] = offset + place(i);
  RETURN_IF_ERROR(stored_->CheckOffsets(first + static_cast<uint64_t>(begin), offsets));
  verified_->Add({kEntriesLevel, bundle, whole});
  return {};
}

// Lengths come from the index: to be believed once the bundle was verified, and its rows with it.
Status Snapshot::VerifyBundle(uint64_t bundle, int width) const {
  if (!verified_->Covers({kEntriesLevel, bundle, width})) {
    RETURN_IF_ERROR(ReadBundle(bundle, 0, width));
  }
  return {};
}

// Frames of entries [first, end): one read, where all of them were verified before.
Result<std::string> Snapshot::ReadEntries(uint64_t first, uint64_t end) const {
  CHECK(first < end && end <= size());
  const auto width = [&](uint64_t bundle) {
    return static_cast<int>(std::min<uint64_t>(end - bundle * kTileWidth, kTileWidth));
  };
  const uint64_t last_bundle = (end - 1) / kTileWidth;
  bool covered = true;
  for (uint64_t bundle = first / kTileWidth; covered && bundle <= last_bundle; ++bundle) {
    covered = verified_->Covers({kEntriesLevel, bundle, width(bundle)});
  }
  if (covered) return stored_->ReadFrames(first, end - first, size());
  std::string frames;
  for (uint64_t bundle = first / kTileWidth; bundle <= last_bundle; ++bundle) {
    const uint64_t from = std::max(first, bundle * kTileWidth) % kTileWidth;
    ASSIGN_OR_RETURN(const std::string part,
                     ReadBundle(bundle, static_cast<int>(from), width(bundle)));
    frames += part;
  }
  return frames;
}

Result<std::string> Snapshot::Bundle(const TileId& id) const {
  if (id.level != kEntriesLevel || !TileExists(id, size())) return NotInTree(TilePath(id), size());
  return ReadBundle(id.index, 0, id.width);
}

Result<std::string> Snapshot::Entry(uint64_t index) const {
  if (index >= size()) return NotInTree("entry " + std::to_string(index), size());
  ASSIGN_OR_RETURN(const std::string frames, ReadEntries(index, index + 1));
  const auto entries = ParseFrames(frames, 1);
  if (!entries.has_value()) return FailEntries(index, index + 1, entries.error().message);
  return std::string(entries->front());
}

Result<std::span<const std::string_view>> Snapshot::Entries(std::span<const uint64_t> indexes,
                                                            EntryBuffer* buffer) const {
  buffer->held_.clear();
  buffer->copies_.clear();
  buffer->bytes_.clear();
  buffer->entries_.resize(indexes.size());
  for (size_t slot = 0; slot < indexes.size(); ++slot) {
    const uint64_t index = indexes[slot];
    if (index < size() && stored_->Holds(index, size())) {
      const TileId needed{kEntriesLevel, index / kTileWidth,
                          static_cast<int>(index % kTileWidth) + 1};
      if (!verified_->Covers(needed)) {
        RETURN_IF_ERROR(VerifyBundle(needed.index, needed.width));
      }
      buffer->held_.push_back({index, &buffer->entries_[slot]});
    } else {
      ASSIGN_OR_RETURN(const std::string entry, Entry(index));
      buffer->copies_.push_back({slot, buffer->bytes_.size()});
      buffer->bytes_ += entry;
    }
  }
  RETURN_IF_ERROR(stored_->Find(buffer->held_));
  // Only now do the copies stay where they are.
  size_t end = buffer->bytes_.size();
  for (size_t i = buffer->copies_.size(); i-- != 0;) {
    const EntryBuffer::Copy& copy = buffer->copies_[i];
    buffer->entries_[copy.slot] = {buffer->bytes_.data() + copy.begin, end - copy.begin};
    end = copy.begin;
  }
  return std::span<const std::string_view>(buffer->entries_);
}

Result<uint64_t> Snapshot::EntryLength(uint64_t index) const {
  if (index >= size()) return NotInTree("entry " + std::to_string(index), size());
  RETURN_IF_ERROR(VerifyBundle(index / kTileWidth, static_cast<int>(index % kTileWidth) + 1));
  ASSIGN_OR_RETURN(const uint64_t begin, stored_->FrameOffset(index, size()));
  ASSIGN_OR_RETURN(const uint64_t end, stored_->FrameOffset(index + 1, size()));
  if (end < begin + kFrameHeaderLength || begin + kFrameHeaderLength + kMaxEntryLength < end) {
    return FailEntries(index, index + 1, "no possible length");
  }
  return end - begin - kFrameHeaderLength;
}

Result<std::string> Snapshot::Log(uint64_t offset, size_t length) const {
  if (offset >= LogLength() || length == 0) return std::string();
  const uint64_t end = offset + std::min<uint64_t>(length, LogLength() - offset);
  ASSIGN_OR_RETURN(const uint64_t first, stored_->FindText(offset, size()));
  const Result<uint64_t> found = stored_->FindText(end - 1, size());
  if (!found.has_value() && found.error().code == Code::kInvalid) {
    return FailEntries(first, size(), "fewer bytes than were published");
  }
  ASSIGN_OR_RETURN(const uint64_t last, found);
  ASSIGN_OR_RETURN(const uint64_t begin, stored_->FrameOffset(first, size()));
  const uint64_t start = begin - first;
  if (last < first || offset < start)
    return FailEntries(first, last + 1, "the offsets do not fit together");
  ASSIGN_OR_RETURN(const std::string frames, ReadEntries(first, last + 1));
  const auto entries = ParseFrames(frames, last + 1 - first);
  if (!entries.has_value()) return FailEntries(first, last + 1, entries.error().message);
  std::string text;
  text.reserve(frames.size());
  for (const std::string_view entry : *entries) {
    text += entry;
    text += '\n';
  }
  if (start + text.size() < end)
    return FailEntries(first, last + 1, "the offsets do not fit together");
  return text.substr(offset - start, end - offset);
}

Result<int64_t> Snapshot::Time(uint64_t index) const {
  if (index >= size()) return NotInTree("entry " + std::to_string(index), size());
  if (!times_whole_) {
    // Rows are proved one by one; that none is missing, by the last.
    ASSIGN_OR_RETURN(const int64_t newest, stored_->Time(size() - 1));
    if (newest != published_.time) {
      return Fail(Code::kCorrupt, "times: the newest entry's is not the published one");
    }
    times_whole_ = true;
  }
  return stored_->Time(index);
}

}  // namespace logcore
