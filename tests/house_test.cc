// The style of this house, as a test: who includes whom, who may touch what, how long things are,
// and what lies on the top shelf. Reads the sources as text.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = boost::filesystem;

constexpr size_t kMaxLineLength = 100;  // characters
constexpr size_t kMaxFileLength = 450;  // lines

// Files that may be longer, and why.
const std::map<std::string, std::string> kLongFiles = {
    {"logcore/posix/check/audit.cc", "one class"},
    {"logcore/posix/disk/posix_disk.cc", "the one door to the operating system"},
    {"tests/mountd/run_test.cc", "whole command lines, one after the other"},
    {"tests/support/sim_disk_test.cc", "a test for each promise of the disk"},
};

struct Source {
  std::string path;  // from the top
  std::vector<std::string> lines;

  std::string folder() const { return path.substr(0, path.find('/')); }
  std::string name() const { return fs::path(path).filename().string(); }
  bool IsCode() const {
    const std::string extension = fs::path(path).extension().string();
    return extension == ".h" || extension == ".cc";
  }
  bool IsScript() const { return !lines.empty() && lines[0].rfind("#!", 0) == 0; }
};

fs::path Top() {
  return TLOGFS_SOURCE_DIR;
}

Source ReadSource(const fs::path& path) {
  Source source{.path = fs::relative(path, Top()).string(), .lines = {}};
  std::ifstream in(path.string());
  for (std::string line; std::getline(in, line);) source.lines.push_back(line);
  return source;
}

// Everything that people wrote, folder by folder.
std::vector<Source> ReadHouse() {
  std::vector<Source> sources;
  for (const char* folder : {"logcore", "fusefs", "mountd", "tests", "examples", ".ci"}) {
    for (const auto& entry : fs::recursive_directory_iterator(Top() / folder)) {
      const std::string path = entry.path().string();
      if (path.find("__pycache__") != std::string::npos) continue;
      if (fs::is_regular_file(entry.path())) sources.push_back(ReadSource(entry.path()));
    }
  }
  return sources;
}

const std::vector<Source>& House() {
  static const std::vector<Source> house = ReadHouse();
  return house;
}

std::string WithoutComment(const std::string& line) {
  return line.substr(0, line.find("//"));
}

// Every line of code of `folder` (all folders if empty) that matches `pattern`, outside comments,
// in files that `allowed` does not name.
std::string Offenders(const std::string& folder, const std::string& pattern,
                      const std::set<std::string>& allowed) {
  const std::regex regex(pattern);
  std::string found;
  for (const Source& source : House()) {
    if (!source.IsCode() || (!folder.empty() && source.folder() != folder)) continue;
    if (allowed.count(source.path) != 0) continue;
    for (size_t i = 0; i < source.lines.size(); ++i) {
      if (!std::regex_search(WithoutComment(source.lines[i]), regex)) continue;
      found += source.path + ":" + std::to_string(i + 1) + ": " + source.lines[i] + "\n";
    }
  }
  return found;
}

size_t Characters(const std::string& line) {
  return static_cast<size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

TEST(House, IsThere) {
  std::set<std::string> folders;
  for (const Source& source : House()) folders.insert(source.folder());
  for (const char* folder : {"logcore", "fusefs", "mountd", "tests", "examples"}) {
    EXPECT_EQ(folders.count(folder), 1u) << folder;
  }
}

TEST(House, TopShelfHoldsWhatTheDesignListsAndNothingElse) {
  const std::set<std::string> allowed = {
      "CMakeLists.txt", "README.md",        "fusefs", "logcore",       "mountd",      "tests",
      "examples",       "LICENSE",          ".ci",    ".clang-format", ".clang-tidy", ".git",
      ".gitignore",     "CMakePresets.json"};
  const std::regex built("build.*|.*\\.swp");  // as .gitignore has it
  for (const auto& entry : fs::directory_iterator(Top())) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(allowed.count(name) == 1 || std::regex_match(name, built)) << name;
  }
}

// The rooms of logcore, and those that each may include beside itself.
const std::map<std::string, std::set<std::string>> kRooms = {
    {"logcore/util", {}},
    {"logcore/tlog", {"logcore/util"}},
    {"logcore/log", {"logcore/util", "logcore/tlog"}},
    {"logcore/posix/disk", {"logcore/util", "logcore/tlog"}},
    {"logcore/posix/files", {"logcore/util", "logcore/tlog", "logcore/log", "logcore/posix/disk"}},
    {"logcore/posix/commit",
     {"logcore/util", "logcore/tlog", "logcore/log", "logcore/posix/disk", "logcore/posix/files"}},
    {"logcore/posix/check",
     {"logcore/util", "logcore/tlog", "logcore/log", "logcore/posix/disk", "logcore/posix/files",
      "logcore/posix/commit"}},
    {"fusefs", {"logcore/util", "logcore/tlog", "logcore/log"}},
};
TEST(House, IncludesFollowTheArrows) {
  EXPECT_EQ(Offenders("logcore", "#include \"(?!logcore/)", {}), "");
  EXPECT_EQ(Offenders("fusefs", "#include \"(?!fusefs/|logcore/)", {}), "");
  EXPECT_EQ(Offenders("mountd", "#include \"(?!mountd/|fusefs/|logcore/)", {}), "");
}

TEST(House, RoomsIncludeWhatTheyMay) {
  const std::regex include("^#include \"((.*)/[^/]*)\"");
  std::string against;
  for (const Source& source : House()) {
    const std::string room = fs::path(source.path).parent_path().string();
    if (!source.IsCode() || (source.folder() != "logcore" && source.folder() != "fusefs")) continue;
    ASSERT_EQ(kRooms.count(room), 1u) << source.path;
    for (const std::string& line : source.lines) {
      std::smatch match;
      if (!std::regex_search(line, match, include) || match[2] == room) continue;
      if (kRooms.at(room).count(match[2]) == 1) continue;
      against += source.path + ": " + match[1].str() + "\n";
    }
  }
  EXPECT_EQ(against, "");
}

TEST(House, LibfuseIsSpokenInOnePlace) {
  const std::regex fuse_files("fuse_[a-z_]+\\.(cc|h)");
  for (const Source& source : House()) {
    if (!source.IsCode() || source.folder() == "tests") continue;
    const bool may = source.folder() == "fusefs" && std::regex_match(source.name(), fuse_files);
    for (const std::string& line : source.lines) {
      EXPECT_TRUE(may || !std::regex_search(line, std::regex("#include <(fuse|linux/fuse)")))
          << source.path << ": " << line;
    }
  }
}

TEST(House, OpensslIsSpokenInTwoPlaces) {
  for (const char* folder : {"logcore", "fusefs", "mountd", "examples"}) {
    EXPECT_EQ(
        Offenders(folder, "#include <openssl/", {"logcore/tlog/hash.cc", "logcore/tlog/note.cc"}),
        "");
    EXPECT_EQ(
        Offenders(
            folder,
            "EVP_sha|EVP_MD_fetch|EVP_Digest(Init|Update|Final)|SHA256_[A-Z][a-z]|\\bSHA256\\(",
            {"logcore/tlog/hash.cc"}),
        "");
    EXPECT_EQ(
        Offenders(folder, "EVP_PKEY|EVP_Digest(Sign|Verify)|ED25519", {"logcore/tlog/note.cc"}),
        "");
  }
}

TEST(House, OneDoorToTheDisk) {
  EXPECT_EQ(Offenders("logcore",
                      "\\b(fsync|fdatasync|syncfs|sync_file_range|rename|renameat2?|open|openat2?|"
                      "creat|fopen|pwritev?|unlink(at)?|mkdir|fallocate|ftruncate)\\(|<fstream>",
                      {"logcore/posix/disk/posix_disk.cc"}),
            "");
  EXPECT_EQ(Offenders("fusefs", "\\b(fsync|fdatasync|syncfs|rename|renameat2?)\\(", {}), "");
  EXPECT_EQ(Offenders("mountd", "\\b(fsync|fdatasync|syncfs|rename|renameat2?)\\(", {}), "");
}

TEST(House, BoostIsForTheProgramAndTheTests) {
  EXPECT_EQ(Offenders("logcore", "boost", {}), "");
  EXPECT_EQ(Offenders("fusefs", "boost", {}), "");
  EXPECT_EQ(Offenders("examples", "boost", {}), "");
}

TEST(House, LinesAndFilesFit) {
  for (const Source& source : House()) {
    const bool is_build = source.name() == "CMakeLists.txt";
    if (!source.IsCode() && !source.IsScript() && !is_build) continue;
    for (size_t i = 0; i < source.lines.size(); ++i) {
      EXPECT_LE(Characters(source.lines[i]), kMaxLineLength) << source.path << ":" << i + 1;
    }
    if (kLongFiles.count(source.path) == 0) {
      EXPECT_LE(source.lines.size(), kMaxFileLength) << source.path;
    }
  }
  for (const std::string& line : ReadSource(Top() / "CMakeLists.txt").lines) {
    EXPECT_LE(Characters(line), kMaxLineLength) << "CMakeLists.txt: " << line;
  }
}

TEST(House, HeadersOpenByTellingWhatTheyAre) {
  for (const Source& source : House()) {
    if (fs::path(source.path).extension() != ".h") continue;
    ASSERT_FALSE(source.lines.empty()) << source.path;
    EXPECT_EQ(source.lines[0].rfind("// ", 0), 0u) << source.path;
  }
}

// Which threads may use it, and which tests show that it does what it says: files that exist.
TEST(House, HeadersNameTheirThreadsAndTests) {
  const std::regex tested("(Tested|Used)( for [a-z]+)? by (tests/[a-zA-Z0-9_./]*[a-zA-Z0-9_])");
  for (const Source& source : House()) {
    if (fs::path(source.path).extension() != ".h" || source.folder() == "tests") continue;
    std::string opening;
    for (const std::string& line : source.lines) {
      if (line.rfind("//", 0) != 0) break;
      opening += line.size() > 2 ? line.substr(3) + " " : " ";
    }
    EXPECT_NE(opening.find("hread"), std::string::npos) << source.path << " names no thread";
    std::smatch match;
    const bool names = std::regex_search(opening, match, tested);
    EXPECT_TRUE(names) << source.path << " names no test";
    if (names) {
      EXPECT_TRUE(fs::exists(Top() / match[3].str())) << source.path << ": " << match[3];
    }
  }
}

TEST(House, NothingIsLeftForLater) {
  const std::regex later(
      "\\b(TO"
      "DO|FIX"
      "ME|XX"
      "X|HA"
      "CK)\\b");
  for (const Source& source : House()) {
    for (size_t i = 0; i < source.lines.size(); ++i) {
      EXPECT_FALSE(std::regex_search(source.lines[i], later)) << source.path << ":" << i + 1;
    }
  }
}

TEST(House, ScriptsCanBeRun) {
  for (const Source& source : House()) {
    if (!source.IsScript()) continue;
    struct stat info {};
    ASSERT_EQ(stat((Top() / source.path).c_str(), &info), 0) << source.path;
    EXPECT_NE(info.st_mode & 0100, 0u) << source.path;
  }
}

TEST(House, EveryFolderHasAGuide) {
  for (const char* folder : {".", "logcore", "logcore/util", "logcore/tlog", "logcore/log",
                             "logcore/posix", "fusefs", "mountd", "tests", "examples"}) {
    EXPECT_TRUE(fs::exists(Top() / folder / "README.md")) << folder;
  }
}

}  // namespace
