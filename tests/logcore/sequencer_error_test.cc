// The sequencer on a disk that fails: everybody is answered, with the right error; what can go on
// goes on, and what must stop stops.

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "logcore/entry_bundle.h"
#include "logcore/posix_disk.h"
#include "logcore/sequencer.h"
#include "tests/support/temp_log.h"

namespace {

using namespace logcore;
using tlogfs_test::TempDirectory;

// Asked before each operation: "sync", "journal". Answers what it is to fail with.
class Faults {
 public:
  using Ask = std::function<Status(const std::string& operation, const std::string& name)>;
  void Set(Ask ask) {
    const std::lock_guard lock(mutex_);
    ask_ = std::move(ask);
  }
  Status operator()(const std::string& operation, const std::string& name) const {
    Ask ask;
    {
      const std::lock_guard lock(mutex_);
      ask = ask_;
    }
    return ask ? ask(operation, name) : Status();
  }

 private:
  mutable std::mutex mutex_;
  Ask ask_;
};

class FaultyFile final : public File {
 public:
  FaultyFile(std::unique_ptr<File> file, std::string name, const Faults* faults)
      : file_(std::move(file)), name_(std::move(name)), faults_(faults) {}
  Result<size_t> ReadAt(uint64_t offset, char* out, size_t length) const override {
    return file_->ReadAt(offset, out, length);
  }
  Status WriteAt(uint64_t offset, std::string_view bytes) override {
    RETURN_IF_ERROR((*faults_)("write", name_));
    return file_->WriteAt(offset, bytes);
  }
  Status Allocate(uint64_t length) override {
    RETURN_IF_ERROR((*faults_)("allocate", name_));
    return file_->Allocate(length);
  }
  Status Cut(uint64_t length) override { return file_->Cut(length); }
  Status Sync() override {
    RETURN_IF_ERROR((*faults_)("sync", name_));
    return file_->Sync();
  }
  Result<uint64_t> Length() const override { return file_->Length(); }
  Result<std::shared_ptr<const char>> Map(uint64_t length) const override {
    return file_->Map(length);
  }
  Status Lock(int which) override { return file_->Lock(which); }
  void Unlock(int which) override { file_->Unlock(which); }

 private:
  const std::unique_ptr<File> file_;
  const std::string name_;
  const Faults* const faults_;
};

class FaultyDisk final : public Disk {
 public:
  FaultyDisk(const std::string& path, const Faults* faults)
      : disk_(OpenPosixDisk(path).value()), faults_(faults) {}
  Result<std::unique_ptr<File>> Open(const std::string& name, Access access) override {
    return Wrap(disk_->Open(name, access), name);
  }
  Result<std::unique_ptr<File>> Create(const std::string& name, unsigned mode) override {
    return Wrap(disk_->Create(name, mode), name);
  }
  Status MakeDirectory(const std::string& name, unsigned mode) override {
    return disk_->MakeDirectory(name, mode);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    return disk_->Rename(from, to);
  }
  Result<std::vector<std::string>> List(const std::string& directory) override {
    return disk_->List(directory);
  }
  Status SyncDirectory(const std::string& name) override { return disk_->SyncDirectory(name); }
  Result<FileInfo> Info(const std::string& name) override { return disk_->Info(name); }
  Result<std::string> FilesystemId() override { return disk_->FilesystemId(); }
  Result<std::string> BootId() override { return disk_->BootId(); }
  std::string RandomBytes(size_t length) override { return disk_->RandomBytes(length); }

 private:
  Result<std::unique_ptr<File>> Wrap(Result<std::unique_ptr<File>> file, const std::string& name) {
    if (!file.has_value()) return file;
    return std::make_unique<FaultyFile>(std::move(*file), name, faults_);
  }
  const std::unique_ptr<Disk> disk_;
  const Faults* const faults_;
};

class SequencerErrorTest : public testing::Test {
 protected:
  SequencerErrorTest() : disk_(directory_.path(), &faults_) {
    EXPECT_TRUE(Store::Init(&disk_,
                            {.origin = "example.com/log",
                             .key = {},
                             .journal_length = kRecordsStart + 64 * kJournalBlock},
                            options_)
                    .has_value());
    store_ = OpenStore();
  }
  std::unique_ptr<Store> OpenStore() {
    return Store::Open(&disk_, Store::Mode::kAppend, options_).value();
  }

  // `operation` on `name` fails from now on.
  void FailAlways(const std::string& operation, const std::string& name, Code code) {
    faults_.Set([=](const std::string& its_operation, const std::string& its_name) -> Status {
      if (its_operation != operation || its_name != name) return {};
      return Fail(code, operation + " " + name + ": it failed");
    });
  }
  static Submission Entry(const std::string& entry) {
    Submission submission;
    AppendFrame(&submission.frames, entry);
    submission.count = 1;
    return submission;
  }
  static Status Published(Sequencer* sequencer, Sequencer::Ticket ticket) {
    std::promise<Status> published;
    sequencer->WhenPublished(ticket, [&](const Status& status) { published.set_value(status); });
    return published.get_future().get();
  }

  const TempDirectory directory_;
  const StoreOptions options_{.clock = [] { return int64_t{1'700'000'000}; }};
  Faults faults_;
  FaultyDisk disk_;
  std::unique_ptr<Store> store_;
};

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
  EXPECT_EQ(store_->Latest().value()->size(), 1u);
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
  EXPECT_EQ(store_->Latest().value()->size(), 3u);
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
  EXPECT_GT(OpenStore()->Latest().value()->size(), 10u);
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
  for (int i = 0; i < 600 && store_->Latest().value()->size() == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(store_->Latest().value()->size(), 1u);
}

}  // namespace
