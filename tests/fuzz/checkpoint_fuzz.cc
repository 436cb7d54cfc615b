// logcore/tlog/checkpoint.h: a checkpoint prints as it was, and its tree, signed, opens again.

#include "logcore/tlog/checkpoint.h"

#include "tests/fuzz/fuzz.h"

namespace {

constexpr char kSigner[] =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const logcore::SignerKey signer = logcore::SignerKey::Parse(kSigner).value();
  const std::string_view input = tlogfs_test::InputBytes(data, size);
  const auto checkpoint = logcore::Checkpoint::Parse(input);
  if (checkpoint.has_value()) {
    CHECK(checkpoint->ToString() == input);
    CHECK(checkpoint->head.size <= logcore::kMaxTreeSize);
    const std::string& own = checkpoint->origin;
    const std::string origin = logcore::IsValidOrigin(own) ? own : "no origin";
    const std::string note = logcore::SignCheckpoint(origin, checkpoint->head, signer);
    const auto opened = logcore::OpenCheckpoint(note, origin, signer.verifier());
    CHECK(opened.has_value() && opened->head == checkpoint->head && opened->origin == origin);
  }
  const std::string_view first_line = input.substr(0, input.find('\n'));
  const auto opened = logcore::OpenCheckpoint(input, first_line, signer.verifier());
  if (opened.has_value()) CHECK(opened->origin == first_line);
  return 0;
}
