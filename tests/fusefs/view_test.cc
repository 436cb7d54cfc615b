#include "fusefs/view.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fusefs/tree.h"
#include "logcore/log/batch.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/support/either_log.h"
#include "tests/support/reference_log.h"

namespace fusefs {
namespace {

using logcore::Code;
using logcore::kEntriesLevel;
using logcore::Snapshot;
using tlogfs_test::EitherLog;
using tlogfs_test::ReferenceLog;
using tlogfs_test::Storage;

class ViewBase : public testing::Test {
 protected:
  explicit ViewBase(Storage storage)
      : storage_(storage, {.origin = "example.com/view", .key = {}},
                 [this] { return now_ * logcore::kNanoseconds; }),
        vkey_(storage_.published().vkey().ToString()),
        view_(std::make_unique<View>(vkey_, [this](const logcore::Published& checkpoint) {
          return storage_.published().PublicationTimeOf(checkpoint);
        })) {}

  // Appends, ten seconds after the last time.
  void Append(const std::vector<std::string>& entries) {
    now_ += 10;
    logcore::Batch batch;
    for (const std::string& entry : entries) {
      std::string frame;
      logcore::AppendFrame(&frame, entry);
      batch.Append(frame, 1);
      log_.Add(entry);
    }
    ASSERT_TRUE(storage_.writer().Commit(&batch).has_value());
    ASSERT_TRUE(storage_.writer().Publish().has_value());
  }
  void AppendNumbers(uint64_t count) {
    std::vector<std::string> entries;
    while (entries.size() < count) {
      entries.push_back("entry " + std::to_string(log_.size() + entries.size()));
    }
    Append(entries);
  }

  std::shared_ptr<const Snapshot> Latest() { return storage_.published().Latest().value(); }
  std::string Read(const Node& node, uint64_t offset = 0, size_t length = 1 << 30) {
    return view_->Read(node, *Latest(), offset, length).value();
  }
  Attributes Of(const Node& node) { return view_->AttributesOf(node, *Latest()).value(); }

  int64_t now_ = 1'700'000'000;
  EitherLog storage_;
  const std::string vkey_;
  const std::unique_ptr<View> view_;
  ReferenceLog log_;
};

class ViewTest : public ViewBase, public testing::WithParamInterface<Storage> {
 protected:
  ViewTest() : ViewBase(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(EachStorage, ViewTest, tlogfs_test::kBothStorages,
                         tlogfs_test::StorageName);

class StoreViewTest : public ViewBase {
 protected:
  StoreViewTest() : ViewBase(Storage::kFiles) {}
};

TEST_P(ViewTest, AttributesAreTrueOfTheBytes) {
  AppendNumbers(300);
  AppendNumbers(400);
  const Shape shape{.size = 700};
  for (const Node& node :
       {Node{.kind = Kind::kLog}, Node{.kind = Kind::kVkey},
        Node{.kind = Kind::kCheckpoint, .index = 700}, Node{.kind = Kind::kEntry, .index = 299},
        Node{Kind::kTile, 0, 256, 1}, Node{Kind::kTile, 0, 188, 2}, Node{Kind::kTile, 1, 2, 0},
        Node{Kind::kTile, kEntriesLevel, 256, 0}, Node{Kind::kTile, kEntriesLevel, 7, 2}}) {
    ASSERT_TRUE(Exists(node, shape));
    EXPECT_EQ(Of(node).length, Read(node).size()) << NodeNumber(node);
  }
}

TEST_P(ViewTest, BytesAreTheLogs) {
  AppendNumbers(600);
  EXPECT_EQ(Read({.kind = Kind::kEntry, .index = 123}), log_.entry(123));
  std::string hashes;
  for (uint64_t i = 256; i < 256 + 40; ++i) hashes += log_.LeafHash(i).view();
  EXPECT_EQ(Read({Kind::kTile, 0, 40, 1}), hashes);
  EXPECT_EQ(Read({Kind::kTile, 0, 40, 1}, 100, 50), hashes.substr(100, 50));
  EXPECT_EQ(Read({Kind::kTile, 0, 40, 1}, hashes.size()), "");
  EXPECT_EQ(Read({Kind::kTile, 0, 40, 1}, uint64_t{1} << 62), "");
  EXPECT_EQ(Read({Kind::kTile, 1, 1, 0}), log_.Root(0, 256).view());
  std::string text;
  for (uint64_t i = 0; i < 600; ++i) text += log_.entry(i) + "\n";
  EXPECT_EQ(Read({.kind = Kind::kLog}), text);
  EXPECT_EQ(Read({.kind = Kind::kLog}, 1000, 333), text.substr(1000, 333));
  EXPECT_EQ(Read({.kind = Kind::kVkey}), vkey_ + "\n");
}

// To the second of the last entry: a partial tile's is older than the full one's.
TEST_P(ViewTest, TimesAreThoseOfTheLastEntry) {
  const int64_t init = now_;
  EXPECT_EQ(Of({.kind = Kind::kVkey}).mtime.tv_sec, init);
  AppendNumbers(100);  // at 10
  AppendNumbers(200);  // at 20
  EXPECT_EQ(Of({.kind = Kind::kEntry, .index = 99}).mtime.tv_sec, init + 10);
  EXPECT_EQ(Of({.kind = Kind::kEntry, .index = 100}).mtime.tv_sec, init + 20);
  EXPECT_EQ(Of({Kind::kTile, 0, 100, 0}).mtime.tv_sec, init + 10);
  EXPECT_EQ(Of({Kind::kTile, 0, 101, 0}).mtime.tv_sec, init + 20);
  EXPECT_EQ(Of({Kind::kTile, kEntriesLevel, 1, 0}).mtime.tv_sec, init + 10);
  EXPECT_EQ(Of({Kind::kTile, 1, 1, 0}).mtime.tv_sec, init + 20);
  EXPECT_EQ(Of({.kind = Kind::kVkey}).mtime.tv_sec, init + 10);
  EXPECT_EQ(Of({}).mtime.tv_sec, init + 20);
  EXPECT_EQ(Of({.kind = Kind::kTileShard, .level = 0}).mtime.tv_sec, init + 20);
  EXPECT_EQ(Of({.kind = Kind::kAdd}).length, 0u);
}

// To the nanosecond, and of each version its own; in the same second as another, it settles.
TEST_F(StoreViewTest, TimesOfCheckpointsAreThoseOfTheirPublication) {
  const auto view_of = [this](int64_t later) {
    return View(vkey_, [this, later](const logcore::Published& checkpoint) {
      return ShownTime(
          checkpoint.publication,
          logcore::MomentOf(storage_.disk()->BootId().value(),
                            storage_.disk()->Uptime() + later * logcore::kNanoseconds));
    });
  };
  AppendNumbers(1);
  now_ -= 10;  // The second that Append takes is the same again.
  AppendNumbers(1);
  const Node node{.kind = Kind::kCheckpoint, .index = 2};
  const Attributes now = view_of(0).AttributesOf(node, *Latest()).value();
  const int64_t at = Latest()->published().publication.at - now_ * logcore::kNanoseconds;
  EXPECT_GE(at, 1000);  // The clock stands still, but time does not.
  EXPECT_EQ(now.mtime.tv_sec, now_);
  EXPECT_EQ(now.mtime.tv_nsec, at);
  const Attributes later = view_of(2).AttributesOf(node, *Latest()).value();
  EXPECT_EQ(later.mtime.tv_sec, now_ + 1);
  EXPECT_EQ(later.mtime.tv_nsec, 0);
  EXPECT_EQ(later.ctime.tv_sec, now_);
  EXPECT_EQ(later.ctime.tv_nsec, at);
}

TEST_P(ViewTest, WhatIsNotThereIsNotFound) {
  AppendNumbers(10);
  for (const Node& node :
       {Node{.kind = Kind::kEntry, .index = 10}, Node{Kind::kTile, 0, 11, 0},
        Node{Kind::kTile, 1, 1, 0}, Node{.kind = Kind::kCheckpoint, .index = 11},
        Node{.kind = Kind::kCheckpoint, .index = 5}, Node{.kind = Kind::kEntryShard, .index = 1}}) {
    const auto attributes = view_->AttributesOf(node, *Latest());
    ASSERT_FALSE(attributes.has_value());
    EXPECT_EQ(attributes.error().code, Code::kNotFound);
    EXPECT_FALSE(view_->Read(node, *Latest(), 0, 1).has_value());
  }
  EXPECT_EQ(view_->Read({}, *Latest(), 0, 1).error().code, Code::kInvalid);
}

TEST_P(ViewTest, ACheckpointThatWasShownStaysAsItWas) {
  AppendNumbers(1);
  const Node first{.kind = Kind::kCheckpoint, .index = 1};
  const Attributes attributes = Of(first);
  const std::string note = Read(first);
  EXPECT_EQ(note, Latest()->published().note);
  AppendNumbers(1);
  EXPECT_EQ(Read(first), note);
  EXPECT_EQ(Of(first).length, attributes.length);
  EXPECT_EQ(Of(first).mtime.tv_sec, attributes.mtime.tv_sec);
  EXPECT_NE(Read({.kind = Kind::kCheckpoint, .index = 2}), note);
}

TEST_P(ViewTest, OldCheckpointsAreForgottenInTheEnd) {
  std::vector<std::shared_ptr<const Snapshot>> snapshots;
  const auto published = [](uint64_t size) {
    logcore::Published p;
    p.head.size = size;
    p.note = std::to_string(size);
    return std::make_shared<const Snapshot>(p, nullptr, nullptr);
  };
  const auto shows = [&](uint64_t version, uint64_t newest) {
    return view_->Checkpoint({.kind = Kind::kCheckpoint, .index = version}, *published(newest));
  };
  for (uint64_t size = 1; size <= kMaxCheckpoints; ++size) ASSERT_TRUE(shows(size, size));
  EXPECT_EQ(shows(1, kMaxCheckpoints).value()->note, "1");
  ASSERT_TRUE(shows(kMaxCheckpoints + 1, kMaxCheckpoints + 1));
  EXPECT_EQ(shows(1, kMaxCheckpoints + 1).error().code, Code::kNotFound);
  EXPECT_EQ(shows(2, kMaxCheckpoints + 1).value()->note, "2");
}

// What the kernel knows, an open file say, outlives any number of newer versions.
TEST_P(ViewTest, CheckpointsThatTheKernelKnowsStayUntilItForgetsThem) {
  const auto snapshot = [](uint64_t size) {
    logcore::Published published;
    published.head.size = size;
    published.note = std::to_string(size);
    return Snapshot(published, nullptr, nullptr);
  };
  const auto version = [](uint64_t size) { return Node{.kind = Kind::kCheckpoint, .index = size}; };
  const auto read = [&](uint64_t size, uint64_t newest) {
    return view_->Read(version(size), snapshot(newest), 0, 100);
  };
  uint64_t newest = 2;
  const auto publish_many = [&] {
    for (const uint64_t last = newest + kMaxCheckpoints + 1; newest < last; ++newest) {
      ASSERT_TRUE(view_->Checkpoint(version(newest), snapshot(newest)).has_value());
    }
  };
  ASSERT_TRUE(view_->Remember(version(1), snapshot(1)).has_value());
  ASSERT_TRUE(view_->Remember(version(2), snapshot(2)).has_value());
  ASSERT_TRUE(view_->Remember(version(1), snapshot(2)).has_value());
  view_->Forget(version(2), 1);
  publish_many();
  EXPECT_EQ(read(1, newest).value(), "1");
  EXPECT_EQ(read(2, newest).error().code, Code::kNotFound);
  view_->Forget(version(1), 1);
  EXPECT_EQ(read(1, newest).value(), "1");
  view_->Forget(version(1), 1);
  EXPECT_EQ(read(1, newest).error().code, Code::kNotFound);
  EXPECT_EQ(view_->Remember(version(1), snapshot(newest)).error().code, Code::kNotFound);
  view_->Forget(version(1), 7);  // of something unknown
  // More than it was told, which the kernel never says, is everything.
  ASSERT_TRUE(view_->Remember(version(newest), snapshot(newest)).has_value());
  view_->Forget(version(newest), uint64_t{1} << 63);
  const uint64_t forgotten = newest;
  publish_many();
  EXPECT_EQ(read(forgotten, newest).error().code, Code::kNotFound);
  // Nothing is kept of other nodes, whose bytes are always there.
  EXPECT_TRUE(view_->Remember({.kind = Kind::kVkey}, snapshot(1)).has_value());
  view_->Forget({.kind = Kind::kVkey}, 1);
}

// Bundles that do not fit into one read, three of them at once: more than are kept.
TEST_P(ViewTest, LongBundlesAreReadInPieces) {
  std::vector<std::string> bundles;
  for (int bundle = 0; bundle < 3; ++bundle) {
    std::vector<std::string> entries;
    std::string frames;
    for (int i = 0; i < 256; ++i) {
      entries.push_back(std::string(2000, static_cast<char>('a' + bundle)) + std::to_string(i));
      logcore::AppendFrame(&frames, entries.back());
    }
    Append(entries);
    bundles.push_back(frames);
  }
  std::vector<std::string> read(3);
  constexpr size_t kPiece = 128 * 1024;
  for (size_t offset = 0; offset < bundles[0].size(); offset += kPiece) {
    for (uint64_t i = 0; i < 3; ++i) {
      read[i] += Read({Kind::kTile, kEntriesLevel, 256, i}, offset, kPiece);
    }
  }
  EXPECT_EQ(read, bundles);
}

}  // namespace
}  // namespace fusefs
