// `tlogfs init`: what it leaves when it fails, and how large a journal it makes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "logcore/log/sequencer.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/tlog/entry_bundle.h"
#include "mountd/run.h"
#include "tests/support/temp_log.h"

namespace mountd {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class InitTest : public ::testing::Test {
 protected:
  // What went wrong, or an empty string.
  static std::string InitAt(const std::string& store, const std::vector<std::string>& more) {
    std::vector<std::string> args = {"tlogfs", "init", store, "--origin", "example.com/log"};
    args.insert(args.end(), more.begin(), more.end());
    std::istringstream in;
    std::ostringstream out, err;
    Environment environment{.in = in,
                            .out = out,
                            .err = err,
                            .err_is_terminal = false,
                            .clock = [] { return int64_t{1'800'000'000}; },
                            .notify_socket = ""};
    const int code = mountd::Run(args, environment);
    EXPECT_EQ(code == 0, err.str().empty());
    EXPECT_EQ(code == 0, !out.str().empty());
    return err.str();
  }
  std::string Init(const std::vector<std::string>& more, const std::string& name = "store") {
    return InitAt(directory_.path() / name, more);
  }
  uint64_t JournalLength(const std::string& name = "store") {
    return fs::file_size(directory_.path() / name / "journal");
  }

  const tlogfs_test::TempDirectory directory_;
};

TEST_F(InitTest, JournalSizesAreBytesOrHaveASuffix) {
  const std::vector<std::pair<std::string, uint64_t>> sizes = {
      {"1M", 1 << 20}, {"1048576", 1 << 20}, {"1028K", 1028 << 10}, {"5M", 5 << 20}};
  for (const auto& [size, length] : sizes) {
    EXPECT_EQ(Init({"--journal-size", size}, size), "");
    EXPECT_EQ(JournalLength(size), length);
  }
}

TEST_F(InitTest, ImpossibleJournalSizesAreRefused) {
  for (const std::string size : {"0", "1023K", "1048577", "5G", "4097M", "1T", "1m", "-1M", "1 M",
                                 "M", "1.5M", "0x100000", "99999999999999999999", "1MiB"}) {
    EXPECT_THAT(Init({"--journal-size=" + size}), HasSubstr("--journal-size " + size + ": "));
    EXPECT_FALSE(fs::exists(directory_.path() / "store"));
  }
}

TEST_F(InitTest, TheDefaultSuitsTheDisk) {
  EXPECT_EQ(Init({}), "");
  const uint64_t available = fs::space(directory_.path()).available;
  EXPECT_LE(JournalLength(), std::max<uint64_t>(1 << 20, available / 8));
  EXPECT_LE(JournalLength(), 64u << 20);
  EXPECT_EQ(JournalLength() % (1 << 20), 0u);
}

// The longest entry goes through the least journal.
TEST_F(InitTest, TheLeastJournalTakesTheLongestEntries) {
  ASSERT_EQ(Init({"--journal-size", "1M"}), "");
  const auto disk = logcore::OpenPosixDisk(directory_.path() / "store").value();
  const auto store =
      logcore::StoreWriter::Open(disk.get(), {.clock = [] { return int64_t{1'800'000'000}; }})
          .value();
  const auto sequencer = logcore::Sequencer::Start(store.get(), {});
  for (int i = 0; i < 40; ++i) {
    const std::string entry(logcore::kMaxEntryLength, static_cast<char>('a' + i % 26));
    ASSERT_EQ(sequencer->Append(entry).value(), static_cast<uint64_t>(i));
  }
  sequencer->Stop();
  EXPECT_EQ(store->reader().Latest().value()->size(), 40u);
}

TEST_F(InitTest, AFailedInitTakesItsOwnDirectoryAway) {
  const fs::path file = directory_.path() / "key";
  directory_.Write("key", "PRIVATE+KEY+nothing");
  fs::permissions(file, fs::perms::owner_read);
  EXPECT_NE(Init({"--key", file.string()}), "");
  EXPECT_FALSE(fs::exists(directory_.path() / "store"));
  // One that was there stays, as it was.
  fs::create_directory(directory_.path() / "there");
  directory_.Write("there/file", "mine");
  EXPECT_THAT(Init({}, "there"), HasSubstr("not empty"));
  EXPECT_EQ(directory_.Read("there/file"), "mine");
  EXPECT_NE(Init({}, "no/such/place"), "");
  EXPECT_EQ(Init({}), "");
}

// Root may read every directory, and so becomes somebody else for this.
TEST_F(InitTest, AnEmptyDirectoryInOneThatCannotBeReadIsEnough) {
  constexpr uid_t kNobody = 65534;
  const std::string parent = directory_.path().string();
  const std::string store = parent + "/store";
  fs::create_directory(store);
  ASSERT_EQ(chmod(parent.c_str(), 0311), 0);
  const bool root = geteuid() == 0;
  if (root) {
    ASSERT_EQ(chmod(parent.c_str(), 0711), 0);
    ASSERT_EQ(chown(store.c_str(), kNobody, kNobody), 0);
    ASSERT_EQ(seteuid(kNobody), 0);
  }
  EXPECT_EQ(Init({}), "");
  EXPECT_THAT(Init({}, "another"), HasSubstr("Permission denied"));
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  ASSERT_EQ(chmod(parent.c_str(), 0700), 0);
  EXPECT_TRUE(fs::exists(store + "/config"));
  EXPECT_FALSE(fs::exists(parent + "/another"));
}

TEST_F(InitTest, PathsThatAreNoNewDirectoriesAreRefused) {
  EXPECT_EQ(InitAt("", {}), "tlogfs: init : the path is empty\n");
  EXPECT_THAT(InitAt("/", {}), HasSubstr("not empty"));
}

}  // namespace
}  // namespace mountd
