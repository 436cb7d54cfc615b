// What /proc says of a process that a request came from. FUSE tells the id of a *thread*; 0 if it
// is in a pid namespace that is not ours, and then nothing can be known.
//
// A process that is ending closes its files while /proc still shows it. Whether a signal ends it is
// told by its exit code, which root and the same user may see. The flag PF_SIGNALED would not do:
// it is also set in the other threads of a process that simply calls exit.
//
// Most read a file of /proc. Any thread. Tested by tests/fusefs/process_test.cc.

#ifndef FUSEFS_PROCESS_H_
#define FUSEFS_PROCESS_H_

#include <sys/types.h>

namespace fusefs {

// The process (thread group) of a thread; 0 if it cannot be known.
pid_t ProcessOf(pid_t thread);
// Whether the thread's process is being ended by a signal. False if it cannot be known.
bool IsKilled(pid_t thread);
// Whether a signal that cannot be handled or ignored waits for the thread: it is going to die of it
// once it is let go.
bool IsFatalSignalPending(pid_t thread);

}  // namespace fusefs

#endif  // FUSEFS_PROCESS_H_
