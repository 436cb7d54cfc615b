// logcore/tlog/entry_bundle.h: frames print as they were, and the three readers of them agree.

#include "logcore/tlog/entry_bundle.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input = tlogfs_test::InputBytes(data, size);
  const logcore::WholeFrames whole = logcore::CountFrames(input);
  CHECK(whole.length <= input.size());
  const std::string_view frames = input.substr(0, whole.length);

  // Each for itself; what is left is one frame cut short, or nothing.
  std::string_view rest = input;
  std::string printed;
  uint64_t taken = 0;
  for (auto entry = logcore::TakeFrame(&rest); entry.has_value();
       entry = logcore::TakeFrame(&rest)) {
    logcore::AppendFrame(&printed, *entry);
    ++taken;
  }
  CHECK(taken == whole.count && printed == frames && rest == input.substr(whole.length));

  // All at once: exactly their number.
  const auto entries = logcore::ParseFrames(frames, whole.count);
  CHECK(entries.has_value() && entries->size() == whole.count);
  CHECK(!logcore::ParseFrames(frames, whole.count + 1).has_value());
  CHECK(!logcore::ParseFrames(frames, ~uint64_t{0}).has_value());
  if (whole.count > 0) CHECK(!logcore::ParseFrames(frames, whole.count - 1).has_value());
  if (!rest.empty()) CHECK(!logcore::ParseFrames(input, whole.count).has_value());
  return 0;
}
