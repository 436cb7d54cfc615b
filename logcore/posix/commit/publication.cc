#include "logcore/posix/commit/publication.h"

#include <utility>

#include "logcore/log/edge.h"

namespace logcore {

Result<Published> PublishLog(const LogFiles& files, PublishedFile* published,
                             const std::optional<PublishedFile::Slot>& newest, const LogState& log,
                             std::string_view boot_id, const CheckpointMaker& maker) {
  const CompactRange& range = log.range;
  ASSIGN_OR_RETURN(const CompactRange edge, ReadEdge(files, range.size()));
  if (edge != range) {
    return Fail(Code::kCorrupt, "hashes: the tree of size " + std::to_string(range.size()) +
                                    " is not the one that was committed; it is not signed");
  }
  PublishedFile::Slot slot = newest.value_or(PublishedFile::Slot());
  slot.boot_id = boot_id;
  slot.published.sequence += 1;
  slot.published.head = range.Head();
  slot.published.frames_end = log.end.frames_end;
  if (log.end.size != 0) slot.published.time = log.end.time;
  slot.published.note = maker.sign(slot.published.head);
  // The time is chosen last, as the version before may settle meanwhile for those who read it.
  const int64_t moment = MomentOf(boot_id, maker.uptime());
  if (!newest.has_value()) {
    slot.published.publication = FirstPublicationTime(log.end.time, maker.clock(), moment);
  } else if (newest->published.head != range.Head()) {
    slot.published.publication =
        NextPublicationTime(newest->published.publication, maker.clock(), moment);
  }
  RETURN_IF_ERROR(published->Write(slot));
  if (!newest.has_value()) {
    slot.published.sequence += 1;
    RETURN_IF_ERROR(published->Write(slot));
  }
  return std::move(slot.published);
}

Status TakeCompleteBack(PublishedFile* published, const std::string& boot_id) {
  ASSIGN_OR_RETURN(PublishedFile::Slot slot, published->Read());
  slot.boot_id = boot_id;
  return published->WriteBoth(&slot);
}

}  // namespace logcore
