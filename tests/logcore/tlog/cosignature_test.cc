// Published cosignatures: sigsum-go (checkpoint_test.go), and one on Tessera's testdata/log
// (tests/vectors).

#include "logcore/tlog/cosignature.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "logcore/util/bytes.h"

namespace logcore {
namespace {

VerifierKey Vkey(std::string_view text) {
  return VerifierKey::Parse(text).value();
}

const std::string kSigsumText =
    "example.org/log\n10\nHA5HAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
const std::string kSigsumNote =
    kSigsumText +
    "\n— example.org/witness ys8uUAAAAAAAAATSftMzceM8zssdZ9jin9SjwIxzx9iADMf63VqirX2hafol9RsqNqbof"
    "Iz0LVRqHXI2kpEBSki5RTXFtxz1vo9+Cg==\n";

VerifierKey SigsumWitness() {
  return Vkey("example.org/witness+cacf2e50+BGbguFjkYqYJ5m/nE3DIFtiEb/ED1UmaIqf+w3/bxCSn");
}
// The same private key with type 0x01: signs what a witness signs.
SignerKey SigsumSigner() {
  return SignerKey::
      Parse("PRIVATE+KEY+example.org/witness+3a5b06d5+AREAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
          .value();
}
VerifierKey Log() {
  return Vkey("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx");
}
VerifierKey Witness() {
  return Vkey("witness.example/w1+0ad7d35e+BIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c");
}

std::string CosignedCheckpoint() {
  std::ifstream file(std::string(TLOGFS_SOURCE_DIR) + "/tests/vectors/cosigned_checkpoint.txt");
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

SignerKey WitnessSigner() {
  return SignerKey::Parse(
             "PRIVATE+KEY+witness.example/w1+52f2363b+AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB")
      .value();
}

NoteSignature CosignBy(const VerifierKey& witness, const SignerKey& signer, std::string_view text,
                       uint64_t time) {
  std::string signature;
  AppendBigEndian(&signature, time);
  signature += signer.Sign(CosignatureMessage(text, time));
  return {witness.name(), witness.id(), signature};
}
NoteSignature Cosign(std::string_view text, uint64_t time) {
  return CosignBy(SigsumWitness(), SigsumSigner(), text, time);
}

TEST(CosignatureTest, Message) {
  EXPECT_EQ(CosignatureMessage("o\n1\nroot\nextension\n", 1679315147),
            "cosignature/v1\ntime 1679315147\no\n1\nroot\nextension\n");
  EXPECT_EQ(CosignatureMessage("", 0), "cosignature/v1\ntime 0\n");
}

TEST(CosignatureTest, SigsumVector) {
  const Note note = Note::Parse(kSigsumNote).value();
  const auto cosignature = ParseCosignature(note.signatures[0], SigsumWitness());
  ASSERT_TRUE(cosignature.has_value());
  EXPECT_EQ(cosignature->name, "example.org/witness");
  EXPECT_EQ(cosignature->id, 0xcacf2e50u);
  EXPECT_EQ(cosignature->time, 1234u);
  EXPECT_EQ(cosignature->signature.size(), 64u);
  EXPECT_TRUE(VerifyCosignature(*cosignature, note.text, SigsumWitness()));
  EXPECT_EQ(Cosign(kSigsumText, 1234), note.signatures[0]);
}

TEST(CosignatureTest, CosignedCheckpoint) {
  const Note note = Note::Parse(CosignedCheckpoint()).value();
  ASSERT_EQ(note.signatures.size(), 3u);
  const std::vector<VerifierKey> keys = {SigsumWitness(), Log(), Witness()};
  const auto found = FindCosignatures(note, keys);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].name, "witness.example/w1");
  EXPECT_EQ(found[0].time, 1679315147u);
  EXPECT_TRUE(FindCosignatures(note, std::span(keys).first(2)).empty());
}

TEST(CosignatureTest, TimeAndTextAreSigned) {
  const Cosignature right = ParseCosignature(Cosign(kSigsumText, 1234), SigsumWitness()).value();
  ASSERT_TRUE(VerifyCosignature(right, kSigsumText, SigsumWitness()));
  Cosignature wrong = right;
  wrong.time = 1235;
  EXPECT_FALSE(VerifyCosignature(wrong, kSigsumText, SigsumWitness()));
  EXPECT_FALSE(VerifyCosignature(right, kSigsumText + "extension\n", SigsumWitness()));
  EXPECT_FALSE(VerifyCosignature(right, kSigsumText.substr(1), SigsumWitness()));
  wrong = right;
  wrong.name = "example.org/other";
  EXPECT_FALSE(VerifyCosignature(wrong, kSigsumText, SigsumWitness()));
  wrong = right;
  wrong.id ^= 1;
  EXPECT_FALSE(VerifyCosignature(wrong, kSigsumText, SigsumWitness()));
  for (size_t i = 0; i < right.signature.size(); ++i) {
    wrong = right;
    wrong.signature[i] = static_cast<char>(wrong.signature[i] ^ 0x10);
    EXPECT_FALSE(VerifyCosignature(wrong, kSigsumText, SigsumWitness())) << i;
  }
  EXPECT_FALSE(VerifyCosignature(right, kSigsumText, Witness()));
  EXPECT_FALSE(VerifyCosignature(right, kSigsumText, SigsumSigner().verifier()));
}

TEST(CosignatureTest, Form) {
  const NoteSignature right = Cosign(kSigsumText, 7);
  ASSERT_EQ(right.signature.size(), 72u);
  ASSERT_TRUE(ParseCosignature(right, SigsumWitness()).has_value());
  for (size_t length = 0; length < 80; ++length) {
    NoteSignature other = right;
    other.signature.resize(length, 'x');
    EXPECT_EQ(ParseCosignature(other, SigsumWitness()).has_value(), length == 72) << length;
  }
  NoteSignature other = right;
  other.name += "x";
  EXPECT_FALSE(ParseCosignature(other, SigsumWitness()).has_value());
  other = right;
  ++other.id;
  EXPECT_FALSE(ParseCosignature(other, SigsumWitness()).has_value());
  // A key of type 0x01 cosigns nothing, even where name and ID fit.
  other.id = SigsumSigner().verifier().id();
  EXPECT_FALSE(ParseCosignature(other, SigsumSigner().verifier()).has_value());
}

TEST(CosignatureTest, Times) {
  for (const uint64_t time : {uint64_t{0}, uint64_t{1}, uint64_t{INT64_MAX}}) {
    const auto cosignature = ParseCosignature(Cosign(kSigsumText, time), SigsumWitness());
    ASSERT_TRUE(cosignature.has_value()) << time;
    EXPECT_TRUE(VerifyCosignature(*cosignature, kSigsumText, SigsumWitness()));
  }
  for (const uint64_t time : {uint64_t{INT64_MAX} + 1, UINT64_MAX}) {
    EXPECT_FALSE(ParseCosignature(Cosign(kSigsumText, time), SigsumWitness()).has_value());
  }
}

// Two lines of one witness must not count as two witnesses.
TEST(CosignatureTest, FindsTheFirstValidOneOfEachKey) {
  const std::vector<VerifierKey> keys = {Witness(), SigsumWitness()};
  Note note{kSigsumText, {}};
  note.signatures.push_back(Cosign("another text\n", 10));
  note.signatures.push_back(Cosign(kSigsumText, 30));
  note.signatures.push_back({"unknown.example", 1, std::string(72, 'x')});
  note.signatures.push_back(Cosign(kSigsumText, 30));
  note.signatures.push_back(CosignBy(Witness(), WitnessSigner(), kSigsumText, 5));
  note.signatures.push_back(Cosign(kSigsumText, 40));
  const auto found = FindCosignatures(note, keys);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].name, "example.org/witness");
  EXPECT_EQ(found[0].time, 30u);
  EXPECT_EQ(found[1].name, "witness.example/w1");
  EXPECT_EQ(found[1].time, 5u);
}

TEST(CosignatureTest, OpenNoteKnowsThem) {
  const VerifierKey witness = SigsumWitness();
  EXPECT_TRUE(OpenNote(kSigsumNote, {&witness, 1}).has_value());
  Note note = Note::Parse(kSigsumNote).value();
  note.signatures[0] = Cosign("another text\n", 1234);
  EXPECT_FALSE(OpenNote(note.ToString(), {&witness, 1}).has_value());
  // A signature on the bare text is no cosignature.
  note.signatures[0].signature = SigsumSigner().Sign(kSigsumText);
  EXPECT_FALSE(OpenNote(note.ToString(), {&witness, 1}).has_value());

  const std::vector<VerifierKey> keys = {Log(), Witness()};
  EXPECT_TRUE(OpenNote(CosignedCheckpoint(), keys).has_value());
}

}  // namespace
}  // namespace logcore
