// A process that appends to a store with the library alone: no mount, no FUSE. For the tests that
// kill such processes, and that have them write beside mounts.
//
//   store_writer init STORE ORIGIN JOURNAL_LENGTH   makes a store; prints its verifier key
//   store_writer append STORE [BATCH]               appends the lines of its input
//   store_writer history STORE BATCH THREADS        the same from several threads, with its times
//
// `append` prints each entry's index, a line each, as soon as it is acknowledged. BATCH lines (1
// by default; fewer at the end) travel in one submission. At the end of its input it closes the
// store. Exit status 1, and a line on stderr, after the first error. Used by kill_test.py and
// syscall_kill_test.py, among others.
//
// `history` prints `BEGIN END PUBLISHED INDEX ENTRY` for each entry. The times are nanoseconds of
// CLOCK_MONOTONIC: before the append, when it was durable, and when all that had been sequenced by
// then was published, or 0: each thread waits for that after one append of four. Every second
// thread appends line by line. Batches are short, so that the next one is often full before the
// one under way is durable. Used by concurrency_test.py.

#include <chrono>
#include <cstdint>
#include <ctime>
#include <future>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "logcore/log/sequencer.h"
#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/tlog/entry_bundle.h"
#include "logcore/util/bytes.h"

namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Result;
using logcore::Sequencer;
using logcore::Status;
using logcore::StoreWriter;

constexpr uint64_t kMaxThreads = 1000;
constexpr size_t kShortBatch = 128;  // of frames, so that the next one is often full, and prepared

logcore::StoreOptions Options() {
  return {.clock = [] { return int64_t{std::time(nullptr)} * logcore::kNanoseconds; }};
}

Status Init(const std::string& directory, const std::string& origin, uint64_t journal_length) {
  ASSIGN_OR_RETURN(const auto disk, logcore::OpenPosixDisk(directory));
  const logcore::InitOptions init{
      .origin = origin, .key = std::nullopt, .journal_length = journal_length};
  ASSIGN_OR_RETURN(const auto vkey, InitStore(disk.get(), init, Options()));
  std::cout << vkey.ToString() << std::endl;
  return {};
}

// Up to `count` lines of the input as one submission; its count is 0 at the end.
Result<logcore::Submission> ReadSubmission(uint64_t count) {
  logcore::Submission submission;
  for (std::string line; submission.count < count && std::getline(std::cin, line);) {
    if (logcore::kMaxEntryLength < line.size()) return Fail(Code::kTooLarge, "a line is too long");
    logcore::AppendFrame(&submission.frames, line);
    ++submission.count;
  }
  return submission;
}

// Waits until it is durable. Returns the first of its indexes.
Result<uint64_t> Submit(Sequencer* sequencer, logcore::Submission submission) {
  const auto promise = std::make_shared<std::promise<Result<uint64_t>>>();
  std::future<Result<uint64_t>> first = promise->get_future();
  submission.on_durable = [promise](const Result<logcore::Appended>& appended) {
    if (appended.has_value()) return promise->set_value(appended->first_index);
    promise->set_value(tl::unexpected<logcore::Error>(appended.error()));
  };
  sequencer->Submit(std::move(submission));
  return first.get();
}

int64_t Now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

// Waits until all that was sequenced up to now is published.
Status WaitUntilPublished(Sequencer* sequencer) {
  const auto promise = std::make_shared<std::promise<Status>>();
  std::future<Status> published = promise->get_future();
  sequencer->WhenPublished(sequencer->Newest(),
                           [promise](const Status& status) { promise->set_value(status); });
  return published.get();
}

// One thread of `history`, until the input ends. `terminal` guards the input and the output.
Status AppendAndTell(Sequencer* sequencer, uint64_t batch, bool one_by_one, std::mutex* terminal) {
  for (uint64_t number = 0;; ++number) {
    std::unique_lock<std::mutex> lock(*terminal);
    ASSIGN_OR_RETURN(logcore::Submission submission, ReadSubmission(one_by_one ? 1 : batch));
    lock.unlock();
    if (submission.count == 0) return {};
    const std::string frames = submission.frames;
    ASSIGN_OR_RETURN(const auto entries, logcore::ParseFrames(frames, submission.count));

    const int64_t begin = Now();
    ASSIGN_OR_RETURN(const uint64_t first, one_by_one ? sequencer->Append(entries[0])
                                                      : Submit(sequencer, std::move(submission)));
    const int64_t end = Now();
    int64_t published = 0;
    if (number % 4 == 0) {
      RETURN_IF_ERROR(WaitUntilPublished(sequencer));
      published = Now();
    }
    lock.lock();
    for (size_t i = 0; i < entries.size(); ++i) {
      std::cout << begin << ' ' << end << ' ' << published << ' ' << first + i << ' ' << entries[i]
                << '\n';
    }
  }
}

Status AppendHistory(const std::string& directory, uint64_t batch, uint64_t threads) {
  ASSIGN_OR_RETURN(const auto disk, logcore::OpenPosixDisk(directory));
  ASSIGN_OR_RETURN(const auto store, StoreWriter::Open(disk.get(), Options()));
  const auto sequencer = Sequencer::Start(store.get(), {.batch_length = kShortBatch});
  std::mutex terminal;
  std::vector<std::future<Status>> running;
  for (uint64_t i = 0; i < threads; ++i) {
    running.push_back(std::async(std::launch::async, AppendAndTell, sequencer.get(), batch,
                                 i % 2 == 0, &terminal));
  }
  Status all;
  for (std::future<Status>& thread : running) {
    if (Status one = thread.get(); !one.has_value()) all = std::move(one);
  }
  std::cout << std::flush;
  RETURN_IF_ERROR(std::move(all));
  sequencer->Stop();
  return store->Close();
}

Status AppendInput(const std::string& directory, uint64_t batch) {
  ASSIGN_OR_RETURN(const auto disk, logcore::OpenPosixDisk(directory));
  ASSIGN_OR_RETURN(const auto store, StoreWriter::Open(disk.get(), Options()));
  const auto sequencer = Sequencer::Start(store.get(), {});
  while (true) {
    ASSIGN_OR_RETURN(logcore::Submission submission, ReadSubmission(batch));
    const uint64_t count = submission.count;
    if (count == 0) break;
    ASSIGN_OR_RETURN(const uint64_t first, Submit(sequencer.get(), std::move(submission)));
    std::string lines;
    for (uint64_t i = 0; i < count; ++i) lines += std::to_string(first + i) + "\n";
    std::cout << lines << std::flush;
  }
  sequencer->Stop();
  return store->Close();
}

Status Run(const std::vector<std::string>& words) {
  const std::string command = words.size() < 2 ? "" : words[1];
  if (command == "init" && words.size() == 5) {
    const std::optional<uint64_t> length = logcore::ParseDecimal(words[4]);
    if (length) return Init(words[2], words[3], *length);
  }
  if (command == "append" && (words.size() == 3 || words.size() == 4)) {
    const auto batch = logcore::ParseDecimal(words.size() == 4 ? words[3] : "1");
    if (batch && 0 < *batch) return AppendInput(words[2], *batch);
  }
  if (command == "history" && words.size() == 5) {
    const auto batch = logcore::ParseDecimal(words[3]);
    const auto threads = logcore::ParseDecimal(words[4]);
    if (batch && 0 < *batch && threads && 0 < *threads && *threads <= kMaxThreads) {
      return AppendHistory(words[2], *batch, *threads);
    }
  }
  return Fail(Code::kInvalid,
              "usage: init STORE ORIGIN JOURNAL_LENGTH | append STORE [BATCH] | "
              "history STORE BATCH THREADS");
}

}  // namespace

int main(int argc, char** argv) {
  const Status status = Run({argv, argv + argc});
  if (status.has_value()) return 0;
  std::cerr << "store_writer: " << status.error().message << std::endl;
  return 1;
}
