// The journal's bytes: records, replay slots and heads come back as they were put in, and nothing
// that was changed by a bit does.

#include "logcore/posix/files/journal.h"

#include <gtest/gtest.h>

#include <string>

#include "logcore/tlog/entry_bundle.h"

namespace {

using namespace logcore;

constexpr uint64_t kLength = kDefaultJournalLength;
const Hash kKey = Sha256({"a key"});

LogState SomeState(uint64_t size) {
  LogState state;
  for (uint64_t i = 0; i < size; ++i) state.range.Append(HashLeaf(std::to_string(i)));
  state.position = {size + 7, kRecordsStart + 3 * kJournalBlock};
  state.chain = Sha256({"chain"});
  state.end = {size, size * 100, 3, 1'700'000'000};
  return state;
}

TEST(Journal, RecordHeaderRoundTripsAndEveryFlippedBitIsSeen) {
  RecordHeader header{.sequence = 9,
                      .start_size = 100,
                      .size = 103,
                      .frames_length = 5000,
                      .time = 1'700'000'000,
                      .root = Sha256({"root"}),
                      .previous = Sha256({"previous"}),
                      .mac = {}};
  std::string bytes(kRecordHeaderLength, '\0');
  EncodeRecordHeader(kKey, &header, bytes.data());
  EXPECT_EQ(header.Length(), 2 * kJournalBlock);
  const auto decoded = DecodeRecordHeader(kKey, bytes, kLength);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->sequence, 9u);
  EXPECT_EQ(decoded->start_size, 100u);
  EXPECT_EQ(decoded->size, 103u);
  EXPECT_EQ(decoded->frames_length, 5000u);
  EXPECT_EQ(decoded->direct, 0u);
  EXPECT_EQ(decoded->time, 1'700'000'000);
  EXPECT_EQ(decoded->root, header.root);
  EXPECT_EQ(decoded->previous, header.previous);
  EXPECT_EQ(decoded->mac, header.mac);
  EXPECT_FALSE(DecodeRecordHeader(Sha256({"another key"}), bytes, kLength));
  EXPECT_FALSE(DecodeRecordHeader(kKey, bytes.substr(0, bytes.size() - 1), kLength));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string spoiled = bytes;
    spoiled[bit / 8] = static_cast<char>(spoiled[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(DecodeRecordHeader(kKey, spoiled, kLength)) << bit;
  }
}

TEST(Journal, ImpossibleNumbersAreNoRecord) {
  const auto decodes = [](RecordHeader header) {
    std::string bytes(kRecordHeaderLength, '\0');
    EncodeRecordHeader(kKey, &header, bytes.data());
    return DecodeRecordHeader(kKey, bytes, kLength).has_value();
  };
  EXPECT_TRUE(decodes(
      {.sequence = 1, .size = 1, .frames_length = 2, .root = {}, .previous = {}, .mac = {}}));
  EXPECT_FALSE(decodes(
      {.sequence = 1, .size = 0, .frames_length = 2, .root = {}, .previous = {}, .mac = {}}));
  EXPECT_FALSE(
      decodes({.sequence = 1, .start_size = 2, .size = 1, .root = {}, .previous = {}, .mac = {}}));
  EXPECT_FALSE(
      decodes({.sequence = 1, .size = kMaxTreeSize + 1, .root = {}, .previous = {}, .mac = {}}));
  EXPECT_FALSE(decodes({.sequence = 1,
                        .size = 1,
                        .frames_length = kLength + 1,
                        .root = {},
                        .previous = {},
                        .mac = {}}));
  EXPECT_FALSE(
      decodes({.sequence = 1, .size = 1, .time = -1, .root = {}, .previous = {}, .mac = {}}));
  const auto decodes_direct = [&decodes](uint64_t frames_length, uint64_t direct) {
    return decodes({.sequence = 1,
                    .size = 1,
                    .frames_length = frames_length,
                    .direct = direct,
                    .root = {},
                    .previous = {},
                    .mac = {}});
  };
  EXPECT_TRUE(decodes_direct(8192, 8192));
  EXPECT_TRUE(decodes_direct(9000, 4096));
  EXPECT_FALSE(decodes_direct(8191, 8192));
  EXPECT_FALSE(decodes_direct(8192, 4095));
  EXPECT_FALSE(decodes_direct(8192, ~uint64_t{0} - 4095));
}

TEST(Journal, WhatIsOutsideOfARecordTakesNoRoomInIt) {
  RecordHeader header;
  header.frames_length = 1 << 20;
  EXPECT_EQ(header.Length(), (1 << 20) + kJournalBlock);
  header.direct = (1 << 20) - kJournalBlock;
  EXPECT_EQ(header.Length(), 2 * kJournalBlock);
  header.direct = 1 << 20;
  EXPECT_EQ(header.Length(), kJournalBlock);
}

TEST(Journal, BaseRoundTripsAndEveryFlippedByteIsSeen) {
  const ReplayPoint replay_point{
      kKey,
      kLength,
      SomeState(300),
      {{"times", 0, "abc"}, {"entries/0", 4096, std::string(4095, 'x')}}};
  const std::string bytes = EncodeReplayPoint(replay_point);
  std::string slot = bytes;
  slot.resize(kReplaySlotLength, '\0');
  EXPECT_EQ(DecodeReplayPoint(slot), replay_point);
  EXPECT_EQ(DecodeReplayPoint(bytes), replay_point);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string spoiled = slot;
    spoiled[i] = static_cast<char>(spoiled[i] ^ 1);
    EXPECT_FALSE(DecodeReplayPoint(spoiled)) << i;
  }
  for (size_t length = 0; length < bytes.size(); length += 97) {
    EXPECT_FALSE(DecodeReplayPoint(std::string_view(bytes).substr(0, length)));
  }
  EXPECT_FALSE(DecodeReplayPoint(std::string(kReplaySlotLength, '\0')));
}

TEST(Journal, ImpossibleNumbersAreNoBaseAndNoHead) {
  const auto decodes = [](uint64_t journal_length, uint64_t tail) {
    ReplayPoint replay_point{kKey, journal_length, SomeState(3), {}};
    replay_point.state.position.tail = tail;
    return DecodeReplayPoint(EncodeReplayPoint(replay_point)).has_value();
  };
  EXPECT_TRUE(decodes(kMinJournalLength, kRecordsStart));
  EXPECT_TRUE(decodes(kMaxJournalLength, kMaxJournalLength));
  EXPECT_FALSE(decodes(kMinJournalLength - kJournalBlock, kRecordsStart));
  EXPECT_FALSE(decodes(kMaxJournalLength + kJournalBlock, kRecordsStart));
  EXPECT_FALSE(decodes(kMinJournalLength + 1, kRecordsStart));
  EXPECT_FALSE(decodes(kMinJournalLength, kRecordsStart - kJournalBlock));
  EXPECT_FALSE(decodes(kMinJournalLength, kMinJournalLength + kJournalBlock));
  for (const int state : {0, 4, 255}) {
    const WriterState head{.boot_id = std::string(16, 'b'),
                           .phase = static_cast<WriterPhase>(state),
                           .log = SomeState(9)};
    EXPECT_FALSE(DecodeWriterState(EncodeWriterState(head))) << state;
  }
}

// Cut anywhere, with a checksum that is right.
TEST(Journal, WhatIsCutShortIsNoBaseAndNoHead) {
  const std::string replay_point =
      EncodeReplayPoint({kKey, kLength, SomeState(300), {{"times", 0, "abc"}}});
  const std::string head = EncodeWriterState(
      {.boot_id = std::string(16, 'b'), .durable_size = 77, .log = SomeState(300)});
  const auto cut = [](const std::string& whole, size_t length) {
    const std::string body = whole.substr(0, length);
    return body + std::string(Sha256({body}).view());
  };
  for (size_t length = 0; length < replay_point.size() - kHashLength; ++length) {
    EXPECT_FALSE(DecodeReplayPoint(cut(replay_point, length))) << length;
  }
  for (size_t length = 0; length < head.size() - kHashLength; ++length) {
    EXPECT_FALSE(DecodeWriterState(cut(head, length))) << length;
  }
  EXPECT_TRUE(DecodeReplayPoint(cut(replay_point, replay_point.size() - kHashLength)));
  EXPECT_TRUE(DecodeWriterState(cut(head, head.size() - kHashLength)));
}

TEST(Journal, TheLargestBaseFitsItsSlot) {
  ReplayPoint replay_point{kKey, kLength, SomeState(255), {}};
  for (int i = 0; i < kTileLevels + 3; ++i) {
    replay_point.blocks.push_back(
        {"entries/281474976710655.index", 0, std::string(kJournalBlock - 1, 'x')});
  }
  EXPECT_LE(EncodeReplayPoint(replay_point).size() + 63 * kHashLength, kReplaySlotLength);
}

TEST(Journal, HeadRoundTripsAndEveryFlippedByteIsSeen) {
  for (const WriterPhase state :
       {WriterPhase::kIdle, WriterPhase::kCommitting, WriterPhase::kPoisoned}) {
    WriterState head{.boot_id = std::string(16, 'b'),
                     .phase = state,
                     .replay_point = {5, kRecordsStart},
                     .durable_size = 77,
                     .durable_frames_end = 7777,
                     .log = SomeState(1000),
                     .durable_sequence = 12,
                     .recoveries = 3};
    for (bool* const flag : {&head.complete, &head.advancing, &head.direct, &head.doubtful}) {
      *flag = true;
      EXPECT_EQ(DecodeWriterState(EncodeWriterState(head)), head);
      *flag = false;
    }
    const std::string bytes = EncodeWriterState(head);
    EXPECT_EQ(DecodeWriterState(bytes + std::string(100, '\0')), head);
    for (size_t i = 0; i < bytes.size(); ++i) {
      std::string spoiled = bytes;
      spoiled[i] = static_cast<char>(spoiled[i] ^ 0x80);
      EXPECT_FALSE(DecodeWriterState(spoiled)) << i;
    }
  }
}

// Against a model that marks each block of the ring: a record never covers what must be kept, never
// crosses the end, and after any number of placements base and tail can be told apart.
TEST(Journal, PlaceRecordNeverCoversWhatMustBeKept) {
  constexpr uint64_t kBlocks = 16;
  constexpr uint64_t kRing = kRecordsStart + kBlocks * kJournalBlock;
  uint64_t seed = 1;
  const auto random = [&seed](uint64_t below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<std::pair<uint64_t, JournalPosition>> live;  // first byte, position after
    JournalPosition replay_point;
    JournalPosition tail;
    for (int step = 0; step < 200; ++step) {
      if (random(4) == 0 && !live.empty()) {  // The replay point advances over some records.
        const uint64_t count = 1 + random(live.size());
        replay_point = live[count - 1].second;
        live.erase(live.begin(), live.begin() + static_cast<std::ptrdiff_t>(count));
      }
      const uint64_t length = (1 + random(4)) * kJournalBlock;
      const auto offset = PlaceRecord(replay_point, tail, length, kRing);
      if (!offset) {
        ASSERT_FALSE(live.empty()) << "an empty ring always has room";
        continue;
      }
      ASSERT_TRUE(*offset == tail.tail || *offset == kRecordsStart);
      ASSERT_LE(*offset + length, kRing);
      for (const auto& [begin, position] : live) {
        ASSERT_TRUE(*offset + length <= begin || position.tail <= *offset);
      }
      tail = {tail.sequence + 1, *offset + length};
      live.emplace_back(*offset, tail);
    }
  }
}

}  // namespace
