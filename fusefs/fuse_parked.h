// Parked: requests that wait for the log (a write to be durable, a close to be published) without a
// thread that waits with them. Whoever takes a request out of here answers it: the sequencer's
// callback when the wait is over, or AnswerKilled when the caller is going to die.
//
// An interrupt alone ends nothing: like a write to a disk file, a wait goes on through signals that
// are handled, stops and traces. FUSE does not say which signal it was, and says it once: from then
// on /proc is looked at, now and then, for a fatal one. There is nothing to look at for a
// thread of another pid namespace (its id is 0). Interrupted, its write is given up if it still
// waits after a second and can be undone: the thread may be one that is being killed, and if it is
// not, it is told the truth.
//
// libfuse calls the interrupt function with the request's lock held, at once if the interrupt has
// overtaken the request. So it only makes a note, and nothing is answered from within it; nor is a
// request answered before it is armed, while the thread that parks it still touches it.
//
// Any thread. Tested by tests/mount (writers).

#ifndef FUSEFS_FUSE_PARKED_H_
#define FUSEFS_FUSE_PARKED_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "fusefs/fuse_request.h"

namespace fusefs {

// How often interrupted requests are looked at.
inline constexpr std::chrono::milliseconds kKilledInterval{50};
// How often those who wait in close(2) are: most are answered long before.
inline constexpr std::chrono::milliseconds kClosingInterval{1000};
// How long a request of a thread that cannot be looked at goes on after an interrupt.
inline constexpr std::chrono::milliseconds kUnknownInterval{1000};

class Parked {
 public:
  // `on_interrupt` is called by libfuse with the number that Park gave as data; it must find this
  // object and call Interrupted.
  explicit Parked(fuse_interrupt_func_t on_interrupt) : on_interrupt_(on_interrupt) {}

  uint64_t Park(Request request);
  // Allows the request to be given up. `give_up` undoes what it waits for, and says whether that
  // could still be; it is called by AnswerKilled, with no lock held. Does nothing if the request is
  // gone.
  void Arm(uint64_t number, std::function<bool()> give_up);
  // Allows a FLUSH or FSYNC to be given up, with nothing to undo: when its process is found to be
  // ending by a signal. It closes its files on its way out, and nobody hears what close(2) says.
  void ArmClosing(uint64_t number);
  // An empty one if it is gone.
  Request Take(uint64_t number);

  size_t size();

  void Interrupted(uint64_t number);
  // Answers EINTR to those that are being killed, also if what they wait for can no longer be
  // undone: the dead do not ask. To be called after news, every kKilledInterval while there are any
  // interrupted, and every kClosingInterval at other times.
  void AnswerKilled();
  // Whether a request was interrupted since this was last asked.
  bool TakeNews() { return news_.load(std::memory_order_relaxed) && news_.exchange(false); }
  bool has_interrupted() const { return interrupted_count_.load(std::memory_order_relaxed) > 0; }

 private:
  struct Entry {
    Request request;
    pid_t thread = 0;
    bool armed = false;
    bool closing = false;
    std::function<bool()> give_up;
  };
  struct Interrupt {
    uint64_t number;
    std::chrono::steady_clock::time_point at;
  };

  const fuse_interrupt_func_t on_interrupt_;
  std::mutex mutex_;  // guards all below; nothing is called with it
  uint64_t newest_ = 0;
  std::unordered_map<uint64_t, Entry> entries_;
  std::vector<Interrupt> interrupted_;
  std::atomic<size_t> interrupted_count_ = 0;  // interrupted_.size()
  std::atomic<bool> news_ = false;
};

}  // namespace fusefs

#endif  // FUSEFS_FUSE_PARKED_H_
