// The tree of names: which names there are in a log of some size, which node each of them is, and
// what listings show. Everything here follows from the size alone.
//
// Names are exact: one spelling each (logcore/tlog/tile.h), except that an entry has two, its
// shard's (`entries/x001/x234/067`) and its plain number (`entries/1234067`, never listed).
// Directories have one name only: the kernel allows them no second one.
//
// A listing shows what a copy should hold: all full tiles, and of the partial ones the newest of
// each level. Everything else that was ever true resolves, unlisted. Cookies are slots: a name
// keeps its slot while the log grows, so a listing that goes on later misses and repeats nothing.
//
// A new file at the top is a row in tree.cc, and its bytes are a case in view.cc.
//
// Pure; any thread. Tested by tests/fusefs/tree_test.cc.

#ifndef FUSEFS_TREE_H_
#define FUSEFS_TREE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fusefs/node.h"

namespace fusefs {

// How a node behaves: what the kernel may cache of it, and how it is opened.
enum class Nature {
  kDirectory,
  kImmutable,  // its bytes and attributes never change
  kVersion,    // the name moves on to a new node; a node's bytes never change
  kGrowing,    // bytes are added at its end
  kAppend,     // takes entries; each opening is a node of its own
};
Nature NatureOf(Kind kind);

// The log as the tree sees it.
struct Shape {
  uint64_t size = 0;         // entries
  bool appendable = false;   // there are `add` and `add.bundle`
  bool static_site = false;  // there are `checkpoint`, `tile` and `vkey` alone
};

// Whether the node is part of the tree. A checkpoint is if it is not ahead of the log.
bool Exists(const Node& node, const Shape& shape);
// What `name` is in `directory`. The nodes of kAppend have index 0: the caller numbers them.
std::optional<Node> Lookup(const Node& directory, std::string_view name, const Shape& shape);
// The directory that a directory is in; the root's is the root.
Node Parent(const Node& directory);

struct Child {
  std::string name;
  Node node;
  uint64_t next = 0;  // the cookie to go on with
};
// The first listed name at or after `cookie`; listings begin with cookie 0.
std::optional<Child> ListFrom(const Node& directory, uint64_t cookie, const Shape& shape);

}  // namespace fusefs

#endif  // FUSEFS_TREE_H_
