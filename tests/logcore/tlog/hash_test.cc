// Values: RFC 6962 test data of transparency-dev/merkle (testonly/constants.go), and FIPS 180-4.

#include "logcore/tlog/hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "logcore/tlog/entry_bundle.h"
#include "logcore/tlog/merkle.h"

namespace logcore {
namespace {

std::string Hex(const Hash& hash) {
  return HexEncode(hash.view());
}

TEST(HashTest, Sha256) {
  EXPECT_EQ(Hex(Sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Hex(Sha256({"abc"})),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256({"a", "", "bc"}), Sha256({"abc"}));
  const std::string million(1'000'000, 'a');
  EXPECT_EQ(Hex(Sha256({million})),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(kEmptyRoot, Sha256({}));
}

TEST(HashTest, LeavesAndChildren) {
  EXPECT_EQ(Hex(HashLeaf("")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
  EXPECT_EQ(Hex(HashLeaf("L123456")),
            "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56");
  // The published node has children that are no hashes: only its definition can be compared.
  EXPECT_EQ(Hex(Sha256({"\x01", "N123", "N456"})),
            "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb");
  const Hash left = HashLeaf("left");
  const Hash right = HashLeaf("right");
  EXPECT_EQ(HashChildren(left, right), Sha256({"\x01", left.view(), right.view()}));
  EXPECT_NE(HashChildren(left, right), HashChildren(right, left));
}

TEST(HashTest, RootsOfTheReferenceTree) {
  using namespace std::string_literals;
  const std::vector<std::string> leaves = {
      "", "\x00"s, "\x10", "\x20\x21", "\x30\x31", "@ABC", "PQRSTUVW", "`abcdefghijklmno",
  };
  const std::vector<std::string> roots = {
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
      "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
      "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
      "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  };
  CompactRange range;
  for (size_t size = 0; size <= leaves.size(); ++size) {
    EXPECT_EQ(Hex(range.Root()), roots[size]) << size;
    if (size < leaves.size()) range.Append(HashLeaf(leaves[size]));
  }
}

TEST(HashTest, ManyFramesAtOnce) {
  const std::vector<std::string> entries = {"", "a", std::string(kMaxEntryLength, '\xff'),
                                            std::string(300, '\0'), "\n"};
  std::string frames;
  for (const std::string& entry : entries) AppendFrame(&frames, entry);
  std::vector<Hash> hashes(entries.size());
  HashLeafFrames(frames, hashes);
  for (size_t i = 0; i < entries.size(); ++i) EXPECT_EQ(hashes[i], HashLeaf(entries[i])) << i;
  HashLeafFrames("", {});
}

TEST(HashTest, ManyFramesOfEveryLength) {
  // Every length around the ends of blocks, in an order in which long and short ones meet, and in
  // groups of every size.
  for (size_t count = 1; count <= 200; ++count) {
    std::vector<std::string> entries;
    std::string frames;
    for (size_t i = 0; i < count; ++i) {
      const size_t length = i % 17 == 5 ? 5000 + i : (i * 89 + count) % 263;
      std::string entry;
      for (size_t at = 0; at < length; ++at) entry += static_cast<char>(at * 31 + i);
      AppendFrame(&frames, entry);
      entries.push_back(std::move(entry));
    }
    std::vector<Hash> hashes(count);
    HashLeafFrames(frames, hashes);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(hashes[i], HashLeaf(entries[i])) << count << " " << i;
    }
  }
}

TEST(HashDeathTest, FramesThatWereNotParsed) {
  std::vector<Hash> hashes(1);
  EXPECT_DEATH(HashLeafFrames("", hashes), "has_value");
  EXPECT_DEATH(HashLeafFrames(std::string("\0\2a", 3), hashes), "has_value");
  EXPECT_DEATH(HashLeafFrames(std::string("\0\1ab", 4), hashes), "empty");
  EXPECT_DEATH(HashFromBytes("short"), "kHashLength");
  EXPECT_DEATH(HashPairs(hashes, hashes), "parents");
}

TEST(HashTest, PairsInPlace) {
  for (size_t pairs = 0; pairs <= 200; ++pairs) {
    std::vector<Hash> nodes(2 * pairs);
    for (size_t i = 0; i < nodes.size(); ++i) nodes[i] = HashLeaf(std::to_string(i));
    std::vector<Hash> expected(pairs);
    for (size_t i = 0; i < pairs; ++i) {
      expected[i] = HashChildren(nodes[2 * i], nodes[2 * i + 1]);
    }
    std::vector<Hash> apart(pairs);
    HashPairs(nodes, apart);
    EXPECT_EQ(apart, expected);
    HashPairs(nodes, std::span(nodes).first(pairs));
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), nodes.begin())) << pairs;
  }
}

TEST(HashTest, FromBytesAndHex) {
  const Hash hash = HashLeaf("x");
  EXPECT_EQ(HashFromBytes(hash.view()), hash);
  EXPECT_EQ(HexEncode(std::string_view("\x00\x7f\x80\xff\x0a", 5)), "007f80ff0a");
}

TEST(HashTest, ThreadsDoNotDisturbEachOther) {
  std::vector<std::thread> threads;
  std::vector<Hash> results(4);
  for (size_t t = 0; t < results.size(); ++t) {
    threads.emplace_back([t, &results] {
      for (int i = 0; i < 1000; ++i) {
        results[t] = HashChildren(results[t], HashLeaf(std::to_string(t)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t t = 0; t < results.size(); ++t) {
    Hash expected;
    for (int i = 0; i < 1000; ++i) {
      expected = Sha256({"\x01", expected.view(), HashLeaf(std::to_string(t)).view()});
    }
    EXPECT_EQ(results[t], expected) << t;
  }
}

}  // namespace
}  // namespace logcore
