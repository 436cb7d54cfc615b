#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <ostream>

#include "logcore/posix/commit/store_init.h"
#include "logcore/posix/disk/posix_disk.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/tlog/note.h"
#include "mountd/commands.h"
#include "mountd/message.h"
#include "mountd/small_file.h"
#include "mountd/store_directory.h"

namespace mountd {
namespace {

using logcore::Code;
using logcore::Disk;
using logcore::Fail;
using logcore::Result;
using logcore::SignerKey;
using logcore::Status;
using logcore::VerifierKey;

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

// The default is a small part of the free room, and no more than is of use.
uint64_t DefaultJournalLength(const std::string& store) {
  boost::system::error_code error;
  const auto space = boost::filesystem::space(store, error);
  if (error) return logcore::kDefaultJournalLength;
  return std::clamp(space.available / 16 / kMinJournalSize * kMinJournalSize, kMinJournalSize,
                    logcore::kDefaultJournalLength);
}

Result<VerifierKey> MakeStore(const InitCommand& command, logcore::InitOptions options,
                              const Environment& environment) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Disk> disk, logcore::OpenPosixDisk(command.store));
  options.journal_length = command.journal_size.value_or(DefaultJournalLength(command.store));
  return logcore::InitStore(disk.get(), options, {.clock = environment.clock});
}

// If it fails, the directory is gone again, unless it was there before.
Result<VerifierKey> MakeDirectoryAndStore(const InitCommand& command,
                                          const logcore::InitOptions& options,
                                          const Environment& environment) {
  StoreDirectory directory;
  const Status made = directory.Make(command.store);
  auto vkey = made.has_value() ? MakeStore(command, options, environment)
                               : Result<VerifierKey>(tl::unexpected<logcore::Error>(made.error()));
  if (!vkey.has_value()) directory.TakeBack();
  return vkey;
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
  const auto vkey = MakeDirectoryAndStore(command, options, environment);
  if (!vkey.has_value()) return Within(context, vkey.error());
  environment.out << vkey->ToString() << "\n";
  Status printed = Flush(environment.out);
  if (!printed.has_value()) {
    return Within(
        context + ": made, but its key was not printed (it is in " + command.store + "/config)",
        std::move(printed).error());
  }
  return 0;
}

}  // namespace mountd
