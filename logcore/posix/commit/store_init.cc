#include "logcore/posix/commit/store_init.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "logcore/posix/disk/tentative_disk.h"
#include "logcore/posix/files/journal.h"
#include "logcore/posix/files/lock_file.h"
#include "logcore/posix/files/log_files.h"
#include "logcore/posix/files/published.h"
#include "logcore/tlog/checkpoint.h"
#include "logcore/util/bytes.h"

namespace logcore {
namespace {

Status InitJournal(Disk* disk, const ReplayPoint& replay_point) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> journal, disk->Create("journal", 0600));
  // Real zeros: syncing a record must not have to write the file's own metadata.
  RETURN_IF_ERROR(WriteZeros(journal.get(), 0, replay_point.journal_length));
  RETURN_IF_ERROR(journal->WriteAt(0, EncodeReplayPoint(replay_point)));
  return journal->Sync();
}

Status InitLock(Disk* disk, const WriterState& writer) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> lock, disk->Create("lock", 0600));
  RETURN_IF_ERROR(lock->WriteAt(0, std::string(kWriterStateLength, '\0')));
  RETURN_IF_ERROR(lock->WriteAt(0, EncodeWriterState(writer)));
  return lock->Sync();
}

// Whether `names` are what an init that was killed may leave: files of its own, without the one
// that it makes last, and no entry.
bool IsUnfinished(Disk* disk, const std::vector<std::string>& names) {
  constexpr std::array<std::string_view, 8> kMade = {"checkpoint", "config", "entries", "hashes",
                                                     "journal",    "key",    "lock",    "times"};
  for (const std::string& name : names) {
    if (std::find(kMade.begin(), kMade.end(), name) == kMade.end()) return false;
  }
  const Result<std::vector<std::string>> segments = disk->List("entries");
  return segments.has_value() && segments->empty();
}

Status MakeFiles(Disk* disk, const InitOptions& init, const SignerKey& key,
                 const StoreOptions& options) {
  ASSIGN_OR_RETURN(const std::string boot_id, disk->BootId());
  RETURN_IF_ERROR(LogFiles::Create(disk));
  RETURN_IF_ERROR(WriteNewFile(disk, "key", 0600, key.ToString() + "\n"));
  ReplayPoint replay_point{.key = HashFromBytes(disk->RandomBytes(kHashLength)),
                           .journal_length = init.journal_length,
                           .state = {},
                           .blocks = {}};
  RETURN_IF_ERROR(InitJournal(disk, replay_point));
  RETURN_IF_ERROR(InitLock(disk, {.boot_id = boot_id,
                                  .phase = WriterPhase::kIdle,
                                  .replay_point = replay_point.state.position,
                                  .log = replay_point.state,
                                  .complete = true}));
  const PublicationTime now =
      FirstPublicationTime(0, options.clock(), MomentOf(boot_id, disk->Uptime()));
  Published first{.sequence = 1,
                  .head = {},
                  .frames_end = 0,
                  .time = now.at / kNanoseconds,
                  .publication = now,
                  .note = SignCheckpoint(init.origin, {}, key)};
  RETURN_IF_ERROR(PublishedFile::Create(disk, first, std::string(16, '\0')));
  ASSIGN_OR_RETURN(StoreHome home, HomeHere(disk));
  const StoreConfig config{init.origin, key.verifier(), std::move(home)};
  RETURN_IF_ERROR(WriteNewFile(disk, "config", 0644, PrintConfig(config)));
  RETURN_IF_ERROR(disk->SyncDirectory(""));
  // Last: a store without it is one whose init did not finish.
  RETURN_IF_ERROR(WriteNewFile(disk, "format", 0644, kStoreFormat));
  return disk->SyncDirectory("");
}

}  // namespace

Result<VerifierKey> InitStore(Disk* disk, const InitOptions& init, const StoreOptions& options) {
  if (!init.key && !IsValidKeyName(init.origin)) {
    return Fail(Code::kInvalid, "origin '" + init.origin +
                                    "': must be 1 to 255 bytes without spaces, '+' and control "
                                    "characters");
  }
  if (!IsValidOrigin(init.origin)) {
    return Fail(Code::kInvalid, "origin '" + init.origin +
                                    "': must be a line of 1 to 255 bytes without control "
                                    "characters");
  }
  if (init.journal_length < kMinJournalLength || kMaxJournalLength < init.journal_length ||
      init.journal_length % kJournalBlock != 0) {
    return Fail(Code::kInvalid, "journal: impossible length");
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names, disk->List(""));
  if (!names.empty()) {
    return Fail(Code::kExists, IsUnfinished(disk, names)
                                   ? "an init did not finish here, and there is no entry: remove it"
                                   : "the directory is not empty");
  }
  Result<SignerKey> generated = init.key ? *init.key : SignerKey::Generate(init.origin);
  RETURN_IF_ERROR(generated);
  const SignerKey& key = *generated;

  TentativeDisk tentative(disk);
  const Status made = MakeFiles(&tentative, init, key, options);
  if (!made.has_value()) {
    tentative.TakeBack();
    return tl::unexpected<Error>(made.error());
  }
  return key.verifier();
}

}  // namespace logcore
