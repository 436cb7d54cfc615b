#include <ostream>

#include "logcore/posix/check/adopt.h"
#include "logcore/posix/disk/posix_disk.h"
#include "mountd/commands.h"
#include "mountd/hot_copy.h"
#include "mountd/message.h"
#include "mountd/small_file.h"

namespace mountd {

using logcore::Result;
using logcore::Status;

Result<int> Adopt(const AdoptCommand& command, Environment& environment) {
  const Result<std::string> newest = ReadCheckpoint(command.newest, environment.in);
  if (!newest.has_value()) return Within("adopt: --newest", newest.error());

  const std::string context = "adopt " + command.store;
  auto disk = logcore::OpenPosixDisk(command.store);
  if (!disk.has_value()) return Within(context, std::move(disk).error());
  const logcore::StoreOptions options{.clock = environment.clock};
  Status adopted = logcore::Adopt(disk->get(), *newest, options);
  if (!adopted.has_value()) {
    return Within(context, ExplainCopy(disk->get(), std::move(adopted).error()));
  }
  environment.out << "adopted: " << OneLine(command.store) << " takes appends here\n";
  return 0;
}

}  // namespace mountd
