#include "logcore/log/batch.h"

#include "logcore/tlog/entry_bundle.h"

namespace logcore {

void Batch::Clear() {
  record_.assign(kHeaderLength, '\0');
  leaf_hashes_.clear();
  prepared_.reset();
}

void Batch::Append(std::string_view frames, uint64_t count) {
  prepared_.reset();
  record_.append(frames);
  const size_t before = leaf_hashes_.size();
  leaf_hashes_.resize(before + count);
  HashLeafFrames(frames, std::span(leaf_hashes_).subspan(before));
}

void Batch::Append(std::string_view frames, std::span<const Hash> leaf_hashes) {
  prepared_.reset();
  record_.append(frames);
  leaf_hashes_.insert(leaf_hashes_.end(), leaf_hashes.begin(), leaf_hashes.end());
}

}  // namespace logcore
