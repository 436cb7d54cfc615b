#include "logcore/posix/commit/checkpoint_writer.h"

#include <utility>

#include "logcore/tlog/checkpoint.h"

namespace logcore {

CheckpointWriter::CheckpointWriter(std::string origin, SignerKey key, WriterStateFile* state,
                                   LogFiles* files, PublishedFile* published,
                                   std::function<int64_t()> clock, std::function<int64_t()> uptime)
    : origin_(std::move(origin)),
      key_(std::move(key)),
      state_(state),
      files_(files),
      published_(published),
      clock_(std::move(clock)),
      uptime_(std::move(uptime)) {}

// A signature shows nothing until it leaves the process, and then what it signs is committed.
const std::string& CheckpointWriter::Sign(const TreeHead& head) {
  if (signed_note_.empty() || signed_head_ != head) {
    signed_note_ = SignCheckpoint(origin_, head, key_);
    signed_head_ = head;
  }
  return signed_note_;
}

CheckpointMaker CheckpointWriter::Maker() {
  return {.sign = [this](const TreeHead& head) { return Sign(head); },
          .clock = clock_,
          .uptime = uptime_};
}

Result<Published> CheckpointWriter::Publish() {
  ASSIGN_OR_RETURN(const auto held, state_->HoldPublish());
  ASSIGN_OR_RETURN(const WriterState writer, state_->ReadAsReader());
  ASSIGN_OR_RETURN(PublishedFile::Slot newest, published_->Read());
  const bool believable = newest.boot_id == state_->boot_id() || newest.boot_id == kCompleteBoot;
  if (writer.log.end.size <= newest.published.head.size && believable) {
    return std::move(newest.published);
  }
  return PublishLog(*files_, published_, newest, writer.log, state_->boot_id(), Maker());
}

Status CheckpointWriter::TakeCompleteBack() {
  ASSIGN_OR_RETURN(const auto held, state_->HoldPublish());
  return logcore::TakeCompleteBack(published_, state_->boot_id());
}

Status CheckpointWriter::MarkComplete() {
  ASSIGN_OR_RETURN(const auto held_replay_point, state_->HoldReplayPoint());
  ASSIGN_OR_RETURN(const auto held, state_->HoldCommit());
  ASSIGN_OR_RETURN(const auto held_publish, state_->HoldPublish());
  ASSIGN_OR_RETURN(WriterState writer, state_->Read());
  ASSIGN_OR_RETURN(PublishedFile::Slot slot, published_->Read());
  // Another process may have appended meanwhile: then it is for it to say.
  if (!writer.is_at_rest() || slot.boot_id != state_->boot_id() ||
      writer.replay_point.sequence != writer.log.position.sequence ||
      slot.published.head.size != writer.log.end.size) {
    return {};
  }
  writer.complete = true;  // First, so that no process appends without taking it back.
  RETURN_IF_ERROR(state_->Write(writer));
  slot.boot_id = kCompleteBoot;
  slot.published.sequence += 1;
  RETURN_IF_ERROR(published_->Write(slot));
  return published_->Sync();
}

}  // namespace logcore
