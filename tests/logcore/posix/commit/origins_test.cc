// Stores of logs whose key has another name than the log itself: such as those that another program
// has kept until now. No new key could have the name of such a log.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "logcore/log/batch.h"
#include "logcore/posix/check/adopt.h"
#include "logcore/posix/check/audit.h"
#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/support/temp_log.h"

namespace tlogfs_test {
namespace {

using namespace logcore;

const StoreOptions kOptions{.clock = [] { return int64_t{1'800'000'000'000'000'000}; }};

TEST(OriginsTest, AreTakenWithAKey) {
  const SignerKey key = SignerKey::Generate("sum.example.org").value();
  for (const std::string& origin : {std::string("go.sum database tree"), std::string("vkey x+"),
                                    std::string(" "), std::string(255, 'o')}) {
    SCOPED_TRACE(origin);
    const TempDirectory directory;
    const auto disk = OpenPosixDisk(directory.path()).value();
    ASSERT_EQ(InitStore(disk.get(), {.origin = origin, .key = key}, kOptions).value(),
              key.verifier());
    EXPECT_EQ(ReadStoreConfig(disk.get()).value().origin, origin);
    const auto opens = [&](const std::string& note) {
      return OpenCheckpoint(note, origin, key.verifier());
    };
    std::string first;
    {
      const auto store = StoreWriter::Open(disk.get(), kOptions).value();
      first = store->reader().Latest().value()->published().note;
      EXPECT_TRUE(opens(first).has_value());
      Batch batch;
      std::string frame;
      AppendFrame(&frame, "entry");
      batch.Append(frame, 1);
      ASSERT_TRUE(store->Commit(&batch).has_value());
      ASSERT_TRUE(store->Publish().has_value());
      EXPECT_EQ(opens(store->reader().Latest().value()->published().note).value().head.size, 1u);
      ASSERT_TRUE(store->Close().has_value());
    }
    EXPECT_THAT(Audit(disk.get(), {}).value().damages, ::testing::IsEmpty());
    const auto reader = StoreReader::Open(disk.get(), kOptions).value();
    EXPECT_EQ(reader->Latest().value()->size(), 1u);
    EXPECT_TRUE(Adopt(disk.get(), first, kOptions).has_value());
    EXPECT_EQ(Adopt(disk.get(), SignCheckpoint("other", {}, key), kOptions).error().code,
              Code::kInvalid);
  }
}

}  // namespace
}  // namespace tlogfs_test
