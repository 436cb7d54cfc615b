// A client of a log, written with the installed library. It is given the log's verifier key and a
// directory that looks like a log (a mount, a copy of one, a mirror of a website) and believes
// nothing in there but what follows from the key. A log whose origin is not the name of its key is
// named by `--origin ORIGIN` before the rest:
//
//   verify_checkpoint VKEY DIRECTORY                    verifies the signature of `checkpoint`,
//                                                       and prints it
//   verify_checkpoint VKEY DIRECTORY INDEX              also reads the tiles that lie between entry
//                                                       INDEX and the root, verifies by them that
//                                                       the entry is in the log, and prints that
//   verify_checkpoint VKEY DIRECTORY --since OLDER      also verifies that all that an older
//                                                       checkpoint, a file, had is in this one as
//                                                       it was; prints the newer

#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "logcore/tlog/checkpoint.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/tlog/merkle.h"
#include "logcore/tlog/note.h"
#include "logcore/tlog/tile.h"
#include "logcore/util/bytes.h"

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

// Whose checkpoints are believed.
struct Log {
  std::string origin;
  logcore::VerifierKey key;
};

struct Signed {
  std::string note;
  logcore::TreeHead head;
};

Result<Signed> ReadCheckpoint(const Log& log, const std::string& path) {
  ASSIGN_OR_RETURN(std::string note, ReadFile(path));
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, logcore::OpenCheckpoint(note, log.origin, log.key));
  return Signed{.note = std::move(note), .head = checkpoint.head};
}

logcore::NodeReader ReaderOf(const std::string& directory, uint64_t size) {
  return [=](int height, uint64_t node) { return ReadNode(directory, size, height, node); };
}

Result<std::string> VerifiedEntry(const Log& log, const std::string& directory,
                                  const std::string& index_text) {
  ASSIGN_OR_RETURN(const Signed newest, ReadCheckpoint(log, directory + "/checkpoint"));
  const uint64_t size = newest.head.size;
  const auto index = logcore::ParseDecimal(index_text);
  if (!index || *index >= size) {
    return Fail(Code::kInvalid, index_text + ": not an index of a log of " + std::to_string(size));
  }

  ASSIGN_OR_RETURN(std::string entry, ReadEntry(directory, size, *index));
  ASSIGN_OR_RETURN(const auto proof,
                   logcore::ProveInclusion(ReaderOf(directory, size), *index, size));
  const Hash leaf_hash = logcore::HashLeaf(entry);
  RETURN_IF_ERROR(logcore::VerifyInclusion(proof, *index, leaf_hash, newest.head));
  return entry + "\n";
}

Result<std::string> VerifiedSince(const Log& log, const std::string& directory,
                                  const std::string& older_path) {
  ASSIGN_OR_RETURN(const Signed older, ReadCheckpoint(log, older_path));
  ASSIGN_OR_RETURN(Signed newest, ReadCheckpoint(log, directory + "/checkpoint"));
  const uint64_t size = newest.head.size;
  if (size < older.head.size) {
    return Fail(Code::kInvalid, "a log of " + std::to_string(size) + " entries that had " +
                                    std::to_string(older.head.size));
  }
  ASSIGN_OR_RETURN(const auto proof,
                   logcore::ProveConsistency(ReaderOf(directory, size), older.head.size, size));
  RETURN_IF_ERROR(logcore::VerifyConsistency(proof, older.head, newest.head));
  return std::move(newest.note);
}

Result<std::string> Verified(std::vector<std::string> words) {
  std::optional<std::string> origin;
  if (words[0] == "--origin") {
    origin = words[1];
    words.erase(words.begin(), words.begin() + 2);
  }
  ASSIGN_OR_RETURN(const logcore::VerifierKey key, logcore::VerifierKey::Parse(words[0]));
  const Log log{origin.value_or(key.name()), key};
  if (words.size() == 4) return VerifiedSince(log, words[1], words[3]);
  if (words.size() == 3) return VerifiedEntry(log, words[1], words[2]);
  ASSIGN_OR_RETURN(Signed newest, ReadCheckpoint(log, words[1] + "/checkpoint"));
  return std::move(newest.note);
}

bool IsCommandLine(std::span<const std::string> words) {
  if (words.size() >= 2 && words[0] == "--origin") words = words.subspan(2);
  return 2 <= words.size() && words.size() <= 4 && (words.size() != 4 || words[2] == "--since");
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (!IsCommandLine(words)) {
    std::cerr << "usage: verify_checkpoint [--origin ORIGIN] VKEY DIRECTORY "
                 "[INDEX | --since OLDER]\n";
    return 2;
  }
  const Result<std::string> verified = Verified(words);
  if (!verified.has_value()) {
    std::cerr << "verify_checkpoint: " << verified.error().message << "\n";
    return 1;
  }
  std::cout << *verified << std::flush;
  if (!std::cout) {
    std::cerr << "verify_checkpoint: standard output: cannot be written\n";
    return 1;
  }
  return 0;
}
