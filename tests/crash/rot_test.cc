// Bit rot in the bytes of each file (rot.h): of each byte in use one bit is flipped, which the seed
// decides; of zeros one byte in kZerosStride. Every bit of every byte, in some hours:
//
//   TLOGFS_ROT_EVERY_BIT=1 rot_test --gtest_filter=*EveryByte

#include <gtest/gtest.h>

#include <cstdlib>

#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/journal_reader.h"
#include "tests/crash/rot.h"

namespace tlogfs_test {
namespace {

using namespace logcore;

constexpr uint64_t kZerosStride = 197;

// Whether the audit is to find a flip of that byte of a store that was closed; see rot.h.
bool SeenByAudit(const std::string& file, uint64_t offset) {
  return file != "lock" && (file != "journal" || offset < kRecordsStart);
}

TEST_F(RotTest, EveryByte) {
  const bool every_bit = std::getenv("TLOGFS_ROT_EVERY_BIT") != nullptr;
  const Sound sound(NewWorld(*OldWorld()));
  for (const auto& [file, bytes] : sound.files()) {
    for (uint64_t offset = 0; offset < bytes.size(); ++offset) {
      const bool counts = file != "journal" || offset < kRecordsStart;
      const bool is_used = counts && (every_bit || bytes[offset] != '\0');
      if (!is_used && !random_.OneIn(kZerosStride)) continue;
      const int any = AnyBit();
      for (int bit = every_bit ? 0 : any; bit < (every_bit ? 8 : any + 1); ++bit) {
        Rot flip = Flip(sound, file, offset, bit, SeenByAudit(file, offset));
        flip.is_one_of_many = every_bit || 2000 < bytes.size();
        Check(sound, flip, random_.OneIn(4));
      }
    }
  }
}

// Two segments, three levels.
TEST_F(RotTest, BytesOfALargeLog) {
  const Sound sound(LargeWorld());
  for (const auto& [file, bytes] : sound.files()) {
    const uint64_t used = file == "journal" ? kRecordsStart : bytes.size();
    for (int i = 0; i < 9 && !bytes.empty(); ++i) {
      const uint64_t offset = i == 0 ? used - 1 : random_.Below(used);
      Check(sound, Flip(sound, file, offset, AnyBit(), SeenByAudit(file, offset)),
            random_.OneIn(4));
    }
  }
}

// Nothing was closed: the journal has records that count, and the lock's head is this boot's.
TEST_F(RotTest, JournalAndLockOfALiveStore) {
  auto live = NewWorld(*OldWorld());
  Grow(live.get(), 400, 900);
  const Sound sound(std::move(live));
  const std::string& journal = sound.files().at("journal");
  std::vector<std::pair<uint64_t, uint64_t>> records;  // in bytes, without their padding
  const ReplayPoint replay_point = *DecodeReplayPoint(journal.substr(0, kReplaySlotLength));
  for (uint64_t at = kRecordsStart; at < journal.size(); at += kJournalBlock) {
    const auto header =
        DecodeRecordHeader(replay_point.key, journal.substr(at), replay_point.journal_length);
    if (!header || header->start_size < 2 * kOldSize) continue;
    records.emplace_back(at, at + kRecordHeaderLength + header->frames_length);
  }
  ASSERT_EQ(records.size(), 5u);
  // After a power cut the files may be torn as well, before the next writer has mended them; and
  // the last record could be one whose writing was cut.
  for (const auto& [begin, end] : records) {
    for (uint64_t offset = begin; offset < end; offset += 1 + random_.Below(5)) {
      const bool cut = begin != records.back().first && random_.OneIn(4);
      Check(sound, Flip(sound, "journal", offset, AnyBit(), !cut), cut);
    }
  }
  for (uint64_t offset = 0; offset < kWriterStateLength; offset += offset < 500 ? 1 : 37) {
    Check(sound, Flip(sound, "lock", offset, AnyBit(), true), false);
  }
}

}  // namespace
}  // namespace tlogfs_test
