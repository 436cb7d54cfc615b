// GrowingArray<T>: elements that are made, with their default value, when first asked for, never
// move, and are found without a lock. For atomics, which cannot move.
//
// Any thread. Tested by tests/logcore/log/verified_test.cc.

#ifndef LOGCORE_UTIL_GROWING_ARRAY_H_
#define LOGCORE_UTIL_GROWING_ARRAY_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace logcore {

template <typename T>
class GrowingArray {
 public:
  GrowingArray() = default;
  GrowingArray(const GrowingArray&) = delete;
  GrowingArray& operator=(const GrowingArray&) = delete;
  ~GrowingArray() {
    for (const std::atomic<T*>& part : parts_) delete[] part.load();
  }

  // Null: neither it nor any near it was made.
  T* Find(uint64_t index) const {
    T* const part = parts_[Part(index)].load(std::memory_order_acquire);
    return part == nullptr ? nullptr : part + (index - Begin(Part(index)));
  }
  // Makes room for twice as many as there must be, at most.
  T& Make(uint64_t index) {
    std::atomic<T*>& part = parts_[Part(index)];
    T* made = part.load(std::memory_order_acquire);
    if (made == nullptr) {
      const uint64_t begin = Begin(Part(index));
      auto fresh = std::make_unique<T[]>(begin == 0 ? kFirstLength : begin);
      // Another thread may have been faster: then `made` is its part.
      if (part.compare_exchange_strong(made, fresh.get())) made = fresh.release();
    }
    return made[index - Begin(Part(index))];
  }

 private:
  // The first part has so many elements; each other one as many as all before it.
  static constexpr uint64_t kFirstLength = 64;
  static constexpr size_t Part(uint64_t index) {
    return static_cast<size_t>(std::bit_width(index / kFirstLength));
  }
  static constexpr uint64_t Begin(size_t part) {
    return part == 0 ? 0 : kFirstLength << (part - 1);
  }

  std::array<std::atomic<T*>, Part(~uint64_t{0}) + 1> parts_{};
};

}  // namespace logcore

#endif  // LOGCORE_UTIL_GROWING_ARRAY_H_
