// Creator: many writers that give a store one leaf after the other, each at its own rate.
//
//   writers that are due --> a batch --Submit--> Sequencer --durable--> the writers, due later
//
// Writer w of W comes with its leaf k at (k + w / W) / rate after the start; or, if its leaf before
// is not durable by then, when it is: the rate does not drift, and what a slow store held up is
// caught up with. So no more leaves are under way than there are writers, and no more bytes than
// the sequencer's queue takes.
//
// A batch goes when it is full, or as soon as none of ours is under way: the next one gathers while
// one is being committed, and no timer is needed. The sequencer may commit several with one flush;
// of each it commits all leaves or none.
//
// One thread makes the leaves; the sequencer has its own. Methods from one thread.
// Tested by tests/mount/leafcreator_test.py.

#ifndef LEAFCREATOR_CREATOR_H_
#define LEAFCREATOR_CREATOR_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "latency.h"
#include "leaves.h"
#include "logcore/log/log_writer.h"
#include "logcore/log/sequencer.h"
#include "logcore/util/result.h"
#include "options.h"

namespace leafcreator {

class Creator {
 public:
  // kInvalid for leaves that are too long for the store's journal.
  static logcore::Status Check(const logcore::LogWriter& store, const Load& load);
  // The store is open for appending and outlives it; Check has found nothing. `instance` is what
  // the leaves begin with.
  Creator(logcore::LogWriter* store, const Load& load, uint64_t instance);
  ~Creator();  // Stops.

  void Start();
  // Waits until what is under way is durable, and ends the threads.
  void Stop();

  // From submission to durable, of the leaves that are, since the start.
  Latency latency() const;
  // The first error that an append met. Nothing is submitted after it.
  logcore::Status status() const;

 private:
  using Clock = std::chrono::steady_clock;
  using Due = std::pair<Clock::time_point, uint32_t>;  // when, and which writer

  // Leaves that travel together; whose they are, and since when they wait.
  struct Batch {
    std::string frames;
    std::vector<uint32_t> writers;
    std::vector<Clock::time_point> since;
  };

  void Run();
  // Waits until then at most. What happened meanwhile; false if this is the end.
  bool WaitUntil(Clock::time_point moment);
  void Gather();
  bool IsFull() const;
  void Submit();
  void OnDurable(const Batch& batch, const logcore::Result<logcore::Appended>& appended);
  Clock::time_point WhenDue(uint32_t writer) const;

  const Load load_;
  const uint64_t max_batch_length_;  // bytes
  const std::unique_ptr<logcore::Sequencer> sequencer_;

  // Of the thread that makes the leaves.
  Leaves leaves_;
  Clock::time_point start_;
  std::vector<uint64_t> next_number_;                               // of each writer's leaves
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;  // who is not waiting
  Batch batch_;
  bool none_under_way_ = true;

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::vector<uint32_t> returned_;  // writers whose leaf is durable
  uint64_t under_way_ = 0;          // batches
  Latency latency_;
  std::optional<logcore::Error> error_;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace leafcreator

#endif  // LEAFCREATOR_CREATOR_H_
