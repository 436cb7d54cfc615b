#include "logcore/posix/files/journal.h"

#include <utility>

#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

constexpr std::string_view kRecordMagic = "tlogrec2";
constexpr std::string_view kBaseMagic = "tlogbas2";
constexpr std::string_view kHeadMagic = "tloghd03";
constexpr size_t kMacOffset = kRecordHeaderLength - kHashLength;

void AppendPosition(std::string* out, const JournalPosition& position) {
  AppendBigEndian(out, position.sequence);
  AppendBigEndian(out, position.tail);
  AppendBigEndian(out, position.record);
}

void AppendState(std::string* out, const LogState& state) {
  AppendPosition(out, state.position);
  out->append(state.chain.view());
  AppendBigEndian(out, state.end.frames_end);
  AppendBigEndian(out, state.end.time_rows);
  AppendBigEndian(out, static_cast<uint64_t>(state.end.time));
  AppendBigEndian(out, state.range.size());
  for (const Hash& hash : state.range.hashes()) out->append(hash.view());
}

std::optional<Hash> TakeHash(ByteReader* reader) {
  const std::string_view bytes = reader->Take(kHashLength);
  if (!reader->ok()) return std::nullopt;
  return HashFromBytes(bytes);
}

JournalPosition TakePosition(ByteReader* reader) {
  JournalPosition position;
  position.sequence = reader->Integer<uint64_t>();
  position.tail = reader->Integer<uint64_t>();
  position.record = reader->Integer<uint64_t>();
  return position;
}

std::optional<LogState> TakeState(ByteReader* reader) {
  LogState state;
  state.position = TakePosition(reader);
  const std::optional<Hash> chain = TakeHash(reader);
  if (!chain) return std::nullopt;
  state.chain = *chain;
  state.end.frames_end = reader->Integer<uint64_t>();
  state.end.time_rows = reader->Integer<uint64_t>();
  state.end.time = static_cast<int64_t>(reader->Integer<uint64_t>());
  state.end.size = reader->Integer<uint64_t>();
  if (!reader->ok()) return std::nullopt;
  std::vector<Hash> hashes;
  for (uint64_t bits = state.end.size; bits != 0; bits &= bits - 1) {
    const std::optional<Hash> hash = TakeHash(reader);
    if (!hash) return std::nullopt;
    hashes.push_back(*hash);
  }
  Result<CompactRange> range = CompactRange::FromHashes(state.end.size, std::move(hashes));
  if (!range.has_value()) return std::nullopt;
  state.range = std::move(*range);
  return state;
}

void AppendChecksum(std::string* out) {
  const Hash checksum = Sha256({*out});
  out->append(checksum.view());
}

// Whether the bytes that `reader` has taken from the front of `bytes` are followed by their
// checksum.
bool ChecksumFollows(std::string_view bytes, const ByteReader& reader) {
  if (!reader.ok() || reader.rest().size() < kHashLength) return false;
  const std::string_view body = bytes.substr(0, bytes.size() - reader.rest().size());
  return Sha256({body}).view() == reader.rest().substr(0, kHashLength);
}

}  // namespace

uint64_t RecordHeader::Length() const {
  const uint64_t length = kRecordHeaderLength + (frames_length - outside);
  return (length + kJournalBlock - 1) / kJournalBlock * kJournalBlock;
}

void EncodeRecordHeader(const Hash& key, RecordHeader* header, char* out) {
  std::string bytes;
  bytes.reserve(kRecordHeaderLength);
  bytes.append(kRecordMagic);
  AppendBigEndian(&bytes, header->sequence);
  AppendBigEndian(&bytes, header->start_size);
  AppendBigEndian(&bytes, header->size);
  AppendBigEndian(&bytes, header->frames_length);
  AppendBigEndian(&bytes, header->outside);
  AppendBigEndian(&bytes, static_cast<uint64_t>(header->time));
  bytes.append(header->root.view());
  bytes.append(header->previous.view());
  CHECK(bytes.size() == kMacOffset);
  header->mac = Sha256({key.view(), bytes});
  bytes.append(header->mac.view());
  bytes.copy(out, bytes.size());
}

std::optional<RecordHeader> DecodeRecordHeader(const Hash& key, std::string_view bytes,
                                               uint64_t journal_length) {
  if (bytes.size() < kRecordHeaderLength || !bytes.starts_with(kRecordMagic)) return std::nullopt;
  ByteReader reader(bytes.substr(kRecordMagic.size()));
  RecordHeader header;
  header.sequence = reader.Integer<uint64_t>();
  header.start_size = reader.Integer<uint64_t>();
  header.size = reader.Integer<uint64_t>();
  header.frames_length = reader.Integer<uint64_t>();
  header.outside = reader.Integer<uint64_t>();
  header.time = static_cast<int64_t>(reader.Integer<uint64_t>());
  header.root = *TakeHash(&reader);
  header.previous = *TakeHash(&reader);
  header.mac = *TakeHash(&reader);
  if (Sha256({key.view(), bytes.substr(0, kMacOffset)}) != header.mac) return std::nullopt;
  if (header.start_size >= header.size || kMaxTreeSize < header.size) return std::nullopt;
  if (header.frames_length > journal_length || header.time < 0) return std::nullopt;
  if (header.frames_length < header.outside || header.outside % kBlockLength != 0) {
    return std::nullopt;
  }
  return header;
}

std::optional<uint64_t> PlaceRecord(const JournalPosition& base, const JournalPosition& tail,
                                    uint64_t length, uint64_t journal_length) {
  const bool fits_at_tail = tail.tail <= journal_length && length <= journal_length - tail.tail;
  const bool fits_at_start = length <= journal_length - kRecordsStart;
  if (base.sequence == tail.sequence) {  // Nothing needs to be kept.
    if (fits_at_tail) return tail.tail;
    if (fits_at_start) return kRecordsStart;
    return std::nullopt;
  }
  // A new tail never meets the base exactly: that would look like an empty ring.
  if (base.tail <= tail.tail) {
    if (fits_at_tail) return tail.tail;
    if (kRecordsStart + length < base.tail) return kRecordsStart;
    return std::nullopt;
  }
  if (tail.tail + length < base.tail) return tail.tail;
  return std::nullopt;
}

double UsedPart(const JournalPosition& base, const JournalPosition& tail, uint64_t journal_length) {
  const uint64_t ring = journal_length - kRecordsStart;
  if (base.sequence == tail.sequence) return 0;
  const uint64_t used = (ring + tail.tail - base.tail) % ring;
  return used == 0 ? 1.0 : static_cast<double>(used) / static_cast<double>(ring);
}

std::string EncodeBase(const Base& base) {
  std::string bytes(kBaseMagic);
  bytes.append(base.key.view());
  AppendBigEndian(&bytes, base.journal_length);
  AppendState(&bytes, base.state);
  AppendBigEndian(&bytes, static_cast<uint16_t>(base.blocks.size()));
  for (const Block& block : base.blocks) {
    AppendBigEndian(&bytes, static_cast<uint16_t>(block.name.size()));
    bytes.append(block.name);
    AppendBigEndian(&bytes, block.offset);
    AppendBigEndian(&bytes, static_cast<uint16_t>(block.bytes.size()));
    bytes.append(block.bytes);
  }
  AppendChecksum(&bytes);
  CHECK(bytes.size() <= kBaseSlotLength);
  return bytes;
}

std::optional<Base> DecodeBase(std::string_view slot) {
  if (!slot.starts_with(kBaseMagic)) return std::nullopt;
  ByteReader reader(slot);
  reader.Take(kBaseMagic.size());
  Base base;
  const std::optional<Hash> key = TakeHash(&reader);
  if (!key) return std::nullopt;
  base.key = *key;
  base.journal_length = reader.Integer<uint64_t>();
  std::optional<LogState> state = TakeState(&reader);
  if (!state) return std::nullopt;
  base.state = std::move(*state);
  const uint16_t blocks = reader.Integer<uint16_t>();
  for (int i = 0; i < blocks && reader.ok(); ++i) {
    Block block;
    block.name = reader.Take(reader.Integer<uint16_t>());
    block.offset = reader.Integer<uint64_t>();
    block.bytes = reader.Take(reader.Integer<uint16_t>());
    base.blocks.push_back(std::move(block));
  }
  if (!ChecksumFollows(slot, reader)) return std::nullopt;
  // A slot is written whole: if an older, longer base goes on behind this one, the write was cut.
  if (!IsZeros(reader.rest().substr(kHashLength))) return std::nullopt;
  if (base.journal_length < kMinJournalLength || kMaxJournalLength < base.journal_length ||
      base.journal_length % kJournalBlock != 0 || base.state.position.tail < kRecordsStart ||
      base.journal_length < base.state.position.tail) {
    return std::nullopt;
  }
  return base;
}

std::string EncodeHead(const Head& head) {
  CHECK(head.boot_id.size() == 16);
  std::string bytes(kHeadMagic);
  bytes.append(head.boot_id);
  bytes.push_back(static_cast<char>(head.state));
  bytes.push_back(static_cast<char>((head.complete ? 1 : 0) | (head.advancing ? 2 : 0) |
                                    (head.outside ? 4 : 0) | (head.doubtful ? 8 : 0)));
  AppendPosition(&bytes, head.base);
  AppendBigEndian(&bytes, head.base_size);
  AppendBigEndian(&bytes, head.base_frames_end);
  AppendBigEndian(&bytes, head.durable_sequence);
  AppendBigEndian(&bytes, head.recoveries);
  AppendState(&bytes, head.log);
  AppendChecksum(&bytes);
  CHECK(bytes.size() <= kMaxHeadLength);
  return bytes;
}

std::optional<Head> DecodeHead(std::string_view bytes) {
  if (!bytes.starts_with(kHeadMagic)) return std::nullopt;
  ByteReader reader(bytes);
  reader.Take(kHeadMagic.size());
  Head head;
  head.boot_id = reader.Take(16);
  const uint8_t state = reader.Integer<uint8_t>();
  if (state < 1 || 3 < state) return std::nullopt;
  head.state = static_cast<HeadState>(state);
  const uint8_t flags = reader.Integer<uint8_t>();
  if (15 < flags) return std::nullopt;
  head.complete = (flags & 1) != 0;
  head.advancing = (flags & 2) != 0;
  head.outside = (flags & 4) != 0;
  head.doubtful = (flags & 8) != 0;
  head.base = TakePosition(&reader);
  head.base_size = reader.Integer<uint64_t>();
  head.base_frames_end = reader.Integer<uint64_t>();
  head.durable_sequence = reader.Integer<uint64_t>();
  head.recoveries = reader.Integer<uint64_t>();
  std::optional<LogState> log = TakeState(&reader);
  if (!log) return std::nullopt;
  head.log = std::move(*log);
  if (!ChecksumFollows(bytes, reader)) return std::nullopt;
  return head;
}

}  // namespace logcore
