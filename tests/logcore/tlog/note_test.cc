// Published keys and notes: the C2SP signed-note specification, golang.org/x/mod/sumdb/note
// (note_test.go), sum.golang.org, sigsum-go, rekor.sigstore.dev, and a Certificate Transparency
// log.

#include "logcore/tlog/note.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "logcore/tlog/hash.h"
#include "logcore/util/base64.h"

namespace logcore {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Published {
  std::string vkey;
  std::string skey;  // empty: not published
  std::string text;
  std::string signature;
};

const std::string kNeumannVkey =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const std::string kNeumannSkey =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const std::string kNeumannText =
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n";
const std::string kNeumannLine =
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/"
    "SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const std::string kEnochVkey = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const std::string kEnochLine =
    "— EnochRoot "
    "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/"
    "5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";
const std::string kSigsumName =
    "sigsum.org/v1/tree/e796172b92befd62d9dc67e41c2f5bc9d3100a3023b20b1ca40288dd1c679e69";

std::vector<Published> PublishedNotes() {
  return {
      {"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "",
       "This is an example message.\n",
       "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM"
       "="},
      {kNeumannVkey, kNeumannSkey, kNeumannText,
       "x08go/ZJkuBS9UG/"
       "SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="},
      {kEnochVkey, "PRIVATE+KEY+EnochRoot+af0cfe78+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
       kNeumannText,
       "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/"
       "5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ="},
      {"sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", "",
       "go.sum database tree\n35225469\nvt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=\n",
       "Az3grpukl5AXaVfYkLiDGORx/"
       "DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ="},
      {kSigsumName + "+809da1a3+AWbguFjkYqYJ5m/nE3DIFtiEb/ED1UmaIqf+w3/bxCSn",
       "PRIVATE+KEY+" + kSigsumName + "+809da1a3+AREAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
       kSigsumName + "\n10\nHA5HAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
       "gJ2ho0n8F8olcerUF1FFdv235A/5as/coWrpLrtE7ovMeP5whgwouYExowG/"
       "lTznxu6OUGjjt5yJQ6bXtTcf718MqAQ="},
  };
}

VerifierKey Vkey(std::string_view text) {
  return VerifierKey::Parse(text).value();
}

std::string ReadVector(const std::string& name) {
  std::ifstream file(std::string(TLOGFS_SOURCE_DIR) + "/tests/vectors/" + name);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

TEST(NoteTest, PublishedNotesOpen) {
  for (const Published& published : PublishedNotes()) {
    const VerifierKey key = Vkey(published.vkey);
    EXPECT_EQ(key.ToString(), published.vkey);
    EXPECT_EQ(key.type(), kEd25519Type);
    const std::string bytes =
        published.text + "\n— " + key.name() + " " + published.signature + "\n";
    const auto note = OpenNote(bytes, {&key, 1});
    ASSERT_TRUE(note.has_value()) << note.error().message;
    EXPECT_EQ(note->text, published.text);
    EXPECT_EQ(note->signatures.size(), 1u);
    EXPECT_EQ(note->ToString(), bytes);
    if (published.skey.empty()) continue;
    const SignerKey signer = SignerKey::Parse(published.skey).value();
    EXPECT_EQ(signer.ToString(), published.skey);
    EXPECT_EQ(signer.verifier(), key);
    EXPECT_EQ(SignNote(published.text, signer).ToString(), bytes);
  }
}

// What is signed is each byte of the text and nothing else.
TEST(NoteTest, ChangedNotesDoNotOpen) {
  const VerifierKey key = Vkey(kNeumannVkey);
  const std::string bytes = kNeumannText + "\n" + kNeumannLine;
  ASSERT_TRUE(OpenNote(bytes, {&key, 1}).has_value());
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int bit : {0, 1, 5, 7}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      EXPECT_FALSE(OpenNote(changed, {&key, 1}).has_value()) << i << " " << bit;
    }
    EXPECT_FALSE(OpenNote(bytes.substr(0, i), {&key, 1}).has_value()) << i;
    EXPECT_FALSE(OpenNote(bytes.substr(i + 1), {&key, 1}).has_value()) << i;
  }
}

TEST(NoteTest, KeysDecideByNameAndId) {
  const std::vector<VerifierKey> both = {Vkey(kNeumannVkey), Vkey(kEnochVkey)};
  const std::string bytes = kNeumannText + "\n" + kNeumannLine + kEnochLine;
  EXPECT_TRUE(OpenNote(bytes, both).has_value());
  EXPECT_TRUE(OpenNote(bytes, {&both[0], 1}).has_value());
  EXPECT_TRUE(OpenNote(bytes, {&both[1], 1}).has_value());
  EXPECT_FALSE(OpenNote(bytes, {}).has_value());

  // One valid line does not excuse another one by a known key that is not.
  std::string spoiled = bytes;
  spoiled[spoiled.size() - 20] = spoiled[spoiled.size() - 20] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(OpenNote(spoiled, both).has_value());
  EXPECT_TRUE(OpenNote(spoiled, {&both[0], 1}).has_value());
  Note spoiled_first = Note::Parse(spoiled).value();
  std::swap(spoiled_first.signatures[0], spoiled_first.signatures[1]);
  EXPECT_FALSE(OpenNote(spoiled_first.ToString(), both).has_value());

  // The name of a known key with another ID, and the ID with another name, are unknown keys.
  Note note = Note::Parse(bytes).value();
  note.signatures.push_back({"PeterNeumann", 1, "junk"});
  note.signatures.push_back({"Someone", both[0].id(), "junk"});
  EXPECT_TRUE(OpenNote(note.ToString(), both).has_value());
  // A known one twice must verify twice.
  note.signatures.push_back(note.signatures[0]);
  EXPECT_TRUE(OpenNote(note.ToString(), both).has_value());
  note.signatures.push_back({"PeterNeumann", both[0].id(), std::string(64, 'x')});
  EXPECT_FALSE(OpenNote(note.ToString(), both).has_value());
  // Only unknown ones verify nothing.
  note.signatures = {{"PeterNeumann", 1, "junk"}};
  EXPECT_FALSE(OpenNote(note.ToString(), both).has_value());
}

TEST(NoteTest, OtherAlgorithmsAreCarried) {
  const std::string bytes = ReadVector("cosigned_checkpoint.txt");
  const Note note = Note::Parse(bytes).value();
  ASSERT_EQ(note.signatures.size(), 3u);
  EXPECT_EQ(note.ToString(), bytes);
  EXPECT_EQ(note.signatures[2].name, "witness.example/pq1");
  EXPECT_EQ(note.signatures[2].id, 0x491fd1d0u);
  EXPECT_EQ(note.signatures[2].signature.size(), 8u + 2420u);
  const VerifierKey log =
      Vkey("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx");
  EXPECT_TRUE(OpenNote(bytes, {&log, 1}).has_value());

  const std::string rekor =
      "Rekor\n798034\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n\n— rekor.sigstore.dev "
      "wNI9ajBEAiARInWIWyCdyG27CO6LPnPekyw20qO0YJfoaPaowGp/XgIgc+qEHS3+GKVClgqq20uDLet7MCoTURUCRdxw"
      "WBHHufk=\n";
  const Note ecdsa = Note::Parse(rekor).value();
  EXPECT_EQ(ecdsa.signatures[0].id, 0xc0d23d6au);
  EXPECT_EQ(ecdsa.ToString(), rekor);
  EXPECT_FALSE(OpenNote(rekor, {&log, 1}).has_value());
}

TEST(NoteTest, SixteenUnknownSignaturesAndMore) {
  const VerifierKey key = Vkey(kNeumannVkey);
  Note note = Note::Parse(kNeumannText + "\n" + kNeumannLine).value();
  while (note.signatures.size() < kMaxNoteSignatures) {
    note.signatures.insert(note.signatures.begin(), {"unknown.example", 7, "s"});
  }
  EXPECT_TRUE(OpenNote(note.ToString(), {&key, 1}).has_value());
  note.signatures.push_back({"unknown.example", 7, "s"});
  EXPECT_EQ(OpenNote(note.ToString(), {&key, 1}).error().code, Code::kInvalid);
}

TEST(NoteTest, LongestNote) {
  const SignerKey key = SignerKey::Parse(kNeumannSkey).value();
  const size_t rest = SignNote("\n", key).ToString().size();
  const std::string longest = std::string(kMaxNoteLength - rest, 'x') + "\n";
  const std::string bytes = SignNote(longest, key).ToString();
  ASSERT_EQ(bytes.size(), kMaxNoteLength);
  EXPECT_EQ(OpenNote(bytes, {&key.verifier(), 1}).value().text, longest);
  EXPECT_EQ(Note::Parse("x" + bytes).error().code, Code::kTooLarge);
}

TEST(NoteTest, TextMayHaveEmptyLines) {
  const SignerKey key = SignerKey::Parse(kNeumannSkey).value();
  for (const std::string text : {"\n", "\n\n", "a\n\nb\n", "a\n\n", "— not a signature\n\n— x y\n",
                                 "ΑΩ \xe2\x80\xa8 \U0001F4DC\x7f\n"}) {
    const auto note = OpenNote(SignNote(text, key).ToString(), {&key.verifier(), 1});
    ASSERT_TRUE(note.has_value()) << text;
    EXPECT_EQ(note->text, text);
  }
  EXPECT_DEATH(SignNote("no newline", key), "ends_with");
  EXPECT_DEATH(SignNote("\t\n", key), "HasNoteCharacters");
}

// Puts a signature line, or bytes of the text, to the test of the form alone.
bool LineParses(const std::string& line) {
  return Note::Parse("text\n\n" + line).has_value();
}
bool TextParses(const std::string& text) {
  return Note::Parse(text + "\n\n— name AAAAAAA=\n").has_value();
}

TEST(NoteTest, SignatureLines) {
  ASSERT_TRUE(LineParses("— name AAAAAAA=\n"));  // 4 bytes of key ID, 1 of signature
  ASSERT_TRUE(LineParses("— name AAAAAAA=\n— n AAAAAAA=\n"));
  for (const char* line : {"",
                           "\n",
                           "— name AAAAAAA=",
                           "— name AAAAAAA=\r\n",
                           "— name AAAAAAA=\n\n",
                           "— name AAAAAAA=\n \n",
                           "- name AAAAAAA=\n",
                           "\xe2\x80\x93 name AAAAAAA=\n",
                           "—name AAAAAAA=\n",
                           "—  name AAAAAAA=\n",
                           "— name  AAAAAAA=\n",
                           "— name AAAAAAA= \n",
                           " — name AAAAAAA=\n",
                           "— name\tAAAAAAA=\n",
                           "— name AAAAAAA= x\n",
                           "— name\n",
                           "— name \n",
                           "—  AAAAAAA=\n",
                           "— AAAAAAA=\n",
                           "— na+me AAAAAAA=\n",
                           "— na\xc2\xa0me AAAAAAA=\n",
                           "— na\xe3\x80\x80me AAAAAAA=\n",
                           "— name AAAAAA==\n",
                           "— name AAAA\n",
                           "— name AAAAAAB=\n",
                           "— name AAAAAAA\n",
                           "— name AAAAAAA==\n",
                           "— name AAAA-AA=\n",
                           "— name AAAAAAA=\ntext\n",
                           "— name AAAAAAA=\n— name\n",
                           "— na\xffme AAAAAAA=\n"}) {
    EXPECT_FALSE(LineParses(line)) << line;
  }
  EXPECT_TRUE(LineParses("— " + std::string(kMaxKeyNameLength, 'n') + " AAAAAAA=\n"));
  EXPECT_FALSE(LineParses("— " + std::string(kMaxKeyNameLength + 1, 'n') + " AAAAAAA=\n"));
}

TEST(NoteTest, Characters) {
  for (int byte = 0; byte < 0x20; ++byte) {
    EXPECT_EQ(TextParses(std::string("a") + static_cast<char>(byte) + "b"), byte == '\n') << byte;
  }
  for (const char* text :
       {"\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(TextParses(text)) << text;
  }
  for (const char* text : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2g", "\xe0\x80\x80",
                           "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xe2\x80", "\xe2\x80 ",
                           "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                           "\xf5\x80\x80\x80", "\xf0\x90\x80", "\xff", "\xfe"}) {
    EXPECT_FALSE(TextParses(text)) << HexEncode(text);
  }
  EXPECT_FALSE(Note::Parse("").has_value());
  EXPECT_FALSE(Note::Parse("\n").has_value());
  EXPECT_FALSE(Note::Parse("text\n").has_value());
  EXPECT_FALSE(Note::Parse("text\n— name AAAAAAA=\n").has_value());
  EXPECT_FALSE(Note::Parse("\xe2").has_value());
}

TEST(KeyNameTest, Names) {
  for (const char* name : {"a", "example.com/log", "ΑΩ", "a\x7f", "a=b", "\U0001F4DC"}) {
    EXPECT_TRUE(IsValidKeyName(name)) << name;
  }
  for (const char* name : {"",
                           "a b",
                           " ",
                           "a+b",
                           "+",
                           "a\n",
                           "\t",
                           "\x01",
                           "a\x1f",
                           "\xc2\x85",
                           "\xc2\xa0",
                           "\xe1\x9a\x80",
                           "\xe2\x80\x80",
                           "\xe2\x80\x8a",
                           "\xe2\x80\xa8",
                           "\xe2\x80\xa9",
                           "\xe2\x80\xaf",
                           "\xe2\x81\x9f",
                           "\xe3\x80\x80",
                           "\xff",
                           "a\xe2\x80"}) {
    EXPECT_FALSE(IsValidKeyName(name)) << HexEncode(name);
  }
  EXPECT_TRUE(IsValidKeyName(std::string(kMaxKeyNameLength, 'n')));
  EXPECT_FALSE(IsValidKeyName(std::string(kMaxKeyNameLength + 1, 'n')));
}

TEST(VerifierKeyTest, KeyIdsOfOtherTypes) {
  // A Certificate Transparency log: what is hashed is SHA-256 of its public key, the log ID.
  const std::string spki =
      Base64Decode(
          "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHblsqctplMVc5ramA7vSuNxUQxcomQwGAVAdnWTAWUYr3MgD"
          "HQW0LagJ95lB7QT75Ve6JgT2EVLOFGU7L3YrwA==")
          .value();
  EXPECT_EQ(ComputeKeyId("ct.googleapis.com/logs/us1/argon2024", 0x05, Sha256({spki}).view()),
            0x7deb49d0u);

  std::string mldsa = ReadVector("mldsa44_vkey.txt");
  mldsa.pop_back();
  EXPECT_FALSE(VerifierKey::Parse(mldsa).has_value());
  const std::string key = Base64Decode(mldsa.substr(mldsa.rfind("+491fd1d0+") + 10)).value();
  ASSERT_EQ(key.size(), 1u + 1312u);
  EXPECT_EQ(ComputeKeyId("witness.example/pq1", 0x06, std::string_view(key).substr(1)),
            0x491fd1d0u);
}

TEST(VerifierKeyTest, PublishedBadKeys) {
  for (const char* vkey :
       {"PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXw"
        "BcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc=",
        "ct.googleapis.com/logs/us1/argon2024+7deb49d0+BTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABB25bKnL"
        "aZTFXOa2pgO70rjcVEMXKJkMBgFQHZ1kwFlGK9zIAx0FtC2oCfeZQe0E++VXuiYE9hFSzhRlOy92K8A="}) {
    const auto key = VerifierKey::Parse(vkey);
    ASSERT_FALSE(key.has_value()) << vkey;
    EXPECT_EQ(key.error().code, Code::kInvalid);
  }
  EXPECT_FALSE(VerifierKey::Parse(kNeumannSkey).has_value());
  EXPECT_FALSE(VerifierKey::Parse(kNeumannVkey + "\n").has_value());
  EXPECT_FALSE(VerifierKey::Parse(kNeumannVkey + "+").has_value());
}

template <typename Key>
void ExpectOneTextOnly(const std::string& text) {
  ASSERT_TRUE(Key::Parse(text).has_value());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string incremented = text;
    ++incremented[i];
    EXPECT_FALSE(Key::Parse(incremented).has_value()) << i;
    for (size_t length = 0; i + length <= text.size(); ++length) {
      if (length == text.size()) continue;
      EXPECT_FALSE(Key::Parse(text.substr(i, length)).has_value()) << i << " " << length;
    }
  }
}

TEST(VerifierKeyTest, EverySubstringAndIncrement) {
  ExpectOneTextOnly<VerifierKey>(kNeumannVkey);
}
TEST(SignerKeyTest, EverySubstringAndIncrement) {
  ExpectOneTextOnly<SignerKey>(kNeumannSkey);
}

TEST(VerifierKeyTest, UpperCaseIdIsAnotherText) {
  std::string upper = kNeumannVkey;
  upper.replace(upper.find("c74f20a3"), 8, "C74F20A3");
  EXPECT_FALSE(VerifierKey::Parse(upper).has_value());
}

TEST(VerifierKeyTest, Comparison) {
  EXPECT_EQ(Vkey(kNeumannVkey), Vkey(kNeumannVkey));
  EXPECT_FALSE(Vkey(kNeumannVkey) == Vkey(kEnochVkey));
  // One public key under two names, and under two types, is several keys.
  const VerifierKey log = Vkey(
      "sigsum.org/v1/tree/e796172b92befd62d9dc67e41c2f5bc9d3100a3023b20b1ca40288dd1c679e69"
      "+809da1a3+AWbguFjkYqYJ5m/nE3DIFtiEb/ED1UmaIqf+w3/bxCSn");
  const VerifierKey witness =
      Vkey("example.org/witness+cacf2e50+BGbguFjkYqYJ5m/nE3DIFtiEb/ED1UmaIqf+w3/bxCSn");
  const VerifierKey signer =
      Vkey("example.org/witness+3a5b06d5+AWbguFjkYqYJ5m/nE3DIFtiEb/ED1UmaIqf+w3/bxCSn");
  EXPECT_FALSE(witness == signer);
  EXPECT_FALSE(log == signer);
  EXPECT_EQ(witness.type(), kCosignatureEd25519Type);
}

TEST(VerifierKeyTest, SignatureLength) {
  const SignerKey key = SignerKey::Parse(kNeumannSkey).value();
  const std::string signature = key.Sign("message");
  ASSERT_EQ(signature.size(), 64u);
  EXPECT_TRUE(key.verifier().Verify("message", signature));
  EXPECT_FALSE(key.verifier().Verify("massage", signature));
  EXPECT_FALSE(key.verifier().Verify("message", signature + "x"));
  EXPECT_FALSE(key.verifier().Verify("message", signature.substr(1)));
  EXPECT_FALSE(key.verifier().Verify("message", ""));
  EXPECT_TRUE(key.verifier().Verify("", key.Sign("")));
}

TEST(SignerKeyTest, Generate) {
  const SignerKey key = SignerKey::Generate("example.com/new").value();
  EXPECT_EQ(key.verifier().name(), "example.com/new");
  EXPECT_EQ(key.verifier().type(), kEd25519Type);
  const SignerKey again = SignerKey::Parse(key.ToString()).value();
  EXPECT_EQ(again.verifier(), key.verifier());
  EXPECT_EQ(again.Sign("message"), key.Sign("message"));
  EXPECT_EQ(Vkey(key.verifier().ToString()), key.verifier());
  EXPECT_FALSE(SignerKey::Generate("example.com/new").value().verifier() == key.verifier());
  EXPECT_EQ(SignerKey::Generate("two words").error().code, Code::kInvalid);
  EXPECT_EQ(SignerKey::Generate("").error().code, Code::kInvalid);
}

TEST(SignerKeyTest, CopiesOutliveTheFirst) {
  auto first = std::make_unique<SignerKey>(SignerKey::Parse(kNeumannSkey).value());
  const SignerKey copy = *first;
  first.reset();
  EXPECT_EQ(copy.ToString(), kNeumannSkey);
  EXPECT_EQ(SignNote(kNeumannText, copy).ToString(), kNeumannText + "\n" + kNeumannLine);
}

TEST(SignerKeyTest, RefusedKeysAreNotQuoted) {
  for (const std::string& skey :
       {kNeumannSkey + "A", "PRIVATE+KEY+Petra" + kNeumannSkey.substr(17), kNeumannSkey.substr(8),
        kNeumannVkey, std::string("PRIVATE+KEY+"), std::string()}) {
    const auto key = SignerKey::Parse(skey);
    ASSERT_FALSE(key.has_value());
    EXPECT_EQ(key.error().code, Code::kInvalid);
    EXPECT_THAT(key.error().message, Not(HasSubstr("AYEKFALVFGyN")));
  }
  // A cosigner's private key: type 0x04.
  EXPECT_FALSE(SignerKey::Parse("PRIVATE+KEY+example.org/witness+cacf2e50+"
                                "BBEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
                   .has_value());
}

}  // namespace
}  // namespace logcore
