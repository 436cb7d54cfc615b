// mountd/mount_options.h: what a list says, printed as a list, says the same again.

#include "mountd/mount_options.h"

#include "tests/fuzz/fuzz.h"

namespace {

using mountd::MountOptions;

std::string Octal(mode_t mode) {
  std::string digits;
  for (int shift = 6; shift >= 0; shift -= 3)
    digits += static_cast<char>('0' + (mode >> shift & 7));
  return digits;
}

std::string WithoutEscapes(std::string_view word) {
  std::string plain;
  for (size_t i = 0; i < word.size(); ++i) {
    if (word[i] == '\\') ++i;
    CHECK(i < word.size());
    plain += word[i];
  }
  return plain;
}

std::string Print(const MountOptions& options) {
  std::string list = options.read_only ? "ro" : "rw";
  if (options.static_site) list += ",static";
  if (options.async) list += ",async";
  if (options.uid) list += ",uid=" + std::to_string(*options.uid);
  if (options.gid) list += ",gid=" + std::to_string(*options.gid);
  if (options.umask) list += ",umask=" + Octal(*options.umask);
  if (options.append_mode) list += ",mode=" + Octal(*options.append_mode);
  list += ",checkpoint_interval=" + std::to_string(options.checkpoint_interval.count());
  // Last: the last one of a list may lack the quote that ends its value.
  for (const std::string& word : options.fuse_options) list += "," + WithoutEscapes(word);
  return list;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input = tlogfs_test::InputBytes(data, size);
  MountOptions options;
  const auto parsed = mountd::ParseMountOptions(input, &options);
  if (!parsed.has_value()) {
    CHECK(!parsed.error().message.empty());
    return 0;
  }
  CHECK(options.umask.value_or(0) <= 0777 && options.append_mode.value_or(0) <= 0777);
  CHECK(options.checkpoint_interval <= mountd::kMaxCheckpointInterval);

  MountOptions again;
  CHECK(mountd::ParseMountOptions(Print(options), &again).has_value());
  CHECK(options.read_only || !options.static_site);
  CHECK(again.read_only == options.read_only && again.async == options.async);
  CHECK(again.static_site == options.static_site);
  CHECK(again.uid == options.uid && again.gid == options.gid);
  CHECK(again.umask == options.umask && again.append_mode == options.append_mode);
  CHECK(again.checkpoint_interval == options.checkpoint_interval);
  CHECK(again.fuse_options == options.fuse_options);
  return 0;
}
