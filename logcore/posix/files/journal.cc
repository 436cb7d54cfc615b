#include "logcore/posix/files/journal.h"

#include <utility>

#include "logcore/util/bytes.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

constexpr std::string_view kRecordMagic = "tlogrec2";
constexpr std::string_view kReplayMagic = "tlogbas2";
constexpr std::string_view kStateMagic = "tloghd03";
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
  const uint64_t length = kRecordHeaderLength + (frames_length - direct);
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
  AppendBigEndian(&bytes, header->direct);
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
  header.direct = reader.Integer<uint64_t>();
  header.time = static_cast<int64_t>(reader.Integer<uint64_t>());
  header.root = *TakeHash(&reader);
  header.previous = *TakeHash(&reader);
  header.mac = *TakeHash(&reader);
  if (Sha256({key.view(), bytes.substr(0, kMacOffset)}) != header.mac) return std::nullopt;
  if (header.start_size >= header.size || kMaxTreeSize < header.size) return std::nullopt;
  if (header.frames_length > journal_length || header.time < 0) return std::nullopt;
  if (header.frames_length < header.direct || header.direct % kBlockLength != 0) {
    return std::nullopt;
  }
  return header;
}

std::optional<uint64_t> PlaceRecord(const JournalPosition& replay_point,
                                    const JournalPosition& tail, uint64_t length,
                                    uint64_t journal_length) {
  const bool fits_at_tail = tail.tail <= journal_length && length <= journal_length - tail.tail;
  const bool fits_at_start = length <= journal_length - kRecordsStart;
  if (replay_point.sequence == tail.sequence) {  // Nothing needs to be kept.
    if (fits_at_tail) return tail.tail;
    if (fits_at_start) return kRecordsStart;
    return std::nullopt;
  }
  // A new tail never meets the replay point exactly: that would look like an empty ring.
  if (replay_point.tail <= tail.tail) {
    if (fits_at_tail) return tail.tail;
    if (kRecordsStart + length < replay_point.tail) return kRecordsStart;
    return std::nullopt;
  }
  if (tail.tail + length < replay_point.tail) return tail.tail;
  return std::nullopt;
}

double UsedPart(const JournalPosition& replay_point, const JournalPosition& tail,
                uint64_t journal_length) {
  const uint64_t ring = journal_length - kRecordsStart;
  if (replay_point.sequence == tail.sequence) return 0;
  const uint64_t used = (ring + tail.tail - replay_point.tail) % ring;
  return used == 0 ? 1.0 : static_cast<double>(used) / static_cast<double>(ring);
}

std::string EncodeReplayPoint(const ReplayPoint& replay_point) {
  std::string bytes(kReplayMagic);
  bytes.append(replay_point.key.view());
  AppendBigEndian(&bytes, replay_point.journal_length);
  AppendState(&bytes, replay_point.state);
  AppendBigEndian(&bytes, static_cast<uint16_t>(replay_point.blocks.size()));
  for (const Block& block : replay_point.blocks) {
    AppendBigEndian(&bytes, static_cast<uint16_t>(block.name.size()));
    bytes.append(block.name);
    AppendBigEndian(&bytes, block.offset);
    AppendBigEndian(&bytes, static_cast<uint16_t>(block.bytes.size()));
    bytes.append(block.bytes);
  }
  AppendChecksum(&bytes);
  CHECK(bytes.size() <= kReplaySlotLength);
  return bytes;
}

std::optional<ReplayPoint> DecodeReplayPoint(std::string_view slot) {
  if (!slot.starts_with(kReplayMagic)) return std::nullopt;
  ByteReader reader(slot);
  reader.Take(kReplayMagic.size());
  ReplayPoint replay_point;
  const std::optional<Hash> key = TakeHash(&reader);
  if (!key) return std::nullopt;
  replay_point.key = *key;
  replay_point.journal_length = reader.Integer<uint64_t>();
  std::optional<LogState> state = TakeState(&reader);
  if (!state) return std::nullopt;
  replay_point.state = std::move(*state);
  const uint16_t blocks = reader.Integer<uint16_t>();
  for (int i = 0; i < blocks && reader.ok(); ++i) {
    Block block;
    block.name = reader.Take(reader.Integer<uint16_t>());
    block.offset = reader.Integer<uint64_t>();
    block.bytes = reader.Take(reader.Integer<uint16_t>());
    replay_point.blocks.push_back(std::move(block));
  }
  if (!ChecksumFollows(slot, reader)) return std::nullopt;
  // A slot is written whole: if an older, longer replay point goes on behind this one, the write
  // was cut.
  if (!IsZeros(reader.rest().substr(kHashLength))) return std::nullopt;
  if (replay_point.journal_length < kMinJournalLength ||
      kMaxJournalLength < replay_point.journal_length ||
      replay_point.journal_length % kJournalBlock != 0 ||
      replay_point.state.position.tail < kRecordsStart ||
      replay_point.journal_length < replay_point.state.position.tail) {
    return std::nullopt;
  }
  return replay_point;
}

std::string EncodeWriterState(const WriterState& writer) {
  CHECK(writer.boot_id.size() == 16);
  std::string bytes(kStateMagic);
  bytes.append(writer.boot_id);
  bytes.push_back(static_cast<char>(writer.phase));
  bytes.push_back(static_cast<char>((writer.complete ? 1 : 0) | (writer.advancing ? 2 : 0) |
                                    (writer.direct ? 4 : 0) | (writer.doubtful ? 8 : 0)));
  AppendPosition(&bytes, writer.replay_point);
  AppendBigEndian(&bytes, writer.durable_size);
  AppendBigEndian(&bytes, writer.durable_frames_end);
  AppendBigEndian(&bytes, writer.durable_sequence);
  AppendBigEndian(&bytes, writer.recoveries);
  AppendState(&bytes, writer.log);
  AppendChecksum(&bytes);
  CHECK(bytes.size() <= kWriterStateLength);
  return bytes;
}

std::optional<WriterState> DecodeWriterState(std::string_view bytes) {
  if (!bytes.starts_with(kStateMagic)) return std::nullopt;
  ByteReader reader(bytes);
  reader.Take(kStateMagic.size());
  WriterState writer;
  writer.boot_id = reader.Take(16);
  const uint8_t state = reader.Integer<uint8_t>();
  if (state < 1 || 3 < state) return std::nullopt;
  writer.phase = static_cast<WriterPhase>(state);
  const uint8_t flags = reader.Integer<uint8_t>();
  if (15 < flags) return std::nullopt;
  writer.complete = (flags & 1) != 0;
  writer.advancing = (flags & 2) != 0;
  writer.direct = (flags & 4) != 0;
  writer.doubtful = (flags & 8) != 0;
  writer.replay_point = TakePosition(&reader);
  writer.durable_size = reader.Integer<uint64_t>();
  writer.durable_frames_end = reader.Integer<uint64_t>();
  writer.durable_sequence = reader.Integer<uint64_t>();
  writer.recoveries = reader.Integer<uint64_t>();
  std::optional<LogState> log = TakeState(&reader);
  if (!log) return std::nullopt;
  writer.log = std::move(*log);
  if (!ChecksumFollows(bytes, reader)) return std::nullopt;
  return writer;
}

}  // namespace logcore
