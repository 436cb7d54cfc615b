// A store on a disk that fails where a test wants it to.

#ifndef TESTS_SUPPORT_FAULTY_STORE_H_
#define TESTS_SUPPORT_FAULTY_STORE_H_

#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "logcore/log/sequencer.h"
#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/support/temp_log.h"

namespace tlogfs_test {

// Asked before each operation: "sync", "journal". Answers what it is to fail with.
class Faults {
 public:
  using Ask = std::function<logcore::Status(const std::string& operation, const std::string& name)>;
  void Set(Ask ask) {
    const std::lock_guard lock(mutex_);
    ask_ = std::move(ask);
  }
  logcore::Status operator()(const std::string& operation, const std::string& name) const {
    Ask ask;
    {
      const std::lock_guard lock(mutex_);
      ask = ask_;
    }
    return ask ? ask(operation, name) : logcore::Status();
  }

 private:
  mutable std::mutex mutex_;
  Ask ask_;
};

class FaultyFile final : public logcore::File {
 public:
  FaultyFile(std::unique_ptr<logcore::File> file, std::string name, const Faults* faults)
      : file_(std::move(file)), name_(std::move(name)), faults_(faults) {}
  logcore::Result<size_t> ReadAt(uint64_t offset, char* out, size_t length) const override {
    return file_->ReadAt(offset, out, length);
  }
  logcore::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    RETURN_IF_ERROR((*faults_)("write", name_));
    return file_->WriteAt(offset, bytes);
  }
  logcore::Status Allocate(uint64_t length) override {
    RETURN_IF_ERROR((*faults_)("allocate", name_));
    return file_->Allocate(length);
  }
  logcore::Status Cut(uint64_t length) override { return file_->Cut(length); }
  logcore::Status Sync() override {
    RETURN_IF_ERROR((*faults_)("sync", name_));
    return file_->Sync();
  }
  logcore::Result<uint64_t> Length() const override { return file_->Length(); }
  logcore::Result<std::shared_ptr<const char>> Map(uint64_t length) const override {
    return file_->Map(length);
  }
  logcore::Status Lock(int which) override { return file_->Lock(which); }
  logcore::Result<bool> TryLock(int which, logcore::LockKind kind) override {
    return file_->TryLock(which, kind);
  }
  void Unlock(int which) override { file_->Unlock(which); }

 private:
  const std::unique_ptr<logcore::File> file_;
  const std::string name_;
  const Faults* const faults_;
};

class FaultyDisk final : public logcore::Disk {
 public:
  FaultyDisk(const std::string& path, const Faults* faults)
      : disk_(logcore::OpenPosixDisk(path).value()), faults_(faults) {}
  logcore::Result<std::unique_ptr<logcore::File>> Open(const std::string& name,
                                                       logcore::Access access) override {
    RETURN_IF_ERROR((*faults_)("open", name));
    return Wrap(disk_->Open(name, access), name);
  }
  logcore::Result<std::unique_ptr<logcore::File>> Create(const std::string& name,
                                                         unsigned mode) override {
    RETURN_IF_ERROR((*faults_)("create", name));
    return Wrap(disk_->Create(name, mode), name);
  }
  logcore::Status MakeDirectory(const std::string& name, unsigned mode) override {
    return disk_->MakeDirectory(name, mode);
  }
  logcore::Status Link(const std::string& from, const std::string& to) override {
    return disk_->Link(from, to);
  }
  logcore::Status Rename(const std::string& from, const std::string& to) override {
    return disk_->Rename(from, to);
  }
  logcore::Status CopyAccess(const std::string& from, const std::string& to) override {
    return disk_->CopyAccess(from, to);
  }
  logcore::Status Remove(const std::string& name) override { return disk_->Remove(name); }
  logcore::Result<std::vector<std::string>> List(const std::string& directory) override {
    return disk_->List(directory);
  }
  logcore::Status SyncDirectory(const std::string& name) override {
    return disk_->SyncDirectory(name);
  }
  logcore::Result<FileInfo> Info(const std::string& name) override { return disk_->Info(name); }
  logcore::Result<std::string> FilesystemId() override { return disk_->FilesystemId(); }
  logcore::Result<std::string> BootId() override { return disk_->BootId(); }
  int64_t Uptime() override { return disk_->Uptime(); }
  std::string RandomBytes(size_t length) override { return disk_->RandomBytes(length); }

 private:
  logcore::Result<std::unique_ptr<logcore::File>> Wrap(
      logcore::Result<std::unique_ptr<logcore::File>> file, const std::string& name) {
    if (!file.has_value()) return file;
    return std::make_unique<FaultyFile>(std::move(*file), name, faults_);
  }
  const std::unique_ptr<logcore::Disk> disk_;
  const Faults* const faults_;
};

class FaultyStoreTest : public testing::Test {
 protected:
  FaultyStoreTest() : disk_(directory_.path(), &faults_) {
    EXPECT_TRUE(
        logcore::InitStore(&disk_,
                           {.origin = "example.com/log",
                            .key = {},
                            .journal_length = logcore::kRecordsStart + 64 * logcore::kJournalBlock},
                           options_)
            .has_value());
    store_ = OpenStore();
  }
  std::unique_ptr<logcore::StoreWriter> OpenStore() {
    return logcore::StoreWriter::Open(&disk_, options_).value();
  }

  // `operation` on `name` fails from now on.
  void FailAlways(const std::string& operation, const std::string& name, logcore::Code code) {
    faults_.Set(
        [=](const std::string& its_operation, const std::string& its_name) -> logcore::Status {
          if (its_operation != operation || its_name != name) return {};
          return logcore::Fail(code, operation + " " + name + ": it failed");
        });
  }
  static logcore::Submission Entry(const std::string& entry) {
    logcore::Submission submission;
    logcore::AppendFrame(&submission.frames, entry);
    submission.count = 1;
    return submission;
  }
  static logcore::Status Published(logcore::Sequencer* sequencer,
                                   logcore::Sequencer::Ticket ticket) {
    std::promise<logcore::Status> published;
    sequencer->WhenPublished(ticket,
                             [&](const logcore::Status& status) { published.set_value(status); });
    return published.get_future().get();
  }

  const TempDirectory directory_;
  const logcore::StoreOptions options_{.clock = [] { return int64_t{1'700'000'000'000'000'000}; }};
  Faults faults_;
  FaultyDisk disk_;
  std::unique_ptr<logcore::StoreWriter> store_;
};

}  // namespace tlogfs_test

#endif  // TESTS_SUPPORT_FAULTY_STORE_H_
