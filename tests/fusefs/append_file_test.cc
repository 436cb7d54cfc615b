#include "fusefs/append_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "fusefs/errno.h"
#include "logcore/tlog/entry_bundle.h"
#include "tests/fusefs/append_writer.h"

namespace fusefs {
namespace {

using logcore::Appended;
using logcore::Code;
using logcore::Fail;
using logcore::Hash;
using logcore::Result;

using std::string_literals::operator""s;

std::string Lines(const Entries& entries) {
  std::string text;
  for (const std::string& entry : entries) text += entry + "\n";
  return text;
}

// Entries of all lengths, without newlines.
Entries SomeEntries(std::mt19937_64* random, size_t count) {
  Entries entries;
  const size_t lengths[] = {0, 1, 2, 9, 300, 4096, 65534, 65535};
  while (entries.size() < count) {
    const size_t length = lengths[(*random)() % (entries.size() % 40 == 0 ? 8 : 5)];
    std::string entry(length, '\0');
    for (char& c : entry) c = static_cast<char>((*random)());
    std::replace(entry.begin(), entry.end(), '\n', '\r');
    entries.push_back(entry);
  }
  return entries;
}

class EitherFraming : public testing::TestWithParam<Framing> {
 protected:
  std::string Text(const Entries& entries) const {
    return GetParam() == Framing::kLines ? Lines(entries) : Framed(entries);
  }
};
INSTANTIATE_TEST_SUITE_P(Framings, EitherFraming,
                         testing::Values(Framing::kLines, Framing::kBundle));

TEST_P(EitherFraming, WritesMayCutTheBytesAnywhere) {
  std::mt19937_64 random(1);
  for (int run = 0; run < 30; ++run) {
    const Entries entries = SomeEntries(&random, 150);
    const std::string text = Text(entries);
    // From byte by byte to more than the largest entry.
    const size_t longest = size_t{1} << random() % 18;
    Writer writer(GetParam());
    for (size_t at = 0; at < text.size();) {
      const size_t length = std::min(1 + random() % longest, text.size() - at);
      ASSERT_EQ(writer.WriteAll(std::string_view(text).substr(at, length)),
                static_cast<ssize_t>(length));
      at += length;
    }
    EXPECT_FALSE(writer.file.has_tail());
    ASSERT_EQ(writer.entries, entries);
  }
}

TEST_P(EitherFraming, PiecesStayWithinTheirLength) {
  const Entries entries(5000, "entry");
  const std::string text = Text(entries);
  AppendFile file({.framing = GetParam(), .most = {.frames = 70000}});
  size_t taken = 0;
  uint64_t count = 0;
  while (taken < text.size()) {
    const Result<Piece> piece = file.Take(std::string_view(text).substr(taken), false);
    ASSERT_TRUE(piece.has_value());
    EXPECT_LE(piece->taken.frames.size(), 70000u);
    EXPECT_EQ(piece->taken.frames.size(), 7 * piece->taken.count);
    taken += piece->taken.length;
    count += piece->taken.count;
  }
  EXPECT_EQ(count, entries.size());
  // Entries of no bytes grow by being framed.
  AppendFile lines({});
  EXPECT_EQ(lines.Take(std::string(100000, '\n'), false)->taken.length, 32768u);
  // Their hashes are longer still.
  const Most most{.frames = size_t{1} << 20};
  EXPECT_EQ(lines.Take(std::string(100000, '\n'), false, most)->taken.count, most.count);
  EXPECT_EQ(file.Take(text, false, {.count = 1})->taken.count, 1u);
}

// A write that failed is taken back whole, so that it can be repeated.
TEST_P(EitherFraming, AFailedWriteCanBeRepeated) {
  const std::string text = Text({"one", "two", "three"});
  Writer writer(GetParam());
  ASSERT_EQ(writer.Write(text.substr(0, 3)), 3);
  const Result<Piece> piece = writer.file.Take(std::string_view(text).substr(3, 9), true);
  ASSERT_LT(0u, piece->taken.count);
  writer.file.Settle(*piece, Fail(Code::kNoSpace, "full"));
  EXPECT_FALSE(writer.file.PeekError());  // The write was told.
  ASSERT_EQ(writer.WriteAll(std::string_view(text).substr(3)),
            static_cast<ssize_t>(text.size() - 3));
  EXPECT_EQ(writer.entries, (Entries{"one", "two", "three"}));
}

// A write that was answered before it failed leaves its error for the next call.
TEST_P(EitherFraming, AnErrorThatCameTooLateIsKeptForTheNextCall) {
  Writer writer(GetParam());
  const Result<Piece> piece = writer.file.Take(Text({"lost"}), false);
  writer.file.Settle(*piece, Fail(Code::kNoSpace, "full"));
  EXPECT_EQ(writer.file.PeekError()->code, Code::kNoSpace);
  EXPECT_EQ(writer.file.TakeError()->code, Code::kNoSpace);
  EXPECT_FALSE(writer.file.TakeError());
}

TEST(AppendFileLines, AnEmptyLineIsAnEntryAndNoLineIsNone) {
  Writer writer(Framing::kLines);
  writer.Write("\n\na\n\r\n");
  writer.Close();
  writer.Release();
  EXPECT_EQ(writer.entries, (Entries{"", "", "a", "\r"}));
}

TEST(AppendFileLines, AnOverlongLineIsRefusedAndNothingElse) {
  const std::string overlong = std::string(65536, 'x') + "\n";
  Writer writer(Framing::kLines);
  for (int again = 0; again < 3; ++again) {
    EXPECT_EQ(writer.Write(overlong), -1);
    EXPECT_EQ(writer.error, Code::kTooLarge);
  }
  EXPECT_EQ(writer.Write("one\n" + overlong + "two\n"), 4);  // A short count, and then the error.
  EXPECT_EQ(writer.Write(overlong + "two\n"), -1);
  EXPECT_EQ(writer.Write("two\n"), 4);
  EXPECT_EQ(writer.Write(std::string(65535, 'y') + "\n"), 65536);
  EXPECT_EQ(writer.entries, (Entries{"one", "two", std::string(65535, 'y')}));
}

TEST(AppendFileLines, AnOverlongLineIsDiscardedThroughItsNewlineAcrossWrites) {
  const std::string part(40000, 'x');
  Writer writer(Framing::kLines);
  EXPECT_EQ(writer.Write("a\n" + part), 40002);
  EXPECT_EQ(writer.Write(part), -1);
  EXPECT_EQ(writer.error, Code::kTooLarge);
  EXPECT_FALSE(writer.file.has_tail());
  EXPECT_EQ(writer.Write(part), 40000);
  EXPECT_EQ(writer.Write("end\nb\n"), 6);
  EXPECT_EQ(writer.Write(part + part), -1);
  writer.Close();
  writer.Release();
  EXPECT_EQ(writer.entries, (Entries{"a", "b"}));
}

// Its beginning is gone, so its end must not become an entry if the program writes it once more.
TEST(AppendFileLines, TheEndOfARefusedLineIsRefusedAgain) {
  const std::string end = std::string(40000, 'x') + "\n";
  Writer writer(Framing::kLines);
  EXPECT_EQ(writer.Write(std::string(40000, 'x')), 40000);
  EXPECT_EQ(writer.Write(end + "b\n"), -1);
  EXPECT_EQ(writer.Write(end + "b\n"), -1);
  EXPECT_EQ(writer.Write("b\n"), 2);
  EXPECT_EQ(writer.Write(end), 40001);  // Now it is another line.
  EXPECT_EQ(writer.entries.size(), 2u);
}

// The whole write is refused, also what comes behind the line. Without that, what the next write
// begins with is no line; but the writer may go on behind the line, or write all of it again.
TEST(AppendFileLines, TheRestOfAWriteThatIsRefusedForALineLeavesNoHalfLine) {
  const std::string overlong = std::string(65536, 'x') + "\n";
  for (const std::string& rest : {"cut "s, "two\ncut "s}) {
    for (const size_t begun : {size_t{0}, size_t{1}, size_t{40000}}) {
      const std::string refused = overlong.substr(begun) + rest;
      Writer gives_up(Framing::kLines);
      Writer goes_on(Framing::kLines);
      for (Writer* writer : {&gives_up, &goes_on}) {
        if (begun > 0) {
          EXPECT_EQ(writer->Write(overlong.substr(0, begun)), static_cast<ssize_t>(begun));
        }
        for (int again = 0; again < 3; ++again) {
          EXPECT_EQ(writer->Write(refused), -1);
          EXPECT_EQ(writer->error, Code::kTooLarge);
        }
      }
      gives_up.WriteAll("off\nnext\n");
      EXPECT_EQ(gives_up.entries, Entries{"next"});
      goes_on.WriteAll(rest + "off\nnext\n");
      Entries all = {"cut off", "next"};
      if (rest.size() > 4) all.insert(all.begin(), "two");
      EXPECT_EQ(goes_on.entries, all);
    }
  }
  Writer ends(Framing::kLines);
  EXPECT_EQ(ends.Write(overlong + "two\n"), -1);
  EXPECT_EQ(ends.Write("three\n"), 6);
  EXPECT_EQ(ends.entries, Entries{"three"});
}

// Every cut of a text with an overlong line in it: the others arrive, and it is reported.
TEST(AppendFileLines, AnOverlongLineCutAnywhere) {
  const std::string text = "one\n" + std::string(70000, 'x') + "\ntwo\nthree\n";
  std::mt19937_64 random(2);
  for (int run = 0; run < 300; ++run) {
    Writer writer(Framing::kLines);
    int refused = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t length = std::min<size_t>(1 + random() % 50000, text.size() - at);
      std::string_view bytes = std::string_view(text).substr(at, length);
      at += length;
      while (!bytes.empty()) {
        const ssize_t taken = writer.Write(bytes);
        if (taken < 0) ++refused;
        // After an error the program goes on behind the line, or with its next bytes.
        bytes.remove_prefix(taken >= 0 ? static_cast<size_t>(taken)
                                       : std::min(bytes.size(), bytes.find('\n')));
        if (taken < 0 && !bytes.empty()) bytes.remove_prefix(1);
      }
    }
    EXPECT_EQ(refused, 1) << run;
    ASSERT_EQ(writer.entries, (Entries{"one", "two", "three"})) << run;
  }
}

TEST(AppendFileLines, ADiscardedPrefixIsDiscardedAgainWhenTheWriteIsRepeated) {
  Writer writer(Framing::kLines);
  EXPECT_EQ(writer.Write(std::string(70000, 'x')), -1);
  const Result<Piece> piece = writer.file.Take("end\none\ntw", true);
  writer.file.Settle(*piece, Fail(Code::kNoSpace, "full"));
  EXPECT_EQ(writer.Write("end\none\ntw"), 10);
  EXPECT_EQ(writer.Write("o\n"), 2);
  EXPECT_EQ(writer.entries, (Entries{"one", "two"}));
}

TEST(Receipts, AreGivenInOrderInPiecesOfAnyLength) {
  for (const size_t length : {1u, 2u, 7u, 80u, 4096u}) {
    Writer writer(Framing::kLines, {.receipts = true});
    EXPECT_EQ(writer.file.Read(0, 100), "");
    writer.Write("a\n\n");
    writer.Write("b");
    writer.Close();
    EXPECT_TRUE(writer.file.has_receipts());
    std::string text;
    for (std::string part; !(part = writer.file.Read(0, length)).empty();) text += part;
    EXPECT_EQ(text,
              "0 022a6979e6dab7aa5ae4c3e5e45f7e977112a7e63593820dbec1ec738a24f93c\n"
              "1 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d\n"
              "2 57eb35615d47f34ec714cacdf5fd74608a5e8e102724e80b24b287c0c27b6a31\n");
    EXPECT_FALSE(writer.file.has_receipts());
  }
}

TEST(Receipts, AreNotKeptForWhoCannotRead) {
  Writer writer(Framing::kLines);
  writer.Write("a\n");
  EXPECT_FALSE(writer.file.has_receipts());
}

TEST(Receipts, WhatFindsNoRoomIsCountedAtItsPlace) {
  Receipts receipts;
  const std::vector<Hash> hashes(kMaxReceipts - 1);
  receipts.Add(0, hashes);
  receipts.Add(4095, std::vector<Hash>(10));
  receipts.Add(4105, std::vector<Hash>(5));
  std::string text = receipts.Read(0, 10 << 20);
  const std::string end = "lost 14\n";
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4097);
  EXPECT_EQ(text.substr(text.size() - end.size()), end);
  receipts.Add(4110, std::vector<Hash>(1));
  EXPECT_EQ(receipts.Read(0, 5), "4110 ");
}

TEST(Errno, OfEachCode) {
  EXPECT_EQ(ErrnoOf(Code::kNotFound), ENOENT);
  EXPECT_EQ(ErrnoOf(Code::kExists), EEXIST);
  EXPECT_EQ(ErrnoOf(Code::kInvalid), EINVAL);
  EXPECT_EQ(ErrnoOf(Code::kTooLarge), EFBIG);
  EXPECT_EQ(ErrnoOf(Code::kDenied), EACCES);
  EXPECT_EQ(ErrnoOf(Code::kNoSpace), ENOSPC);
  EXPECT_EQ(ErrnoOf(Code::kBusy), EAGAIN);
  EXPECT_EQ(ErrnoOf(Code::kReadOnly), EROFS);
  EXPECT_EQ(ErrnoOf(Code::kCorrupt), EIO);
  EXPECT_EQ(ErrnoOf(Code::kIo), EIO);
}

}  // namespace
}  // namespace fusefs
