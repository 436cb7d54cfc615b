// The sequencer: from many threads to one order, nobody forgotten, nobody answered twice.

#include "logcore/log/sequencer.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/files/journal.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "logcore/log/submission_queue.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/support/either_log.h"

namespace {

using namespace logcore;
using tlogfs_test::EitherLog;
using tlogfs_test::Storage;

class SequencerBase : public testing::Test {
 protected:
  explicit SequencerBase(Storage storage)
      : log_(storage,
             {.origin = "example.com/log",
              .key = {},
              .journal_length = kRecordsStart + 256 * kJournalBlock},
             [] { return int64_t{1'700'000'000'000'000'000}; }) {}

  static Submission Entries(const std::vector<std::string>& entries) {
    Submission submission;
    for (const std::string& entry : entries) AppendFrame(&submission.frames, entry);
    submission.count = entries.size();
    return submission;
  }
  std::shared_ptr<const Snapshot> Latest() { return log_.published().Latest().value(); }

  EitherLog log_;
};

class SequencerTest : public SequencerBase, public testing::WithParamInterface<Storage> {
 protected:
  SequencerTest() : SequencerBase(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(EachStorage, SequencerTest, tlogfs_test::kBothStorages,
                         tlogfs_test::StorageName);

class StoreSequencerTest : public SequencerBase {
 protected:
  StoreSequencerTest() : SequencerBase(Storage::kFiles) {}
};

TEST_P(SequencerTest, ManyThreadsGetDistinctIndexesInTheirOwnOrder) {
  constexpr int kThreads = 8;
  constexpr int kEach = 200;
  std::vector<std::vector<uint64_t>> indexes(kThreads);
  {
    const auto sequencer = Sequencer::Start(&log_.writer(), {});
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) {
          indexes[t].push_back(
              sequencer->Append(std::to_string(t) + " " + std::to_string(i)).value());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  std::set<uint64_t> all;
  for (size_t t = 0; t < kThreads; ++t) {
    EXPECT_TRUE(std::is_sorted(indexes[t].begin(), indexes[t].end()));
    for (size_t i = 0; i < kEach; ++i) {
      all.insert(indexes[t][i]);
      EXPECT_EQ(Latest()->Entry(indexes[t][i]).value(),
                std::to_string(t) + " " + std::to_string(i));
    }
  }
  EXPECT_EQ(all.size(), size_t{kThreads * kEach});
  EXPECT_EQ(*all.rbegin(), uint64_t{kThreads * kEach - 1});
  log_.ExpectSound();
}

TEST_P(SequencerTest, SubmissionsAreAnsweredInOrderWithTheirHashes) {
  const auto sequencer = Sequencer::Start(&log_.writer(), {});
  std::vector<uint64_t> firsts;
  std::vector<std::promise<void>> answered(50);
  for (size_t i = 0; i < answered.size(); ++i) {
    Submission submission = Entries({"a" + std::to_string(i), "b" + std::to_string(i)});
    submission.on_durable = [&, i](const Result<Appended>& appended) {
      firsts.push_back(appended->first_index);
      EXPECT_EQ(appended->leaf_hashes.size(), 2u);
      EXPECT_EQ(appended->leaf_hashes[1], HashLeaf("b" + std::to_string(i)));
      answered[i].set_value();
    };
    EXPECT_EQ(sequencer->Submit(std::move(submission)), i + 1);
  }
  for (auto& promise : answered) promise.get_future().wait();
  for (size_t i = 0; i < firsts.size(); ++i) EXPECT_EQ(firsts[i], 2 * i);
}

TEST_P(SequencerTest, PublishedMeansPublished) {
  const auto sequencer = Sequencer::Start(&log_.writer(), {});
  for (uint64_t i = 0; i < 100; ++i) {
    const Sequencer::Ticket ticket = sequencer->Submit(Entries({"x"}));
    std::promise<Status> published;
    sequencer->WhenPublished(ticket, [&](const Status& status) { published.set_value(status); });
    ASSERT_TRUE(published.get_future().get().has_value());
    ASSERT_LT(i, Latest()->size());
  }
  // What was never submitted has nothing to wait for.
  bool called = false;
  sequencer->WhenPublished(0, [&](const Status&) { called = true; });
  EXPECT_TRUE(called);
}

// While commit follows commit, publication is put off; nobody needs to ask for the last one.
TEST_P(SequencerTest, WhatNobodyWaitsForIsPublishedAllTheSame) {
  constexpr uint64_t kThreads = 8;
  constexpr uint64_t kEach = 300;
  const auto sequencer = Sequencer::Start(&log_.writer(), {});
  const uint64_t before = Latest()->published().sequence;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (uint64_t i = 0; i < kEach; ++i) EXPECT_TRUE(sequencer->Append("entry").has_value());
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (Latest()->size() < kThreads * kEach) {
    ASSERT_LT(std::chrono::steady_clock::now(), end);
    std::this_thread::yield();
  }
  EXPECT_LT(Latest()->published().sequence - before, kThreads * kEach);
}

// Others withdraw what they queued meanwhile, and so say of older tickets that they are processed.
TEST_P(SequencerTest, PublishedMeansPublishedWhileOthersCancel) {
  const auto sequencer = Sequencer::Start(&log_.writer(), {});
  std::atomic<bool> done = false;
  std::thread canceller([&] {
    while (!done) sequencer->Cancel(sequencer->Queue(Entries({"withdrawn"})));
  });
  for (int i = 0; i < 2000; ++i) {
    const uint64_t index = sequencer->Append("x").value();
    std::promise<Status> published;
    sequencer->WhenPublished(sequencer->Newest(),
                             [&](const Status& status) { published.set_value(status); });
    EXPECT_TRUE(published.get_future().get().has_value());
    EXPECT_LT(index, Latest()->size());
  }
  done = true;
  canceller.join();
}

TEST_P(SequencerTest, CheckpointIntervalHoldsPublicationBackButNotDurability) {
  auto sequencer =
      Sequencer::Start(&log_.writer(), {.checkpoint_interval = std::chrono::milliseconds(150)});
  std::set<uint64_t> sizes;
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(sequencer->Append("entry").has_value());
    sizes.insert(Latest()->size());
  }
  sequencer->Stop();
  EXPECT_LT(sizes.size(), 100u);
  EXPECT_EQ(Latest()->size(), 300u);
}

// Whatever comes first, bytes or entries; but one submission stays together.
TEST(SubmissionQueue, ABatchIsBoundedInBytesAndEntries) {
  SubmissionQueue queue(1000, 16);
  Sequencer::Ticket ticket = 0;
  const auto push = [&](size_t length, uint64_t count) {
    queue.Push(
        {++ticket, {std::string(length, 'x'), count, nullptr}, std::vector<Hash>(count), nullptr});
  };
  for (int i = 0; i < 8; ++i) push(10, 5);
  push(10, 100);
  push(800, 1);
  push(800, 1);
  EXPECT_TRUE(queue.HasFullBatch());
  for (const size_t taken : {3u, 3u, 2u, 1u, 1u, 1u}) EXPECT_EQ(queue.TakeBatch().size(), taken);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.length(), 0u);

  push(10, 13);
  EXPECT_FALSE(queue.HasFullBatch());
  push(10, 1);
  EXPECT_TRUE(queue.HasFullBatch());
  EXPECT_LT(14 * sizeof(Hash) + 20, queue.length());
  EXPECT_TRUE(queue.Remove(ticket).has_value());
  EXPECT_FALSE(queue.HasFullBatch());
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(queue.AddToGroup("", Hash()), i != 0);
    if (i == 0) queue.PushGroup(++ticket, "", Hash());
  }
  EXPECT_FALSE(queue.AddToGroup("", Hash()));  // It has 16.
}

// Before their publication, which has a timer; and after on_durable.
TEST_P(SequencerTest, DurableIsToldWithoutWaitingForPublication) {
  const auto sequencer =
      Sequencer::Start(&log_.writer(), {.checkpoint_interval = std::chrono::hours(1)});
  EXPECT_FALSE(sequencer->publishes_at_once());
  for (uint64_t i = 0; i < 100; ++i) {
    std::atomic<bool> answered = false;
    Submission submission = Entries({"x"});
    submission.on_durable = [&](const Result<Appended>& appended) {
      EXPECT_TRUE(appended.has_value());
      answered = true;
    };
    const Sequencer::Ticket ticket = sequencer->Submit(std::move(submission));
    std::promise<bool> durable;
    sequencer->WhenDurable(ticket, [&] { durable.set_value(answered); });
    EXPECT_TRUE(durable.get_future().get());
    bool called = false;  // at once, now
    sequencer->WhenDurable(ticket, [&] { called = true; });
    EXPECT_TRUE(called);
  }
  EXPECT_LT(Latest()->size(),
            100u);  // the first one, and what came with it
  // One that was withdrawn, and one that is refused, are waited for no longer.
  const Sequencer::Ticket ticket = sequencer->Queue(Entries({"withdrawn"}));
  std::promise<void> known;
  sequencer->WhenDurable(ticket, [&] { known.set_value(); });
  if (!sequencer->Cancel(ticket)) sequencer->CommitHere();
  known.get_future().wait();
  sequencer->Stop();
  const Sequencer::Ticket refused = sequencer->Submit(Entries({"refused"}));
  bool called = false;
  sequencer->WhenDurable(refused, [&] { called = true; });
  EXPECT_TRUE(called);
}

TEST_P(SequencerTest, CancelledSubmissionsAreNeverAddedAndNobodyWaitsForThem) {
  const auto sequencer = Sequencer::Start(&log_.writer(), {});
  int cancelled = 0;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 500; ++i) {
    Submission submission = Entries({std::to_string(i)});
    submission.on_durable = [&](const Result<Appended>&) { ++answered; };
    const Sequencer::Ticket ticket = sequencer->Submit(std::move(submission));
    if (i % 2 == 1 && sequencer->Cancel(ticket)) ++cancelled;
  }
  EXPECT_FALSE(sequencer->Cancel(12345));
  std::promise<void> published;
  sequencer->WhenPublished(sequencer->Newest(), [&](const Status&) { published.set_value(); });
  published.get_future().wait();
  EXPECT_EQ(answered, 500 - cancelled);
  EXPECT_EQ(Latest()->size(), static_cast<uint64_t>(500 - cancelled));
}

TEST_P(SequencerTest, FullQueueSaysSoAndThenSaysThatThereIsRoom) {
  const auto sequencer = Sequencer::Start(&log_.writer(), {.queue_length = 1000});
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 20; ++i) sequencer->Submit(Entries({std::string(100, 'x')}));
    std::promise<void> room;
    sequencer->WhenNotFull([&] { room.set_value(); });
    room.get_future().wait();
  }
  EXPECT_FALSE(sequencer->Full() && sequencer->Newest() == 0);
}

TEST_P(SequencerTest, StopAnswersEverybodyAndLaterOnesAreRefused) {
  std::atomic<int> durable = 0;
  std::atomic<int> published = 0;
  auto sequencer = Sequencer::Start(&log_.writer(), {});
  for (int i = 0; i < 1000; ++i) {
    Submission submission = Entries({"entry"});
    submission.on_durable = [&](const Result<Appended>& appended) {
      if (appended.has_value()) ++durable;
    };
    const auto ticket = sequencer->Submit(std::move(submission));
    sequencer->WhenPublished(ticket, [&](const Status&) { ++published; });
  }
  sequencer->Stop();
  EXPECT_EQ(durable, 1000);
  EXPECT_EQ(published, 1000);
  EXPECT_EQ(Latest()->size(), 1000u);
  EXPECT_EQ(sequencer->Append("late").error().code, Code::kReadOnly);
}

TEST_P(SequencerTest, WhoCommitsHereIsAnsweredHere) {
  const auto sequencer = Sequencer::Start(&log_.writer(), {});
  std::thread::id answered_by;
  Submission submission = Entries({"entry"});
  submission.on_durable = [&](const Result<Appended>&) {
    answered_by = std::this_thread::get_id();
  };
  sequencer->Queue(std::move(submission));
  sequencer->CommitHere();
  EXPECT_EQ(answered_by, std::this_thread::get_id());
  sequencer->CommitHere();  // There is nothing to commit.
}

// One thread commits here, others add to groups, queue and submit, and take some back.
TEST_P(SequencerTest, AllWaysOfAppendingAtOnceForgetNobody) {
  constexpr int kEach = 400;
  std::atomic<int> answered = 0;
  std::atomic<int> cancelled = 0;
  {
    const auto sequencer = Sequencer::Start(&log_.writer(), {.batch_length = 300});
    const auto counted = [&] {
      Submission submission = Entries({"a", "b"});
      submission.on_durable = [&](const Result<Appended>& appended) {
        if (appended.has_value()) ++answered;
      };
      return submission;
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kEach; ++i) ASSERT_TRUE(sequencer->Append("entry").has_value());
      });
    }
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        sequencer->Queue(counted());
        sequencer->CommitHere();
      }
    });
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        if (sequencer->Cancel(sequencer->Submit(counted()))) ++cancelled;
      }
    });
    for (std::thread& thread : threads) thread.join();
    std::promise<Status> published;
    sequencer->WhenPublished(sequencer->Newest(),
                             [&](const Status& status) { published.set_value(status); });
    EXPECT_TRUE(published.get_future().get().has_value());
    EXPECT_EQ(Latest()->size(), static_cast<uint64_t>(3 * kEach + 2 * (2 * kEach - cancelled)));
  }
  EXPECT_EQ(answered, 2 * kEach - cancelled);
  log_.ExpectSound();
}

// What a thread submitted before it appends comes before it in the log.
TEST_P(SequencerTest, AppendsComeAfterWhatTheirThreadSubmittedBefore) {
  const auto sequencer = Sequencer::Start(&log_.writer(), {});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const auto submitted = std::make_shared<std::promise<uint64_t>>();
        std::future<uint64_t> index = submitted->get_future();
        Submission submission = Entries({"first"});
        submission.on_durable = [submitted](const Result<Appended>& appended) {
          submitted->set_value(appended->first_index);
        };
        sequencer->Submit(std::move(submission));
        const uint64_t appended = sequencer->Append("second").value();
        ASSERT_LT(index.get(), appended);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(StoreSequencerTest, TwoSequencersOnOneStoreBothGetOn) {
  const StoreOptions options{.clock = [] { return int64_t{1'700'000'000'000'000'000}; }};
  const auto other_disk = OpenPosixDisk(log_.directory().path()).value();
  const auto other = StoreWriter::Open(other_disk.get(), options).value();
  {
    const auto a = Sequencer::Start(&log_.writer(), {});
    const auto b = Sequencer::Start(other.get(), {});
    std::vector<std::thread> threads;
    for (Sequencer* sequencer : {a.get(), b.get(), a.get(), b.get()}) {
      threads.emplace_back([sequencer] {
        for (int i = 0; i < 300; ++i) ASSERT_TRUE(sequencer->Append("entry").has_value());
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(Latest()->size(), 1200u);
  log_.ExpectSound();
}

// Full batches are prepared while others are flushed, and some in vain: another store commits, too.
TEST_F(StoreSequencerTest, FullBatchesKeepTheOrderOfWhoSubmitsThem) {
  constexpr size_t kThreads = 4;
  constexpr size_t kEach = 500;
  const StoreOptions options{.clock = [] { return int64_t{1'700'000'000'000'000'000}; }};
  const auto other_disk = OpenPosixDisk(log_.directory().path()).value();
  const auto other = StoreWriter::Open(other_disk.get(), options).value();
  std::vector<std::vector<uint64_t>> indexes(kThreads);
  {
    const auto busy = Sequencer::Start(&log_.writer(), {.batch_length = 300});
    const auto seldom = Sequencer::Start(other.get(), {.batch_length = 300});
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) {
      Sequencer* const sequencer = t + 1 == kThreads ? seldom.get() : busy.get();
      indexes[t].resize(kEach);
      threads.emplace_back([&, t, sequencer] {
        for (size_t i = 0; i < kEach; ++i) {
          Submission submission = Entries({std::to_string(t) + " " + std::to_string(i), "second"});
          submission.on_durable = [&, t, i](const Result<Appended>& appended) {
            indexes[t][i] = appended.value().first_index;
          };
          if (t % 2 == 0) {
            sequencer->Submit(std::move(submission));
          } else {
            sequencer->Queue(std::move(submission));
            if (i % 20 == 0) sequencer->CommitHere();
          }
          if (sequencer == seldom.get() && i % 50 == 0) {
            EXPECT_TRUE(sequencer->Append("alone").has_value());
          }
        }
        sequencer->CommitHere();
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  ASSERT_TRUE(log_.writer().Publish().has_value());
  EXPECT_EQ(Latest()->size(), 2 * kThreads * kEach + kEach / 50);
  for (size_t t = 0; t < kThreads; ++t) {
    EXPECT_TRUE(std::is_sorted(indexes[t].begin(), indexes[t].end()));
    for (size_t i = 0; i < kEach; ++i) {
      EXPECT_EQ(Latest()->Entry(indexes[t][i]).value(),
                std::to_string(t) + " " + std::to_string(i));
    }
  }
  log_.ExpectSound();
}

TEST_P(SequencerTest, EntryOverTheLimitIsRefused) {
  const auto sequencer = Sequencer::Start(&log_.writer(), {});
  EXPECT_EQ(sequencer->Append(std::string(kMaxEntryLength + 1, 'x')).error().code, Code::kTooLarge);
  EXPECT_EQ(sequencer->Append(std::string(kMaxEntryLength, 'x')).value(), 0u);
  EXPECT_EQ(sequencer->Append("").value(), 1u);
}

}  // namespace
