// Appender: entries of many requests, gathered into few writes to a log's `add.bundle`. While one
// write waits for the log, the next one gathers: a group commit without timers. More writers would
// divide the same entries among more writes, each of which costs the log as much as a large one.
// The receipts that the same open file gives back tell each entry its index.
//
// An entry has succeeded if its receipt was read, and in no other case. What the log took, even in
// part, and did not confirm (its daemon died, say) may be in the log or not: that is reported as
// such (ECONNABORTED). Any other error says that the entry was not added.
//
// Any thread. Tested by tests/mount/bettyfe_log_test.py.

#ifndef EXAMPLES_BETTYFE_APPENDER_H_
#define EXAMPLES_BETTYFE_APPENDER_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace bettyfe {

inline constexpr size_t kMaxEntryLength = 65535;  // bytes: the length in a frame has 16 bits

struct Outcome {
  int error = 0;  // an errno; 0: the entry is durable, and has its index
  uint64_t index = 0;
};

// 0, or an errno: why there is no mounted log that has this `add.bundle`. ENODEV for a file that
// belongs to no mount.
int FindLog(const std::string& path);
// In words, for who reads: what an errno of FindLog or of an Outcome says of the log.
std::string Explain(int error);

struct Pending {
  std::string entry;                         // at most kMaxEntryLength
  std::function<void(const Outcome&)> done;  // called once, by the Appender's thread
};

struct AppenderOptions {
  std::string path;        // of `add.bundle`
  size_t max_pending = 1;  // entries that may wait, those that are being written among them
  // The log can be written no more, or for another reason (an errno), or again (0).
  std::function<void(int error)> on_change = nullptr;
};

class Appender {
 public:
  explicit Appender(const AppenderOptions& options) : options_(options) {}
  ~Appender() { Stop(); }
  Appender(const Appender&) = delete;
  Appender& operator=(const Appender&) = delete;

  void Start();
  // False, and nothing has happened, if too many wait.
  bool Add(Pending pending);
  // Writes what waits, and ends the thread. Nothing is added after that.
  void Stop();

 private:
  class Writer;
  using Batch = std::vector<Pending>;

  void Run();
  Batch TakeBatch();
  void GiveBack(size_t count);
  void NoteError(int error);

  const AppenderOptions options_;
  std::thread thread_;
  int last_error_ = 0;  // of thread_
  std::mutex mutex_;    // guards all below; nothing is called with it
  std::condition_variable work_;
  std::deque<Pending> queue_;
  size_t pending_ = 0;  // in queue_, and being written; not those that are being answered
  bool stopping_ = false;
};

}  // namespace bettyfe

#endif  // EXAMPLES_BETTYFE_APPENDER_H_
