#include "fusefs/receipts.h"

#include <algorithm>

namespace fusefs {

void Receipts::Add(uint64_t first_index, std::span<const logcore::Hash> leaf_hashes, bool room) {
  const size_t most = room ? MostKept() - std::min(MostKept(), kept_.size()) : 0;
  const size_t keep = std::min(most, leaf_hashes.size());
  for (size_t i = 0; i < keep; ++i) {
    kept_.push_back({.index = first_index + i, .leaf_hash = leaf_hashes[i]});
  }
  const uint64_t lost = leaf_hashes.size() - keep;
  if (lost == 0) return;
  // A line that was given does not change any more.
  if (kept_.empty() || kept_.back().lost == 0 || IsBegun(kept_.size() - 1)) kept_.push_back({});
  kept_.back().lost += lost;
}

std::string Receipts::Read(uint64_t offset, size_t length) {
  GoOn(offset);
  given_at_ = offset;
  std::string text;
  while (!empty() && text.size() < length) {
    const std::string line = LineOf(kept_[given_lines_]);
    const size_t used = given_lines_ == 0 ? used_part_ : 0;
    const size_t part = std::min(length - text.size(), line.size() - used);
    text.append(line, used, part);
    if (used + part == line.size()) {
      ++given_lines_;
    } else {
      given_part_ = part;
    }
  }
  return text;
}

void Receipts::GoOn(uint64_t offset) {
  uint64_t at = given_at_;
  bool puts_back = false;
  for (; given_lines_ > 0 && !puts_back; --given_lines_) {
    at += LineOf(kept_.front()).size() - used_part_;
    kept_.pop_front();
    used_part_ = 0;
    puts_back = at == offset;
  }
  if (!puts_back) used_part_ += given_part_;
  given_lines_ = 0;
  given_part_ = 0;
}

std::string Receipts::LineOf(const Receipt& receipt) {
  if (receipt.lost > 0) return "lost " + std::to_string(receipt.lost) + "\n";
  return std::to_string(receipt.index) + " " + logcore::HexEncode(receipt.leaf_hash.view()) + "\n";
}

}  // namespace fusefs
