#include "mountd/store_directory.h"

#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>
#include <memory>

#include "logcore/posix_disk.h"

namespace mountd {

using logcore::Disk;
using logcore::Status;

Status MakeStoreDirectory(const std::string& store) {
  namespace fs = boost::filesystem;
  boost::system::error_code error;
  if (fs::exists(store, error)) return {};
  fs::path path = fs::system_complete(store, error).lexically_normal();
  path.remove_trailing_separator();
  if (path.filename() == ".") path.remove_filename().remove_trailing_separator();
  ASSIGN_OR_RETURN(const std::unique_ptr<Disk> parent,
                   logcore::OpenPosixDisk(path.parent_path().string()));
  RETURN_IF_ERROR(parent->MakeDirectory(path.filename().string(), 0755));
  return parent->SyncDirectory("");
}

}  // namespace mountd
