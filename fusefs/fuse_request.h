// Request: a question of the kernel that is answered exactly once. Whoever holds it answers; one
// that goes unanswered (an exception, a forgotten path) is answered EIO by its destructor. It can
// be kept and answered later, by any thread. Tested by tests/mount.

#ifndef FUSEFS_FUSE_REQUEST_H_
#define FUSEFS_FUSE_REQUEST_H_

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif
#include <fuse_lowlevel.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "fusefs/errno.h"
#include "logcore/util/result.h"

namespace fusefs {

class Request {
 public:
  Request() = default;
  explicit Request(fuse_req_t request) : request_(request) {}
  Request(Request&& other) noexcept : request_(std::exchange(other.request_, nullptr)) {}
  Request& operator=(Request&& other) noexcept {
    std::swap(request_, other.request_);
    return *this;
  }
  ~Request() {
    if (request_ != nullptr) Answer(EIO);
  }

  explicit operator bool() const { return request_ != nullptr; }
  fuse_req_t get() const { return request_; }
  // The thread that asks; 0 if it is in a pid namespace that is not ours.
  pid_t thread() const { return fuse_req_ctx(request_)->pid; }

  uid_t user() const { return fuse_req_ctx(request_)->uid; }

  // An errno; 0 is success.
  void Answer(int error) { fuse_reply_err(Take(), error); }
  void Answer(const logcore::Error& error) { Answer(ErrnoOf(error.code)); }
  // Of FORGET, which nobody waits for.
  void AnswerNothing() { fuse_reply_none(Take()); }
  // False if the kernel did not take it: then it does not know the node either.
  bool AnswerEntry(const fuse_entry_param& entry) { return fuse_reply_entry(Take(), &entry) == 0; }
  void AnswerAttributes(const struct stat& attributes, double timeout) {
    fuse_reply_attr(Take(), &attributes, timeout);
  }
  // False if the opening was given up meanwhile: then no release will come.
  bool AnswerOpen(const fuse_file_info& info) { return fuse_reply_open(Take(), &info) == 0; }
  void AnswerBytes(std::string_view bytes) { fuse_reply_buf(Take(), bytes.data(), bytes.size()); }
  void AnswerWritten(size_t length) { fuse_reply_write(Take(), length); }
  void AnswerStatfs(const struct statvfs& status) { fuse_reply_statfs(Take(), &status); }
  void AnswerXattrLength(size_t length) { fuse_reply_xattr(Take(), length); }
  void AnswerPoll(unsigned events) { fuse_reply_poll(Take(), events); }

 private:
  fuse_req_t Take() { return std::exchange(request_, nullptr); }

  fuse_req_t request_ = nullptr;
};

}  // namespace fusefs

#endif  // FUSEFS_FUSE_REQUEST_H_
