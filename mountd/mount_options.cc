#include "mountd/mount_options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "logcore/util/bytes.h"

namespace mountd {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Result;
using logcore::Status;

// What libfuse 3.14 and the kernel take, as far as it makes sense here. fsname and subtype are
// ours; timeouts and caching are what the log's promises rest on, and not for sale.
constexpr std::array<std::string_view, 9> kPassedOn = {"allow_other", "allow_root", "auto_unmount",
                                                       "debug",       "noatime",    "nodev",
                                                       "nodiratime",  "noexec",     "nosuid"};
constexpr std::array<std::string_view, 5> kPassedOnWithValue = {
    "context", "defcontext", "fscontext", "max_read", "rootcontext"};

// What mount(8) and fstab(5) put into every list. default_permissions is always on.
constexpr std::array<std::string_view, 19> kIgnored = {
    "_netdev",  "atime",  "auto",     "default_permissions",
    "defaults", "dev",    "diratime", "exec",
    "group",    "noauto", "nofail",   "nogroup",
    "noowner",  "nouser", "owner",    "relatime",
    "suid",     "user",   "users"};

template <typename Words>
bool Contains(const Words& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

Status Bad(std::string_view word, std::string_view why) {
  return Fail(Code::kInvalid, "-o " + std::string(word) + ": " + std::string(why));
}

// The first word of `list`, without its comma. SELinux contexts have commas inside double quotes.
std::string_view TakeWord(std::string_view* list) {
  bool quoted = false;
  size_t end = 0;
  while (end < list->size() && (quoted || (*list)[end] != ',')) {
    if ((*list)[end] == '"') quoted = !quoted;
    ++end;
  }
  const std::string_view word = list->substr(0, end);
  list->remove_prefix(std::min(end + 1, list->size()));
  return word;
}

std::string EscapeCommas(std::string_view word) {
  std::string escaped;
  for (const char c : word) {
    if (c == ',' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::optional<mode_t> ParseOctalMode(std::string_view text) {
  mode_t mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc() || end != text.data() + text.size() || text.size() > 4) return {};
  if (mode > 0777) return {};
  return mode;
}

Status ParseId(std::string_view word, std::string_view value, std::optional<id_t>* id) {
  const std::optional<uint64_t> number = logcore::ParseDecimal(value);
  // The highest number means "nobody in particular" to chown(2).
  if (!number || *number >= std::numeric_limits<id_t>::max()) {
    return Bad(word, "not the number of a user or group");
  }
  *id = static_cast<id_t>(*number);
  return {};
}

Status ParseMode(std::string_view word, std::string_view value, std::optional<mode_t>* mode) {
  *mode = ParseOctalMode(value);
  if (!*mode) return Bad(word, "not an octal mode, 0 to 777");
  return {};
}

Status ParseInterval(std::string_view word, std::string_view value,
                     std::chrono::milliseconds* interval) {
  const std::optional<uint64_t> number = logcore::ParseDecimal(value);
  constexpr auto kMax = static_cast<uint64_t>(kMaxCheckpointInterval.count());
  if (!number || *number > kMax) {
    return Bad(word, "not a number of milliseconds, 0 to " + std::to_string(kMax));
  }
  *interval = std::chrono::milliseconds(static_cast<int64_t>(*number));
  return {};
}

Status ParseValue(std::string_view word, std::string_view name, std::string_view value,
                  MountOptions* options) {
  if (name == "uid") return ParseId(word, value, &options->uid);
  if (name == "gid") return ParseId(word, value, &options->gid);
  if (name == "umask") return ParseMode(word, value, &options->umask);
  if (name == "mode") return ParseMode(word, value, &options->append_mode);
  if (name == "checkpoint_interval") {
    return ParseInterval(word, value, &options->checkpoint_interval);
  }
  if (name == "max_read" && !logcore::ParseDecimal(value)) return Bad(word, "not a number");
  if (Contains(kPassedOnWithValue, name)) {
    if (value.empty()) return Bad(word, "a value is missing");
    options->fuse_options.push_back(EscapeCommas(word));
    return {};
  }
  if (name == "user") return {};  // mount(8) says who it is.
  return Bad(word, "unknown option");
}

Status ParseWord(std::string_view word, MountOptions* options) {
  if (word.substr(0, 2) == "x-" || word.substr(0, 2) == "X-") return {};
  const size_t equals = word.find('=');
  if (equals != std::string_view::npos) {
    return ParseValue(word, word.substr(0, equals), word.substr(equals + 1), options);
  }
  if (word == "remount") return Bad(word, "not possible; unmount, and mount again");
  if (word == "ro" || word == "rw") {
    options->read_only = word == "ro" || options->static_site;
  } else if (word == "static") {
    options->static_site = options->read_only = true;
  } else if (word == "async") {
    options->async = true;
  } else if (Contains(kPassedOn, word)) {
    if (!Contains(options->fuse_options, word)) options->fuse_options.emplace_back(word);
  } else if (!Contains(kIgnored, word)) {
    return Bad(word, "unknown option");
  }
  return {};
}

}  // namespace

Status ParseMountOptions(std::string_view list, MountOptions* options) {
  while (!list.empty()) {
    const std::string_view word = TakeWord(&list);
    if (!word.empty()) RETURN_IF_ERROR(ParseWord(word, options));
  }
  return {};
}

std::string_view MountOptionsHelp() {
  return R"(Options of -o:
  ro                      No add, no add.bundle; needs no key, and read permission only
  static                  For web servers: ro, and checkpoint, tile/ and vkey alone
  allow_other             Other users may use the mount, as the modes allow
  uid=N, gid=N            Owner and group of every file (default: who mounts)
  umask=OCTAL             Permissions to take off all modes
  mode=OCTAL              Mode of add and add.bundle (default 600)
  async                   write(2) returns before the entry is durable; fsync and close wait
  checkpoint_interval=MS  Publish at most once in this time; 0, the default: with every commit
Passed on to libfuse and the kernel:
  allow_root, auto_unmount, debug, max_read=N, noatime, nodev, nodiratime, noexec, nosuid,
  context=, defcontext=, fscontext=, rootcontext=
Accepted, because mount(8) passes them to everyone:
  rw, auto, noauto, defaults, nofail, _netdev, user, nouser, users, owner, noowner, group,
  nogroup, atime, relatime, diratime, dev, suid, exec, default_permissions (always on), x-*)";
}

}  // namespace mountd
