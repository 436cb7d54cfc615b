// Load on a sequencer: submissions under way, and threads that wait for their entries. All return
// when what they gave the sequencer is durable.

#ifndef TESTS_BENCH_LOAD_H_
#define TESTS_BENCH_LOAD_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

#include "logcore/log/sequencer.h"
#include "tests/bench/measure.h"

namespace bench {

// Lets so many submissions be under way, and knows how long each was. Any thread.
class Outstanding {
 public:
  explicit Outstanding(int limit) : limit_(limit) {}

  // Waits until one more may be, and submits it. Its on_durable is set here.
  void Submit(logcore::Sequencer* sequencer, logcore::Submission submission);
  void WaitForAll();
  // The entries of what was durable before that moment.
  uint64_t DurableBefore(Clock::time_point moment) const;
  Latencies latencies() const;

 private:
  struct Done {
    Clock::time_point began;
    Clock::time_point ended;
    uint64_t count;
  };

  const int limit_;
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  int under_way_ = 0;
  std::vector<Done> done_;
};

// About `piece` bytes of entries, the first of which is made of `first`.
logcore::Submission MakeSubmission(size_t entry_length, size_t piece, uint64_t first);

// Threads that each wait for their own entry, until the moment: how long each append took.
Latencies AppendUntil(logcore::Sequencer* sequencer, size_t entry_length, int threads,
                      Clock::time_point end);

}  // namespace bench

#endif  // TESTS_BENCH_LOAD_H_
