// The locks of `lock`, as Writer (writer.h) takes them.

#ifndef LOGCORE_WRITER_LOCK_H_
#define LOGCORE_WRITER_LOCK_H_

#include <memory>
#include <mutex>
#include <utility>

#include "logcore/disk.h"
#include "logcore/result.h"

namespace logcore {

// kOpened: shared by all who have the store open for appending, from before they open its files to
// their end. Exclusive, it says that nobody has: who repairs the store takes it.
enum LockNumber : int { kTurnstile = 0, kCommit = 1, kPublish = 2, kBase = 3, kOpened = 4 };

// One of the locks, with its mutex; released by the destructor.
class Held {
 public:
  static Result<std::unique_ptr<Held>> Take(std::mutex* mutex, File* file, int which) {
    std::unique_lock<std::mutex> in_process(*mutex);
    if (which == kCommit) RETURN_IF_ERROR(file->Lock(kTurnstile));
    const Status status = file->Lock(which);
    if (which == kCommit) file->Unlock(kTurnstile);
    RETURN_IF_ERROR(status);
    return std::unique_ptr<Held>(new Held(std::move(in_process), file, which));
  }
  ~Held() { file_->Unlock(which_); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  Held(std::unique_lock<std::mutex> in_process, File* file, int which)
      : in_process_(std::move(in_process)), file_(file), which_(which) {}
  std::unique_lock<std::mutex> in_process_;
  File* const file_;
  const int which_;
};

}  // namespace logcore

#endif  // LOGCORE_WRITER_LOCK_H_
