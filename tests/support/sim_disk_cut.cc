// What a power cut leaves on the simulated disk: sim_disk.h says what may happen, here the seed
// decides what does.
//
// A cut has one of four styles. Two are plain: nothing that was written is lost, everything that
// was not synced is lost. Then: a moment, up to which all writes and names of the whole machine
// reached the disk, in order, the last one torn. And the wild one: each file and each directory on
// its own. Plain ones find simple omissions soon; wild ones find the rest.

#include <algorithm>
#include <cstring>

#include "logcore/util/check.h"
#include "tests/support/sim_disk.h"

namespace tlogfs_test {

class SimDisk::Cut {
 public:
  Cut(uint64_t seed, const std::vector<Inode>& inodes);

  void OfFile(Inode* inode);
  void OfDirectory(Inode* inode);

 private:
  enum class Style { kKeepAll, kLoseAll, kMoment, kMoment2, kWild };  // and above: wild

  void Keep(Inode* inode, size_t writes);
  void Tear(Inode* inode, const PendingWrite& write);
  void Scatter(Inode* inode);
  SimBlock Mix(const std::vector<SimBlock>& states, const std::vector<bool>& touched);
  void Spoil(char* bytes, size_t length);
  void SettleLength(Inode* inode);

  SimRandom random_;
  Style style_ = Style::kWild;
  uint64_t moment_ = 0;
};

SimDisk::Cut::Cut(uint64_t seed, const std::vector<Inode>& inodes) : random_(seed) {
  style_ = static_cast<Style>(random_.Below(8));
  std::vector<uint64_t> moments = {0};
  for (const Inode& inode : inodes) {
    for (const PendingWrite& write : inode.writes) moments.push_back(write.time);
    for (const PendingName& change : inode.names) moments.push_back(change.time);
  }
  moment_ = moments[random_.Below(moments.size())];
}

void SimDisk::Cut::OfFile(Inode* inode) {
  if (!inode->writes.empty()) {
    const size_t count = inode->writes.size();
    switch (style_) {
      case Style::kKeepAll:
        Keep(inode, count);
        break;
      case Style::kLoseAll:
        break;
      case Style::kMoment:
      case Style::kMoment2: {
        size_t done = 0;
        while (done < count && inode->writes[done].time < moment_) ++done;
        const bool torn = done < count && inode->writes[done].time == moment_;
        Keep(inode, done);
        if (torn) Tear(inode, inode->writes[done]);
        break;
      }
      default:
        switch (random_.Below(6)) {
          case 0:
            Keep(inode, count);
            break;
          case 1:
            break;
          case 2: {
            const size_t done = random_.Below(count);
            Keep(inode, done);
            Tear(inode, inode->writes[done]);
            break;
          }
          default:
            Scatter(inode);
        }
    }
  }
  inode->writes.clear();
  inode->cache = inode->clean = inode->disk;
  if (random_.OneIn(2)) inode->reserved_blocks = 0;
}

// The first `writes` reach the disk, in order.
void SimDisk::Cut::Keep(Inode* inode, size_t writes) {
  for (size_t i = 0; i < writes; ++i) {
    const PendingWrite& write = inode->writes[i];
    if (write.bytes == nullptr) {
      CutOff(write.offset, &inode->clean);
      CutOff(write.offset, &inode->disk);
      continue;
    }
    inode->clean.Write(write.offset, *write.bytes);
    for (uint64_t block = write.offset / kSimBlock; block * kSimBlock < write.end(); ++block) {
      inode->disk.ShareBlock(block, inode->clean);
    }
    if (inode->disk.length() < inode->clean.length()) inode->disk.Resize(inode->clean.length());
  }
}

// The front of `write` reaches the disk, up to any byte; what follows is old, or spoilt up to the
// end of the sector.
void SimDisk::Cut::Tear(Inode* inode, const PendingWrite& write) {
  if (write.bytes == nullptr) return;
  const size_t length = random_.Below(write.bytes->size() + 1);
  inode->disk.Write(write.offset, std::string_view(*write.bytes).substr(0, length));
  if (random_.OneIn(2) && length < write.bytes->size()) {
    const uint64_t at = write.offset + length;
    const uint64_t rest = std::min(kSimSector - at % kSimSector, write.bytes->size() - length);
    std::string spoilt(rest, '\0');
    Spoil(spoilt.data(), spoilt.size());
    inode->disk.Write(at, spoilt);
  }
}

// Every block that was written has a fate of its own, and so has the length.
void SimDisk::Cut::Scatter(Inode* inode) {
  std::map<uint64_t, std::vector<size_t>> writes_of_block;
  const bool keep_cuts = random_.OneIn(2);
  for (size_t i = 0; i < inode->writes.size(); ++i) {
    const PendingWrite& write = inode->writes[i];
    if (write.bytes == nullptr) {
      if (keep_cuts) CutOff(write.offset, &inode->disk);
      continue;
    }
    for (uint64_t block = write.offset / kSimBlock; block * kSimBlock < write.end(); ++block) {
      writes_of_block[block].push_back(i);
    }
  }
  for (const auto& [block, writes] : writes_of_block) {
    // The block as the disk has it, and as the cache had it after each write.
    std::vector<SimBlock> states = {inode->disk.GetBlock(block), inode->clean.GetBlock(block)};
    std::vector<bool> touched(kSimBlock / kSimSector, false);
    for (const size_t i : writes) {
      const PendingWrite& write = inode->writes[i];
      const uint64_t from = std::max(write.offset, block * kSimBlock);
      const uint64_t to = std::min(write.offset + write.bytes->size(), (block + 1) * kSimBlock);
      SimBlock next = states.back();
      std::memcpy(next.data() + from % kSimBlock, write.bytes->data() + (from - write.offset),
                  to - from);
      states.push_back(next);
      for (uint64_t sector = from % kSimBlock / kSimSector;
           sector <= (to - 1) % kSimBlock / kSimSector; ++sector) {
        touched[sector] = true;
      }
    }
    states.erase(states.begin() + 1);  // The clean cache itself was never due to be written.
    inode->disk.SetBlock(block, Mix(states, touched));
  }
  SettleLength(inode);
}

SimBlock SimDisk::Cut::Mix(const std::vector<SimBlock>& states, const std::vector<bool>& touched) {
  SimBlock block = states[random_.Below(states.size())];
  const uint64_t fate = random_.Below(8);
  if (fate < 1) return states.front();
  if (fate < 3) return states.back();
  if (fate < 4) return block;
  if (fate < 5) {  // A disk whose sectors are as large as the block.
    Spoil(block.data(), block.size());
    return block;
  }
  for (size_t sector = 0; sector < touched.size(); ++sector) {
    const SimBlock& from = states[random_.Below(states.size())];
    char* to = block.data() + sector * kSimSector;
    std::memcpy(to, from.data() + sector * kSimSector, kSimSector);
    if (fate == 7 && touched[sector] && random_.OneIn(3)) Spoil(to, kSimSector);
  }
  return block;
}

void SimDisk::Cut::Spoil(char* bytes, size_t length) {
  switch (random_.Below(3)) {
    case 0:
      std::memset(bytes, 0, length);
      break;
    case 1:
      std::memset(bytes, 0xff, length);
      break;
    default:
      for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<char>(random_.Next());
  }
}

// The old length, or any that ends in or after what was written beyond it; likelier one that the
// file had.
void SimDisk::Cut::SettleLength(Inode* inode) {
  const uint64_t old_length = inode->disk.length();
  const uint64_t new_length = inode->cache.length();
  if (new_length <= old_length) return;
  uint64_t length = new_length;
  switch (random_.Below(4)) {
    case 0:
      length = old_length;
      break;
    case 1: {
      const PendingWrite& write = inode->writes[random_.Below(inode->writes.size())];
      if (write.bytes == nullptr) break;
      length = write.offset + 1 + random_.Below(write.bytes->size());
      length = std::clamp(length, old_length, new_length);
      break;
    }
    case 2: {
      const PendingWrite& write = inode->writes[random_.Below(inode->writes.size())];
      length = std::clamp(write.end(), old_length, new_length);
      break;
    }
    default:
      break;
  }
  inode->disk.Resize(length);
}

void SimDisk::Cut::OfDirectory(Inode* inode) {
  for (const PendingName& change : inode->names) {
    bool kept = random_.OneIn(2);
    if (style_ == Style::kKeepAll) kept = true;
    if (style_ == Style::kLoseAll) kept = false;
    if (style_ == Style::kMoment || style_ == Style::kMoment2) kept = change.time < moment_;
    if (!kept) continue;
    if (!change.old_name.empty()) {
      const auto old = inode->disk_names.find(change.old_name);
      if (old != inode->disk_names.end() && old->second == change.inode) {
        inode->disk_names.erase(old);
      }
    }
    if (!change.name.empty()) inode->disk_names[change.name] = change.inode;
  }
  inode->names.clear();
  inode->cache_names = inode->disk_names;
}

void SimDisk::Reboot() {
  for (const auto& process : processes_) {
    process->dead = true;
    ReleaseLocks(process.get(), nullptr);
  }
  for (Inode& inode : inodes_) {
    if (inode.is_directory) {
      inode.disk_names = inode.cache_names;
      inode.names.clear();
    } else {
      SyncInode(&inode);
    }
  }
  ++boot_;
}

void SimDisk::CutPower(uint64_t seed) {
  for (const auto& process : processes_) {
    process->dead = true;
    ReleaseLocks(process.get(), nullptr);
  }
  Cut cut(seed, inodes_);
  for (Inode& inode : inodes_) {
    if (inode.is_directory) {
      cut.OfDirectory(&inode);
    } else {
      cut.OfFile(&inode);
    }
  }
  for (const Inode& directory : inodes_) {
    for (const auto& [name, inode] : directory.cache_names) inodes_[inode].removed = false;
  }
  ++boot_;
}

}  // namespace tlogfs_test
