#include "logcore/posix/files/store_config.h"

#include <sstream>
#include <utility>

#include "logcore/tlog/checkpoint.h"
#include "logcore/tlog/hash.h"
#include "logcore/util/bytes.h"

namespace logcore {
namespace {

constexpr size_t kMaxTextFileLength = 4096;

Result<std::string> ReadTextFile(Disk* disk, const std::string& name) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, disk->Open(name, Access::kRead));
  std::string text(kMaxTextFileLength, '\0');
  ASSIGN_OR_RETURN(const size_t length, file->ReadAt(0, text.data(), text.size()));
  text.resize(length);
  return text;
}

// In place of what is there, if anything is: a power cut leaves the one or the other. What was cut
// short in here is put aside.
Status ReplaceFile(Disk* disk, const std::string& name, unsigned mode, std::string_view bytes) {
  const std::string fresh = name + ".new";
  const Status stale = disk->Rename(fresh, name + ".old");
  if (!stale.has_value() && stale.error().code != Code::kNotFound) return stale;
  RETURN_IF_ERROR(WriteNewFile(disk, fresh, mode, bytes));
  RETURN_IF_ERROR(disk->Rename(fresh, name));
  return disk->SyncDirectory("");
}

std::string PrintHome(const std::optional<StoreHome>& home) {
  if (!home) return "none";
  return home->filesystem + " " + std::to_string(home->lock_inode) + " " +
         std::to_string(home->lock_birth);
}

// Nothing for what PrintHome never gives.
std::optional<std::optional<StoreHome>> ParseHome(const std::string& text) {
  std::optional<StoreHome> home;
  if (text == PrintHome(home)) return home;
  std::istringstream words(text);
  home.emplace();
  words >> home->filesystem >> home->lock_inode >> home->lock_birth;
  if (PrintHome(home) != text) return std::nullopt;
  return home;
}

// Takes the line "<name> <value>\n" off the front of `text`.
Result<std::string> TakeLine(std::string_view* text, std::string_view name) {
  const size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end);
  if (end == std::string_view::npos || !line.starts_with(name) || line.size() <= name.size() ||
      line[name.size()] != ' ') {
    return Fail(Code::kCorrupt, "config: has no line " + std::string(name) + " where it should");
  }
  text->remove_prefix(end + 1);
  return std::string(line.substr(name.size() + 1));
}

}  // namespace

Status WriteNewFile(Disk* disk, const std::string& name, unsigned mode, std::string_view bytes) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, disk->Create(name, mode));
  RETURN_IF_ERROR(file->WriteAt(0, bytes));
  return file->Sync();
}

std::string PrintConfig(const StoreConfig& config) {
  const std::string lines = "origin " + config.origin + "\nvkey " + config.vkey.ToString() +
                            "\nhome " + PrintHome(config.home) + "\n";
  return lines + "sha256 " + HexEncode(Sha256({lines}).view()) + "\n";
}

Result<StoreHome> HomeHere(Disk* disk) {
  ASSIGN_OR_RETURN(std::string filesystem, disk->FilesystemId());
  ASSIGN_OR_RETURN(const Disk::FileInfo lock, disk->Info("lock"));
  return StoreHome{std::move(filesystem), lock.inode, lock.birth};
}

Result<StoreConfig> ReadStoreConfig(Disk* disk) {
  const Result<std::string> format = ReadTextFile(disk, "format");
  if (!format.has_value() && format.error().code == Code::kNotFound) {
    return Fail(Code::kNotFound, "not a tlogfs store (it has no file 'format')");
  }
  RETURN_IF_ERROR(format);
  if (*format != kStoreFormat)
    return Fail(Code::kInvalid, "format: not one that this version knows");
  return ReadUnfinishedConfig(disk);
}

Result<StoreConfig> ReadUnfinishedConfig(Disk* disk) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(disk, "config"));
  std::string_view rest = text;
  ASSIGN_OR_RETURN(const std::string origin, TakeLine(&rest, "origin"));
  ASSIGN_OR_RETURN(const std::string vkey_text, TakeLine(&rest, "vkey"));
  ASSIGN_OR_RETURN(const std::string home_text, TakeLine(&rest, "home"));
  const std::optional<std::optional<StoreHome>> home = ParseHome(home_text);
  const Result<VerifierKey> vkey = VerifierKey::Parse(vkey_text);
  if (home && vkey.has_value() && IsValidOrigin(origin)) {
    StoreConfig config{origin, *vkey, *home};
    if (PrintConfig(config) == text) return config;
  }
  return Fail(Code::kCorrupt, "config: is not as it was written");
}

Status CheckAtHome(Disk* disk, const StoreConfig& config) {
  if (config.home) {
    ASSIGN_OR_RETURN(const StoreHome here, HomeHere(disk));
    const StoreHome& home = *config.home;
    if (here.filesystem == home.filesystem && here.lock_inode == home.lock_inode &&
        (home.lock_birth == 0 || here.lock_birth == home.lock_birth)) {
      return {};
    }
  }
  return Fail(Code::kReadOnly,
              "it is a copy, or was restored: mount it ro, or see tlogfs adopt --help");
}

Result<bool> IsAtHome(Disk* disk) {
  ASSIGN_OR_RETURN(const StoreConfig config, ReadStoreConfig(disk));
  const Status home = CheckAtHome(disk, config);
  if (!home.has_value() && home.error().code != Code::kReadOnly) {
    return tl::unexpected<Error>(home.error());
  }
  return home.has_value();
}

Result<SignerKey> ReadStoreKey(Disk* disk, const StoreConfig& config) {
  ASSIGN_OR_RETURN(const Disk::FileInfo info, disk->Info("key"));
  if ((info.mode & 077) != 0) {
    return Fail(Code::kDenied, "key: others can read it; make it 0600 (and think about a new one)");
  }
  ASSIGN_OR_RETURN(std::string text, ReadTextFile(disk, "key"));
  const size_t length = text.find('\n');
  Result<SignerKey> key = SignerKey::Parse(std::string_view(text).substr(0, length));
  const bool is_line = length + 1 == text.size();
  WipeSecret(&text);
  if (!is_line) return Fail(Code::kCorrupt, "key: is not one line");
  if (!key.has_value()) return Within("key", key.error());
  if (key->verifier() != config.vkey) {
    return Fail(Code::kCorrupt, "key: is not the key of " + config.vkey.ToString());
  }
  return key;
}

Status CheckStoreKey(Disk* disk, const StoreConfig& config) {
  RETURN_IF_ERROR(ReadStoreKey(disk, config));
  return {};
}

Status WriteStoreConfig(Disk* disk, const StoreConfig& config) {
  return ReplaceFile(disk, "config", 0644, PrintConfig(config));
}

Status WriteStoreKey(Disk* disk, const SignerKey& key) {
  std::string line = key.ToString() + "\n";
  const Status written = ReplaceFile(disk, "key", 0600, line);
  WipeSecret(&line);
  return written;
}

Status WriteStoreFormat(Disk* disk) {
  return ReplaceFile(disk, "format", 0644, kStoreFormat);
}

}  // namespace logcore
