#include "fusefs/errno.h"

#include <cerrno>

namespace fusefs {

int ErrnoOf(logcore::Code code) {
  switch (code) {
    case logcore::Code::kNotFound:
      return ENOENT;
    case logcore::Code::kExists:
      return EEXIST;
    case logcore::Code::kInvalid:
      return EINVAL;
    case logcore::Code::kTooLarge:
      return EFBIG;
    case logcore::Code::kDenied:
      return EACCES;
    case logcore::Code::kNoSpace:
      return ENOSPC;
    case logcore::Code::kBusy:
      return EAGAIN;
    case logcore::Code::kReadOnly:
      return EROFS;
    case logcore::Code::kCorrupt:
    case logcore::Code::kIo:
      return EIO;
  }
  return EIO;
}

}  // namespace fusefs
