#include <ostream>

#include "logcore/checkpoint.h"
#include "logcore/posix_disk.h"
#include "logcore/store.h"
#include "mountd/commands.h"
#include "mountd/small_file.h"
#include "mountd/store_directory.h"

namespace mountd {
namespace {

using logcore::Code;
using logcore::Fail;
using logcore::Result;
using logcore::SignerKey;
using logcore::Status;

constexpr size_t kMaxKeyFileLength = 1024;

Result<SignerKey> ReadKey(const std::string& file, const std::string& origin) {
  ASSIGN_OR_RETURN(std::string text, ReadSmallFile(file, kMaxKeyFileLength, Secrecy::kPrivate));
  if (!text.empty() && text.back() == '\n') text.pop_back();
  // Not the parser's own message: no part of what may be a private key belongs on a terminal.
  Result<SignerKey> key = SignerKey::Parse(text);
  if (!key.has_value()) {
    return Fail(Code::kInvalid, file + ": not a private note key (PRIVATE+KEY+NAME+ID+KEY)");
  }
  const std::string& name = key->verifier().name();
  if (name != origin) {
    return Fail(Code::kInvalid, file + ": the key is " + name + "'s, the origin is " + origin);
  }
  return key;
}

}  // namespace

Result<int> Init(const InitCommand& command, Environment& environment) {
  if (!logcore::IsValidOrigin(command.origin)) {
    return Fail(Code::kInvalid, "init: --origin " + command.origin +
                                    ": not a name: 1 to 255 bytes of UTF-8 without spaces and +");
  }
  logcore::InitOptions options;
  options.origin = command.origin;
  if (command.key_file) {
    Result<SignerKey> key = ReadKey(*command.key_file, command.origin);
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
