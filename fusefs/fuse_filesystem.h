// Filesystem: the operations of the mount, as libfuse's low-level API calls them. It translates:
// names to nodes (tree.h), nodes to bytes (view.h), appending to fuse_append.h, and back to what
// the kernel wants to hear, which includes how long it may believe each answer:
//
//   nature      name        attributes   pages
//   directory   for ever    a second     listings are never cached; the root is not trusted at all
//   immutable   for ever    for ever     for ever
//   version     not         for ever     for ever, of that version
//   growing     for ever    not          not (direct I/O)
//   append      not         for ever     not (direct I/O); each lookup is a new node, as the kernel
//                                        holds the node's lock during a write that waits
//   no such     not: a name that will exist appears the moment it is true
//
// A static mount has no file that is not cached, so that opening one needs no answer: it is ENOSYS,
// which the kernel takes as "never ask again" (no OPEN, FLUSH or RELEASE). OPENDIR is not: the
// kernel would then keep listings, and they grow more than once in a second.
//
// Any thread; operations take one snapshot of the log each, and nothing blocks but reads of its
// files. Tested by tests/mount.

#ifndef FUSEFS_FUSE_FILESYSTEM_H_
#define FUSEFS_FUSE_FILESYSTEM_H_

#include <sys/stat.h>

#include <atomic>
#include <memory>
#include <string>

#include "fusefs/fuse_append.h"
#include "fusefs/fuse_request.h"
#include "fusefs/fuse_session.h"
#include "fusefs/openings.h"
#include "fusefs/tree.h"
#include "fusefs/view.h"
#include "logcore/log/published_log.h"
#include "logcore/log/snapshot.h"

namespace fusefs {

class Filesystem {
 public:
  // Log and sequencer as of FuseSession::Mount.
  Filesystem(logcore::PublishedLog* log, logcore::Sequencer* sequencer,
             const SessionOptions& options);

  // For fuse_session_new; the session's user data must be the Filesystem.
  static fuse_lowlevel_ops Operations();

  // What the operations do; the names are libfuse's.
  void Init(fuse_conn_info* connection);
  void Lookup(Request& request, fuse_ino_t parent, const char* name);
  void Forget(Request& request, fuse_ino_t number, uint64_t times);
  void Getattr(Request& request, fuse_ino_t number, fuse_file_info* info);
  void Setattr(Request& request, fuse_ino_t number, struct stat* wanted, int what,
               fuse_file_info* info);
  void Open(Request& request, fuse_ino_t number, fuse_file_info* info);
  void Read(Request& request, fuse_ino_t number, size_t length, off_t offset, fuse_file_info* info);
  void Write(Request& request, fuse_ino_t number, const char* bytes, size_t length, off_t offset,
             fuse_file_info* info);
  void Flush(Request& request, fuse_ino_t number, fuse_file_info* info);
  void Fsync(Request& request, fuse_ino_t number, int data_only, fuse_file_info* info);
  void Release(Request& request, fuse_ino_t number, fuse_file_info* info);
  void Poll(Request& request, fuse_ino_t number, fuse_file_info* info, fuse_pollhandle* handle);
  void Readdir(Request& request, fuse_ino_t number, size_t length, off_t cookie,
               fuse_file_info* info);
  void Readdirplus(Request& request, fuse_ino_t number, size_t length, off_t cookie,
                   fuse_file_info* info);
  void Statfs(Request& request, fuse_ino_t number);
  void Listxattr(Request& request, fuse_ino_t number, size_t length);
  void Setxattr(Request& request, fuse_ino_t number, const char* name, const char* value,
                size_t length, int flags);
  void Removexattr(Request& request, fuse_ino_t number, const char* name);

  // For those who wait but are being killed, as of fuse_parked.h, and for memory that is not used.
  void LookAfter();
  bool TakeNews();
  // In how many milliseconds LookAfter should be called at the latest; -1: never.
  int LookInterval() const;

 private:
  using SnapshotPtr = std::shared_ptr<const logcore::Snapshot>;

  Shape ShapeOf(const logcore::Snapshot& snapshot) const;
  logcore::Result<struct stat> StatOf(const Node& node, const logcore::Snapshot& snapshot);
  // For the kernel, which will say when it forgets the node. If it is not told: view_.Forget.
  logcore::Result<fuse_entry_param> EntryOf(Node node, const logcore::Snapshot& snapshot);
  void OpenToRead(Request& request, const Node& node, fuse_file_info info);
  void List(Request& request, fuse_ino_t number, size_t length, off_t cookie, bool plus);
  size_t AddName(Request& request, const Child& child, bool plus, const logcore::Snapshot& snapshot,
                 std::string* buffer, size_t at);

  logcore::PublishedLog* const published_;
  const std::string source_;
  const logcore::Hash log_;  // of its vkey: tells this log from others
  const bool read_only_;
  const bool static_site_;
  std::atomic<bool> kernel_opens_ = false;  // ENOSYS for OPEN; set by Init, which comes first
  const uid_t uid_;
  const gid_t gid_;
  const mode_t file_mode_;
  const mode_t directory_mode_;
  const mode_t append_mode_;
  View view_;
  const std::unique_ptr<Appends> appends_;  // none when read-only
  Openings openings_;                       // the indexes of the nodes of kAppend
};

}  // namespace fusefs

#endif  // FUSEFS_FUSE_FILESYSTEM_H_
