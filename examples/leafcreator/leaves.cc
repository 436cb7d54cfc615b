#include "leaves.h"

#include <string_view>

#include "logcore/tlog/entry_bundle.h"

namespace leafcreator {
namespace {

constexpr size_t kPlaces = size_t{1} << 16;  // where a leaf's text may begin
constexpr std::string_view kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

Leaves::Leaves(uint64_t instance, size_t length)
    : instance_(std::to_string(instance)), length_(length), random_(instance) {
  text_.reserve(kPlaces + length);
  while (text_.size() < kPlaces + length) text_ += kLetters[random_() % kLetters.size()];
}

void Leaves::AppendFrame(uint64_t writer, uint64_t number, std::string* frames) {
  leaf_ = instance_;
  leaf_ += ' ';
  leaf_ += std::to_string(writer);
  leaf_ += ' ';
  leaf_ += std::to_string(number);
  leaf_ += ' ';
  if (leaf_.size() < length_) leaf_.append(text_, random_() % kPlaces, length_ - leaf_.size());
  leaf_.resize(length_);
  logcore::AppendFrame(frames, leaf_);
}

}  // namespace leafcreator
