#include "mountd/mount_table.h"

#include <fstream>
#include <sstream>
#include <string_view>

#include "logcore/util/bytes.h"

namespace mountd {
namespace {

bool IsOctal(char c) {
  return '0' <= c && c <= '7';
}

// The kernel writes blanks and backslashes as a backslash and three octal digits.
std::string Unescape(std::string_view text) {
  std::string path;
  while (!text.empty()) {
    size_t taken = 1;
    char c = text[0];
    if (4 <= text.size() && c == '\\' && IsOctal(text[1]) && IsOctal(text[2]) && IsOctal(text[3])) {
      c = static_cast<char>((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
      taken = 4;
    }
    path += c;
    text.remove_prefix(taken);
  }
  return path;
}

std::optional<uid_t> FindUser(const std::string& options) {
  constexpr std::string_view kName = "user_id=";
  std::istringstream words(options);
  for (std::string word; std::getline(words, word, ',');) {
    if (!word.starts_with(kName)) continue;
    const std::optional<uint64_t> id = logcore::ParseDecimal(word.substr(kName.size()));
    if (id) return static_cast<uid_t>(*id);
  }
  return std::nullopt;
}

}  // namespace

std::vector<MountEntry> ParseMountTable(std::istream& lines) {
  std::vector<MountEntry> table;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string parent, root, mountpoint, field, source, options;
    MountEntry entry;
    fields >> entry.id >> parent >> entry.device >> root >> mountpoint;
    while (fields >> field && field != "-") continue;
    if (!(fields >> entry.type)) continue;
    // A source may be empty, and then there are two blanks.
    std::getline(fields, source, ' ');
    std::getline(fields, source, ' ');
    std::getline(fields, options);
    entry.mountpoint = Unescape(mountpoint);
    entry.user = FindUser(options);
    table.push_back(std::move(entry));
  }
  return table;
}

std::vector<MountEntry> ReadMountTable() {
  std::ifstream lines("/proc/self/mountinfo");
  return ParseMountTable(lines);
}

std::optional<MountEntry> MountedOn(const std::vector<MountEntry>& table,
                                    const std::string& mountpoint) {
  std::optional<MountEntry> topmost;
  for (const MountEntry& entry : table) {
    if (entry.mountpoint == mountpoint) topmost = entry;
  }
  return topmost;
}

}  // namespace mountd
