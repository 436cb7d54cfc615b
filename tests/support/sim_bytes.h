// SimBytes: the bytes of one simulated file, in 4 KiB blocks shared between copies until one of
// them is written: copying a whole simulated machine costs microseconds, whatever its files hold.
// Blocks that were never written are zeros. Not thread-safe. Tested by sim_disk_test.cc.

#ifndef TESTS_SUPPORT_SIM_BYTES_H_
#define TESTS_SUPPORT_SIM_BYTES_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tlogfs_test {

inline constexpr size_t kSimBlock = 4096;  // what the page cache writes back at once
inline constexpr size_t kSimSector = 512;  // what a disk writes at once

// How many blocks so many bytes take.
inline uint64_t SimBlockCount(uint64_t length) {
  return (length + kSimBlock - 1) / kSimBlock;
}

using SimBlock = std::array<char, kSimBlock>;

class SimBytes {
 public:
  uint64_t length() const { return length_; }
  // Reads up to `length` bytes from `offset`; fewer only at the end.
  size_t Read(uint64_t offset, char* out, size_t length) const;
  // Grows as needed.
  void Write(uint64_t offset, std::string_view bytes);
  // Cuts, or lengthens with zeros.
  void Resize(uint64_t length);
  std::string ToString() const;
  // Whether `other` has the same length and bytes. What is found to be equal is shared from then
  // on, so that only what was written since is compared again.
  bool EqualsAndShares(const SimBytes& other);

  // Whole blocks, also beyond the length, which stays as it is.
  SimBlock GetBlock(uint64_t block) const;
  void SetBlock(uint64_t block, const SimBlock& bytes);
  void ShareBlock(uint64_t block, const SimBytes& from);

 private:
  using Blocks = std::vector<std::shared_ptr<SimBlock>>;
  Blocks& OwnBlocks();
  SimBlock& OwnBlock(uint64_t block);

  std::shared_ptr<Blocks> blocks_ = std::make_shared<Blocks>();
  uint64_t length_ = 0;
};

}  // namespace tlogfs_test

#endif  // TESTS_SUPPORT_SIM_BYTES_H_
