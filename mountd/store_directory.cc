#include "mountd/store_directory.h"

#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>

#include "logcore/posix/disk/posix_disk.h"

namespace mountd {

using logcore::Code;
using logcore::Fail;
using logcore::Status;

Status StoreDirectory::Make(const std::string& store) {
  namespace fs = boost::filesystem;
  if (store.empty()) return Fail(Code::kInvalid, "the path is empty");
  boost::system::error_code error;
  if (fs::exists(store, error)) return {};
  fs::path path = fs::system_complete(store, error).lexically_normal();
  path.remove_trailing_separator();
  if (path.filename() == ".") path.remove_filename().remove_trailing_separator();
  ASSIGN_OR_RETURN(parent_, logcore::OpenPosixDisk(path.parent_path().string()));
  made_in_.emplace(parent_.get());
  RETURN_IF_ERROR(made_in_->MakeDirectory(path.filename().string(), 0755));
  return made_in_->SyncDirectory("");
}

void StoreDirectory::TakeBack() {
  if (made_in_) made_in_->TakeBack();
}

}  // namespace mountd
