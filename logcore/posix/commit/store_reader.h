// StoreReader: a store as readers get it: what is published, by whichever process. It needs read
// permission alone: no key, no lock, no journal.
//
// Any thread. Tested by tests/logcore/posix/commit/store_test.cc and store_refusals_test.cc.

#ifndef LOGCORE_POSIX_COMMIT_STORE_READER_H_
#define LOGCORE_POSIX_COMMIT_STORE_READER_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "logcore/log/published_log.h"
#include "logcore/log/snapshot.h"
#include "logcore/posix/commit/store_options.h"
#include "logcore/posix/disk/disk.h"
#include "logcore/posix/files/store_config.h"
#include "logcore/tlog/note.h"
#include "logcore/util/result.h"

namespace logcore {

class LogFiles;
class PublishedFile;

class StoreReader final : public PublishedLog {
 public:
  // Opens a store to read it. Of a damaged log, all that verifies can be read; see damage(). kBusy
  // after a power cut, before any writer has recovered. The disk must outlive the reader.
  static Result<std::unique_ptr<StoreReader>> Open(Disk* disk, const StoreOptions& options);
  ~StoreReader() override;

  const StoreConfig& config() const { return config_; }
  const VerifierKey& vkey() const override { return config_.vkey; }
  // The first thing that the opening found to be lost, cut or damaged: an opening for appending
  // would have been refused for it. That there is none does not show that the store is sound: that
  // is the audit's to say.
  const std::optional<Error>& damage() const { return damage_; }
  // One pread when nothing is new.
  Result<std::shared_ptr<const Snapshot>> Latest() override;
  int64_t PublicationTimeOf(const Published& published) const override;

  // ---- For a writer, which has opened the files (store_writer.h).

  StoreReader(Disk* disk, StoreConfig config, std::string boot_id,
              std::shared_ptr<const LogFiles> files,
              std::shared_ptr<const PublishedFile> published);
  // Shows what this process has published; it is not read again.
  void Show(Published published);

 private:
  // Notes what is damaged. An error if readers cannot be served at all.
  Status Check();
  // The newest slot, if readers in this boot may believe it.
  Result<Published> BelievablePublished() const;

  Disk* const disk_;
  const StoreConfig config_;
  const std::string boot_id_;
  const std::shared_ptr<const LogFiles> files_;
  const std::shared_ptr<const PublishedFile> published_;
  const std::shared_ptr<Verified> verified_;
  std::optional<Error> damage_;

  std::mutex latest_mutex_;
  std::shared_ptr<const Snapshot> latest_;
};

}  // namespace logcore

#endif  // LOGCORE_POSIX_COMMIT_STORE_READER_H_
