#include "logcore/posix/files/published.h"

#include <array>
#include <optional>
#include <utility>

#include "logcore/tlog/checkpoint.h"
#include "logcore/tlog/hash.h"
#include "logcore/tlog/note.h"
#include "logcore/util/bytes.h"

namespace logcore {
namespace {

constexpr std::string_view kSlotMagic = "tlogpub2";
constexpr size_t kSlotHeaderLength = 8 + 8 + 16 + 8 + 8 + 3 * 8 + 8;
// Earlier versions wrote no publication times.
constexpr std::string_view kTimelessMagic = "tlogpub1";
constexpr size_t kTimelessHeaderLength = kSlotHeaderLength - 3 * 8;
constexpr size_t kMaxSlotNoteLength = kPublishedSlotLength - kSlotHeaderLength - kHashLength;
// Both slots can only look torn while two publications overtake one reading; each takes far longer
// than a reading does.
constexpr int kReadAttempts = 100;

// Publication n is in slot n % 2: so the other slot than the newest's says whether it still is.
uint64_t SlotOffset(uint64_t sequence) {
  return sequence % 2 * kPublishedSlotLength;
}

std::string EncodeSlot(const PublishedFile::Slot& slot) {
  const Published& published = slot.published;
  CHECK(slot.boot_id.size() == 16);
  CHECK(published.note.size() <= kMaxSlotNoteLength);
  std::string bytes(kSlotMagic);
  AppendBigEndian(&bytes, published.sequence);
  bytes.append(slot.boot_id);
  AppendBigEndian(&bytes, published.frames_end);
  AppendBigEndian(&bytes, static_cast<uint64_t>(published.time));
  AppendBigEndian(&bytes, static_cast<uint64_t>(published.publication.at));
  AppendBigEndian(&bytes, static_cast<uint64_t>(published.publication.settled));
  AppendBigEndian(&bytes, static_cast<uint64_t>(published.publication.moment));
  AppendBigEndian(&bytes, uint64_t{published.note.size()});
  bytes.append(published.note);
  const Hash checksum = Sha256({bytes});
  bytes.append(checksum.view());
  return bytes;
}

// As the slot's own bytes say, whether they are right or not.
uint64_t SequenceOf(std::string_view slot) {
  return slot.size() < kSlotHeaderLength ? 0 : LoadBigEndian<uint64_t>(slot.data() + 8);
}
uint64_t UsedLength(std::string_view slot) {
  const size_t header =
      slot.starts_with(kTimelessMagic) ? kTimelessHeaderLength : kSlotHeaderLength;
  const uint64_t note = LoadBigEndian<uint64_t>(slot.data() + header - 8);
  return kMaxSlotNoteLength < note ? 0 : header + note + kHashLength;
}

std::optional<PublishedFile::Slot> DecodeSlot(std::string_view bytes) {
  const bool is_timeless = bytes.starts_with(kTimelessMagic);
  if (!is_timeless && !bytes.starts_with(kSlotMagic)) return std::nullopt;
  ByteReader reader(bytes);
  reader.Take(kSlotMagic.size());
  PublishedFile::Slot slot;
  slot.published.sequence = reader.Integer<uint64_t>();
  slot.boot_id = reader.Take(16);
  slot.published.frames_end = reader.Integer<uint64_t>();
  slot.published.time = static_cast<int64_t>(reader.Integer<uint64_t>());
  PublicationTime& publication = slot.published.publication;
  if (is_timeless) {
    publication = FirstPublicationTime(slot.published.time, 0, 0);
  } else {
    publication.at = static_cast<int64_t>(reader.Integer<uint64_t>());
    publication.settled = static_cast<int64_t>(reader.Integer<uint64_t>());
    publication.moment = static_cast<int64_t>(reader.Integer<uint64_t>());
  }
  if (!IsPublicationTime(publication)) return std::nullopt;
  const uint64_t note_length = reader.Integer<uint64_t>();
  if (note_length > kMaxSlotNoteLength) return std::nullopt;
  slot.published.note = reader.Take(note_length);
  const std::string_view checksum = reader.Take(kHashLength);
  if (!reader.ok()) return std::nullopt;
  const std::string_view body =
      bytes.substr(0, (is_timeless ? kTimelessHeaderLength : kSlotHeaderLength) + note_length);
  if (Sha256({body}).view() != checksum) return std::nullopt;
  // It is written in whole blocks: if other bytes follow in the last one, the write was cut, over
  // what a power cut had torn.
  const size_t used = body.size() + kHashLength;
  if (!IsZeros(bytes.substr(used).substr(0, RoundUpToBlock(used) - used))) return std::nullopt;

  const Result<Note> note = Note::Parse(slot.published.note);
  if (!note.has_value()) return std::nullopt;
  const Result<Checkpoint> checkpoint = Checkpoint::Parse(note->text);
  if (!checkpoint.has_value()) return std::nullopt;
  slot.published.head = checkpoint->head;
  return slot;
}

}  // namespace

Status PublishedFile::Create(Disk* disk, const Published& first, const std::string& boot_id) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, disk->Create("checkpoint", 0644));
  // Written out in full, so that publishing never needs a new block.
  RETURN_IF_ERROR(file->WriteAt(0, std::string(2 * kPublishedSlotLength, '\0')));
  RETURN_IF_ERROR(file->WriteAt(SlotOffset(first.sequence), EncodeSlot({first, boot_id})));
  return file->Sync();
}

Result<std::string> PublishedFile::Encode(Slot slot) {
  if (kMaxSlotNoteLength < slot.published.note.size()) {
    return Fail(Code::kTooLarge, "checkpoint: the note is too long");
  }
  std::string bytes(2 * kPublishedSlotLength, '\0');
  for (int i = 0; i < 2; ++i) {
    const std::string encoded = EncodeSlot(slot);
    bytes.replace(SlotOffset(slot.published.sequence), encoded.size(), encoded);
    slot.published.sequence += 1;
  }
  return bytes;
}

Result<std::unique_ptr<PublishedFile>> PublishedFile::Open(Disk* disk, Access access) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, disk->Open("checkpoint", access));
  std::unique_ptr<PublishedFile> published(new PublishedFile(std::move(file)));
  if (access == Access::kReadWrite) RETURN_IF_ERROR(published->CheckLength());
  return published;
}

// Most slots are one block long.
Result<std::string> PublishedFile::ReadSlot(uint64_t number) const {
  std::string bytes(kBlockLength, '\0');
  ASSIGN_OR_RETURN(size_t length, file_->ReadAt(SlotOffset(number), bytes.data(), bytes.size()));
  if (length == kBlockLength && kBlockLength < UsedLength(bytes)) {
    bytes.resize(kPublishedSlotLength);
    ASSIGN_OR_RETURN(length, file_->ReadAt(SlotOffset(number), bytes.data(), bytes.size()));
  }
  bytes.resize(length);
  return bytes;
}

Result<PublishedFile::Slot> PublishedFile::Read() const {
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    std::array<std::string, 2> slots;
    ASSIGN_OR_RETURN(slots[0], ReadSlot(0));
    ASSIGN_OR_RETURN(slots[1], ReadSlot(1));
    // The one that says it is newer first: if it is whole, the other one does not matter.
    const uint64_t first = SequenceOf(slots[0]) < SequenceOf(slots[1]) ? 1 : 0;
    for (const uint64_t i : {first, 1 - first}) {
      std::optional<Slot> slot = DecodeSlot(slots[i]);
      if (slot && slot->published.sequence % 2 == i) return std::move(*slot);
    }
  }
  return Fail(Code::kCorrupt, "checkpoint: neither slot is valid");
}

Result<bool> PublishedFile::SaysComplete() const {
  for (uint64_t i = 0; i < 2; ++i) {
    ASSIGN_OR_RETURN(const std::string bytes, ReadSlot(i));
    const std::optional<Slot> slot = DecodeSlot(bytes);
    if (slot && slot->boot_id == kCompleteBoot) return true;
  }
  return false;
}

Status PublishedFile::CheckLength() const {
  ASSIGN_OR_RETURN(const uint64_t length, file_->Length());
  if (length == 2 * kPublishedSlotLength) return {};
  return Fail(Code::kCorrupt, "checkpoint: is " + std::to_string(length) + " bytes long");
}

Status PublishedFile::CheckBothSlots() const {
  RETURN_IF_ERROR(CheckLength());
  for (uint64_t i = 0; i < 2; ++i) {
    std::string bytes(kPublishedSlotLength, '\0');
    ASSIGN_OR_RETURN(const size_t length, file_->ReadAt(SlotOffset(i), bytes.data(), bytes.size()));
    bytes.resize(length);
    const std::optional<Slot> slot = DecodeSlot(bytes);
    // Zeros before the first publication into it, and after what it holds.
    const size_t used = slot ? UsedLength(bytes) : 0;
    if (length != kPublishedSlotLength ||
        bytes.find_first_not_of('\0', used) != std::string::npos) {
      return Fail(Code::kCorrupt, "checkpoint at byte " + std::to_string(SlotOffset(i)) +
                                      ": slot " + std::to_string(i) + " is damaged");
    }
  }
  return {};
}

Result<bool> PublishedFile::IsNewer(uint64_t sequence) const {
  std::array<char, 16> bytes{};
  ASSIGN_OR_RETURN(const size_t length,
                   file_->ReadAt(SlotOffset(sequence + 1), bytes.data(), bytes.size()));
  if (length != bytes.size()) return Fail(Code::kCorrupt, "checkpoint: shorter than its two slots");
  return LoadBigEndian<uint64_t>(bytes.data() + 8) > sequence;
}

Status PublishedFile::Write(const Slot& slot) {
  // Whole blocks: what a power cut tore is overwritten to its last byte.
  std::string bytes = EncodeSlot(slot);
  bytes.resize(RoundUpToBlock(bytes.size()));
  return file_->WriteAt(SlotOffset(slot.published.sequence), bytes);
}

Status PublishedFile::WriteBoth(Slot* slot) {
  for (int i = 0; i < 2; ++i) {
    slot->published.sequence += 1;
    RETURN_IF_ERROR(Write(*slot));
    RETURN_IF_ERROR(Sync());
  }
  return {};
}

}  // namespace logcore
