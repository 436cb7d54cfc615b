// A client of a log, written with the installed library. It is given the log's verifier key and a
// directory that looks like a log (a mount, a copy of one, a mirror of a website) and believes
// nothing in there but what follows from the key:
//
//   verify_checkpoint VKEY DIRECTORY INDEX
//
// It opens `checkpoint` and verifies its signature, reads the tiles that lie between entry INDEX
// and the root, verifies by them that the entry is in the log, and prints it.

#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "logcore/bytes.h"
#include "logcore/checkpoint.h"
#include "logcore/entry_bundle.h"
#include "logcore/merkle.h"
#include "logcore/note.h"
#include "logcore/tile.h"

namespace {

using logcore::Checkpoint;
using logcore::Code;
using logcore::Fail;
using logcore::Hash;
using logcore::Result;
using logcore::TileId;

Result<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return Fail(Code::kNotFound, path + ": cannot be opened");
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// The tile (or bundle) of `index` as a tree of `size` has it: full, or the partial one at its edge.
TileId TileInTree(int level, uint64_t index, uint64_t size) {
  const bool is_full = index < logcore::FullTiles(level, size);
  return {.level = level,
          .index = index,
          .width = is_full ? logcore::kTileWidth : logcore::PartialWidth(level, size)};
}

// Node (height, index) of the tree, computed from the tile that holds its descendants.
Result<Hash> ReadNode(const std::string& directory, uint64_t size, int height, uint64_t index) {
  const int level = height / 8;
  const uint64_t count = uint64_t{1} << (height % 8);  // of hashes under the node
  const uint64_t first = index * count;
  const TileId id = TileInTree(level, first / logcore::kTileWidth, size);
  ASSIGN_OR_RETURN(const std::string tile, ReadFile(directory + "/" + logcore::TilePath(id)));
  if (tile.size() != logcore::kHashLength * static_cast<size_t>(id.width)) {
    return Fail(Code::kCorrupt, logcore::TilePath(id) + ": wrong length");
  }
  logcore::CompactRange range;
  for (uint64_t i = first; i < first + count; ++i) {
    const size_t offset = logcore::kHashLength * (i % logcore::kTileWidth);
    range.Append(logcore::HashFromBytes(tile.substr(offset, logcore::kHashLength)));
  }
  return range.Root();
}

Result<std::string> ReadEntry(const std::string& directory, uint64_t size, uint64_t index) {
  const TileId id = TileInTree(logcore::kEntriesLevel, index / logcore::kTileWidth, size);
  ASSIGN_OR_RETURN(const std::string frames, ReadFile(directory + "/" + logcore::TilePath(id)));
  ASSIGN_OR_RETURN(const auto entries,
                   logcore::ParseFrames(frames, static_cast<uint64_t>(id.width)));
  return std::string(entries[index % logcore::kTileWidth]);
}

Result<std::string> VerifiedEntry(const std::string& vkey, const std::string& directory,
                                  const std::string& index_text) {
  ASSIGN_OR_RETURN(const logcore::VerifierKey key, logcore::VerifierKey::Parse(vkey));
  ASSIGN_OR_RETURN(const std::string note, ReadFile(directory + "/checkpoint"));
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, logcore::OpenCheckpoint(note, key));
  const uint64_t size = checkpoint.head.size;
  const auto index = logcore::ParseDecimal(index_text);
  if (!index || *index >= size) {
    return Fail(Code::kInvalid, index_text + ": not an index of a log of " + std::to_string(size));
  }

  ASSIGN_OR_RETURN(std::string entry, ReadEntry(directory, size, *index));
  const logcore::NodeReader reader = [&](int height, uint64_t node) {
    return ReadNode(directory, size, height, node);
  };
  ASSIGN_OR_RETURN(const auto proof, logcore::ProveInclusion(reader, *index, size));
  const Hash leaf_hash = logcore::HashLeaf(entry);
  RETURN_IF_ERROR(logcore::VerifyInclusion(proof, *index, leaf_hash, checkpoint.head));
  return entry;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: verify_checkpoint VKEY DIRECTORY INDEX\n";
    return 2;
  }
  const Result<std::string> entry = VerifiedEntry(argv[1], argv[2], argv[3]);
  if (!entry.has_value()) {
    std::cerr << "verify_checkpoint: " << entry.error().message << "\n";
    return 1;
  }
  std::cout << *entry << "\n";
  return 0;
}
