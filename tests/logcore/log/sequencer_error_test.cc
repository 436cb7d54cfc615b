// The sequencer on a disk that fails: everybody is answered, with the right error; what can go on
// goes on, and what must stop stops.

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "logcore/log/batch.h"
#include "logcore/log/sequencer.h"
#include "logcore/posix/files/segments.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/support/faulty_store.h"

namespace {

using namespace logcore;
using tlogfs_test::FaultyStoreTest;

class SequencerErrorTest : public FaultyStoreTest {};

TEST_F(SequencerErrorTest, AFullDiskFailsTheAppendAlone) {
  const auto sequencer = Sequencer::Start(store_.get(), {});
  FailAlways("allocate", "entries/0", Code::kNoSpace);
  EXPECT_EQ(sequencer->Append("no room").error().code, Code::kNoSpace);
  const Sequencer::Ticket silent = sequencer->Submit(Entry("nobody wants to know"));
  EXPECT_TRUE(Published(sequencer.get(), silent).has_value());
  faults_.Set({});
  EXPECT_EQ(sequencer->Append("room").value(), 0u);
}

// What waits behind the batch whose sync fails is refused, as is all that comes later.
TEST_F(SequencerErrorTest, AFailedSyncStopsTheLogAndAnswersAllWhoWait) {
  std::promise<void> syncing;
  std::promise<void> queued;
  std::atomic<bool> first = true;
  faults_.Set([&](const std::string& operation, const std::string& name) -> Status {
    if (operation != "sync" || name != "journal" || !first.exchange(false)) return {};
    syncing.set_value();
    queued.get_future().wait();
    return Fail(Code::kIo, "sync journal: it failed");
  });
  const auto sequencer = Sequencer::Start(store_.get(), {.queue_length = 10});
  std::vector<Code> codes(3, Code::kNotFound);
  for (size_t i = 0; i < codes.size(); ++i) {
    Submission submission = Entry("a line of some length");
    submission.on_durable = [&codes, i](const Result<Appended>& appended) {
      codes[i] = appended.has_value() ? Code::kExists : appended.error().code;
    };
    sequencer->Submit(std::move(submission));
    if (i == 0) syncing.get_future().wait();
  }
  sequencer->Submit(Entry("nobody wants to know"));
  EXPECT_TRUE(sequencer->Full());
  std::promise<void> room;
  sequencer->WhenNotFull([&] { room.set_value(); });
  queued.set_value();
  room.get_future().wait();
  static_cast<void>(Published(sequencer.get(), sequencer->Newest()));
  EXPECT_EQ(codes, (std::vector<Code>{Code::kIo, Code::kReadOnly, Code::kReadOnly}));

  const Result<uint64_t> late = sequencer->Append("late");
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, Code::kReadOnly);
  EXPECT_EQ(late.error().message, "append: the log stopped: sync journal: it failed");
  EXPECT_FALSE(sequencer->Cancel(sequencer->Submit(Entry("late, and silent"))));
  EXPECT_FALSE(sequencer->Full());
  bool called = false;
  sequencer->WhenNotFull([&] { called = true; });
  EXPECT_TRUE(called);
}

// Who waits for a ticket that is being refused by another thread hears of it after its owner.
TEST_F(SequencerErrorTest, ARefusalIsKnownOnceItWasSaid) {
  const auto sequencer = Sequencer::Start(store_.get(), {});
  sequencer->Stop();
  std::promise<void> refusing;
  std::promise<void> may_go_on;
  std::atomic<bool> said = false;
  std::thread owner([&] {
    Submission submission = Entry("late");
    submission.on_durable = [&](const Result<Appended>& appended) {
      EXPECT_FALSE(appended.has_value());
      refusing.set_value();
      may_go_on.get_future().wait();
      said = true;
    };
    sequencer->Queue(std::move(submission));
  });
  refusing.get_future().wait();
  EXPECT_FALSE(sequencer->Idle());
  std::promise<bool> known;
  sequencer->WhenDurable(sequencer->Newest(), [&] { known.set_value(said); });
  may_go_on.set_value();
  EXPECT_TRUE(known.get_future().get());
  owner.join();
  EXPECT_TRUE(sequencer->Idle());
}

// All who wait in one group hear of its failure, and so does who commits.
TEST_F(SequencerErrorTest, AFailedSyncAnswersAWholeGroup) {
  std::promise<void> syncing;
  std::promise<void> queued;
  std::atomic<int> syncs = 0;
  faults_.Set([&](const std::string& operation, const std::string& name) -> Status {
    if (operation != "sync" || name != "journal") return {};
    if (syncs++ != 0) return Fail(Code::kIo, "sync journal: it failed");
    syncing.set_value();
    queued.get_future().wait();
    return {};
  });
  const auto sequencer = Sequencer::Start(store_.get(), {});
  std::vector<std::thread> threads;
  threads.emplace_back([&] { EXPECT_EQ(sequencer->Append("goes well").value(), 0u); });
  syncing.get_future().wait();
  std::atomic<int> failed = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      if (!sequencer->Append("does not").has_value()) ++failed;
    });
  }
  queued.set_value();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 8);
}

// A submission that was queued and is taken back makes room.
TEST_F(SequencerErrorTest, CancellingMakesRoom) {
  std::promise<void> syncing;
  std::promise<void> go_on;
  std::atomic<bool> first = true;
  faults_.Set([&](const std::string& operation, const std::string& name) -> Status {
    if (operation == "sync" && name == "journal" && first.exchange(false)) {
      syncing.set_value();
      go_on.get_future().wait();
    }
    return {};
  });
  const auto sequencer = Sequencer::Start(store_.get(), {.queue_length = 10});
  sequencer->Submit(Entry("under way"));
  syncing.get_future().wait();
  const Sequencer::Ticket waiting = sequencer->Submit(Entry("a line of some length"));
  EXPECT_TRUE(sequencer->Full());
  bool room = false;
  sequencer->WhenNotFull([&] { room = true; });
  EXPECT_FALSE(room);
  EXPECT_TRUE(sequencer->Cancel(waiting));
  EXPECT_TRUE(room);
  EXPECT_FALSE(sequencer->Cancel(waiting));
  go_on.set_value();
  EXPECT_TRUE(Published(sequencer.get(), waiting).has_value());
  EXPECT_EQ(store_->reader().Latest().value()->size(), 1u);
}

TEST_F(SequencerErrorTest, APublicationThatFailedIsToldAndMadeUpFor) {
  const auto sequencer = Sequencer::Start(store_.get(), {});
  ASSERT_TRUE(sequencer->Append("first").has_value());
  ASSERT_TRUE(Published(sequencer.get(), sequencer->Newest()).has_value());
  FailAlways("write", "checkpoint", Code::kIo);
  ASSERT_TRUE(sequencer->Append("durable").has_value());
  // However late one asks, and however often.
  for (int i = 0; i < 5; ++i) {
    const Status status = Published(sequencer.get(), sequencer->Newest());
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code, Code::kIo);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  faults_.Set({});
  EXPECT_TRUE(Published(sequencer.get(), sequencer->Newest()).has_value());
  ASSERT_TRUE(sequencer->Append("more").has_value());
  EXPECT_TRUE(Published(sequencer.get(), sequencer->Newest()).has_value());
  EXPECT_EQ(store_->reader().Latest().value()->size(), 3u);
}

TEST_F(SequencerErrorTest, WhoAsksAfterTheEndIsToldWhatTheLastPublicationSaid) {
  const auto sequencer = Sequencer::Start(store_.get(), {});
  ASSERT_TRUE(sequencer->Append("first").has_value());
  ASSERT_TRUE(Published(sequencer.get(), sequencer->Newest()).has_value());
  FailAlways("write", "checkpoint", Code::kIo);
  ASSERT_TRUE(sequencer->Append("durable").has_value());
  sequencer->Stop();
  EXPECT_FALSE(Published(sequencer.get(), sequencer->Newest()).has_value());
}

// The journal cannot be freed: the log stops, and says so to the next one.
TEST_F(SequencerErrorTest, ABaseThatCannotBeWrittenStopsTheLog) {
  const auto sequencer = Sequencer::Start(store_.get(), {});
  FailAlways("sync", "entries/0", Code::kIo);
  Result<uint64_t> appended = 0;
  for (int i = 0; i < 200 && appended.has_value(); ++i) appended = sequencer->Append("entry");
  ASSERT_FALSE(appended.has_value());
  EXPECT_TRUE(appended.error().code == Code::kIo || appended.error().code == Code::kReadOnly);
  sequencer->Stop();
  faults_.Set({});
  EXPECT_GT(OpenStore()->reader().Latest().value()->size(), 10u);
}

// Somebody else died between committing and publishing.
TEST_F(SequencerErrorTest, AnIdleProcessPublishesForOneThatDied) {
  const auto sequencer = Sequencer::Start(store_.get(), {});
  {
    const auto other = OpenStore();
    Batch batch;
    const Submission entry = Entry("of another process");
    batch.Append(entry.frames, 1);
    ASSERT_TRUE(other->Commit(&batch).has_value());
  }
  for (int i = 0; i < 600 && store_->reader().Latest().value()->size() == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(store_->reader().Latest().value()->size(), 1u);
}

// Without a descriptor for the files of a new segment an append fails, alone, and before anything
// was written.
TEST_F(SequencerErrorTest, WithoutADescriptorOneAppendFails) {
  for (uint64_t size = 0; size < kSegmentEntries; size += 4096) {
    Batch batch;
    batch.Append(std::string(2 * 4096, '\0'), 4096);
    ASSERT_TRUE(store_->Commit(&batch).has_value());
  }
  const auto sequencer = Sequencer::Start(store_.get(), {});
  for (const char* operation : {"create", "open"}) {
    for (const char* name : {"entries/1", "entries/1.index"}) {
      FailAlways(operation, name, Code::kBusy);
      const auto appended = sequencer->Append("one");
      ASSERT_FALSE(appended.has_value()) << operation << " " << name;
      EXPECT_EQ(appended.error().code, Code::kBusy);
    }
  }
  faults_.Set(nullptr);
  EXPECT_EQ(sequencer->Append("one").value(), kSegmentEntries);
  sequencer->Stop();
  EXPECT_TRUE(store_->Close().has_value());
}

}  // namespace
