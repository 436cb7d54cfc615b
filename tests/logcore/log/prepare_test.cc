// A batch is prepared while the one before it is being flushed. Whatever becomes of that one, what
// is committed is what it would be else; and everybody is answered, in time and with the truth.

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "logcore/log/batch.h"
#include "logcore/log/sequencer.h"
#include "logcore/posix/check/audit.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/files/segments.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/support/faulty_store.h"

namespace {

using namespace logcore;
using tlogfs_test::FaultyStoreTest;

class PrepareTest : public FaultyStoreTest {
 protected:
  static Batch BatchOf(const std::string& name, uint64_t count) {
    std::string frames;
    for (uint64_t i = 0; i < count; ++i) AppendFrame(&frames, name + std::to_string(i));
    Batch batch;
    batch.Append(frames, count);
    return batch;
  }
  void Commit(StoreWriter* store, Batch* batch, Batch* next = nullptr) {
    const uint64_t first = entries_.size();
    const auto entries = ParseFrames(batch->frames(), batch->count()).value();
    entries_.insert(entries_.end(), entries.begin(), entries.end());
    const auto prepare = [&] {
      if (next != nullptr) store->Prepare(next);
    };
    const Result<Committed> committed = store->Commit(batch, prepare);
    ASSERT_TRUE(committed.has_value()) << committed.error().message;
    ASSERT_EQ(committed->first_index, first);
  }
  // Every byte of the store, by the audit; and that it has what was appended.
  void Check() {
    ASSERT_EQ(store_->Publish().value(), entries_.size());
    const auto snapshot = store_->reader().Latest().value();
    for (uint64_t i = 0; i < entries_.size(); i += 1 + i / 50) {
      ASSERT_EQ(snapshot->Entry(i).value(), entries_[i]) << i;
    }
    EXPECT_TRUE(Audit(&disk_, {})->damages.empty());
  }

  std::vector<std::string> entries_;
};

// What was prepared is used if nothing came in between, and only then; where another store has
// committed meanwhile, nothing is.
TEST_F(PrepareTest, WhatComesInBetweenCounts) {
  const auto other = OpenStore();
  const std::string chunk(200, 'x');
  std::string more;
  AppendFrame(&more, "one more");
  for (uint64_t turn = 0; turn < 200; ++turn) {
    Batch zero = BatchOf("zero", 1);
    Batch one = BatchOf(std::to_string(turn) + "one" + chunk, 1 + turn % 30);
    Batch two = BatchOf(std::to_string(turn) + "two" + chunk, 1 + turn * 7 % 40);
    Batch three = BatchOf("three", 2);
    Commit(turn % 6 == 5 ? other.get() : store_.get(), &zero);
    Commit(store_.get(), &one, &two);
    ASSERT_EQ(two.prepared() != nullptr, turn % 6 != 5);
    if (turn % 6 == 1) Commit(other.get(), &three);
    if (turn % 6 == 2) Commit(store_.get(), &three);
    if (turn % 6 == 3) two.Append(more, 1);
    if (turn % 6 == 4) two.Append(more, std::vector<Hash>{HashLeaf("one more")});
    const PreparedBatch* const prepared = two.prepared();
    Commit(store_.get(), &two);
    // What took its place was made before it was gone.
    EXPECT_EQ(two.prepared() == prepared, turn % 6 == 0) << turn;
  }
  Check();
}

// As an append that failed for want of room can be tried again, so can one that was committed.
TEST_F(PrepareTest, ABatchThatIsCommittedAgain) {
  Batch batch = BatchOf("again", 3);
  FailAlways("allocate", "entries/0", Code::kNoSpace);
  EXPECT_EQ(store_->Commit(&batch).error().code, Code::kNoSpace);
  faults_.Set({});
  for (int i = 0; i < 3; ++i) Commit(store_.get(), &batch, nullptr);
  FailAlways("write", "lock", Code::kIo);
  EXPECT_EQ(store_->Commit(&batch).error().code, Code::kIo);
  faults_.Set({});
  EXPECT_EQ(store_->Commit(&batch).error().code, Code::kReadOnly);
  store_ = OpenStore();
  Commit(store_.get(), &batch);
  Check();
}

TEST_F(PrepareTest, IntoTheNextSegment) {
  for (Batch now = BatchOf("", 3001); entries_.size() <= kSegmentEntries;) {
    Batch next = BatchOf(std::to_string(entries_.size()), 3001);
    Commit(store_.get(), &now, &next);
    now = std::move(next);
  }
  Check();
}

// While the first batch is flushed, the second is full and prepared, and a third begins.
class SequencerPreparesTest : public FaultyStoreTest {
 protected:
  // What became of each: an index, or the code of an error; neither of what was cancelled.
  struct Outcome {
    std::optional<uint64_t> index;
    std::optional<Code> code;
  };

  // The first batch's commit ends with `status`; before it does, the sequencer may be told to stop.
  std::vector<Outcome> Append(const std::string& operation, const std::string& name,
                              const Status& status, bool stop_before = false) {
    std::promise<void> under_way;
    std::promise<void> go_on;
    std::atomic<bool> first = true;
    faults_.Set([&](const std::string& its_operation, const std::string& its_name) -> Status {
      if (its_operation != operation || its_name != name || !first.exchange(false)) return {};
      under_way.set_value();
      go_on.get_future().wait();
      return status;
    });
    const auto sequencer = Sequencer::Start(store_.get(), {.batch_length = 3 * Length()});
    std::mutex mutex;
    std::vector<Outcome> outcomes(7);
    std::vector<Sequencer::Ticket> tickets;
    for (size_t i = 0; i < outcomes.size(); ++i) {
      Submission submission = Entry(std::string(10, static_cast<char>('a' + i)));
      submission.on_durable = [&, i](const Result<Appended>& appended) {
        const std::lock_guard lock(mutex);
        if (appended.has_value()) {
          outcomes[i].index = appended->first_index;
        } else {
          outcomes[i].code = appended.error().code;
        }
      };
      tickets.push_back(sequencer->Submit(std::move(submission)));
      if (i == 0) under_way.get_future().wait();
    }
    EXPECT_FALSE(sequencer->Cancel(tickets[3]));
    EXPECT_TRUE(sequencer->Cancel(tickets[5]));
    std::thread stopping;
    if (stop_before) {
      stopping = std::thread([&] { sequencer->Stop(); });
      while (sequencer->Cancel(sequencer->Submit(Entry("too late")))) {
      }
    }
    go_on.set_value();
    if (stop_before) stopping.join();
    publication_ = Published(sequencer.get(), tickets.back());
    sequencer->Stop();
    faults_.Set({});
    return outcomes;
  }
  static size_t Length() { return kFrameHeaderLength + 10; }

  Status publication_;
};

TEST_F(SequencerPreparesTest, WhatWasPreparedComesNext) {
  for (const bool stop_before : {false, true}) {
    const uint64_t before = stop_before ? 6 : 0;
    const std::vector<Outcome> outcomes = Append("sync", "journal", Status(), stop_before);
    for (size_t i = 0; i < 7; ++i) {
      const size_t cancelled = 5;
      if (i == cancelled) continue;
      EXPECT_EQ(outcomes[i].index, before + (i < cancelled ? i : i - 1)) << i;
    }
    EXPECT_TRUE(publication_.has_value());
    const auto snapshot = store_->reader().Latest().value();
    EXPECT_EQ(snapshot->size(), before + 6);
    EXPECT_EQ(snapshot->Entry(before + 3).value(), "dddddddddd");
    EXPECT_EQ(snapshot->Entry(before + 5).value(), "gggggggggg");
  }
}

TEST_F(SequencerPreparesTest, WhatWasPreparedIsNotPublishedBeforeItIsCommitted) {
  std::promise<void> first_under_way;
  std::promise<void> second_under_way;
  std::promise<void> end_first;
  std::promise<void> end_second;
  std::atomic<int> syncs = 0;
  faults_.Set([&](const std::string& operation, const std::string& name) -> Status {
    if (operation != "sync" || name != "journal") return {};
    const int number = syncs++;
    if (number == 0) {
      first_under_way.set_value();
      end_first.get_future().wait();
    } else if (number == 1) {
      second_under_way.set_value();
      end_second.get_future().wait();
    }
    return {};
  });
  const auto sequencer = Sequencer::Start(store_.get(), {.batch_length = 3 * Length()});
  const auto submit = [&] { return sequencer->Submit(Entry(std::string(10, 'x'))); };
  const Sequencer::Ticket first = submit();
  first_under_way.get_future().wait();
  submit();
  submit();
  const Sequencer::Ticket prepared = submit();
  EXPECT_FALSE(sequencer->Cancel(prepared));
  std::atomic<bool> published = false;
  std::promise<void> done;
  sequencer->WhenPublished(prepared, [&](const Status& status) {
    EXPECT_TRUE(status.has_value());
    published = true;
    done.set_value();
  });
  end_first.set_value();
  second_under_way.get_future().wait();
  EXPECT_TRUE(Published(sequencer.get(), first).has_value());
  EXPECT_FALSE(published);
  end_second.set_value();
  done.get_future().wait();
  EXPECT_EQ(store_->reader().Latest().value()->size(), 4u);
}

TEST_F(SequencerPreparesTest, WhatWasPreparedIsRefusedOnceTheLogHasStopped) {
  const std::vector<Outcome> outcomes =
      Append("sync", "journal", Fail(Code::kIo, "sync journal: it failed"));
  EXPECT_EQ(outcomes[0].code, Code::kIo);
  for (const size_t i : {1u, 2u, 3u, 4u, 6u}) EXPECT_EQ(outcomes[i].code, Code::kReadOnly) << i;
  EXPECT_FALSE(outcomes[5].code);
}

// Nothing was written of the first one.
TEST_F(SequencerPreparesTest, WhatWasPreparedIsRefusedThoughItCouldBeCommitted) {
  const std::vector<Outcome> outcomes =
      Append("write", "lock", Fail(Code::kIo, "write lock: it failed"));
  EXPECT_EQ(outcomes[0].code, Code::kIo);
  for (const size_t i : {1u, 2u, 3u, 4u, 6u}) EXPECT_EQ(outcomes[i].code, Code::kReadOnly) << i;
  EXPECT_EQ(OpenStore()->reader().Latest().value()->size(), 0u);
}

}  // namespace
