// Table<T>: things by a number that is given out once and never again. What the kernel (or libfuse)
// hands back to us is such a number, never a pointer: one that is gone is simply not found.
//
// Any thread. Tested by tests/mount.

#ifndef FUSEFS_TABLE_H_
#define FUSEFS_TABLE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace fusefs {

template <typename T>
class Table {
 public:
  uint64_t Add(std::shared_ptr<T> thing) {
    const std::lock_guard<std::mutex> lock(mutex_);
    things_.emplace(++newest_, std::move(thing));
    return newest_;
  }
  // Null if it is not there.
  std::shared_ptr<T> Find(uint64_t number) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = things_.find(number);
    return found == things_.end() ? nullptr : found->second;
  }
  // How many satisfy the condition, which must not use the table.
  template <typename Condition>
  size_t CountIf(const Condition& condition) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return static_cast<size_t>(
        std::count_if(things_.begin(), things_.end(),
                      [&](const auto& thing) { return condition(*thing.second); }));
  }
  std::shared_ptr<T> Remove(uint64_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = things_.find(number);
    if (found == things_.end()) return nullptr;
    std::shared_ptr<T> thing = std::move(found->second);
    things_.erase(found);
    return thing;
  }

 private:
  mutable std::mutex mutex_;
  uint64_t newest_ = 0;
  std::unordered_map<uint64_t, std::shared_ptr<T>> things_;
};

}  // namespace fusefs

#endif  // FUSEFS_TABLE_H_
