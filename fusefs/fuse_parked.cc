#include "fusefs/fuse_parked.h"

#include <algorithm>
#include <utility>

#include "fusefs/process.h"

namespace fusefs {

uint64_t Parked::Park(Request request) {
  const fuse_req_t raw = request.get();
  uint64_t number = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Entry entry;
    entry.thread = request.thread();
    entry.request = std::move(request);
    number = ++newest_;
    entries_.emplace(number, std::move(entry));
  }
  fuse_req_interrupt_func(raw, on_interrupt_, reinterpret_cast<void*>(number));
  return number;
}

void Parked::Arm(uint64_t number, std::function<bool()> give_up) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(number);
  if (found == entries_.end()) return;
  found->second.give_up = std::move(give_up);
  found->second.armed = true;
}

void Parked::ArmClosing(uint64_t number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(number);
  if (found == entries_.end()) return;
  found->second.armed = found->second.closing = true;
}

Request Parked::Take(uint64_t number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(number);
  if (found == entries_.end()) return Request();
  Request request = std::move(found->second.request);
  entries_.erase(found);
  return request;
}

size_t Parked::size() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return entries_.size();
}

void Parked::Interrupted(uint64_t number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  news_ = true;
  const auto is_it = [number](const Interrupt& interrupt) { return interrupt.number == number; };
  if (std::any_of(interrupted_.begin(), interrupted_.end(), is_it)) return;
  interrupted_.push_back({number, std::chrono::steady_clock::now()});
  interrupted_count_ = interrupted_.size();
}

void Parked::AnswerKilled() {
  struct Candidate {
    uint64_t number;
    pid_t thread;
    bool closing;
    std::function<bool()> give_up;
  };
  const auto now = std::chrono::steady_clock::now();
  std::vector<Candidate> candidates;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::erase_if(interrupted_, [this](const Interrupt& interrupt) {
      return !entries_.contains(interrupt.number);
    });
    interrupted_count_ = interrupted_.size();
    for (const auto& [number, at] : interrupted_) {
      const Entry& entry = entries_.at(number);
      if (!entry.armed || (entry.thread == 0 && now - at < kUnknownInterval)) continue;
      candidates.push_back({number, entry.thread, false, entry.give_up});
    }
    for (const auto& [number, entry] : entries_) {
      if (entry.closing) candidates.push_back({number, entry.thread, true, nullptr});
    }
  }
  for (const Candidate& candidate : candidates) {
    const pid_t thread = candidate.thread;
    const bool known = thread != 0;
    if (known && !(candidate.closing ? IsKilled(thread) : IsFatalSignalPending(thread))) continue;
    const bool undone = candidate.give_up && candidate.give_up();
    if (!known && !undone) continue;
    if (Request request = Take(candidate.number)) request.Answer(EINTR);
  }
}

}  // namespace fusefs
