#include "fusefs/fuse_filesystem.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <optional>
#include <string_view>
#include <utility>

namespace fusefs {
namespace {

using logcore::Code;
using logcore::Result;
using logcore::Snapshot;

constexpr double kForEver = 1e9;  // seconds
// Only the mtime of a directory changes, and that counts in seconds. The kernel looks at the
// attributes of each directory on a path, for permissions: without any trust that made 9 of the 11
// requests for a line of `ls -l`.
constexpr double kDirectoryTrust = 1;  // seconds
// Not longer: stat(2) of the root tells when the daemon has died.
constexpr double kRootTrust = 0.1;
constexpr blksize_t kBlockSize = 4096;
constexpr uint64_t kStatBlock = 512;
// Cookies of listings: 0 begins, 1 and 2 come after "." and "..", then the tree's, plus 2.
constexpr uint64_t kDots = 2;

struct Trust {
  double name = 0;
  double attributes = 0;
};

Trust TrustIn(Kind kind) {
  switch (NatureOf(kind)) {
    case Nature::kDirectory:
      return {.name = kForEver, .attributes = kind == Kind::kRoot ? kRootTrust : kDirectoryTrust};
    case Nature::kGrowing:
      return {.name = kForEver, .attributes = 0};
    case Nature::kImmutable:
      return {.name = kForEver, .attributes = kForEver};
    case Nature::kVersion:
    case Nature::kAppend:
      return {.name = 0, .attributes = kForEver};
  }
  return {};
}

bool IsAppend(const std::optional<Node>& node) {
  return node && NatureOf(node->kind) == Nature::kAppend;
}

// A node that was there once and is not: the kernel looks its name up again.
void AnswerLost(Request& request, const logcore::Error& error) {
  request.Answer(error.code == Code::kNotFound ? ESTALE : ErrnoOf(error.code));
}

void Disable(fuse_conn_info* connection, unsigned capability) {
  connection->want &= ~capability;
}

}  // namespace

Filesystem::Filesystem(logcore::PublishedLog* log, logcore::Sequencer* sequencer,
                       const SessionOptions& options)
    : published_(log),
      source_(options.source),
      log_(logcore::Sha256({log->vkey().ToString()})),
      read_only_(options.read_only),
      static_site_(options.static_site),
      uid_(options.uid.value_or(getuid())),
      gid_(options.gid.value_or(getgid())),
      file_mode_(S_IFREG | (0444 & ~options.umask.value_or(0))),
      directory_mode_(S_IFDIR | (0555 & ~options.umask.value_or(0))),
      append_mode_(S_IFREG | (options.append_mode.value_or(0600) & ~options.umask.value_or(0))),
      view_(log->vkey().ToString(),
            [log](const logcore::Published& checkpoint) {
              return log->PublicationTimeOf(checkpoint);
            }),
      appends_(read_only_
                   ? nullptr
                   : std::make_unique<Appends>(sequencer,
                                               Appends::Options{.async = options.async,
                                                                .max_frames = static_cast<size_t>(
                                                                    sequencer->max_batch_length()),
                                                                .log = log_},
                                               [](fuse_req_t raw, void* data) {
                                                 static_cast<Filesystem*>(fuse_req_userdata(raw))
                                                     ->appends_->parked()
                                                     .Interrupted(reinterpret_cast<uint64_t>(data));
                                               })) {}

void Filesystem::Init(fuse_conn_info* connection) {
  // Small reads gain nothing from pipes; writes must come one after the other; pages of files that
  // change are not cached at all.
  Disable(connection, FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
  Disable(connection, FUSE_CAP_ASYNC_DIO | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_AUTO_INVAL_DATA);
  if (read_only_) connection->want |= connection->capable & FUSE_CAP_EXPORT_SUPPORT;
  kernel_opens_ = static_site_ && (connection->capable & FUSE_CAP_NO_OPEN_SUPPORT) != 0;
}

Shape Filesystem::ShapeOf(const Snapshot& snapshot) const {
  return {.size = snapshot.size(), .appendable = !read_only_, .static_site = static_site_};
}

Result<struct stat> Filesystem::StatOf(const Node& node, const Snapshot& snapshot) {
  if (!Exists(node, ShapeOf(snapshot))) return logcore::Fail(Code::kNotFound, "no such node");
  ASSIGN_OR_RETURN(const Attributes attributes, view_.AttributesOf(node, snapshot));
  const Nature nature = NatureOf(node.kind);
  struct stat status {};
  status.st_ino = InodeNumber(node, log_);
  status.st_mode = nature == Nature::kDirectory ? directory_mode_
                   : nature == Nature::kAppend  ? append_mode_
                                                : file_mode_;
  status.st_nlink = 1;
  status.st_uid = uid_;
  status.st_gid = gid_;
  status.st_size = static_cast<off_t>(attributes.length);
  status.st_blksize = kBlockSize;
  status.st_blocks = static_cast<blkcnt_t>((attributes.length + kStatBlock - 1) / kStatBlock);
  status.st_atim = status.st_mtim = attributes.mtime;
  status.st_ctim = attributes.ctime;
  return status;
}

Result<fuse_entry_param> Filesystem::EntryOf(Node node, const Snapshot& snapshot) {
  const Nature nature = NatureOf(node.kind);
  if (nature == Nature::kAppend) node.index = openings_.Next();
  fuse_entry_param entry{};
  ASSIGN_OR_RETURN(entry.attr, StatOf(node, snapshot));
  RETURN_IF_ERROR(view_.Remember(node, snapshot));
  entry.ino = NodeNumber(node);
  entry.entry_timeout = TrustIn(node.kind).name;
  entry.attr_timeout = TrustIn(node.kind).attributes;
  return entry;
}

void Filesystem::Lookup(Request& request, fuse_ino_t parent, const char* name) {
  const std::optional<Node> directory = ParseNodeNumber(parent);
  if (!directory) return request.Answer(ESTALE);
  const auto snapshot = published_->Latest();
  if (!snapshot.has_value()) return request.Answer(snapshot.error());
  const std::string_view text(name);
  if (NAME_MAX < text.size()) return request.Answer(ENAMETOOLONG);
  // The dots come from NFS alone, and "." of files, too: is this node still there?
  std::optional<Node> node;
  if (text == ".") {
    node = directory;
  } else if (text == "..") {
    node = Parent(*directory);
  } else {
    node = fusefs::Lookup(*directory, text, ShapeOf(**snapshot));
  }
  if (!node) return request.Answer(ENOENT);
  const Result<fuse_entry_param> entry = EntryOf(*node, **snapshot);
  if (!entry.has_value()) return request.Answer(entry.error());
  if (!request.AnswerEntry(*entry)) view_.Forget(*node, 1);
}

void Filesystem::Forget(Request& request, fuse_ino_t number, uint64_t times) {
  if (const std::optional<Node> node = ParseNodeNumber(number)) view_.Forget(*node, times);
  request.AnswerNothing();
}

void Filesystem::Getattr(Request& request, fuse_ino_t number, fuse_file_info* /*info*/) {
  const std::optional<Node> node = ParseNodeNumber(number);
  if (!node) return request.Answer(ESTALE);
  const auto snapshot = published_->Latest();
  if (!snapshot.has_value()) return request.Answer(snapshot.error());
  const Result<struct stat> status = StatOf(*node, **snapshot);
  if (!status.has_value()) return AnswerLost(request, status.error());
  request.AnswerAttributes(*status, TrustIn(node->kind).attributes);
}

void Filesystem::Setattr(Request& request, fuse_ino_t number, struct stat* /*wanted*/, int /*what*/,
                         fuse_file_info* info) {
  // `>` truncates, and copying programs set times, owner and mode when the bytes are there. Whether
  // the caller may has been checked by the kernel (default_permissions).
  if (!IsAppend(ParseNodeNumber(number))) return request.Answer(EROFS);
  Getattr(request, number, info);
}

void Filesystem::Open(Request& request, fuse_ino_t number, fuse_file_info* info) {
  const std::optional<Node> node = ParseNodeNumber(number);
  if (!node) return request.Answer(ESTALE);
  if (NatureOf(node->kind) != Nature::kAppend) return OpenToRead(request, *node, *info);
  if (appends_ == nullptr) return request.Answer(ESTALE);
  const Framing framing = node->kind == Kind::kAdd ? Framing::kLines : Framing::kBundle;
  openings_.Opened(node->index);
  appends_->Open(std::move(request), framing, *info);
}

void Filesystem::OpenToRead(Request& request, const Node& node, fuse_file_info info) {
  if ((info.flags & O_ACCMODE) != O_RDONLY || (info.flags & O_TRUNC) != 0) {
    return request.Answer(EROFS);
  }
  if (kernel_opens_) return request.Answer(ENOSYS);
  const bool grows = NatureOf(node.kind) == Nature::kGrowing;
  info.noflush = 1;
  info.direct_io = grows;
  info.keep_cache = !grows;
  request.AnswerOpen(info);
}

void Filesystem::Read(Request& request, fuse_ino_t number, size_t length, off_t offset,
                      fuse_file_info* info) {
  const std::optional<Node> node = ParseNodeNumber(number);
  if (!node) return request.Answer(ESTALE);
  const auto start = static_cast<uint64_t>(offset);
  if (IsAppend(node)) return appends_->Read(std::move(request), info->fh, start, length);
  const auto snapshot = published_->Latest();
  if (!snapshot.has_value()) return request.Answer(snapshot.error());
  const Result<std::string> bytes = view_.Read(*node, **snapshot, start, length);
  if (!bytes.has_value()) return AnswerLost(request, bytes.error());
  request.AnswerBytes(*bytes);
}

void Filesystem::Write(Request& request, fuse_ino_t number, const char* bytes, size_t length,
                       off_t offset, fuse_file_info* info) {
  if (!IsAppend(ParseNodeNumber(number))) return request.Answer(EBADF);
  appends_->Write(std::move(request), info->fh, static_cast<uint64_t>(offset), {bytes, length},
                  info->flags);
}

void Filesystem::Flush(Request& request, fuse_ino_t number, fuse_file_info* info) {
  if (!IsAppend(ParseNodeNumber(number))) return request.Answer(kernel_opens_ ? ENOSYS : 0);
  appends_->Flush(std::move(request), info->fh);
}

void Filesystem::Fsync(Request& request, fuse_ino_t number, int /*data_only*/,
                       fuse_file_info* info) {
  if (!IsAppend(ParseNodeNumber(number))) return request.Answer(0);
  appends_->Fsync(std::move(request), info->fh);
}

void Filesystem::Release(Request& request, fuse_ino_t number, fuse_file_info* info) {
  const std::optional<Node> node = ParseNodeNumber(number);
  if (IsAppend(node)) {
    appends_->Release(info->fh);
    openings_.Closed(node->index);
  }
  request.Answer(0);
}

void Filesystem::Poll(Request& request, fuse_ino_t number, fuse_file_info* info,
                      fuse_pollhandle* handle) {
  if (IsAppend(ParseNodeNumber(number))) {
    return appends_->Poll(std::move(request), info->fh, handle);
  }
  if (handle != nullptr) fuse_pollhandle_destroy(handle);
  request.AnswerPoll(POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
}

void Filesystem::Readdir(Request& request, fuse_ino_t number, size_t length, off_t cookie,
                         fuse_file_info* /*info*/) {
  List(request, number, length, cookie, false);
}

void Filesystem::Readdirplus(Request& request, fuse_ino_t number, size_t length, off_t cookie,
                             fuse_file_info* /*info*/) {
  List(request, number, length, cookie, true);
}

void Filesystem::List(Request& request, fuse_ino_t number, size_t length, off_t cookie, bool plus) {
  const std::optional<Node> directory = ParseNodeNumber(number);
  if (!directory) return request.Answer(ESTALE);
  if (NatureOf(directory->kind) != Nature::kDirectory) return request.Answer(ENOTDIR);
  const auto snapshot = published_->Latest();
  if (!snapshot.has_value()) return request.Answer(snapshot.error());

  std::string buffer(length, '\0');
  size_t used = 0;
  for (auto next = static_cast<uint64_t>(cookie);;) {
    std::optional<Child> child;
    if (next == 0) {
      child = Child{".", *directory, 1};
    } else if (next == 1) {
      child = Child{"..", Parent(*directory), kDots};
    } else if ((child = ListFrom(*directory, next - kDots, ShapeOf(**snapshot)))) {
      child->next += kDots;
    }
    if (!child) break;
    const size_t taken = AddName(request, *child, plus, **snapshot, &buffer, used);
    if (taken > buffer.size() - used) break;
    used += taken;
    next = child->next;
  }
  request.AnswerBytes(std::string_view(buffer).substr(0, used));
}

// The length of the name's entry, which was put there only if there is room.
size_t Filesystem::AddName(Request& request, const Child& child, bool plus,
                           const Snapshot& snapshot, std::string* buffer, size_t at) {
  char* const to = buffer->data() + at;
  const size_t room = buffer->size() - at;
  const char* const name = child.name.c_str();
  const auto next = static_cast<off_t>(child.next);
  fuse_entry_param entry{};
  entry.attr.st_ino = InodeNumber(child.node, log_);
  entry.attr.st_mode = NatureOf(child.node.kind) == Nature::kDirectory ? S_IFDIR : S_IFREG;
  if (!plus) return fuse_add_direntry(request.get(), to, room, name, &entry.attr, next);
  // Without a node number it is a name alone: for the dots, and what cannot be read.
  if (kDots < child.next) {
    const Result<fuse_entry_param> found = EntryOf(child.node, snapshot);
    if (found.has_value()) entry = *found;
  }
  const size_t taken = fuse_add_direntry_plus(request.get(), to, room, name, &entry, next);
  if (entry.ino != 0 && taken > room) view_.Forget(child.node, 1);
  return taken;
}

void Filesystem::Statfs(Request& request, fuse_ino_t /*number*/) {
  struct statvfs status {};
  if (statvfs(source_.c_str(), &status) != 0) return request.Answer(errno);
  status.f_namemax = NAME_MAX;
  request.AnswerStatfs(status);
}

void Filesystem::Listxattr(Request& request, fuse_ino_t /*number*/, size_t length) {
  if (length == 0) return request.AnswerXattrLength(0);
  request.AnswerBytes("");
}

void Filesystem::Setxattr(Request& request, fuse_ino_t number, const char* name,
                          const char* /*value*/, size_t /*length*/, int /*flags*/) {
  Removexattr(request, number, name);
}

void Filesystem::Removexattr(Request& request, fuse_ino_t number, const char* name) {
  if (!IsAppend(ParseNodeNumber(number))) return request.Answer(EROFS);
  // Who may is checked by the kernel, except for `system.`: an access list is the owner's to set.
  const uid_t caller = fuse_req_ctx(request.get())->uid;
  const bool owns = caller == uid_ || caller == 0;
  request.Answer(std::string_view(name).starts_with("system.") && !owns ? EPERM : 0);
}

void Filesystem::LookAfter() {
  if (appends_ == nullptr) return;
  appends_->parked().AnswerKilled();
  appends_->Rest();
}

bool Filesystem::TakeNews() {
  return appends_ != nullptr && appends_->parked().TakeNews();
}

int Filesystem::LookInterval() const {
  if (appends_ == nullptr) return -1;
  const bool interrupted = appends_->parked().has_interrupted();
  return static_cast<int>((interrupted ? kKilledInterval : kClosingInterval).count());
}

}  // namespace fusefs
