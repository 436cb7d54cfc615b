// logcore/posix/files/journal.h: record headers, replay slots and heads print as they were. Their
// checksums are computed here, over what the input says, since no fuzzer guesses one; and one that
// is wrong is always noticed.
//
//   input: kind 1 | body, without the checksum

#include "logcore/posix/files/journal.h"

#include "tests/fuzz/fuzz.h"

namespace {

using namespace logcore;

constexpr Hash kKey = {{1, 2, 3}};
constexpr uint64_t kLength = kDefaultJournalLength;
constexpr size_t kMacOffset = kRecordHeaderLength - kHashLength;

std::string WithChecksum(std::string_view body) {
  return std::string(body) + std::string(Sha256({body}).view());
}

std::string Spoiled(std::string bytes) {
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  return bytes;
}

void ReadRecord(std::string_view body) {
  DecodeRecordHeader(kKey, body, kLength);
  if (body.size() < kMacOffset) return;
  body = body.substr(0, kMacOffset);
  const std::string bytes = std::string(body) + std::string(Sha256({kKey.view(), body}).view());
  CHECK(!DecodeRecordHeader(kKey, Spoiled(bytes), kLength));
  std::optional<RecordHeader> header = DecodeRecordHeader(kKey, bytes, kLength);
  if (!header) return;
  CHECK(header->start_size < header->size && header->frames_length <= kLength);
  CHECK(header->Length() % kJournalBlock == 0 && header->Length() > header->frames_length);
  std::string printed(kRecordHeaderLength, '\0');
  EncodeRecordHeader(kKey, &*header, printed.data());
  CHECK(printed == bytes);
}

// Where a record would go lies in the journal, behind the slots.
void Place(const ReplayPoint& replay_point) {
  const JournalPosition& tail = replay_point.state.position;
  const JournalPosition older{tail.sequence - 1, kRecordsStart};
  for (const JournalPosition& from : {tail, older}) {
    for (const uint64_t length : {kJournalBlock, replay_point.journal_length - kRecordsStart}) {
      const auto place = PlaceRecord(from, tail, length, replay_point.journal_length);
      if (place) CHECK(kRecordsStart <= *place && *place + length <= replay_point.journal_length);
    }
  }
}

void ReadReplayPoint(std::string_view body) {
  DecodeReplayPoint(body);
  const std::string slot = WithChecksum(body.substr(0, kReplaySlotLength - kHashLength - 1));
  CHECK(!DecodeReplayPoint(Spoiled(slot)));
  const std::optional<ReplayPoint> replay_point = DecodeReplayPoint(slot);
  if (!replay_point) return;
  CHECK(EncodeReplayPoint(*replay_point) == slot);
  CHECK(DecodeReplayPoint(slot + '\0') == replay_point && !DecodeReplayPoint(slot + '\1'));
  Place(*replay_point);
}

void ReadWriterState(std::string_view body) {
  DecodeWriterState(body);
  const std::string bytes = WithChecksum(body.substr(0, kWriterStateLength - kHashLength));
  const std::optional<WriterState> head = DecodeWriterState(bytes);
  if (!head) return;
  const std::string printed = EncodeWriterState(*head);
  CHECK(bytes.starts_with(printed));  // An older, longer head may go on behind it.
  CHECK(!DecodeWriterState(Spoiled(printed)));
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteReader reader(tlogfs_test::InputBytes(data, size));
  switch (reader.Integer<uint8_t>() % 3) {
    case 0:
      ReadRecord(reader.rest());
      break;
    case 1:
      ReadReplayPoint(reader.rest());
      break;
    default:
      ReadWriterState(reader.rest());
  }
  return 0;
}
