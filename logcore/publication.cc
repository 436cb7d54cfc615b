#include "logcore/publication.h"

#include <utility>

#include "logcore/edge.h"

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
  if (!newest.has_value()) {
    slot.published.publication = FirstPublicationTime(log.end.time, maker.clock(), maker.uptime());
  } else if (slot.published.head != range.Head()) {
    slot.published.publication =
        NextPublicationTime(newest->published.publication, maker.clock(), maker.uptime());
  }
  slot.published.head = range.Head();
  slot.published.frames_end = log.end.frames_end;
  if (log.end.size != 0) slot.published.time = log.end.time;
  slot.published.note = maker.sign(slot.published.head);
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
  for (int i = 0; i < 2; ++i) {
    slot.published.sequence += 1;
    RETURN_IF_ERROR(published->Write(slot));
    RETURN_IF_ERROR(published->Sync());
  }
  return {};
}

}  // namespace logcore
