// logcore/tlog/note.h: a note prints as it was; its text, signed, opens again; what opens is a
// note.

#include "logcore/tlog/note.h"

#include "tests/fuzz/fuzz.h"

namespace {

constexpr char kSigner[] =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const logcore::SignerKey signer = logcore::SignerKey::Parse(kSigner).value();
  const std::string_view input = tlogfs_test::InputBytes(data, size);
  const auto note = logcore::Note::Parse(input);
  const auto opened = logcore::OpenNote(input, {&signer.verifier(), 1});
  if (!note.has_value()) {
    CHECK(!opened.has_value());
    return 0;
  }
  CHECK(note->ToString() == input);
  CHECK(!note->signatures.empty() && note->signatures.size() <= logcore::kMaxNoteSignatures);
  if (opened.has_value()) CHECK(opened->ToString() == input);

  const std::string again = logcore::SignNote(note->text, signer).ToString();
  const auto reopened = logcore::OpenNote(again, {&signer.verifier(), 1});
  CHECK(reopened.has_value() && reopened->text == note->text);
  return 0;
}
