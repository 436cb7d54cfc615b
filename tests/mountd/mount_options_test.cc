// The words after -o: which are taken, what they mean, and that nothing else passes.

#include "mountd/mount_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mountd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

MountOptions Parse(const std::string& list) {
  MountOptions options;
  const logcore::Status status = ParseMountOptions(list, &options);
  EXPECT_TRUE(status.has_value()) << list << ": " << status.error().message;
  return options;
}

std::string Refusal(const std::string& list) {
  MountOptions options;
  const logcore::Status status = ParseMountOptions(list, &options);
  EXPECT_FALSE(status.has_value()) << list;
  return status.has_value() ? "" : status.error().message;
}

TEST(MountOptions, NothingGivenIsTheDefault) {
  for (const char* list : {"", ",", ",,"}) {
    const MountOptions options = Parse(list);
    EXPECT_FALSE(options.read_only || options.static_site);
    EXPECT_FALSE(options.async);
    EXPECT_FALSE(options.uid || options.gid || options.umask || options.append_mode);
    EXPECT_EQ(options.checkpoint_interval.count(), 0);
    EXPECT_THAT(options.fuse_options, IsEmpty());
  }
}

TEST(MountOptions, TakesOurs) {
  const MountOptions options =
      Parse("ro,async,uid=0,gid=4294967294,umask=027,mode=0622,checkpoint_interval=1000");
  EXPECT_TRUE(options.read_only);
  EXPECT_TRUE(options.async);
  EXPECT_EQ(options.uid, 0u);
  EXPECT_EQ(options.gid, 4294967294u);
  EXPECT_EQ(options.umask, 027u);
  EXPECT_EQ(options.append_mode, 0622u);
  EXPECT_EQ(options.checkpoint_interval.count(), 1000);
}

TEST(MountOptions, TheLaterOneCounts) {
  EXPECT_FALSE(Parse("ro,rw").read_only);
  EXPECT_TRUE(Parse("rw,ro").read_only);
  EXPECT_EQ(Parse("uid=1,uid=2").uid, 2u);
}

TEST(MountOptions, StaticIsReadOnlyWhateverMountSays) {
  for (const char* list :
       {"static", "rw,static", "static,rw", "static,nofail,rw,ro", "ro,static"}) {
    EXPECT_TRUE(Parse(list).static_site) << list;
    EXPECT_TRUE(Parse(list).read_only) << list;
  }
  EXPECT_FALSE(Parse("ro").static_site);
}

TEST(MountOptions, PassesOnWhatLibfuseTakes) {
  EXPECT_THAT(Parse("allow_other,nodev,noexec,nosuid,noatime,max_read=65536").fuse_options,
              ElementsAre("allow_other", "nodev", "noexec", "nosuid", "noatime", "max_read=65536"));
  EXPECT_THAT(Parse("allow_other,allow_other").fuse_options, ElementsAre("allow_other"));
}

TEST(MountOptions, KeepsCommasInsideAContext) {
  EXPECT_THAT(Parse(R"(context="system_u:object_r:tlog_t:s0:c1,c2",nodev)").fuse_options,
              ElementsAre(R"(context="system_u:object_r:tlog_t:s0:c1\,c2")", "nodev"));
}

TEST(MountOptions, IgnoresWhatMountPassesToEveryHelper) {
  const MountOptions options = Parse(
      "rw,nofail,user,user=joe,users,owner,group,auto,noauto,defaults,_netdev,relatime,atime,"
      "diratime,dev,suid,exec,x-systemd.automount,x-systemd.requires=/srv,default_permissions");
  EXPECT_FALSE(options.read_only);
  EXPECT_THAT(options.fuse_options, IsEmpty());
}

TEST(MountOptions, RefusesEverythingElse) {
  for (const char* word :
       {"Static", "static=1", "writable", "RO", "ro=1", "async=1", "allow_other=1", "fsname=x",
        "subtype=x", "entry_timeout=9", "sync", "uid", "context=", "=", "=1", "o", " ro"}) {
    EXPECT_THAT(Refusal(word), HasSubstr("-o " + std::string(word) + ": ")) << word;
  }
  EXPECT_THAT(Refusal("ro,remount"), HasSubstr("unmount, and mount again"));
}

TEST(MountOptions, ReadsNumbersStrictly) {
  for (const char* word : {"uid=",
                           "uid=-1",
                           "uid=+1",
                           "uid=01",
                           "uid=1x",
                           "uid= 1",
                           "uid=4294967295",
                           "uid=root",
                           "gid=4294967296",
                           "umask=",
                           "umask=8",
                           "umask=-1",
                           "umask=0x1",
                           "umask=1000",
                           "umask=00022",
                           "mode=777777777777",
                           "mode=rw",
                           "checkpoint_interval=",
                           "checkpoint_interval=1.5",
                           "checkpoint_interval=3600001",
                           "checkpoint_interval=-1",
                           "max_read=",
                           "max_read=4k"}) {
    EXPECT_THAT(Refusal(word), HasSubstr(word)) << word;
  }
}

}  // namespace
}  // namespace mountd
