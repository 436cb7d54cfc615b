// A store on the disk, as all measurements in process have it. Whatever fails ends the program: a
// workload that broke has no figure. One thread.

#ifndef TESTS_BENCH_OPEN_STORE_H_
#define TESTS_BENCH_OPEN_STORE_H_

#include <memory>
#include <string>
#include <utility>

#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/disk.h"
#include "logcore/util/result.h"
#include "tests/bench/measure.h"

namespace bench {

template <typename T>
T Must(logcore::Result<T> result) {
  if (!result.has_value()) Fail(result.error().message);
  return std::move(*result);
}

void MustBeWell(const logcore::Status& status);

struct OpenStore {
  explicit OpenStore(const std::string& directory);  // to append

  std::unique_ptr<logcore::Disk> disk;
  std::unique_ptr<logcore::StoreWriter> store;
};

// Made in `directory`, which must not exist, and open for appending.
OpenStore NewStore(const std::string& directory);

// What is published is so many entries.
void CheckSize(logcore::StoreWriter* store, uint64_t size);

}  // namespace bench

#endif  // TESTS_BENCH_OPEN_STORE_H_
