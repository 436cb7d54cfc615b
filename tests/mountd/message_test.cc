// What the program says on stdout and stderr, and what becomes of it when nobody can be told.

#include "mountd/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "logcore/posix_disk.h"
#include "logcore/store.h"
#include "mountd/run.h"
#include "tests/support/temp_log.h"

namespace mountd {
namespace {

using ::testing::MatchesRegex;

struct Outcome {
  int code = -1;
  std::string err;
};

// A whole command line, whose stdout is a full disk.
Outcome RunIntoFullDisk(const std::vector<std::string>& args) {
  std::istringstream in;
  std::ofstream out("/dev/full");
  std::ostringstream err;
  Environment environment{.in = in,
                          .out = out,
                          .err = err,
                          .err_is_terminal = false,
                          .clock = [] { return int64_t{1'800'000'000}; },
                          .notify_socket = ""};
  const int code = Run(args, environment);
  return {.code = code, .err = err.str()};
}

constexpr char kFull[] = "standard output: No space left on device\n";

TEST(Message, IsOneLine) {
  std::ostringstream err;
  Say(err, "a\nb\tc\x7f: \xc3\xa4");
  EXPECT_EQ(err.str(), "tlogfs: a?b?c?: \xc3\xa4\n");
}

TEST(Message, WhatCannotBePrintedWasNotDone) {
  for (const std::vector<std::string>& args : {std::vector<std::string>{"tlogfs", "--help"},
                                               {"tlogfs", "--version"},
                                               {"tlogfs", "mount", "--help"},
                                               {"mount.tlogfs", "--help"}}) {
    const Outcome outcome = RunIntoFullDisk(args);
    EXPECT_EQ(outcome.code, 1);
    EXPECT_THAT(outcome.err, MatchesRegex("tlogfs: standard output: [^\n]+\n"));
  }
  EXPECT_EQ(RunIntoFullDisk({"umount.tlogfs", "--help"}).code, 32);
}

TEST(Message, ACheckThatCannotSayItsResultCouldNotRun) {
  const tlogfs_test::TempDirectory directory;
  const auto disk = logcore::OpenPosixDisk(directory.path()).value();
  ASSERT_TRUE(logcore::Store::Init(disk.get(), {.origin = "example.com/log", .key = {}},
                                   {.clock = [] { return int64_t{1}; }})
                  .has_value());
  EXPECT_EQ(RunIntoFullDisk({"tlogfs", "check", directory.path()}).code, 2);
  directory.Flip("key", 20);
  directory.Flip("checkpoint", 100);
  const Outcome damaged = RunIntoFullDisk({"tlogfs", "check", directory.path()});
  EXPECT_EQ(damaged.code, 2);
  EXPECT_EQ(damaged.err, std::string("tlogfs: ") + kFull);
}

// The log is there, and nothing of it is taken back: only who made it does not know its key yet.
TEST(Message, AnInitThatCannotPrintTheKeySaysWhereItIs) {
  const tlogfs_test::TempDirectory directory;
  const std::string store = directory.path() / "store";
  const Outcome outcome = RunIntoFullDisk({"tlogfs", "init", store, "--origin", "example.com/log"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.err, "tlogfs: init " + store +
                             ": made, but its key was not printed (it is in " + store +
                             "/config): " + kFull);
  const auto disk = logcore::OpenPosixDisk(store).value();
  const auto config = logcore::ReadStoreConfig(disk.get()).value();
  EXPECT_NE(directory.Read("store/config").find("\nvkey " + config.vkey.ToString() + "\n"),
            std::string::npos);
}

}  // namespace
}  // namespace mountd
