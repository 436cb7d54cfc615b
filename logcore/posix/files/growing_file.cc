#include "logcore/posix/files/growing_file.h"

#include <algorithm>

namespace logcore {
namespace {

constexpr size_t kPiece = 2 << 20;

}  // namespace

Status GrowingFile::Append(std::string_view bytes) {
  const size_t room = RoundUpToBlock(joint_offset_) - joint_offset_ - joint_.size();
  joint_.append(bytes.substr(0, room));
  bytes.remove_prefix(std::min(room, bytes.size()));
  while (!bytes.empty()) {
    const size_t length = std::min(kPiece - buffer_.size(), bytes.size());
    buffer_.append(bytes.substr(0, length));
    bytes.remove_prefix(length);
    if (buffer_.size() == kPiece) RETURN_IF_ERROR(WriteOut());
  }
  return {};
}

Status GrowingFile::WriteOut() {
  has_blocks_ = true;
  RETURN_IF_ERROR(buffer_.size() == kPiece ? file_->WriteBlocksAt(place_, buffer_)
                                           : file_->WriteAt(place_, buffer_));
  place_ += buffer_.size();
  buffer_.clear();
  return {};
}

Status GrowingFile::Flush() {
  if (!buffer_.empty()) RETURN_IF_ERROR(WriteOut());
  return has_blocks_ ? EndAt(place_) : Status();
}

Status GrowingFile::Join() {
  if (joint_.empty()) return {};
  RETURN_IF_ERROR(file_->WriteAt(joint_offset_, joint_));
  return has_blocks_ ? file_->Sync() : EndAt(joint_offset_ + joint_.size());
}

Status GrowingFile::EndAt(uint64_t end) {
  ASSIGN_OR_RETURN(const uint64_t length, file_->Length());
  if (end < length) RETURN_IF_ERROR(file_->Cut(end));
  return file_->Sync();
}

}  // namespace logcore
