#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>
#include <ostream>

#include "logcore/checkpoint.h"
#include "logcore/note.h"
#include "logcore/posix_disk.h"
#include "logcore/store.h"
#include "mountd/commands.h"
#include "mountd/small_file.h"

namespace mountd {
namespace {

using logcore::Code;
using logcore::Disk;
using logcore::Fail;
using logcore::Result;
using logcore::SignerKey;
using logcore::Status;

constexpr size_t kMaxKeyFileLength = 1024;

Result<SignerKey> ReadKey(const std::string& file) {
  ASSIGN_OR_RETURN(std::string text, ReadSmallFile(file, kMaxKeyFileLength, Secrecy::kPrivate));
  if (!text.empty() && text.back() == '\n') text.pop_back();
  Result<SignerKey> key = SignerKey::Parse(text);
  logcore::WipeSecret(&text);
  if (!key.has_value()) return Within(file, std::move(key).error());
  return key;
}

// A new key gets the origin's name; one that is given has its own.
Status CheckOrigin(const InitCommand& command) {
  const char* rule = nullptr;
  if (!command.key_file && !logcore::IsValidKeyName(command.origin)) {
    rule = "not a name: 1 to 255 bytes of UTF-8 without spaces and +";
  } else if (!logcore::IsValidOrigin(command.origin)) {
    rule = "not a name: a line of 1 to 255 bytes of UTF-8";
  } else {
    return {};
  }
  return Fail(Code::kInvalid, "init: --origin " + command.origin + ": " + rule);
}

// Makes the directory, if it is not there yet, so that a power cut does not lose it again.
Status MakeStoreDirectory(const std::string& store) {
  namespace fs = boost::filesystem;
  boost::system::error_code error;
  if (fs::exists(store, error)) return {};
  fs::path path = fs::system_complete(store, error).lexically_normal();
  path.remove_trailing_separator();
  if (path.filename() == ".") path.remove_filename().remove_trailing_separator();
  ASSIGN_OR_RETURN(const std::unique_ptr<Disk> parent,
                   logcore::OpenPosixDisk(path.parent_path().string()));
  RETURN_IF_ERROR(parent->MakeDirectory(path.filename().string(), 0755));
  return parent->SyncDirectory("");
}

}  // namespace

Result<int> Init(const InitCommand& command, Environment& environment) {
  RETURN_IF_ERROR(CheckOrigin(command));
  logcore::InitOptions options;
  options.origin = command.origin;
  if (command.key_file) {
    Result<SignerKey> key = ReadKey(*command.key_file);
    if (!key.has_value()) return Within("init: --key", std::move(key).error());
    options.key = *std::move(key);
  }

  const std::string context = "init " + command.store;
  if (Status made = MakeStoreDirectory(command.store); !made.has_value()) {
    return Within(context, std::move(made).error());
  }
  auto disk = logcore::OpenPosixDisk(command.store);
  if (!disk.has_value()) return Within(context, std::move(disk).error());
  const logcore::StoreOptions store_options{.clock = environment.clock};
  auto vkey = logcore::Store::Init(disk->get(), options, store_options);
  if (!vkey.has_value()) return Within(context, std::move(vkey).error());
  environment.out << vkey->ToString() << "\n";
  return 0;
}

}  // namespace mountd
