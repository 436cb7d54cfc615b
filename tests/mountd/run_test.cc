// Whole command lines, run in this process: what they print, and where; their exit codes; and that
// every refusal is exactly one line.

#include "mountd/run.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/filesystem.hpp>
#include <fstream>
#include <sstream>

#include "logcore/log/sequencer.h"
#include "logcore/posix/commit/store_reader.h"
#include "logcore/posix/commit/store_writer.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/posix/files/published.h"
#include "logcore/tlog/checkpoint.h"
#include "mountd/mountpoint.h"
#include "mountd/progress.h"

namespace mountd {
namespace {

namespace fs = boost::filesystem;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

// Of the signed-note world's documentation; keys of nobody.
constexpr char kPrivateKey[] =
    "PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg";
constexpr char kVkey[] =
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";
constexpr char kOrigin[] = "example.com/log/testdata";

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

class RunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::canonical(fs::temp_directory_path()) / fs::unique_path("tlogfs-%%%%%%%%");
    fs::create_directory(directory_);
    fs::create_directory(directory_ / "mnt");
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string Path(const std::string& name) const { return (directory_ / name).string(); }

  std::string Write(const std::string& name, const std::string& bytes, mode_t mode) const {
    const std::string path = Path(name);
    std::ofstream(path, std::ios::binary) << bytes;
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }

  static Outcome RunAs(std::vector<std::string> args, const std::string& in = "",
                       bool terminal = false) {
    std::istringstream in_stream(in);
    std::ostringstream out, err;
    Environment environment{.in = in_stream,
                            .out = out,
                            .err = err,
                            .err_is_terminal = terminal,
                            .clock = [] { return int64_t{1'800'000'000'000'000'000}; },
                            .notify_socket = ""};
    Outcome outcome;
    outcome.code = mountd::Run(args, environment);
    outcome.out = out.str();
    outcome.err = err.str();
    return outcome;
  }

  static Outcome RunWords(std::vector<std::string> words, const std::string& in = "") {
    words.insert(words.begin(), "/usr/bin/tlogfs");
    return RunAs(std::move(words), in);
  }

  // Expects `code`, nothing on out, and one line on err: "tlogfs: ...", with `part` in it.
  static void ExpectRefusal(const Outcome& outcome, const std::string& part, int code = 1) {
    SCOPED_TRACE(part);
    EXPECT_EQ(outcome.code, code);
    EXPECT_THAT(outcome.out, IsEmpty());
    EXPECT_THAT(outcome.err, AllOf(StartsWith("tlogfs: "), EndsWith("\n"), HasSubstr(part)));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_THAT(outcome.err, MatchesRegex("tlogfs: .+: .+\n"));
  }

  std::string InitStore() const {
    const Outcome outcome = RunWords({"init", Path("store"), "--origin", "example.com/log"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Path("store");
  }

  static void Append(const std::string& store_path, int count) {
    auto disk = logcore::OpenPosixDisk(store_path);
    ASSERT_TRUE(disk.has_value());
    auto store = logcore::StoreWriter::Open(
        disk->get(), {.clock = [] { return int64_t{1'800'000'000'000'000'000}; }});
    ASSERT_TRUE(store.has_value()) << store.error().message;
    auto sequencer = logcore::Sequencer::Start(store->get(), {});
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(sequencer->Append("entry " + std::to_string(i)).has_value());
    }
    sequencer->Stop();
    ASSERT_TRUE((*store)->Close().has_value());
  }

  static std::string Checkpoint(const std::string& store_path) {
    auto disk = logcore::OpenPosixDisk(store_path);
    auto store = logcore::StoreReader::Open(
        disk->get(), {.clock = [] { return int64_t{1'800'000'000'000'000'000}; }});
    return (*(*store)->Latest())->published().note;
  }

  fs::path directory_;
};

// ---- help, and command lines that mean nothing

TEST_F(RunTest, SaysItsVersion) {
  const Outcome outcome = RunWords({"--version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, MatchesRegex("tlogfs [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST_F(RunTest, HelpsOnItselfAndOnEveryCommand) {
  const Outcome outcome = RunWords({"--help"});
  EXPECT_EQ(outcome.code, 0);
  for (const char* command : {"init", "mount", "check", "adopt", "repair"}) {
    EXPECT_THAT(outcome.out, HasSubstr(command));
    const Outcome one = RunWords({command, "--help"});
    EXPECT_EQ(one.code, 0);
    EXPECT_THAT(one.out, HasSubstr("STORE"));
    EXPECT_THAT(one.err, IsEmpty());
  }
  EXPECT_THAT(RunWords({"mount", "--help"}).out, HasSubstr("checkpoint_interval=MS"));
  EXPECT_THAT(RunAs({"mount.tlogfs", "--help"}).out, HasSubstr("mount(8)"));
}

TEST_F(RunTest, RefusesCommandLinesThatMeanNothing) {
  ExpectRefusal(RunWords({}), "a command is missing");
  ExpectRefusal(RunWords({"frobnicate"}), "frobnicate");
  ExpectRefusal(RunWords({"--bogus"}), "--bogus");
  ExpectRefusal(RunWords({"init"}), "STORE");
  ExpectRefusal(RunWords({"init", Path("s")}), "--origin");
  ExpectRefusal(RunWords({"init", Path("s"), "--origin"}), "--origin");
  ExpectRefusal(RunWords({"init", Path("s"), "more", "--origin", "a"}), "more");
  ExpectRefusal(RunWords({"mount", Path("s")}), "MOUNTPOINT");
  ExpectRefusal(RunWords({"mount", Path("s"), Path("mnt"), "--foreground"}), "--foreground");
  ExpectRefusal(RunWords({"adopt", Path("s")}), "--newest");
  ExpectRefusal(RunWords({"check"}), "STORE", 2);
  ExpectRefusal(RunWords({"check", Path("s"), "--bogus"}), "--bogus", 2);
  ExpectRefusal(RunAs({}), "a command is missing");
}

TEST_F(RunTest, KeepsToOneLineWhateverAPathHolds) {
  ExpectRefusal(RunWords({"check", Path("no\nsuch\x1b[31m")}), "no?such?[31m", 2);
}

// ---- init

TEST_F(RunTest, InitMakesADirectoryAndPrintsTheKey) {
  const Outcome outcome = RunWords({"init", Path("store"), "--origin", "example.com/log"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, MatchesRegex("example.com/log\\+[0-9a-f]{8}\\+[^\n]+\n"));
  EXPECT_EQ(fs::status(directory_ / "store" / "key").permissions(), 0600);
}

TEST_F(RunTest, InitTakesAnEmptyDirectoryAndATrailingSlash) {
  fs::create_directory(directory_ / "empty");
  EXPECT_EQ(RunWords({"init", Path("empty"), "--origin", "a"}).code, 0);
  EXPECT_EQ(RunWords({"init", Path("new/"), "--origin", "a"}).code, 0);
  EXPECT_TRUE(fs::exists(directory_ / "new" / "format"));
}

TEST_F(RunTest, InitImportsAKey) {
  const std::string key = Write("key", std::string(kPrivateKey) + "\n", 0600);
  const Outcome outcome = RunWords({"init", Path("store"), "--origin", kOrigin, "--key", key});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, std::string(kVkey) + "\n");
}

TEST_F(RunTest, InitRefusesDirectoriesThatAreNotItsOwn) {
  const std::string store = InitStore();
  ExpectRefusal(RunWords({"init", store, "--origin", "example.com/log"}), "not empty");
  Write("mnt/file", "x", 0600);
  ExpectRefusal(RunWords({"init", Path("mnt"), "--origin", "a"}), "not empty");
  ExpectRefusal(RunWords({"init", Path("mnt/file"), "--origin", "a"}), "irectory");
  ExpectRefusal(RunWords({"init", Path("no/such/place"), "--origin", "a"}), "No such file");
}

TEST_F(RunTest, InitRefusesOriginsThatAreNoNames) {
  for (const char* origin : {"", "two words", "a+b", "a\nb", "\xff"}) {
    ExpectRefusal(RunWords({"init", Path("store"), "--origin=" + std::string(origin)}), "rigin");
    EXPECT_FALSE(fs::exists(directory_ / "store"));
  }
}

TEST_F(RunTest, InitRefusesKeysThatAreNotTheLogs) {
  const auto init_with = [this](const std::string& file, const std::string& origin) {
    const Outcome outcome = RunWords({"init", Path("store"), "--origin", origin, "--key", file});
    EXPECT_FALSE(fs::exists(directory_ / "store"));
    return outcome;
  };
  ExpectRefusal(init_with(Path("nothing"), kOrigin), "No such file");
  ExpectRefusal(init_with(Path("mnt"), kOrigin), "directory");
  ExpectRefusal(init_with(Write("open", kPrivateKey, 0644), kOrigin), "chmod 600");
  ExpectRefusal(init_with(Write("group", kPrivateKey, 0640), kOrigin), "chmod 600");
  ExpectRefusal(init_with(Write("public", kVkey, 0600), kOrigin), "not a private note key");
  ExpectRefusal(init_with(Write("empty", "", 0600), kOrigin), "not a private note key");
  ExpectRefusal(init_with(Write("lines", std::string(kPrivateKey) + "\n\n", 0600), kOrigin),
                "not a private note key");
  ExpectRefusal(init_with(Write("long", std::string(1 << 20, 'x'), 0600), kOrigin), "too large");
  const std::string seed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqr";
  ExpectRefusal(init_with(Write("mldsa", "PRIVATE+KEY+a+01234567+Bg" + seed.substr(2), 0600), "a"),
                "mldsa: a private note key of type ML-DSA-44 (0x06), which is not supported");
  ExpectRefusal(
      init_with(Write("cosigner", "PRIVATE+KEY+a+01234567+BA" + seed.substr(2), 0600), "a"),
      "not a private note key (PRIVATE+KEY+NAME+ID+KEY) of type Ed25519");
  const std::string key = Write("key", kPrivateKey, 0600);
  for (const std::string& origin :
       {std::string("a\nb"), std::string("\xff"), std::string("a\tb"), std::string(256, 'x')}) {
    ExpectRefusal(init_with(key, origin), "not a name: a line of 1 to 255 bytes of UTF-8");
  }
}

TEST_F(RunTest, InitTakesALogWhoseKeyHasAnotherName) {
  const std::string key = Write("key", kPrivateKey, 0600);
  int number = 0;
  for (const char* origin : {"go.sum database tree", "log.example.org - 42", "a+b", "other"}) {
    const std::string store = Path("store" + std::to_string(++number));
    const Outcome init = RunWords({"init", store, "--origin", origin, "--key", key});
    EXPECT_EQ(init.out, std::string(kVkey) + "\n") << init.err;
    Append(store, 3);
    EXPECT_THAT(Checkpoint(store), AllOf(StartsWith(std::string(origin) + "\n3\n"),
                                         HasSubstr(std::string("\n\n— ") + kOrigin + " ")));
    EXPECT_EQ(RunWords({"check", store, "--vkey", kVkey}).code, 0);
    EXPECT_EQ(RunWords({"adopt", store, "--newest", "-"}, Checkpoint(store)).code, 0);
  }
}

TEST_F(RunTest, InitNeverPrintsAPrivateKey) {
  const std::string mangled = std::string(kPrivateKey) + "=";
  const Outcome outcome =
      RunWords({"init", Path("store"), "--origin", kOrigin, "--key", Write("k", mangled, 0600)});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, Not(HasSubstr("AeymY")));
}

// ---- mount: what is refused before anything is mounted

TEST_F(RunTest, MountRefusesOptions) {
  const auto mount_with = [this](const std::string& options) {
    return RunWords({"mount", Path("store"), Path("mnt"), "-o", options});
  };
  ExpectRefusal(mount_with("frobnicate"), "-o frobnicate: unknown option");
  ExpectRefusal(mount_with("ro,statics"), "-o statics: unknown option");
  ExpectRefusal(mount_with("remount"), "-o remount");
  ExpectRefusal(mount_with("umask=9"), "-o umask=9");
  ExpectRefusal(RunWords({"mount", Path("store"), Path("mnt"), "-o", "ro", "-o", "nope"}), "nope");
}

TEST_F(RunTest, MountRefusesPlaces) {
  const std::string store = InitStore();
  ExpectRefusal(RunWords({"mount", Path("none"), Path("mnt")}), "No such file");
  ExpectRefusal(RunWords({"mount", store, Path("none")}), "No such file");
  ExpectRefusal(RunWords({"mount", store, Write("file", "", 0600)}), "not a directory");
  ExpectRefusal(RunWords({"mount", store, store}), "own mountpoint");
  ExpectRefusal(RunWords({"mount", store, directory_.string()}), "own mountpoint");
  ExpectRefusal(RunWords({"mount", store, "/"}), "own mountpoint");
  ExpectRefusal(RunWords({"mount", store, Path("store/entries")}), "inside the store");
  fs::create_symlink(directory_, directory_ / "mnt" / "link");
  ExpectRefusal(RunWords({"mount", store, Path("mnt/link")}), "own mountpoint");
}

TEST_F(RunTest, MountReportsWhatItsChildMetWith) {
  ExpectRefusal(RunWords({"mount", Path("mnt"), "/proc/sys"}), "mnt");
  const std::string store = InitStore();
  fs::permissions(fs::path(store) / "key", fs::perms(0644));
  ExpectRefusal(RunWords({"mount", store, Path("mnt")}), "key");
  ExpectRefusal(RunWords({"mount", store, Path("mnt"), "-f"}), "key");
}

TEST_F(RunTest, SimilarNamesAreNotInsideEachOther) {
  fs::create_directory(directory_ / "mnt2");
  const auto paths = ResolveMountPaths(Path("mnt2"), Path("mnt/../mnt/"));
  ASSERT_TRUE(paths.has_value()) << paths.error().message;
  EXPECT_EQ(paths->store, Path("mnt2"));
  EXPECT_EQ(paths->mountpoint, Path("mnt"));
}

TEST_F(RunTest, MountHelperTakesMountsArguments) {
  const std::vector<std::string> words = {
      "/sbin/mount.tlogfs", Path("none"), Path("mnt"), "-sfnv", "-N",
      "/proc/1/ns/mnt",     "-t",         "tlogfs",    "-o"};
  auto with = [&words](const std::string& options) {
    std::vector<std::string> all = words;
    all.push_back(options);
    return RunAs(all);
  };
  const Outcome fake = with("rw,nofail,x-systemd.automount");
  EXPECT_EQ(fake.code, 0) << fake.err;
  EXPECT_THAT(fake.out + fake.err, IsEmpty());
  ExpectRefusal(with("rw,remount"), "remount");
  ExpectRefusal(with("uid=x"), "uid=x");
  ExpectRefusal(RunAs({"mount.tlogfs", Path("none")}), "MOUNTPOINT");
  ExpectRefusal(RunAs({"mount.tlogfs", Path("none"), Path("mnt"), "-o", "rw"}), "No such file");
  ExpectRefusal(RunAs({"mount.tlogfs", Path("none"), Path("mnt"), "-z"}), "-z");
}

TEST_F(RunTest, AStoreMayBeCalledLikeACommand) {
  ExpectRefusal(RunWords({"mount", "check", "init"}), "mount check: ");
}

// ---- check

TEST_F(RunTest, CheckSaysThatAStoreIsSound) {
  const std::string store = InitStore();
  Append(store, 300);
  const Outcome outcome = RunWords({"check", store});
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(StartsWith("sound: 300 entries, root "),
                                 HasSubstr(", checkpoint signed by example.com/log+")));
  EXPECT_THAT(outcome.err, IsEmpty());
  const std::string vkey = outcome.out.substr(outcome.out.rfind(' ') + 1);
  EXPECT_EQ(RunWords({"check", store, "--vkey", vkey.substr(0, vkey.size() - 1)}).code, 0);
}

TEST_F(RunTest, CheckSaysWhatIsDamaged) {
  const std::string store = InitStore();
  Append(store, 300);
  const fs::path hashes = fs::path(store) / "hashes" / "0";
  std::fstream file(hashes.string(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(32 * 100);
  file.put('\x55').put('\x55');
  file.close();
  const Outcome outcome = RunWords({"check", store});
  EXPECT_EQ(outcome.code, 1) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("damaged: hashes/0: "));
  EXPECT_THAT(outcome.out, Not(HasSubstr("sound")));
  EXPECT_THAT(outcome.err, IsEmpty());

  // It may be what a power cut left, which a mount mends.
  const auto disk = logcore::OpenPosixDisk(store).value();
  const auto checkpoint =
      logcore::PublishedFile::Open(disk.get(), logcore::Access::kReadWrite).value();
  logcore::PublishedFile::Slot slot = checkpoint->Read().value();
  slot.boot_id = "of another boot.";
  slot.published.sequence += 1;
  ASSERT_TRUE(checkpoint->Write(slot).has_value());
  const Outcome after_boot = RunWords({"check", store});
  EXPECT_EQ(after_boot.code, 1);
  EXPECT_THAT(after_boot.out, StartsWith("damaged: hashes/0: "));
  EXPECT_THAT(after_boot.err, HasSubstr("the machine went down while it was written"));
}

TEST_F(RunTest, CheckWithAnotherKeyIsDamage) {
  const Outcome outcome = RunWords({"check", InitStore(), "--vkey", kVkey});
  EXPECT_EQ(outcome.code, 1) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("damaged: "));
}

TEST_F(RunTest, CheckRefusesWhatItCannotRunOn) {
  ExpectRefusal(RunWords({"check", Path("none")}), "none", 2);
  ExpectRefusal(RunWords({"check", Path("mnt")}), "mnt", 2);
  ExpectRefusal(RunWords({"check", Write("file", "", 0600)}), "file", 2);
  ExpectRefusal(RunWords({"check", InitStore(), "--vkey", "rubbish"}), "--vkey rubbish", 2);
}

TEST_F(RunTest, CheckShowsABarOnATerminalOnly) {
  const std::string store = InitStore();
  Append(store, 300);
  const Outcome outcome = RunAs({"tlogfs", "check", store}, "", true);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("300 of 300"), EndsWith("\r\x1b[K")));
}

TEST(Progress, DrawsEachPercentOnceAndWipesTheLine) {
  std::ostringstream out;
  {
    Progress progress(out, true);
    for (uint64_t done = 0; done <= 1'000'000; done += 100) progress.Show(done, 1'000'000);
  }
  const std::string text = out.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '['), 2 * 101 + 1);  // the bars', and the escapes'
  EXPECT_THAT(text, HasSubstr(" 100 %  1,000,000 of 1,000,000"));
  EXPECT_THAT(text, EndsWith("\r\x1b[K"));
}

// ---- backup

TEST_F(RunTest, BackupCopiesWhatIsNewAndCanBeAdopted) {
  const std::string store = InitStore();
  Append(store, 300);
  const std::string copy = Path("copy");
  const std::string newest = Checkpoint(store);
  const auto backup = [&] { return RunAs({"tlogfs", "backup", store, copy}, "", true); };
  EXPECT_THAT(backup().out, StartsWith("backed up: 300 entries (300 new), root "));
  EXPECT_THAT(backup().out, StartsWith("backed up: 300 entries (nothing new), root "));
  Append(store, 20);
  const Outcome outcome = backup();
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, StartsWith("backed up: 320 entries (20 new), root "));
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("320 of 320"), EndsWith("\r\x1b[K")));
  EXPECT_EQ(RunWords({"check", copy}).code, 0);
  ExpectRefusal(RunWords({"mount", copy, Path("mnt"), "-f"}), "adopt");
  ExpectRefusal(RunWords({"backup", Path("mnt"), Path("new")}), "not a tlogfs store");
  EXPECT_FALSE(fs::exists(Path("new")));
  EXPECT_EQ(RunWords({"adopt", copy, "--newest", "-"}, newest).code, 0);
  Append(copy, 10);
  EXPECT_EQ(RunWords({"check", copy}).code, 0);
  ExpectRefusal(RunWords({"backup", store, copy}), "a store that takes appends");
}

// ---- repair

TEST_F(RunTest, RepairSaysWhatItHasMade) {
  const std::string store = InitStore();
  Append(store, 10);
  const std::string newest = Checkpoint(store);
  EXPECT_THAT(RunWords({"repair", store}).out, StartsWith("nothing to repair: 10 entries, root "));
  for (const char* name : {"checkpoint", "hashes/0"}) fs::remove(fs::path(store) / name);
  ExpectRefusal(RunWords({"repair", store}), "--newest");
  ExpectRefusal(RunWords({"repair", store, "--newest", Path("none")}), "No such file");
  const Outcome outcome = RunWords({"repair", store, "--newest", "-"}, newest);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("repaired: checkpoint, hashes/0 (10 entries, root "));
  EXPECT_THAT(outcome.err, IsEmpty());
  EXPECT_EQ(RunWords({"check", store}).code, 0);
  ExpectRefusal(RunWords({"repair", Path("none")}), "none");
}

// ---- adopt

TEST_F(RunTest, AdoptLetsACopyBeWrittenAgain) {
  const std::string store = InitStore();
  Append(store, 10);
  const std::string newest = Checkpoint(store);
  fs::create_directory(directory_ / "copy");
  for (const char* name : {"entries", "hashes"}) fs::create_directory(directory_ / "copy" / name);
  for (const auto& file : fs::recursive_directory_iterator(store)) {
    if (!fs::is_regular_file(file.path())) continue;
    const fs::path to = directory_ / "copy" / fs::relative(file.path(), store);
    fs::copy_file(file.path(), to);
    fs::permissions(to, fs::status(file.path()).permissions());
  }
  const std::string copy = Path("copy");
  ExpectRefusal(RunWords({"mount", copy, Path("mnt"), "-f"}), "adopt");
  const Outcome outcome = RunWords({"adopt", copy, "--newest", "-"}, newest);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("adopted: "));
  Append(copy, 10);
  EXPECT_EQ(RunWords({"check", copy}).code, 0);

  // The original has not seen those ten.
  const std::string newer = Write("newer", Checkpoint(copy), 0644);
  ExpectRefusal(RunWords({"adopt", store, "--newest", newer}), "adopt " + store + ": ");
}

TEST_F(RunTest, AdoptRefusesWhatIsNoCheckpoint) {
  const std::string store = InitStore();
  ExpectRefusal(RunWords({"adopt", store, "--newest", Path("none")}), "No such file");
  ExpectRefusal(RunWords({"adopt", store, "--newest", Path("mnt")}), "directory");
  ExpectRefusal(RunWords({"adopt", store, "--newest", "-"}, "rubbish\n"), "adopt " + store);
  ExpectRefusal(RunWords({"adopt", store, "--newest", "-"}, std::string(1'000'001, 'x')),
                "too large");
  ExpectRefusal(RunWords({"adopt", Path("none"), "--newest", "-"}, "x"), "none");
}

}  // namespace
}  // namespace mountd
