// logcore/util/base64.h: one text per value, both ways.

#include "logcore/util/base64.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input = tlogfs_test::InputBytes(data, size);
  if (const auto bytes = logcore::Base64Decode(input)) {
    CHECK(logcore::Base64Encode(*bytes) == input);
  }
  const std::string text = logcore::Base64Encode(input);
  CHECK(text.size() == (input.size() + 2) / 3 * 4);
  CHECK(logcore::Base64Decode(text) == input);
  return 0;
}
