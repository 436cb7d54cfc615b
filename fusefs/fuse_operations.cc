// The table of operations: C functions for libfuse around the methods of Filesystem, which end
// every exception. All that would change the tree is EROFS, rather than the ENOSYS of an empty row.

#include <new>

#include "fusefs/fuse_filesystem.h"

namespace fusefs {
namespace {

template <auto method, typename... Arguments>
void Call(fuse_req_t raw, Arguments... arguments) noexcept {
  auto* const filesystem = static_cast<Filesystem*>(fuse_req_userdata(raw));
  Request request(raw);
  try {
    (filesystem->*method)(request, arguments...);
  } catch (const std::bad_alloc&) {
    if (request) request.Answer(ENOMEM);
  } catch (const std::exception&) {
    if (request) request.Answer(EIO);
  }
}

template <int error, typename... Arguments>
void Always(fuse_req_t raw, Arguments... /*arguments*/) noexcept {
  Request(raw).Answer(error);
}

void InitConnection(void* filesystem, fuse_conn_info* connection) noexcept {
  static_cast<Filesystem*>(filesystem)->Init(connection);
}

}  // namespace

fuse_lowlevel_ops Filesystem::Operations() {
  fuse_lowlevel_ops operations{};
  operations.init = InitConnection;
  operations.lookup = Call<&Filesystem::Lookup>;
  operations.forget = Call<&Filesystem::Forget>;
  operations.getattr = Call<&Filesystem::Getattr>;
  operations.setattr = Call<&Filesystem::Setattr>;
  operations.open = Call<&Filesystem::Open>;
  operations.read = Call<&Filesystem::Read>;
  operations.write = Call<&Filesystem::Write>;
  operations.flush = Call<&Filesystem::Flush>;
  operations.fsync = Call<&Filesystem::Fsync>;
  operations.release = Call<&Filesystem::Release>;
  operations.poll = Call<&Filesystem::Poll>;
  operations.readdir = Call<&Filesystem::Readdir>;
  operations.readdirplus = Call<&Filesystem::Readdirplus>;
  operations.statfs = Call<&Filesystem::Statfs>;
  operations.listxattr = Call<&Filesystem::Listxattr>;
  operations.getxattr = Always<ENODATA>;
  operations.ioctl = Always<ENOTTY>;
  operations.fsyncdir = Always<0>;
  operations.create = Always<EROFS>;
  operations.mknod = Always<EROFS>;
  operations.mkdir = Always<EROFS>;
  operations.unlink = Always<EROFS>;
  operations.rmdir = Always<EROFS>;
  operations.symlink = Always<EROFS>;
  operations.rename = Always<EROFS>;
  operations.link = Always<EROFS>;
  operations.setxattr = Call<&Filesystem::Setxattr>;
  operations.removexattr = Call<&Filesystem::Removexattr>;
  operations.fallocate = Always<0>;  // Nothing but `add` can be open for writing.
  return operations;
}

}  // namespace fusefs
