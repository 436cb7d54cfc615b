// fusefs/node.h and fusefs/tree.h: numbers and nodes, names and nodes, there and back.
//
//   input: node number 8 | size of the log 8 | cookie 8 | flags 1 | a path
//
// Any number may come from the kernel (a file handle of NFS outlives much), any name too.

#include "fusefs/node.h"

#include <string>

#include "fusefs/tree.h"
#include "logcore/tlog/merkle.h"
#include "tests/fuzz/fuzz.h"

namespace {

using fusefs::Kind;
using fusefs::Nature;
using fusefs::Node;
using fusefs::Shape;

constexpr std::string_view kEntriesPrefix = "entries/";

void CheckNumber(const Node& node) {
  CHECK(fusefs::HasNumber(node));
  CHECK(fusefs::ParseNodeNumber(fusefs::NodeNumber(node)) == node);
}

// What a listing shows, its names resolve.
void CheckListing(const Node& directory, uint64_t cookie, const Shape& shape) {
  for (int i = 0; i < 3; ++i) {
    const auto child = fusefs::ListFrom(directory, cookie, shape);
    if (!child) return;
    CheckNumber(child->node);
    CHECK(child->next > cookie);
    CHECK(fusefs::Lookup(directory, child->name, shape) == child->node);
    cookie = child->next;
  }
}

// A file's name says the same in the tree as in logcore/tlog/tile.h.
void CheckName(const std::string& path, const Node& node) {
  if (node.kind == Kind::kTile) {
    const auto id = logcore::ParseTilePath(path);
    CHECK(id.has_value() && *id == fusefs::TileIdOf(node));
  }
  if (node.kind == Kind::kEntry) {
    const std::string name = path.substr(kEntriesPrefix.size());
    CHECK(logcore::ParseIndexPath(name) == node.index || logcore::ParseDecimal(name) == node.index);
  }
}

void Walk(std::string_view names, uint64_t cookie, const Shape& shape) {
  Node directory;
  std::string path;
  while (true) {
    CheckListing(directory, 0, shape);
    CheckListing(directory, cookie, shape);
    const size_t end = std::min(names.find('/'), names.size());
    const auto node = fusefs::Lookup(directory, names.substr(0, end), shape);
    if (!node) return;
    CheckNumber(*node);
    CHECK(fusefs::Exists(*node, shape));
    path += std::string(path.empty() ? "" : "/") + std::string(names.substr(0, end));
    CheckName(path, *node);
    if (fusefs::NatureOf(node->kind) == Nature::kDirectory) {
      CHECK(fusefs::Parent(*node) == directory);
    }
    if (end == names.size()) return;
    names.remove_prefix(end + 1);
    directory = *node;
  }
}

// From a tile or entry to its name and back.
void CheckPathOf(const Node& node, const Shape& shape) {
  std::string path;
  if (node.kind == Kind::kTile) path = logcore::TilePath(fusefs::TileIdOf(node));
  if (node.kind == Kind::kEntry)
    path = std::string(kEntriesPrefix) + logcore::IndexPath(node.index);
  if (path.empty()) return;
  Node found;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const auto next = fusefs::Lookup(found, path.substr(at, end - at), shape);
    if (!next) {
      CHECK(!fusefs::Exists(node, shape));
      return;
    }
    found = *next;
    at = end + 1;
  }
  CHECK(found == node && fusefs::Exists(node, shape));
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  logcore::ByteReader reader(tlogfs_test::InputBytes(data, size));
  const auto number = reader.Integer<uint64_t>();
  Shape shape{.size = reader.Integer<uint64_t>() & logcore::kMaxTreeSize, .appendable = false};
  const auto cookie = reader.Integer<uint64_t>();
  shape.appendable = reader.Integer<uint8_t>() % 2 == 1;
  const std::string_view names = reader.rest();

  if (const auto node = fusefs::ParseNodeNumber(number)) {
    CHECK(fusefs::NodeNumber(*node) == number);
    CheckPathOf(*node, shape);
    const bool exists = fusefs::Exists(*node, shape);
    if (exists) CheckListing(*node, cookie, shape);
    fusefs::ListFrom(*node, cookie, shape);
    if (const auto child = fusefs::Lookup(*node, names, shape)) {
      CheckNumber(*child);
      if (exists) CHECK(fusefs::Exists(*child, shape));
    }
    CheckNumber(fusefs::Parent(*node));
  }
  Walk(names, cookie, shape);
  return 0;
}
