#include "mountd/hot_copy.h"

#include <string>

#include "logcore/posix/files/store_config.h"

namespace mountd {

using logcore::Code;

bool IsPlainCopy(logcore::Disk* disk) {
  const auto config = ReadStoreConfig(disk);
  if (!config.has_value() || !config->home) return false;
  const logcore::Status home = CheckAtHome(disk, *config);
  return !home.has_value() && home.error().code == Code::kReadOnly;
}

logcore::Error ExplainCopy(logcore::Disk* disk, logcore::Error error) {
  if ((error.code == Code::kCorrupt || error.code == Code::kBusy) && IsPlainCopy(disk)) {
    error.message += std::string("; ") + kHotCopy;
  }
  return error;
}

}  // namespace mountd
