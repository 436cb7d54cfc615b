#include "mountd/progress.h"

#include <algorithm>
#include <string>

namespace mountd {
namespace {

constexpr int kBarLength = 30;

// 1234567 as "1,234,567".
std::string Grouped(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

}  // namespace

Progress::~Progress() {
  if (shown_percent_ >= 0) out_ << "\r\x1b[K" << std::flush;
}

void Progress::Show(uint64_t done, uint64_t total) {
  if (!is_terminal_ || total == 0) return;
  const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const int percent = static_cast<int>(part * 100);
  if (percent == shown_percent_) return;
  shown_percent_ = percent;
  const auto filled = static_cast<size_t>(part * kBarLength);
  const std::string bar = std::string(filled, '=') + std::string(kBarLength - filled, ' ');
  out_ << "\r[" << bar << "] " << percent << " %  " << Grouped(done) << " of " << Grouped(total)
       << "\x1b[K" << std::flush;
}

}  // namespace mountd
