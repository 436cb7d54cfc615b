// What closes mean for the tail of an AppendFile: whose they are, and what is on its way.

#include <gtest/gtest.h>

#include <string>

#include "fusefs/append_file.h"
#include "tests/fusefs/append_writer.h"

namespace fusefs {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Result;

TEST(AppendFileLines, OnlyTheOpenersCloseEndsTheTail) {
  Writer writer(Framing::kLines);
  EXPECT_EQ(writer.Close(), 0);  // A shell closes before it writes.
  writer.Write("a ");
  EXPECT_EQ(writer.Close(kChild), 0);
  writer.Write("b", kChild);
  EXPECT_EQ(writer.Close(kChild), 0);
  EXPECT_EQ(writer.entries, Entries{});
  EXPECT_EQ(writer.Close(), 0);
  EXPECT_EQ(writer.entries, Entries{"a b"});
  writer.Write("c", kChild);
  EXPECT_EQ(writer.Close(kChild), 0);
  writer.Release();  // The opener is gone.
  writer.Release();
  EXPECT_EQ(writer.entries, (Entries{"a b", "c"}));
}

// Whether it is the closer or the opener who cannot be told, the last close ends the line.
TEST(AppendFileLines, WhoCannotBeKnownEndsNothing) {
  for (const Process& opener : {kOpener, kUnknown}) {
    for (const Process& closer : {kOpener, kChild, kUnknown}) {
      if (opener == closer && opener.known()) continue;
      for (const bool killed : {false, true}) {
        Writer writer(Framing::kLines, {}, opener);
        writer.Write("a", kUnknown);
        EXPECT_EQ(writer.Close(closer, killed), 0);
        writer.Write("b", kUnknown);
        EXPECT_EQ(writer.Close(closer, killed), 0);
        EXPECT_EQ(writer.entries, Entries{});
        writer.Release();
        EXPECT_EQ(writer.entries, Entries{"ab"});
      }
    }
  }
}

// The opener is gone, and a child of one who has inherited the file was given its id.
TEST(AppendFileLines, AnIdThatWasGivenAgainIsAnotherProcess) {
  const Process same_id{.id = kOpener.id, .instance = kOpener.instance + 1};
  Writer writer(Framing::kLines);
  writer.Write("a", kChild);
  EXPECT_EQ(writer.Close(same_id), 0);
  writer.Write("b", kChild);
  const Process not_the_writer{.id = kChild.id, .instance = kChild.instance + 1};
  EXPECT_EQ(writer.Close(not_the_writer, true), 0);
  writer.Release();
  EXPECT_EQ(writer.entries, Entries{"ab"});
}

// As a shell does, which points the standard output at a descriptor for a while.
TEST(AppendFileLines, TheOpenersCloseOfACopyEndsNothing) {
  Writer writer(Framing::kLines);
  writer.Write("a ");
  EXPECT_EQ(writer.Close({.process = kOpener, .may_hold_another = true}), 0);
  writer.Write("b");
  EXPECT_EQ(writer.Close({.process = kOpener}), 0);
  EXPECT_EQ(writer.entries, Entries{"a b"});
}

TEST(AppendFileLines, TheTailOfAKilledProcessIsDropped) {
  Writer opener(Framing::kLines);
  opener.Write("whole\nhalf");
  opener.Close(kOpener, true);
  opener.Release();
  EXPECT_EQ(opener.entries, Entries{"whole"});

  Writer child(Framing::kLines);
  child.Write("half", kChild);
  child.Close(kChild, true);
  child.Close(kOpener);
  EXPECT_EQ(child.entries, Entries{});

  Writer other(Framing::kLines);
  other.Write("kept");
  other.Close(kChild, true);  // It left nothing.
  other.Close(kOpener);
  EXPECT_EQ(other.entries, Entries{"kept"});
}

// A close by another thread while a write waits: what the tail is depends on that write.
TEST(AppendFileLines, ACloseDuringAWriteLeavesTheTailAlone) {
  Writer writer(Framing::kLines);
  const Result<Piece> piece = writer.file.Take("one\ntw", true);
  EXPECT_EQ(writer.Close(), 0);
  writer.file.Settle(*piece, Fail(Code::kNoSpace, "full"));
  EXPECT_EQ(writer.Write("one\ntwo\n"), 8);
  EXPECT_EQ(writer.entries, (Entries{"one", "two"}));
}

// A child that was given the file by its opener is about to write the rest.
TEST(AppendFileLines, TheOpenersCloseLeavesTheTailOfAnotherThatMayGoOn) {
  Writer writer(Framing::kLines);
  writer.Write("a ", kChild);
  EXPECT_EQ(writer.file.tail_writer(), kChild);
  EXPECT_EQ(writer.Close({.process = kOpener, .writer_may_go_on = true}), 0);
  writer.Write("b\n", kChild);
  writer.Write("c", kChild);
  EXPECT_EQ(writer.Close({.process = kOpener}), 0);
  EXPECT_EQ(writer.entries, (Entries{"a b", "c"}));
}

// Its write is answered when it is killed, though it hangs in the commit.
TEST(AppendFileLines, TheTailOfAKilledProcessIsDroppedWithItsPieceOnTheWay) {
  for (const bool committed : {true, false}) {
    Writer writer(Framing::kLines);
    const Result<Piece> piece = writer.file.Take("whole\nhalf", true);
    writer.file.SetTailWriter(kChild);
    EXPECT_EQ(writer.Close(kChild, true), 0);
    EXPECT_FALSE(writer.file.has_tail());
    if (committed) {
      writer.Commit(*piece);
    } else {
      writer.file.Settle(*piece, Fail(Code::kNoSpace, "full"));
    }
    writer.Release();
    EXPECT_EQ(writer.entries, committed ? Entries{"whole"} : Entries{});
  }
}

TEST(AppendFileBundle, AnIncompleteFrameIsAnErrorAtCloseAndNeverAdded) {
  for (const std::string& cut :
       {std::string("\0", 1), std::string("\0\5", 2), std::string("\0\5four", 6)}) {
    Writer writer(Framing::kBundle);
    EXPECT_EQ(writer.Write(Framed({"good"}) + cut), static_cast<ssize_t>(6 + cut.size()));
    EXPECT_EQ(writer.Close(kChild), 0);
    EXPECT_EQ(writer.Close(), -1);
    EXPECT_EQ(writer.error, Code::kInvalid);
    // It may still be completed through another descriptor.
    writer.Release();
    EXPECT_EQ(writer.entries, Entries{"good"});
  }
}

}  // namespace
}  // namespace fusefs
