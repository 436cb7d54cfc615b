// What the kernel says of a process that a request came from. FUSE tells the id of a *thread*; 0 if
// it is in a pid namespace that is not ours, and then nothing can be known. A thread is asked about
// while it waits for the answer to its request: later its id may be another one's.
//
// A process that is ending closes its files while /proc still shows it. Whether a signal ends it is
// told by its exit code, which root and the same user may see. The flag PF_SIGNALED would not do:
// it is also set in the other threads of a process that simply calls exit.
//
// A /proc of another pid namespace than ours shows other processes under the same ids: it is not
// believed. Any thread. Tested by tests/fusefs/process_test.cc.

#ifndef FUSEFS_PROCESS_H_
#define FUSEFS_PROCESS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace fusefs {

// A process, and not one that was given the same id later. `instance` is the inode number of its
// pidfd, which no two processes share from Linux 6.9 on; before, all have the same, and a process
// that has got the id of another one is taken for it.
struct Process {
  pid_t id = 0;  // 0: unknown
  uint64_t instance = 0;

  bool known() const { return id != 0; }
  bool operator==(const Process&) const = default;
};

// Whether /proc shows the processes of our pid namespace, under the ids that they have for us.
bool ProcIsOurs();
// The process (thread group) of a thread; unknown if it cannot be told. Reads /proc only if it is
// neither the first thread of its process nor one of the process that is guessed.
Process ProcessOf(pid_t thread, pid_t guess = 0);
// Whether the thread belongs to another process than this one, as far as that is seen without
// /proc.
bool IsOfAnother(pid_t thread, const Process& process);
// Whether the thread's process is being ended by a signal. False if it cannot be known.
bool IsKilled(pid_t thread);
// Whether a signal waits for the thread that it is going to die of once it is let go: one that it
// neither blocks, handles nor ignores. A traced one may be spared all of them but SIGKILL.
bool IsFatalSignalPending(pid_t thread);
// How many descriptors of files with this inode number the thread's process has; nothing if that
// cannot be known. An entry that cannot be read is counted.
std::optional<size_t> CountDescriptors(pid_t thread, ino_t inode);
// Whether the process is there and may have a descriptor of such a file.
bool MayHold(const Process& process, ino_t inode);

}  // namespace fusefs

#endif  // FUSEFS_PROCESS_H_
