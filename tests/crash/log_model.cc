#include "tests/crash/log_model.h"

#include <algorithm>
#include <string_view>

#include "logcore/bytes.h"
#include "logcore/check.h"

namespace tlogfs_test {

using logcore::AppendBigEndian;
using logcore::Hash;
using logcore::HashChildren;

namespace {

constexpr uint64_t kSegment = 65536;
constexpr uint64_t kStride = 16;

bool Same(const SimDisk& disk, const std::string& name, std::string_view bytes) {
  if (!disk.Exists(name)) return false;
  const SimBytes& cached = disk.CachedBytes(name);
  if (cached.length() != bytes.size()) return false;
  for (size_t done = 0; done < bytes.size(); done += kSimBlock) {
    std::array<char, kSimBlock> block{};
    const size_t length = cached.Read(done, block.data(), block.size());
    if (std::string_view(block.data(), length) != bytes.substr(done, length)) return false;
  }
  return true;
}

}  // namespace

LogModelPtr LogModel::Empty() {
  auto empty = std::make_shared<LogModel>();
  empty->roots_[0] = empty->RootNow();
  return empty;
}

LogModelPtr LogModel::Append(const std::vector<std::string>& entries, int64_t clock) const {
  auto next = std::make_shared<LogModel>(*this);
  const uint64_t second = static_cast<uint64_t>(clock);
  if (times_.empty() || times_.back().second < second) next->times_.emplace_back(size(), second);
  for (const std::string& entry : entries) next->AppendOne(entry);
  next->roots_[next->size()] = next->RootNow();
  return next;
}

void LogModel::AppendOne(const std::string& entry) {
  AppendBigEndian(&frames_, static_cast<uint16_t>(entry.size()));
  frames_ += entry;
  offsets_.push_back(frames_.size());
  const Hash leaf = logcore::HashLeaf(entry);
  AddNode(0, leaf);
  frontier_.emplace_back(1, leaf);
  while (frontier_.size() > 1 && frontier_[frontier_.size() - 2].first == frontier_.back().first) {
    const auto [leaves, right] = frontier_.back();
    frontier_.pop_back();
    frontier_.back() = {2 * leaves, HashChildren(frontier_.back().second, right)};
  }
}

void LogModel::AddNode(int level, const Hash& node) {
  std::vector<Hash>& nodes = nodes_[static_cast<size_t>(level)];
  nodes.push_back(node);
  if (nodes.size() % 256 != 0 || level + 1 == kLevels) return;
  std::vector<Hash> tile(nodes.end() - 256, nodes.end());
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

std::string LogModel::Entry(uint64_t index) const {
  CHECK(index < size());
  return frames_.substr(offsets_[index] + 2, offsets_[index + 1] - offsets_[index] - 2);
}

int64_t LogModel::Time(uint64_t index) const {
  CHECK(index < size());
  size_t row = times_.size() - 1;
  while (index < times_[row].first) --row;
  return static_cast<int64_t>(times_[row].second);
}

std::optional<Hash> LogModel::Root(uint64_t size) const {
  const auto found = roots_.find(size);
  if (found == roots_.end()) return std::nullopt;
  return found->second;
}

std::optional<std::string> LogModel::Difference(const SimDisk& disk) const {
  const std::string_view frames = frames_;
  for (uint64_t first = 0; first < size(); first += kSegment) {
    const std::string name = "entries/" + std::to_string(first / kSegment);
    const uint64_t last = std::min(first + kSegment, size());
    if (!Same(disk, name, frames.substr(offsets_[first], offsets_[last] - offsets_[first]))) {
      return name;
    }
    std::string index;
    for (uint64_t i = first; i < last; i += kStride) AppendBigEndian(&index, offsets_[i]);
    if (!Same(disk, name + ".index", index)) return name + ".index";
  }
  for (size_t level = 0; level < kLevels; ++level) {
    const std::string_view nodes(reinterpret_cast<const char*>(nodes_[level].data()),
                                 nodes_[level].size() * sizeof(Hash));
    const std::string name = "hashes/" + std::to_string(level);
    if (!Same(disk, name, nodes)) return name;
  }
  std::string times;
  for (const auto& [first, second] : times_) {
    std::string row;
    AppendBigEndian(&row, first);
    AppendBigEndian(&row, second);
    times += row + std::string(logcore::Sha256({row}).view().substr(0, 8));
  }
  if (!Same(disk, "times", times)) return std::string("times");
  return std::nullopt;
}

}  // namespace tlogfs_test
