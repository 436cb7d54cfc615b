// The audit of backups (logcore/posix/check/audit.h, journal_audit.h): what it calls sound can be
// adopted, and backed up into again, also where a run was cut short; and rot is found wherever an
// adoption would take it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "logcore/posix/check/audit.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/published.h"
#include "tests/crash/backups.h"

namespace tlogfs_test {
namespace {

using namespace logcore;
using testing::HasSubstr;

class BackupAuditTest : public testing::Test {
 protected:
  Possible possible() const { return {.worlds = {moments_[0].get(), moments_[1].get()}}; }

  // A run of the newer moment is killed after the first operation that `is_last` holds for.
  void RunUntil(const std::function<bool(const SimOperation&)>& is_last) {
    uint64_t last = 0;
    {
      const auto whole = dest_.Clone();
      whole->Observe([&](const SimOperation& operation) {
        if (last == 0 && is_last(operation)) last = operation.number;
      });
      MustBackUp(*moments_[1], whole.get());
    }
    ASSERT_NE(last, 0u);
    dest_.CrashAt(last + 1);
    EXPECT_THROW(static_cast<void>(RunBackup(moments_[1]->disk(), &dest_)), SimCrash);
    dest_.CrashAt(0);
  }

  // Returns what the audit finds first, as "FILE: WHAT"; "" if it finds nothing.
  static std::string Damage(SimDisk* disk) {
    const auto process = disk->NewProcess();
    const Result<AuditReport> report = Audit(process.get(), {});
    if (!report.has_value()) return report.error().message;
    return report->damages.empty() ? "" : report->damages[0].file + ": " + report->damages[0].what;
  }
  // The audit, an adoption and a further run say the same of it, and the latter change nothing.
  void ExpectRefusedByAll(const std::string& why) {
    EXPECT_THAT(Damage(&dest_), HasSubstr(why));
    const auto copy = dest_.Clone();
    const Status adopted = AdoptBackup(copy.get(), possible());
    ASSERT_FALSE(adopted.has_value());
    EXPECT_THAT(adopted.error().message, HasSubstr(why));
    const auto report = RunBackup(moments_[1]->disk(), copy.get());
    ASSERT_FALSE(report.has_value());
    EXPECT_THAT(report.error().message, HasSubstr(why));
    for (const std::string& name : dest_.Names()) {
      EXPECT_EQ(copy->Cached(name), dest_.Cached(name)) << name;
    }
  }

  Moments moments_ = GrowTo({300, 700});
  SimDisk dest_;
};

TEST_F(BackupAuditTest, ACheckpointOfAnotherLengthIsDamage) {
  MustBackUp(*moments_[0], &dest_);
  const uint64_t length = dest_.Cached("checkpoint").size();
  for (const uint64_t wrong : {length - 1, length + 1}) {
    dest_.RotLength("checkpoint", wrong);
    ExpectRefusedByAll("checkpoint: is " + std::to_string(wrong) + " bytes long");
  }
}

TEST_F(BackupAuditTest, WhatIsNoFileAmongTheSegmentsIsDamage) {
  MustBackUp(*moments_[0], &dest_);
  const auto process = dest_.NewProcess();
  ASSERT_TRUE(process->MakeDirectory("entries/1", 0755).has_value());
  EXPECT_THAT(Damage(&dest_), HasSubstr("entries/1"));
  const Status adopted = AdoptBackup(&dest_, possible());
  ASSERT_FALSE(adopted.has_value());
  EXPECT_THAT(adopted.error().message, HasSubstr("entries/1"));
  const auto report = RunBackup(moments_[1]->disk(), &dest_);
  ASSERT_FALSE(report.has_value());
  EXPECT_THAT(report.error().message, HasSubstr("entries/1"));
}

// Between steps 4 and 5 the replay slot goes to 700, the checkpoint to 300: what is between them is
// taken by an adoption.
TEST_F(BackupAuditTest, WhatARunHasNotPublishedIsAuditedToo) {
  MustBackUp(*moments_[0], &dest_);
  RunUntil(SimDisk::Matching(SimKind::kSync, "journal"));
  const auto process = dest_.NewProcess();
  const Result<AuditReport> report = Audit(process.get(), {});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_TRUE(report->damages.empty());
  EXPECT_EQ(report->head.size, 300u);
  EXPECT_EQ(report->unpublished, 400u);
  CheckBackup(dest_, possible(), 1);

  for (const std::string name : {"entries/0", "entries/0.index", "hashes/0", "hashes/1", "times"}) {
    const std::string bytes = dest_.Cached(name);
    for (uint64_t i = 0; i < bytes.size(); i += 1 + bytes.size() / 50) {
      SCOPED_TRACE(name + " at byte " + std::to_string(i));
      const auto rotten = dest_.Clone();
      const char byte = static_cast<char>(bytes[i] ^ 4);
      rotten->Rot(name, i, {&byte, 1});
      // What the replay slot keeps is put back by an adoption.
      const bool is_sound = Damage(rotten.get()).empty();
      const Status adopted = AdoptBackup(rotten.get(), possible());
      EXPECT_EQ(is_sound, adopted.has_value()) << (is_sound ? adopted.error().message : "");
    }
  }
}

// Wherever a run is killed: the audit finds no fault in what is no fault, in this boot or after a
// power cut, if readers need not wait.
TEST_F(BackupAuditTest, WhatItCallsSoundCanBeAdopted) {
  MustBackUp(*moments_[0], &dest_);
  uint64_t sound = 0;
  for (uint64_t n = 1;; ++n) {
    SCOPED_TRACE("killed at operation " + std::to_string(n));
    const auto disk = dest_.Clone();
    disk->CrashAt(disk->operations() + n, n % 3);
    try {
      if (RunBackup(moments_[1]->disk(), disk.get()).has_value()) break;
    } catch (const SimCrash&) {
    }
    disk->CrashAt(0);
    EXPECT_EQ(Damage(disk.get()), "");
    disk->CutPower(n);
    const std::string damage = Damage(disk.get());
    sound += damage.empty() ? 1 : 0;
    // A power cut can tear both slots of the checkpoint, which an adoption makes again.
    if (!damage.empty()) {
      EXPECT_THAT(damage, HasSubstr("checkpoint: neither slot is valid"));
    }
    const Status adopted = AdoptBackup(disk.get(), possible());
    EXPECT_TRUE(adopted.has_value()) << adopted.error().message;
  }
  EXPECT_GT(sound, 20u);
}

}  // namespace
}  // namespace tlogfs_test
