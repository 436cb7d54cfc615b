// What the program says on stdout and stderr, and what becomes of it when nobody can be told.

#include "mountd/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/disk/posix_disk.h"
#include "mountd/run.h"
#include "tests/support/temp_log.h"

namespace mountd {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

struct Outcome {
  int code = -1;
  std::string out;
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
  return {.code = code, .out = "", .err = err.str()};
}

void MakeStore(const std::string& path) {
  const auto disk = logcore::OpenPosixDisk(path).value();
  const auto made = logcore::InitStore(disk.get(), {.origin = "example.com/log", .key = {}},
                                       {.clock = [] { return int64_t{1}; }});
  ASSERT_TRUE(made.has_value());
}

// The signed note that is published.
std::string Checkpoint(const std::string& store_path) {
  const auto disk = logcore::OpenPosixDisk(store_path).value();
  const auto store =
      logcore::StoreReader::Open(disk.get(), {.clock = [] { return int64_t{1}; }}).value();
  return store->Latest().value()->published().note;
}

constexpr char kFull[] = "standard output: No space left on device\n";

TEST(Message, IsOneLine) {
  std::ostringstream err;
  Say(err, "a\nb\tc\x7f: \xc3\xa4");
  EXPECT_EQ(err.str(), "tlogfs: a?b?c?: \xc3\xa4\n");
  EXPECT_EQ(OneLine("\xc2\x9b\x31m\xc2\xa0\x1b[2J \xc3\x82\x9b"), "??1m\xc2\xa0?[2J \xc3\x82\x9b");
}

// Runs a command, and expects that all of what it prints is lines without control characters.
Outcome RunOnOddNames(std::vector<std::string> words) {
  words.insert(words.begin(), "tlogfs");
  std::istringstream in;
  std::ostringstream out, err;
  Environment environment{.in = in,
                          .out = out,
                          .err = err,
                          .err_is_terminal = false,
                          .clock = [] { return int64_t{1'800'000'000'000'000'000}; },
                          .notify_socket = ""};
  const int code = Run(words, environment);
  EXPECT_THAT(err.str(), MatchesRegex("(tlogfs: [^\n\033]+\n)*"));
  EXPECT_THAT(out.str(), MatchesRegex("([a-z ]+: [^\n\033]+\n)*"));
  return {.code = code, .out = out.str(), .err = err.str()};
}

// Stores whose names would be two lines, and colour what follows on a terminal.
TEST(Message, IsOneLineWhateverAStoreIsCalled) {
  const tlogfs_test::TempDirectory directory;
  const std::string odd = directory.path() / "bad\n\033[31m";
  const std::string store = odd + "store";
  const std::string copy = odd + "copy";
  std::filesystem::create_directory(store);
  MakeStore(store);
  EXPECT_EQ(RunOnOddNames({"check", store}).code, 0);
  EXPECT_EQ(RunOnOddNames({"check", store + "/none"}).code, 2);

  std::filesystem::copy(store, copy, std::filesystem::copy_options::recursive);
  std::filesystem::remove(copy + "/checkpoint");
  const Outcome copied = RunOnOddNames({"check", copy});
  EXPECT_EQ(copied.code, 1);
  EXPECT_THAT(copied.out, HasSubstr("damaged: "));
  EXPECT_THAT(copied.err, HasSubstr("was it copied while in use?"));
  directory.Write("newest", Checkpoint(store));
  const Outcome repaired = RunOnOddNames({"repair", copy, "--newest", directory.path() / "newest"});
  EXPECT_EQ(repaired.code, 0);
  EXPECT_THAT(repaired.err, HasSubstr("it was not opened"));
  EXPECT_EQ(RunOnOddNames({"adopt", copy, "--newest", directory.path() / "newest"}).code, 0);

  std::filesystem::remove(store + "/key");
  const Outcome backup = RunOnOddNames({"backup", store, odd + "backup"});
  EXPECT_EQ(backup.code, 0);
  EXPECT_THAT(backup.err, HasSubstr("without the signing key"));
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
  MakeStore(directory.path());
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
