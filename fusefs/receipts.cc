#include "fusefs/receipts.h"

#include <algorithm>

namespace fusefs {

void Receipts::Add(uint64_t first_index, std::span<const logcore::Hash> leaf_hashes, bool room) {
  const size_t most = room ? kMaxReceipts - std::min(kMaxReceipts, kept_.size()) : 0;
  const size_t keep = std::min(most, leaf_hashes.size());
  for (size_t i = 0; i < keep; ++i) {
    kept_.push_back({.index = first_index + i, .leaf_hash = leaf_hashes[i]});
  }
  const uint64_t lost = leaf_hashes.size() - keep;
  if (lost == 0) return;
  if (kept_.empty() || kept_.back().lost == 0) kept_.push_back({});
  kept_.back().lost += lost;
}

std::string Receipts::Read(size_t length) {
  std::string text;
  while (text.size() < length && !empty()) {
    if (line_.empty()) line_ = NextLine();
    const size_t part = std::min(length - text.size(), line_.size());
    text.append(line_, 0, part);
    line_.erase(0, part);
  }
  return text;
}

std::string Receipts::NextLine() {
  const Receipt receipt = kept_.front();
  kept_.pop_front();
  if (receipt.lost > 0) return "lost " + std::to_string(receipt.lost) + "\n";
  return std::to_string(receipt.index) + " " + logcore::HexEncode(receipt.leaf_hash.view()) + "\n";
}

}  // namespace fusefs
