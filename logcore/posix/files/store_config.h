// The small files of a store: `format`, `config` and `key`.
//
//   format   "tlogfs store 3\n"; written last, so a directory without it is no store
//   config   origin ORIGIN
//            vkey VKEY
//            home FILESYSTEM INODE BIRTH     of the file `lock`, where the store takes appends;
//                                            or `home none`: a backup
//            sha256 HEX                      of the lines before
//   key      the signing key (note.h), one line, 0600
//
// Any thread. Tested by tests/logcore/posix/commit/store_test.cc and store_refusals_test.cc.

#ifndef LOGCORE_POSIX_FILES_STORE_CONFIG_H_
#define LOGCORE_POSIX_FILES_STORE_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "logcore/posix/disk/disk.h"
#include "logcore/tlog/note.h"
#include "logcore/util/result.h"

namespace logcore {

inline constexpr uint64_t kDefaultJournalLength = 64 * 1024 * 1024;

// Frames outside of a record begin in a block so far behind the end of the log that no committed
// frames could be zeros from there up to them: whatever the entries are, there is a header of one
// that is not empty, or the segment is full. So what a commit that died has left is told apart from
// entries that a journal does not know because it was rolled back. Tests, whose batches are short,
// have a smaller limit, the same for all who open a store.
inline constexpr uint64_t kNoGapLimit = ~uint64_t{0};

inline constexpr std::string_view kStoreFormat = "tlogfs store 3\n";

// Where a store takes appends. The file `lock` of a copy has another inode; if it has the same
// number, as a freed one is given out again, it was made at another time.
struct StoreHome {
  std::string filesystem;  // Disk::FilesystemId()
  uint64_t lock_inode = 0;
  int64_t lock_birth = 0;  // as of Disk::FileInfo; 0 if the filesystem did not tell
};

// What `config` says.
struct StoreConfig {
  std::string origin;  // The key may have another name.
  VerifierKey vkey;
  std::optional<StoreHome> home;  // None: a backup, which takes no appends anywhere.
};

std::string PrintConfig(const StoreConfig& config);
// kExists if there is such a file.
Status WriteNewFile(Disk* disk, const std::string& name, unsigned mode, std::string_view bytes);

// Reads `format` and `config`. kNotFound: it is no store.
Result<StoreConfig> ReadStoreConfig(Disk* disk);
// `config` of what is not a store before it has its `format`.
Result<StoreConfig> ReadUnfinishedConfig(Disk* disk);

// The place where this store is.
Result<StoreHome> HomeHere(Disk* disk);
// kReadOnly if this is not where `config` says that the store takes appends: it is a copy or a
// backup.
Status CheckAtHome(Disk* disk, const StoreConfig& config);
Result<bool> IsAtHome(Disk* disk);

// kNotFound, kDenied, and kCorrupt if `key` is not the one that `config` names.
Result<SignerKey> ReadStoreKey(Disk* disk, const StoreConfig& config);
Status CheckStoreKey(Disk* disk, const StoreConfig& config);

// Each replaces the file that is there, if any, as a whole, durably.
Status WriteStoreConfig(Disk* disk, const StoreConfig& config);
Status WriteStoreKey(Disk* disk, const SignerKey& key);
Status WriteStoreFormat(Disk* disk);

}  // namespace logcore

#endif  // LOGCORE_POSIX_FILES_STORE_CONFIG_H_
