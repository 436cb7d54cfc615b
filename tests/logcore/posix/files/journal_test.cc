// The journal's bytes: records, base slots and heads come back as they were put in, and nothing
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
  EXPECT_EQ(decoded->outside, 0u);
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
  const auto decodes_outside = [&decodes](uint64_t frames_length, uint64_t outside) {
    return decodes({.sequence = 1,
                    .size = 1,
                    .frames_length = frames_length,
                    .outside = outside,
                    .root = {},
                    .previous = {},
                    .mac = {}});
  };
  EXPECT_TRUE(decodes_outside(8192, 8192));
  EXPECT_TRUE(decodes_outside(9000, 4096));
  EXPECT_FALSE(decodes_outside(8191, 8192));
  EXPECT_FALSE(decodes_outside(8192, 4095));
  EXPECT_FALSE(decodes_outside(8192, ~uint64_t{0} - 4095));
}

TEST(Journal, WhatIsOutsideOfARecordTakesNoRoomInIt) {
  RecordHeader header;
  header.frames_length = 1 << 20;
  EXPECT_EQ(header.Length(), (1 << 20) + kJournalBlock);
  header.outside = (1 << 20) - kJournalBlock;
  EXPECT_EQ(header.Length(), 2 * kJournalBlock);
  header.outside = 1 << 20;
  EXPECT_EQ(header.Length(), kJournalBlock);
}

TEST(Journal, BaseRoundTripsAndEveryFlippedByteIsSeen) {
  const Base base{kKey,
                  kLength,
                  SomeState(300),
                  {{"times", 0, "abc"}, {"entries/0", 4096, std::string(4095, 'x')}}};
  const std::string bytes = EncodeBase(base);
  std::string slot = bytes;
  slot.resize(kBaseSlotLength, '\0');
  EXPECT_EQ(DecodeBase(slot), base);
  EXPECT_EQ(DecodeBase(bytes), base);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string spoiled = slot;
    spoiled[i] = static_cast<char>(spoiled[i] ^ 1);
    EXPECT_FALSE(DecodeBase(spoiled)) << i;
  }
  for (size_t length = 0; length < bytes.size(); length += 97) {
    EXPECT_FALSE(DecodeBase(std::string_view(bytes).substr(0, length)));
  }
  EXPECT_FALSE(DecodeBase(std::string(kBaseSlotLength, '\0')));
}

TEST(Journal, ImpossibleNumbersAreNoBaseAndNoHead) {
  const auto decodes = [](uint64_t journal_length, uint64_t tail) {
    Base base{kKey, journal_length, SomeState(3), {}};
    base.state.position.tail = tail;
    return DecodeBase(EncodeBase(base)).has_value();
  };
  EXPECT_TRUE(decodes(kMinJournalLength, kRecordsStart));
  EXPECT_TRUE(decodes(kMaxJournalLength, kMaxJournalLength));
  EXPECT_FALSE(decodes(kMinJournalLength - kJournalBlock, kRecordsStart));
  EXPECT_FALSE(decodes(kMaxJournalLength + kJournalBlock, kRecordsStart));
  EXPECT_FALSE(decodes(kMinJournalLength + 1, kRecordsStart));
  EXPECT_FALSE(decodes(kMinJournalLength, kRecordsStart - kJournalBlock));
  EXPECT_FALSE(decodes(kMinJournalLength, kMinJournalLength + kJournalBlock));
  for (const int state : {0, 4, 255}) {
    const Head head{.boot_id = std::string(16, 'b'),
                    .state = static_cast<HeadState>(state),
                    .log = SomeState(9)};
    EXPECT_FALSE(DecodeHead(EncodeHead(head))) << state;
  }
}

// Cut anywhere, with a checksum that is right.
TEST(Journal, WhatIsCutShortIsNoBaseAndNoHead) {
  const std::string base = EncodeBase({kKey, kLength, SomeState(300), {{"times", 0, "abc"}}});
  const std::string head =
      EncodeHead({.boot_id = std::string(16, 'b'), .base_size = 77, .log = SomeState(300)});
  const auto cut = [](const std::string& whole, size_t length) {
    const std::string body = whole.substr(0, length);
    return body + std::string(Sha256({body}).view());
  };
  for (size_t length = 0; length < base.size() - kHashLength; ++length) {
    EXPECT_FALSE(DecodeBase(cut(base, length))) << length;
  }
  for (size_t length = 0; length < head.size() - kHashLength; ++length) {
    EXPECT_FALSE(DecodeHead(cut(head, length))) << length;
  }
  EXPECT_TRUE(DecodeBase(cut(base, base.size() - kHashLength)));
  EXPECT_TRUE(DecodeHead(cut(head, head.size() - kHashLength)));
}

TEST(Journal, TheLargestBaseFitsItsSlot) {
  Base base{kKey, kLength, SomeState(255), {}};
  for (int i = 0; i < kTileLevels + 3; ++i) {
    base.blocks.push_back(
        {"entries/281474976710655.index", 0, std::string(kJournalBlock - 1, 'x')});
  }
  EXPECT_LE(EncodeBase(base).size() + 63 * kHashLength, kBaseSlotLength);
}

TEST(Journal, HeadRoundTripsAndEveryFlippedByteIsSeen) {
  for (const HeadState state : {HeadState::kIdle, HeadState::kCommitting, HeadState::kPoisoned}) {
    Head head{.boot_id = std::string(16, 'b'),
              .state = state,
              .base = {5, kRecordsStart},
              .base_size = 77,
              .base_frames_end = 7777,
              .log = SomeState(1000),
              .durable_sequence = 12,
              .recoveries = 3};
    for (bool* const flag : {&head.complete, &head.advancing, &head.outside, &head.doubtful}) {
      *flag = true;
      EXPECT_EQ(DecodeHead(EncodeHead(head)), head);
      *flag = false;
    }
    const std::string bytes = EncodeHead(head);
    EXPECT_EQ(DecodeHead(bytes + std::string(100, '\0')), head);
    for (size_t i = 0; i < bytes.size(); ++i) {
      std::string spoiled = bytes;
      spoiled[i] = static_cast<char>(spoiled[i] ^ 0x80);
      EXPECT_FALSE(DecodeHead(spoiled)) << i;
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
    JournalPosition base;
    JournalPosition tail;
    for (int step = 0; step < 200; ++step) {
      if (random(4) == 0 && !live.empty()) {  // The base advances over some records.
        const uint64_t count = 1 + random(live.size());
        base = live[count - 1].second;
        live.erase(live.begin(), live.begin() + static_cast<std::ptrdiff_t>(count));
      }
      const uint64_t length = (1 + random(4)) * kJournalBlock;
      const auto offset = PlaceRecord(base, tail, length, kRing);
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
