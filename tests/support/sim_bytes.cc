#include "tests/support/sim_bytes.h"

#include <algorithm>
#include <cstring>

namespace tlogfs_test {

SimBytes::Blocks& SimBytes::OwnBlocks() {
  if (blocks_.use_count() > 1) blocks_ = std::make_shared<Blocks>(*blocks_);
  return *blocks_;
}

SimBlock& SimBytes::OwnBlock(uint64_t block) {
  Blocks& blocks = OwnBlocks();
  if (blocks.size() <= block) blocks.resize(block + 1);
  std::shared_ptr<SimBlock>& own = blocks[block];
  if (own == nullptr) {
    own = std::make_shared<SimBlock>();
    own->fill(0);
  } else if (own.use_count() > 1) {
    own = std::make_shared<SimBlock>(*own);
  }
  return *own;
}

size_t SimBytes::Read(uint64_t offset, char* out, size_t length) const {
  if (offset >= length_) return 0;
  length = static_cast<size_t>(std::min<uint64_t>(length, length_ - offset));
  for (size_t done = 0; done < length;) {
    const uint64_t block = (offset + done) / kSimBlock;
    const size_t at = static_cast<size_t>((offset + done) % kSimBlock);
    const size_t part = std::min(length - done, kSimBlock - at);
    if (block < blocks_->size() && (*blocks_)[block] != nullptr) {
      std::memcpy(out + done, (*blocks_)[block]->data() + at, part);
    } else {
      std::memset(out + done, 0, part);
    }
    done += part;
  }
  return length;
}

void SimBytes::Write(uint64_t offset, std::string_view bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const size_t at = static_cast<size_t>((offset + done) % kSimBlock);
    const size_t part = std::min(bytes.size() - done, kSimBlock - at);
    std::memcpy(OwnBlock((offset + done) / kSimBlock).data() + at, bytes.data() + done, part);
    done += part;
  }
  length_ = std::max(length_, offset + bytes.size());
}

void SimBytes::Resize(uint64_t length) {
  // What is cut off must come back as zeros when the file grows again.
  if (const uint64_t blocks = (length + kSimBlock - 1) / kSimBlock; blocks < blocks_->size()) {
    OwnBlocks().resize(blocks);
  }
  const size_t at = static_cast<size_t>(length % kSimBlock);
  if (at != 0 && length / kSimBlock < blocks_->size() &&
      (*blocks_)[length / kSimBlock] != nullptr) {
    SimBlock& last = OwnBlock(length / kSimBlock);
    std::memset(last.data() + at, 0, kSimBlock - at);
  }
  length_ = length;
}

std::string SimBytes::ToString() const {
  std::string bytes(length_, '\0');
  Read(0, bytes.data(), bytes.size());
  return bytes;
}

bool SimBytes::EqualsAndShares(const SimBytes& other) {
  if (length_ != other.length_) return false;
  if (blocks_ == other.blocks_) return true;
  const auto block_of = [](const SimBytes& bytes, uint64_t i) -> const SimBlock* {
    return i < bytes.blocks_->size() ? (*bytes.blocks_)[i].get() : nullptr;
  };
  static constexpr SimBlock kZeros = {};
  for (uint64_t i = 0; i < SimBlockCount(length_); ++i) {
    const SimBlock* mine = block_of(*this, i);
    const SimBlock* theirs = block_of(other, i);
    if (mine == theirs) continue;
    if (mine == nullptr) mine = &kZeros;
    if (theirs == nullptr) theirs = &kZeros;
    const size_t length = std::min<uint64_t>(kSimBlock, length_ - i * kSimBlock);
    if (std::memcmp(mine->data(), theirs->data(), length) != 0) return false;
  }
  blocks_ = other.blocks_;
  return true;
}

SimBlock SimBytes::GetBlock(uint64_t block) const {
  if (block < blocks_->size() && (*blocks_)[block] != nullptr) return *(*blocks_)[block];
  SimBlock zeros;
  zeros.fill(0);
  return zeros;
}

void SimBytes::SetBlock(uint64_t block, const SimBlock& bytes) {
  OwnBlock(block) = bytes;
}

void SimBytes::ShareBlock(uint64_t block, const SimBytes& from) {
  Blocks& blocks = OwnBlocks();
  if (blocks.size() <= block) blocks.resize(block + 1);
  blocks[block] = block < from.blocks_->size() ? (*from.blocks_)[block] : nullptr;
}

}  // namespace tlogfs_test
