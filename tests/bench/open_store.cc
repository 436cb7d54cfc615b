#include "tests/bench/open_store.h"

#include <ctime>
#include <filesystem>

#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/disk/posix_disk.h"

namespace bench {
namespace {

logcore::StoreOptions Options() {
  return {.clock = [] { return int64_t{std::time(nullptr)} * logcore::kNanoseconds; }};
}

}  // namespace

void MustBeWell(const logcore::Status& status) {
  if (!status.has_value()) Fail(status.error().message);
}

OpenStore::OpenStore(const std::string& directory)
    : disk(Must(logcore::OpenPosixDisk(directory))),
      store(Must(logcore::StoreWriter::Open(disk.get(), Options()))) {}

OpenStore NewStore(const std::string& directory) {
  if (!std::filesystem::create_directory(directory)) Fail(directory + " is there already");
  const auto disk = Must(logcore::OpenPosixDisk(directory));
  Must(logcore::InitStore(disk.get(), {.origin = "bench.example/log", .key = {}}, Options()));
  return OpenStore(directory);
}

void CheckSize(logcore::StoreWriter* store, uint64_t size) {
  if (Must(store->reader().Latest())->size() != size) Fail("entries are missing");
}

}  // namespace bench
