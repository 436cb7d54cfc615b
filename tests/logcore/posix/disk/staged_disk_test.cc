// StagedDisk: what is staged is read as if it had been done, changes nothing before Apply, and is
// done by Apply in the same order, as the simulated disk counts it.

#include "logcore/posix/disk/staged_disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/sim_disk.h"

namespace tlogfs_test {
namespace {

using namespace logcore;

std::string ReadAll(Disk* disk, const std::string& name) {
  const auto file = disk->Open(name, Access::kRead);
  if (!file.has_value()) return "(none)";
  std::string bytes((*file)->Length().value() + 10, '?');
  bytes.resize((*file)->ReadAt(0, bytes.data(), bytes.size()).value());
  return bytes;
}

class StagedDiskTest : public testing::Test {
 protected:
  StagedDiskTest() : process_(machine_.NewProcess()) {
    for (const char* name : {"one", "two"}) {
      const auto file = process_->Create(name, 0644).value();
      EXPECT_TRUE(file->WriteAt(0, std::string(5000, name[0])).has_value());
    }
    EXPECT_TRUE(process_->MakeDirectory("directory", 0755).has_value());
  }

  SimDisk machine_;
  const std::unique_ptr<SimProcess> process_;
};

// A store's life in small: many writes and cuts at random places of several files, through several
// openings, compared with the same on a disk of its own.
TEST_F(StagedDiskTest, ReadsAsIfItHadBeenDone) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SimRandom random(seed);
    const auto machine = machine_.Clone();
    const auto direct = machine_.Clone();
    const auto below = machine->NewProcess();
    const auto expected = direct->NewProcess();
    StagedDisk staged(below.get(), Access::kReadWrite);
    const uint64_t before = machine->operations();
    for (int step = 0; step < 30; ++step) {
      const std::string name = random.OneIn(2) ? "one" : "two";
      const uint64_t offset = random.Below(15'000);
      const std::string bytes(1 + random.Below(6000), static_cast<char>('a' + step));
      const bool cuts = random.OneIn(4);
      for (Disk* disk : {static_cast<Disk*>(&staged), static_cast<Disk*>(expected.get())}) {
        const auto file = disk->Open(name, Access::kReadWrite).value();
        ASSERT_TRUE((cuts ? file->Cut(offset) : file->WriteAt(offset, bytes)).has_value());
        ASSERT_TRUE(file->Sync().has_value());
      }
      for (const char* each : {"one", "two"}) {
        ASSERT_TRUE(ReadAll(&staged, each) == ReadAll(expected.get(), each)) << seed << " " << step;
      }
    }
    EXPECT_EQ(machine->operations(), before);
    EXPECT_EQ(machine->Cached("one"), machine_.Cached("one"));
    ASSERT_TRUE(staged.Apply().has_value());
    for (const char* each : {"one", "two"}) {
      EXPECT_TRUE(machine->OnDisk(each) == direct->OnDisk(each)) << seed;
    }
  }
}

TEST_F(StagedDiskTest, AppliesInOrder) {
  std::vector<std::string> done;
  machine_.Observe([&](const SimOperation& operation) {
    if (operation.kind == SimKind::kRead) return;
    done.push_back(std::string(SimKindName(operation.kind)) + " " + std::string(operation.name));
  });
  StagedDisk staged(process_.get(), Access::kReadWrite);
  const auto one = staged.Open("one", Access::kReadWrite).value();
  const auto fresh = staged.Create("directory/new", 0600).value();
  ASSERT_TRUE(fresh->WriteAt(0, "new").has_value());
  ASSERT_TRUE(one->WriteAt(1, "x").has_value());
  ASSERT_TRUE(fresh->Sync().has_value());
  ASSERT_TRUE(one->Allocate(10'000).has_value());
  ASSERT_TRUE(staged.Rename("directory/new", "directory/named").has_value());
  ASSERT_TRUE(staged.SyncDirectory("directory").has_value());
  ASSERT_TRUE(staged.Open("directory/named", Access::kReadWrite).value()->Cut(2).has_value());
  EXPECT_TRUE(done.empty());
  ASSERT_TRUE(staged.Apply().has_value());
  machine_.Observe(nullptr);
  EXPECT_EQ(done,
            (std::vector<std::string>{"create directory/new", "write directory/new", "write one",
                                      "sync directory/new", "allocate one", "rename directory/new",
                                      "sync directory directory", "cut directory/named"}));
  EXPECT_EQ(machine_.Cached("directory/named"), "ne");
}

TEST_F(StagedDiskTest, KnowsTheNames) {
  StagedDisk staged(process_.get(), Access::kReadWrite);
  EXPECT_EQ(staged.Open("three", Access::kRead).error().code, Code::kNotFound);
  EXPECT_EQ(staged.Create("one", 0600).error().code, Code::kExists);
  ASSERT_TRUE(staged.Create("three", 0640).has_value());
  EXPECT_EQ(staged.Create("three", 0600).error().code, Code::kExists);
  EXPECT_EQ(staged.Info("three")->mode, 0640u);
  ASSERT_TRUE(staged.Rename("two", "four").has_value());
  EXPECT_EQ(ReadAll(&staged, "four"), std::string(5000, 't'));
  EXPECT_EQ(staged.Open("two", Access::kRead).error().code, Code::kNotFound);
  EXPECT_EQ(staged.Info("two").error().code, Code::kNotFound);
  EXPECT_EQ(staged.Rename("two", "five").error().code, Code::kNotFound);
  EXPECT_EQ(staged.List("").value(),
            (std::vector<std::string>{"directory", "four", "one", "three"}));
  ASSERT_TRUE(staged.Remove("four").has_value());
  EXPECT_EQ(staged.Remove("four").error().code, Code::kNotFound);
  EXPECT_EQ(staged.List("").value(), (std::vector<std::string>{"directory", "one", "three"}));
  EXPECT_EQ(staged.MakeDirectory("more", 0700).error().code, Code::kInvalid);
  EXPECT_EQ(machine_.Names(), (std::vector<std::string>{"one", "two"}));
  ASSERT_TRUE(staged.Apply().has_value());
  EXPECT_EQ(machine_.Names(), (std::vector<std::string>{"one", "three"}));
}

// What fails in the midst of it has left what a process leaves that dies there.
TEST_F(StagedDiskTest, StopsAtTheFirstError) {
  StagedDisk staged(process_.get(), Access::kReadWrite);
  const auto one = staged.Open("one", Access::kReadWrite).value();
  ASSERT_TRUE(one->WriteAt(0, "1").has_value());
  ASSERT_TRUE(one->Sync().has_value());
  ASSERT_TRUE(one->WriteAt(1, "2").has_value());
  machine_.FailOperation(machine_.operations() + 2, Code::kIo, SimDisk::Outcome::kNotHappened);
  EXPECT_EQ(staged.Apply().error().code, Code::kIo);
  EXPECT_TRUE(machine_.Cached("one").starts_with("1ooo"));
}

}  // namespace
}  // namespace tlogfs_test
