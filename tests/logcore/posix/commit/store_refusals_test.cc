// What a store refuses, and with which code: files that say something impossible, and what other
// processes left in them while it is open. Whole files that are lost or changed: tests/crash.

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "logcore/log/batch.h"
#include "logcore/posix/check/audit.h"
#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/published.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/util/bytes.h"
#include "tests/support/reference_log.h"
#include "tests/support/temp_log.h"

namespace {

using namespace logcore;
using tlogfs_test::ReferenceLog;
using tlogfs_test::TempDirectory;

constexpr char kOrigin[] = "example.com/log";

class StoreRefusalsTest : public testing::Test {
 protected:
  StoreRefusalsTest() {
    EXPECT_TRUE(InitStore(disk_.get(),
                          {.origin = kOrigin, .key = key_, .journal_length = kMinJournalLength},
                          options_)
                    .has_value());
  }
  Result<std::unique_ptr<StoreWriter>> Open() { return StoreWriter::Open(disk_.get(), options_); }
  Result<std::unique_ptr<StoreReader>> OpenToRead() {
    return StoreReader::Open(disk_.get(), options_);
  }
  static Result<Committed> Commit(StoreWriter* store) {
    Batch batch;
    batch.Append(ReferenceLog::OfSize(3).Frames(0, 3), 3);
    return store->Commit(&batch);
  }
  template <typename Value>
  static void ExpectError(const Result<Value>& result, Code code, const std::string& message) {
    ASSERT_FALSE(result.has_value()) << message;
    EXPECT_EQ(result.error().code, code) << result.error().message;
    EXPECT_NE(result.error().message.find(message), std::string::npos) << result.error().message;
  }
  void WriteWriterState(const std::function<void(WriterState*)>& change) {
    WriterState head = DecodeWriterState(directory_.Read("lock")).value();
    change(&head);
    std::string bytes = EncodeWriterState(head);
    bytes.resize(kWriterStateLength, '\0');
    directory_.Write("lock", bytes);
  }
  void ZeroHead() { directory_.Write("lock", std::string(kWriterStateLength, '\0')); }
  PublishedFile::Slot Newest() {
    return PublishedFile::Open(disk_.get(), Access::kRead).value()->Read().value();
  }
  void Publish(PublishedFile::Slot slot) {
    slot.published.sequence = Newest().published.sequence + 1;
    const auto file = PublishedFile::Open(disk_.get(), Access::kReadWrite).value();
    ASSERT_TRUE(file->Write(slot).has_value());
  }

  const TempDirectory directory_;
  const std::unique_ptr<Disk> disk_ = OpenPosixDisk(directory_.path()).value();
  const StoreOptions options_{.clock = [] { return int64_t{1'700'000'000'000'000'000}; }};
  const SignerKey key_ = SignerKey::Generate(kOrigin).value();
};

TEST_F(StoreRefusalsTest, JournalsOfImpossibleLength) {
  const TempDirectory empty;
  const auto disk = OpenPosixDisk(empty.path()).value();
  for (const uint64_t length : {uint64_t{0}, kMinJournalLength - kJournalBlock,
                                kMinJournalLength + 1, kMaxJournalLength + kJournalBlock}) {
    ExpectError(
        InitStore(disk.get(), {.origin = kOrigin, .key = {}, .journal_length = length}, options_),
        Code::kInvalid, "journal: impossible length");
  }
}

TEST_F(StoreRefusalsTest, AnotherKeyThanTheLogs) {
  directory_.Write("key", SignerKey::Generate(kOrigin)->ToString() + "\n");
  ExpectError(Open(), Code::kCorrupt, "key: is not the key of " + key_.verifier().ToString());
  directory_.Write("key", key_.ToString());
  ExpectError(Open(), Code::kCorrupt, "key: is not one line");
  directory_.Write("key", "PRIVATE+KEY+x\n");
  ExpectError(Open(), Code::kInvalid, "key: ");
}

TEST_F(StoreRefusalsTest, AConfigThatInitDidNotWrite) {
  const std::string config = directory_.Read("config");
  const size_t vkey = config.find("vkey ");
  const std::string another = SignerKey::Generate("another")->verifier().ToString();
  std::vector<std::string> changed = {"",
                                      "origin",
                                      "origin\n",
                                      "origin:example.com/log\n" + config.substr(vkey),
                                      config.substr(0, config.size() - 1),
                                      config + "\n",
                                      config + config,
                                      config.substr(vkey)};
  // Each line with another value, one after the other.
  for (const std::string name : {"origin", "vkey", "home", "sha256"}) {
    for (const std::string& value : {std::string("x"), std::string("7"), another}) {
      std::string text = config;
      const size_t begin = text.find(name + " ") + name.size() + 1;
      text.replace(begin, text.find('\n', begin) - begin, value);
      changed.push_back(text);
    }
  }
  for (const std::string& text : changed) {
    directory_.Write("config", text);
    ExpectError(Open(), Code::kCorrupt, "config: ");
    ExpectError(OpenToRead(), Code::kCorrupt, "config: ");
  }
  directory_.Write("config", config);
  EXPECT_TRUE(Open().has_value());
  directory_.Write("format", "tlogfs store 2\n");
  ExpectError(Open(), Code::kInvalid, "format: ");
}

TEST_F(StoreRefusalsTest, ToBelieveACheckpointOfAnotherBoot) {
  PublishedFile::Slot slot = Newest();
  slot.boot_id = std::string(16, 'b');
  Publish(slot);
  ExpectError(OpenToRead(), Code::kBusy, "the machine went down");
  EXPECT_TRUE(Open().has_value());
  EXPECT_TRUE(OpenToRead().has_value());
  directory_.Write("checkpoint", std::string(2 * kPublishedSlotLength, '\0'));
  ExpectError(OpenToRead(), Code::kBusy, "mount it once for writing");
  ExpectError(Open(), Code::kCorrupt, "checkpoint: neither slot is valid");
}

TEST_F(StoreRefusalsTest, ToGoBackAndToServeWhatTheLogDidNotSign) {
  const auto writer = Open().value();
  ASSERT_TRUE(Commit(writer.get()).has_value());
  const PublishedFile::Slot empty = Newest();
  ASSERT_TRUE(writer->Publish().has_value());
  const auto reader = OpenToRead().value();
  EXPECT_EQ(reader->Latest().value()->size(), 3u);
  const PublishedFile::Slot newest = Newest();
  Publish(empty);
  ExpectError(reader->Latest(), Code::kCorrupt, "went back to a smaller size");
  PublishedFile::Slot forged = newest;
  forged.published.note =
      SignCheckpoint(kOrigin, newest.published.head, SignerKey::Generate(kOrigin).value());
  Publish(forged);
  ExpectError(reader->Latest(), Code::kCorrupt, "is not signed by the log");
  Publish(newest);
  EXPECT_EQ(reader->Latest().value()->size(), 3u);
}

// A slot is a slot only if all of it makes sense, whatever its checksum says.
TEST_F(StoreRefusalsTest, SlotsThatHoldNoCheckpoint) {
  const PublishedFile::Slot sound = Newest();
  const auto file = PublishedFile::Open(disk_.get(), Access::kReadWrite).value();
  const std::string no_checkpoint = SignNote("no checkpoint\n", key_).ToString();
  for (const std::string& note : {std::string("no note"), no_checkpoint}) {
    PublishedFile::Slot slot = sound;
    slot.published.sequence += 1;
    slot.published.note = note;
    ASSERT_TRUE(file->Write(slot).has_value());
    EXPECT_EQ(file->Read()->published, sound.published);
    ExpectError(file->CheckBothSlots(), Code::kCorrupt, "is damaged");
  }
  // Valid, but in the place of the other one.
  const std::string bytes = directory_.Read("checkpoint");
  const size_t slot = sound.published.sequence % 2 * kPublishedSlotLength;
  std::string exchanged = bytes.substr(slot, kPublishedSlotLength);
  exchanged = slot == 0 ? std::string(kPublishedSlotLength, '\0') + exchanged
                        : exchanged + std::string(kPublishedSlotLength, '\0');
  directory_.Write("checkpoint", exchanged);
  EXPECT_EQ(file->Read().error().code, Code::kCorrupt);
  // Cut while it is open.
  directory_.Write("checkpoint", bytes.substr(0, 100));
  EXPECT_EQ(file->CheckBothSlots().error().code, Code::kCorrupt);
  ExpectError(file->IsNewer(sound.published.sequence + sound.published.sequence % 2),
              Code::kCorrupt, "shorter than its two slots");
  ExpectError(PublishedFile::Open(disk_.get(), Access::kReadWrite), Code::kCorrupt,
              "100 bytes long");
  ExpectError(PublishedFile::Open(disk_.get(), Access::kRead).value()->CheckBothSlots(),
              Code::kCorrupt, "100 bytes long");
}

TEST_F(StoreRefusalsTest, AHeadThatWasOverwritten) {
  const auto store = Open().value();
  ASSERT_TRUE(Commit(store.get()).has_value());
  ZeroHead();
  ExpectError(Commit(store.get()), Code::kCorrupt, "lock: its head was overwritten");
  ExpectError(store->AdvanceReplayPointToEnd(), Code::kCorrupt, "lock: its head was overwritten");
  ExpectError(store->Publish(), Code::kCorrupt, "lock: its head cannot be read");
  directory_.Write("lock", "short");
  ExpectError(Open(), Code::kCorrupt, "lock: is 5 bytes long");
}

TEST_F(StoreRefusalsTest, AHeadThatDoesNotFitTheJournal) {
  const auto store = Open().value();
  ASSERT_TRUE(Commit(store.get()).has_value());
  ASSERT_TRUE(store->Close().has_value());
  const std::string sound = directory_.Read("lock");
  const std::vector<std::function<void(WriterState*)>> changes = {
      [](WriterState* head) { head->replay_point.tail += 4096; },
      [](WriterState* head) { head->replay_point.record += 4096; },
      [](WriterState* head) { head->durable_size -= 1; },
      [](WriterState* head) { head->durable_frames_end -= 1; },
      [](WriterState* head) { head->durable_sequence += 1; },
  };
  for (const auto& change : changes) {
    WriteWriterState(change);
    ExpectError(Open(), Code::kCorrupt, "lock: its head does not fit the journal");
    EXPECT_FALSE(Audit(disk_.get(), {})->damages.empty());
    directory_.Write("lock", sound);
  }
  EXPECT_TRUE(Audit(disk_.get(), {})->damages.empty());
  EXPECT_TRUE(Open().has_value());
}

TEST_F(StoreRefusalsTest, ACheckpointOfAnEarlierClose) {
  std::string earlier;
  for (int i = 0; i < 2; ++i) {
    earlier = directory_.Read("checkpoint");
    const auto store = Open().value();
    ASSERT_TRUE(Commit(store.get()).has_value());
    ASSERT_TRUE(store->Publish().has_value());
    ASSERT_TRUE(store->Close().has_value());
  }
  directory_.Write("checkpoint", earlier);
  ExpectError(Open(), Code::kCorrupt,
              "checkpoint: is of size 3, and the last one, but the journal ends at size 6");
  EXPECT_FALSE(Audit(disk_.get(), {})->damages.empty());
}

TEST_F(StoreRefusalsTest, ToPublishWhenBothSlotsAreGone) {
  const auto store = Open().value();
  ASSERT_TRUE(Commit(store.get()).has_value());
  ASSERT_TRUE(store->Publish().has_value());
  directory_.Write("checkpoint", std::string(2 * kPublishedSlotLength, '\0'));
  ASSERT_TRUE(Commit(store.get()).has_value());
  ExpectError(store->Publish(), Code::kCorrupt, "checkpoint: neither slot is valid");
}

// The sync of another process failed: every one stops, until a new one has recovered.
TEST_F(StoreRefusalsTest, ToGoOnWhereAnotherProcessPoisonedTheHead) {
  const auto one = Open().value();
  const auto other = Open().value();
  ASSERT_TRUE(Commit(one.get()).has_value());
  WriteWriterState([](WriterState* head) { head->phase = WriterPhase::kPoisoned; });
  ExpectError(Commit(one.get()), Code::kReadOnly, "the log stopped");
  ExpectError(Commit(one.get()), Code::kReadOnly, "the log stopped");
  ExpectError(other->AdvanceReplayPointToEnd(), Code::kReadOnly, "the log stopped");
  ASSERT_TRUE(other->Close().error().code == Code::kReadOnly);
  EXPECT_EQ(Open().value()->reader().Latest().value()->size(), 3u);
}

// A process died while it advanced the replay point: whoever advances it next recovers first.
TEST_F(StoreRefusalsTest, NothingWhereTheBaseWasBeingAdvanced) {
  const auto store = Open().value();
  ASSERT_TRUE(Commit(store.get()).has_value());
  WriteWriterState([](WriterState* head) { head->advancing = true; });
  ASSERT_TRUE(Commit(store.get()).has_value());
  ASSERT_TRUE(store->AdvanceReplayPointToEnd().has_value());
  EXPECT_EQ(store->Publish().value(), 6u);
}

// Closing says that all is on the disk only if nobody has appended meanwhile.
TEST_F(StoreRefusalsTest, ToCallComplete) {
  const auto one = Open().value();
  const auto other = Open().value();
  ASSERT_TRUE(Commit(one.get()).has_value());
  ASSERT_TRUE(one->Publish().has_value());
  ASSERT_TRUE(Commit(other.get()).has_value());
  ASSERT_TRUE(one->Close().has_value());
  EXPECT_NE(Newest().boot_id, kCompleteBoot);
  ASSERT_TRUE(other->Publish().has_value());
  ASSERT_TRUE(other->Close().has_value());
  EXPECT_EQ(Newest().boot_id, kCompleteBoot);
}

}  // namespace
