// A log that rests: what a sequencer does when nothing more is appended.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "logcore/log/batch.h"
#include "logcore/log/sequencer.h"
#include "logcore/posix/commit/store_writer.h"
#include "tests/support/faulty_store.h"

namespace {

using namespace logcore;

// Counts what is done to the disk.
class RestTest : public tlogfs_test::FaultyStoreTest {
 protected:
  RestTest() {
    faults_.Set([this](const std::string& operation, const std::string& name) -> Status {
      ++operations_;
      if (operation == "sync" && name == "entries/0") ++replay_points_;
      return {};
    });
  }
  bool WaitForRest() {
    for (int i = 0; i < 200 && 0 < store_->ReplayLength(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return store_->ReplayLength() == 0;
  }

  std::atomic<int> operations_{0};
  std::atomic<int> replay_points_{0};
};

TEST_F(RestTest, ARestingLogIsMadeDurableOnceAndThenLeftAlone) {
  const auto sequencer = Sequencer::Start(store_.get(), {});
  for (int round = 1; round <= 2; ++round) {
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(sequencer->Append("entry").has_value());
    EXPECT_GT(store_->ReplayLength(), 0);
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(WaitForRest());
    EXPECT_GT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(200));
    EXPECT_EQ(replay_points_, round);
    // The publisher may have had something to do still.
    ASSERT_TRUE(Published(sequencer.get(), sequencer->Newest()).has_value());
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const int before = operations_;
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    EXPECT_EQ(operations_, before);
  }
  sequencer->Stop();
  ASSERT_TRUE(store_->Close().has_value());
  EXPECT_EQ(replay_points_, 2);  // There was nothing left to do.
}

// Another process notes the end of the log, this one appends, then the other one's base is written:
// it does not cover what this one has to free.
TEST_F(RestTest, ABaseThatDoesNotCoverAProcesssLastCommitLeavesItsJournalToBeFreed) {
  const auto disk = OpenPosixDisk(directory_.path()).value();
  const auto here = StoreWriter::Open(disk.get(), options_).value();
  const auto commit = [](StoreWriter* store) {
    Batch batch;
    batch.Append(Entry("entry").frames, 1);
    return store->Commit(&batch).has_value();
  };
  ASSERT_TRUE(commit(store_.get()));
  bool committed = false;
  faults_.Set([&](const std::string& operation, const std::string& name) -> Status {
    if (operation == "sync" && name == "hashes/0" && !committed) committed = commit(here.get());
    return {};
  });
  ASSERT_TRUE(store_->AdvanceReplayPoint().has_value());
  ASSERT_TRUE(committed);
  EXPECT_GT(here->ReplayLength(), 0);
  ASSERT_TRUE(here->AdvanceReplayPoint().has_value());
  EXPECT_EQ(here->ReplayLength(), 0);
}

TEST_F(RestTest, WhileAppendsFollowEachOtherTheJournalAloneIsSynced) {
  const auto sequencer = Sequencer::Start(store_.get(), {});
  auto last = std::chrono::steady_clock::now();
  auto longest = last - last;
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(sequencer->Append("entry").has_value());
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const auto now = std::chrono::steady_clock::now();
    longest = std::max(longest, now - last);
    last = now;
  }
  if (std::chrono::milliseconds(450) < longest) GTEST_SKIP() << "the machine made a pause";
  EXPECT_EQ(replay_points_, 0);
}

}  // namespace
