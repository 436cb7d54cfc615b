#include "tests/crash/log_model.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace tlogfs_test {

using logcore::AppendBigEndian;
using logcore::Hash;
using logcore::HashChildren;

namespace {

constexpr uint64_t kSegment = 65536;
constexpr uint64_t kStride = 16;

void AppendInteger(SimBytes* bytes, uint64_t value) {
  std::string text;
  AppendBigEndian(&text, value);
  bytes->Write(bytes->length(), text);
}

bool Same(const SimDisk& disk, const std::string& name, SimBytes* bytes) {
  return disk.Exists(name) && bytes->EqualsAndShares(disk.CachedBytes(name));
}

}  // namespace

LogModelPtr LogModel::Empty() {
  auto empty = std::make_shared<LogModel>();
  AppendInteger(&empty->offsets_, 0);
  empty->roots_.emplace_back(0, empty->RootNow());
  return empty;
}

LogModelPtr LogModel::Append(const std::vector<std::string>& entries, int64_t clock) const {
  auto next = std::make_shared<LogModel>(*this);
  const uint64_t second = static_cast<uint64_t>(clock);
  if (times_.empty() || times_.back().second < second) {
    next->times_.emplace_back(size(), second);
    std::string row;
    AppendBigEndian(&row, size());
    AppendBigEndian(&row, second);
    row += logcore::Sha256({row}).view().substr(0, 8);
    next->times_file_.Write(next->times_file_.length(), row);
  }
  for (const std::string& entry : entries) next->AppendOne(entry);
  next->roots_.emplace_back(next->size(), next->RootNow());
  return next;
}

void LogModel::AppendOne(const std::string& entry) {
  if (size_ % kSegment == 0) segments_.emplace_back();
  Segment& segment = segments_.back();
  if (size_ % kStride == 0) AppendInteger(&segment.index, frames_end_);
  std::string frame;
  AppendBigEndian(&frame, static_cast<uint16_t>(entry.size()));
  frame += entry;
  segment.frames.Write(segment.frames.length(), frame);
  frames_end_ += frame.size();
  ++size_;
  AppendInteger(&offsets_, frames_end_);
  const Hash leaf = logcore::HashLeaf(entry);
  AddNode(0, leaf);
  frontier_.emplace_back(1, leaf);
  while (frontier_.size() > 1 && frontier_[frontier_.size() - 2].first == frontier_.back().first) {
    const auto [leaves, right] = frontier_.back();
    frontier_.pop_back();
    frontier_.back() = {2 * leaves, HashChildren(frontier_.back().second, right)};
  }
}

void LogModel::AddNode(size_t level, const Hash& node) {
  SimBytes& nodes = nodes_[level];
  nodes.Write(nodes.length(), node.view());
  if (nodes.length() % (256 * sizeof(Hash)) != 0 || level + 1 == kLevels) return;
  std::vector<Hash> tile(256);
  nodes.Read(nodes.length() - 256 * sizeof(Hash), reinterpret_cast<char*>(tile.data()),
             256 * sizeof(Hash));
  while (tile.size() > 1) {
    for (size_t i = 0; i < tile.size() / 2; ++i)
      tile[i] = HashChildren(tile[2 * i], tile[2 * i + 1]);
    tile.resize(tile.size() / 2);
  }
  AddNode(level + 1, tile[0]);
}

Hash LogModel::RootNow() const {
  if (frontier_.empty()) return logcore::Sha256({""});
  Hash root = frontier_.back().second;
  for (size_t i = frontier_.size() - 1; i-- > 0;) root = HashChildren(frontier_[i].second, root);
  return root;
}

uint64_t LogModel::Offset(uint64_t index) const {
  std::array<char, 8> bytes{};
  CHECK(offsets_.Read(index * bytes.size(), bytes.data(), bytes.size()) == bytes.size());
  return logcore::LoadBigEndian<uint64_t>(bytes.data());
}

std::string LogModel::Entry(uint64_t index) const {
  CHECK(index < size());
  const uint64_t start = Offset(index / kSegment * kSegment);  // of its segment
  const uint64_t from = Offset(index) + 2;
  std::string entry(Offset(index + 1) - from, '\0');
  segments_[index / kSegment].frames.Read(from - start, entry.data(), entry.size());
  return entry;
}

int64_t LogModel::Time(uint64_t index) const {
  CHECK(index < size());
  size_t row = times_.size() - 1;
  while (index < times_[row].first) --row;
  return static_cast<int64_t>(times_[row].second);
}

std::optional<Hash> LogModel::Root(uint64_t size) const {
  const auto found =
      std::lower_bound(roots_.begin(), roots_.end(), size,
                       [](const auto& root, uint64_t at) { return root.first < at; });
  if (found == roots_.end() || found->first != size) return std::nullopt;
  return found->second;
}

std::optional<std::string> LogModel::Difference(const SimDisk& disk) const {
  for (size_t i = 0; i < segments_.size(); ++i) {
    const std::string name = "entries/" + std::to_string(i);
    if (!Same(disk, name, &segments_[i].frames)) return name;
    if (!Same(disk, name + ".index", &segments_[i].index)) return name + ".index";
  }
  for (size_t level = 0; level < kLevels; ++level) {
    const std::string name = "hashes/" + std::to_string(level);
    if (!Same(disk, name, &nodes_[level])) return name;
  }
  if (!Same(disk, "times", &times_file_)) return std::string("times");
  return std::nullopt;
}

}  // namespace tlogfs_test
