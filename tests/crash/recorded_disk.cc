// A disk that remembers in which order it was written: for power_test.py, which makes of the record
// every disk that a power cut could have left.
//
//     recorded_disk IMAGE RECORD MOUNTPOINT
//
// A FUSE filesystem with two files. `disk` has the bytes of IMAGE; a loop device lies on it, and on
// that a filesystem. Nothing here is cached: each write and flush of the block layer arrives as a
// request, is appended to RECORD and only then done and answered, one after the other. What is
// written to `mark` goes to the record alone: a note of what was promised by then.
//
// Record: of each request, in the machine's byte order,
//
//     kind 8 | offset 8 | length 8 | bytes ...
//
//     'W'  written: `length` bytes follow
//     'Z'  zeros written, in whichever way, or discarded: no bytes follow
//     'F'  all before it is on the disk
//     'M'  a mark: `length` bytes follow
//
// Ends when it is unmounted.

#define FUSE_USE_VERSION 314

#include <fcntl.h>
#include <fuse.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <string_view>

namespace {

constexpr std::string_view kDisk = "/disk";
constexpr std::string_view kMark = "/mark";

bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

// The image and its record. One thread.
class RecordedDisk {
 public:
  RecordedDisk(int image, int record, off_t size) : image_(image), record_(record), size_(size) {}

  off_t size() const { return size_; }

  int Read(char* out, size_t length, off_t offset) const {
    const ssize_t count = pread(image_, out, length, offset);
    return count < 0 ? -errno : static_cast<int>(count);
  }

  int Write(std::string_view bytes, off_t offset) {
    if (!Holds(offset, static_cast<off_t>(bytes.size()))) return -ENOSPC;
    if (bytes.find_first_not_of('\0') == std::string_view::npos) {
      const int error = Zero(offset, static_cast<off_t>(bytes.size()));
      return error != 0 ? error : static_cast<int>(bytes.size());
    }
    if (!Note('W', offset, bytes.size(), bytes)) return -EIO;
    const ssize_t count = pwrite(image_, bytes.data(), bytes.size(), offset);
    return count == static_cast<ssize_t>(bytes.size()) ? static_cast<int>(count) : -EIO;
  }

  int Zero(off_t offset, off_t length) {
    if (!Holds(offset, length)) return -ENOSPC;
    if (!Note('Z', offset, static_cast<uint64_t>(length), {})) return -EIO;
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return length == 0 || fallocate(image_, mode, offset, length) == 0 ? 0 : -EIO;
  }

  int Flush() { return Note('F', 0, 0, {}) ? 0 : -EIO; }

  int Mark(std::string_view text) {
    return Note('M', 0, text.size(), text) ? static_cast<int>(text.size()) : -EIO;
  }

 private:
  bool Holds(off_t offset, off_t length) const {
    return 0 <= offset && 0 <= length && offset <= size_ && length <= size_ - offset;
  }

  bool Note(char kind, off_t offset, uint64_t length, std::string_view bytes) {
    const std::array<uint64_t, 3> header = {static_cast<uint64_t>(kind),
                                            static_cast<uint64_t>(offset), length};
    return WriteAll(record_, {reinterpret_cast<const char*>(header.data()), sizeof(header)}) &&
           WriteAll(record_, bytes);
  }

  const int image_;
  const int record_;
  const off_t size_;
};

RecordedDisk* Disk() {
  return static_cast<RecordedDisk*>(fuse_get_context()->private_data);
}

void* Start(fuse_conn_info* /*connection*/, fuse_config* config) {
  config->direct_io = 1;
  return Disk();
}

int GetAttributes(const char* path, struct stat* out, fuse_file_info* /*info*/) {
  *out = {};
  out->st_nlink = 1;
  if (path == std::string_view("/")) {
    out->st_mode = S_IFDIR | 0700;
  } else if (path == kDisk) {
    out->st_mode = S_IFREG | 0600;
    out->st_size = Disk()->size();
  } else if (path == kMark) {
    out->st_mode = S_IFREG | 0600;
  } else {
    return -ENOENT;
  }
  return 0;
}

int Open(const char* /*path*/, fuse_file_info* /*info*/) {
  return 0;
}

int Read(const char* path, char* out, size_t length, off_t offset, fuse_file_info* /*info*/) {
  return path == kDisk ? Disk()->Read(out, length, offset) : 0;
}

int Write(const char* path, const char* in, size_t length, off_t offset, fuse_file_info* /*info*/) {
  const std::string_view bytes(in, length);
  return path == kDisk ? Disk()->Write(bytes, offset) : Disk()->Mark(bytes);
}

int Sync(const char* path, int /*data_only*/, fuse_file_info* /*info*/) {
  return path == kDisk ? Disk()->Flush() : 0;
}

int Allocate(const char* path, int mode, off_t offset, off_t length, fuse_file_info* /*info*/) {
  const bool zeroes = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
  return path == kDisk && zeroes ? Disk()->Zero(offset, length) : -EOPNOTSUPP;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: recorded_disk IMAGE RECORD MOUNTPOINT\n");
    return 2;
  }
  const int image = open(argv[1], O_RDWR | O_CLOEXEC);
  const int record = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  struct stat info {};
  if (image < 0 || record < 0 || fstat(image, &info) != 0) {
    std::perror("recorded_disk");
    return 1;
  }
  RecordedDisk disk(image, record, info.st_size);
  fuse_operations operations = {};
  operations.init = Start;
  operations.getattr = GetAttributes;
  operations.open = Open;
  operations.read = Read;
  operations.write = Write;
  operations.fsync = Sync;
  operations.fallocate = Allocate;
  char foreground[] = "-f";
  char one_thread[] = "-s";
  std::array<char*, 4> arguments = {argv[0], argv[3], foreground, one_thread};
  return fuse_main(static_cast<int>(arguments.size()), arguments.data(), &operations, &disk);
}
