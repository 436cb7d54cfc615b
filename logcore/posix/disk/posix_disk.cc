#include "logcore/posix/disk/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "logcore/posix/disk/block_buffer.h"
#include "logcore/tlog/hash.h"
#include "logcore/util/check.h"

namespace logcore {
namespace {

// FS_IOC_GETFSUUID of Linux 6.9, which the headers of older systems do not have.
struct FilesystemUuid {
  uint8_t length;
  uint8_t bytes[16];
};
constexpr unsigned long kGetFilesystemUuid = _IOR(0x15, 0, FilesystemUuid);

Code CodeOf(int error) {
  switch (error) {
    case ENOENT:
      return Code::kNotFound;
    case EEXIST:
    case ENOTEMPTY:
      return Code::kExists;
    case EACCES:
    case EPERM:
      return Code::kDenied;
    case ENOSPC:
    case EDQUOT:
      return Code::kNoSpace;
    case EROFS:
      return Code::kReadOnly;
    case EMFILE:
    case ENFILE:
      return Code::kBusy;
    case ENOTDIR:  // Somebody put another kind of thing where a file or directory should be.
    case EISDIR:
    case ELOOP:
    case ENXIO:
      return Code::kInvalid;
    default:
      return Code::kIo;
  }
}

// The error of a system call that just failed: "write entries/0: No space left on device".
tl::unexpected<Error> FailErrno(std::string_view verb, const std::string& name) {
  const int error = errno;
  return Fail(CodeOf(error), std::string(verb) + " " + (name.empty() ? "." : name) + ": " +
                                 std::generic_category().message(error));
}

// Calls `call` again as long as a signal interrupts it.
template <typename Call>
auto Repeat(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

class PosixFile final : public File {
 public:
  PosixFile(Descriptor fd, std::string name, std::shared_ptr<BlockBuffer> buffer)
      : fd_(std::move(fd)), name_(std::move(name)), buffer_(std::move(buffer)) {}

  Result<size_t> ReadAt(uint64_t offset, char* out, size_t length) const override {
    size_t done = 0;
    while (done < length) {
      const ssize_t count = Repeat([&] {
        return pread(fd_.get(), out + done, length - done, static_cast<off_t>(offset + done));
      });
      if (count < 0) return FailErrno("read", name_);
      if (count == 0) break;
      done += static_cast<size_t>(count);
    }
    return done;
  }

  void WillRead(uint64_t offset, uint64_t length) const override {
    posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(length),
                  POSIX_FADV_WILLNEED);
  }

  Status WriteAt(uint64_t offset, std::string_view bytes) override {
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t count = Repeat([&] {
        return pwrite(fd_.get(), bytes.data() + done, bytes.size() - done,
                      static_cast<off_t>(offset + done));
      });
      if (count < 0) return FailErrno("write", name_);
      // No filesystem should do this; one that does must not make us spin.
      if (count == 0) return Fail(Code::kIo, "write " + name_ + ": nothing was written");
      done += static_cast<size_t>(count);
    }
    return {};
  }

  // EINVAL: this filesystem cannot. After any other failure reserved room may be gone.
  Status WriteBlocksAt(uint64_t offset, std::string_view blocks) override {
    CHECK(offset % kBlockLength == 0 && blocks.size() % kBlockLength == 0);
    if (!direct_) {
      const std::string path = "/proc/self/fd/" + std::to_string(fd_.get());
      Descriptor direct(open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
      const bool may_be_later = direct.get() < 0 && CodeOf(errno) == Code::kBusy;
      if (may_be_later) return WriteAt(offset, blocks);
      direct_.emplace(std::move(direct));
    }
    if (direct_->get() < 0) return WriteAt(offset, blocks);
    errno = ENOMEM;
    const bool written =
        buffer_->ForEachPart(blocks, [&](size_t done, const void* part, size_t length) {
          const ssize_t count = Repeat([&] {
            return pwrite(direct_->get(), part, length, static_cast<off_t>(offset + done));
          });
          if (0 <= count) errno = EIO;  // if it is not all
          return count == static_cast<ssize_t>(length);
        });
    if (written) return {};
    if (errno != EINVAL) return FailErrno("write", name_);
    direct_.emplace();
    return WriteAt(offset, blocks);
  }

  Status Allocate(uint64_t length) override {
    // From where the file ends: XFS wants as much free space as the whole range is long.
    ASSIGN_OR_RETURN(const uint64_t present, Length());
    const uint64_t start = present / kBlockLength * kBlockLength;
    if (length <= start) return {};
    const int result = Repeat([&] {
      return fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(start),
                       static_cast<off_t>(length - start));
    });
    if (result != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
      return FailErrno("allocate", name_);
    }
    return {};
  }

  // Truncating a file to the length it has frees what was allocated behind it; punching a hole
  // there does not, on ext4.
  Status Cut(uint64_t length) override {
    ASSIGN_OR_RETURN(const uint64_t present, Length());
    length = std::min(length, present);
    const int result = Repeat([&] { return ftruncate(fd_.get(), static_cast<off_t>(length)); });
    if (result != 0) return FailErrno("cut", name_);
    return {};
  }

  // Not repeated, not even after EINTR: the kernel has then forgotten what it did not write.
  Status Sync() override {
    if (fdatasync(fd_.get()) != 0) return FailErrno("sync", name_);
    return {};
  }

  Result<uint64_t> Length() const override {
    struct stat info;
    if (fstat(fd_.get(), &info) != 0) return FailErrno("stat", name_);
    return static_cast<uint64_t>(info.st_size);
  }

  Result<std::shared_ptr<const char>> Map(uint64_t length) const override {
    CHECK(0 < length);
    ASSIGN_OR_RETURN(const uint64_t found, Length());
    if (found < length) return Fail(Code::kInvalid, "map " + name_ + ": it is shorter");
    void* const bytes = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd_.get(), 0);
    if (bytes == MAP_FAILED) return FailErrno("map", name_);
    const auto unmap = [bytes, length](const char*) { munmap(bytes, length); };
    std::shared_ptr<const char> mapped(static_cast<const char*>(bytes), unmap);
    // Who reads in order does not map. Only advice: it may fail.
    static_cast<void>(madvise(bytes, length, MADV_RANDOM));
    return mapped;
  }

  Status Lock(int which) override {
    if (Repeat([&] { return SetLock(F_OFD_SETLKW, F_WRLCK, which); }) != 0) {
      return FailErrno("lock", name_);
    }
    return {};
  }

  Result<bool> TryLock(int which, LockKind kind) override {
    const short type = kind == LockKind::kShared ? F_RDLCK : F_WRLCK;
    if (SetLock(F_OFD_SETLK, type, which) == 0) return true;
    if (errno == EAGAIN || errno == EACCES) return false;
    return FailErrno("lock", name_);
  }

  void Unlock(int which) override { CHECK(SetLock(F_OFD_SETLK, F_UNLCK, which) == 0); }

 private:
  int SetLock(int command, short type, int which) {
    struct flock lock = {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = which;
    lock.l_len = 1;
    return fcntl(fd_.get(), command, &lock);
  }

  const Descriptor fd_;
  const std::string name_;
  const std::shared_ptr<BlockBuffer> buffer_;
  std::optional<Descriptor> direct_;  // the same file, opened for that; or it cannot be
};

// A name is one or more components between single slashes, none of them "." or "..".
bool IsValidName(std::string_view name) {
  if (name.find('\0') != std::string_view::npos) return false;
  for (;;) {
    const size_t slash = name.find('/');
    const std::string_view component = name.substr(0, slash);
    if (component.empty() || component == "." || component == "..") return false;
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
}

class PosixDisk final : public Disk {
 public:
  explicit PosixDisk(Descriptor directory) : directory_(std::move(directory)) {}

  // O_NONBLOCK: somebody's FIFO is refused, not waited for. It means nothing to a regular file.
  Result<std::unique_ptr<File>> Open(const std::string& name, Access access) override {
    return OpenFile("open", name, (access == Access::kRead ? O_RDONLY : O_RDWR) | O_NONBLOCK, 0);
  }

  Result<std::unique_ptr<File>> Create(const std::string& name, unsigned mode) override {
    return OpenFile("create", name, O_RDWR | O_CREAT | O_EXCL, mode);
  }

  Status MakeDirectory(const std::string& name, unsigned mode) override {
    ASSIGN_OR_RETURN(const Place place, Find(name));
    if (mkdirat(place.fd(*this), place.last.c_str(), mode) != 0) {
      return FailErrno("make directory", name);
    }
    return {};
  }

  Status Link(const std::string& from, const std::string& to) override {
    ASSIGN_OR_RETURN(const Place source, Find(from));
    ASSIGN_OR_RETURN(const Place target, Find(to));
    if (linkat(source.fd(*this), source.last.c_str(), target.fd(*this), target.last.c_str(), 0) !=
        0) {
      return FailErrno("link " + from + " as", to);
    }
    return {};
  }

  Status Rename(const std::string& from, const std::string& to) override {
    ASSIGN_OR_RETURN(const Place source, Find(from));
    ASSIGN_OR_RETURN(const Place target, Find(to));
    if (renameat(source.fd(*this), source.last.c_str(), target.fd(*this), target.last.c_str()) !=
        0) {
      return FailErrno("rename " + from + " to", to);
    }
    return {};
  }

  // The owner before the permissions: a change of owner may take some of these away.
  Status CopyAccess(const std::string& from, const std::string& to) override {
    ASSIGN_OR_RETURN(const Place source, Find(from));
    struct stat as;
    if (fstatat(source.fd(*this), source.last.c_str(), &as, AT_SYMLINK_NOFOLLOW) != 0) {
      return FailErrno("stat", from);
    }
    ASSIGN_OR_RETURN(const Place target, Find(to));
    const Descriptor file(
        openat(target.fd(*this), target.last.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    struct stat now;
    if (file.get() < 0 || fstat(file.get(), &now) != 0) return FailErrno("open", to);
    // Somebody's link to a file that is not the store's must not give that away.
    if (now.st_nlink != 1) return Fail(Code::kInvalid, to + ": has other names, too");
    const bool is_owned = now.st_uid == as.st_uid && now.st_gid == as.st_gid;
    if (!is_owned && fchown(file.get(), as.st_uid, as.st_gid) != 0) {
      return FailErrno("give the owner of " + from + " to", to);
    }
    if (fchmod(file.get(), as.st_mode & 0777u) != 0) return FailErrno("change the mode of", to);
    return {};
  }

  Status Remove(const std::string& name) override {
    ASSIGN_OR_RETURN(const Place place, Find(name));
    int result = unlinkat(place.fd(*this), place.last.c_str(), 0);
    if (result != 0 && errno == EISDIR) {
      result = unlinkat(place.fd(*this), place.last.c_str(), AT_REMOVEDIR);
    }
    if (result != 0) return FailErrno("remove", name);
    return {};
  }

  Result<std::vector<std::string>> List(const std::string& directory) override {
    ASSIGN_OR_RETURN(Descriptor fd, OpenDirectory(directory));
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(fd.get()), closedir);
    if (stream == nullptr) return FailErrno("list", directory);
    fd.Release();  // The stream owns it now.
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const dirent* const entry = readdir(stream.get());
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return FailErrno("list", directory);
    std::sort(names.begin(), names.end());
    return names;
  }

  Status SyncDirectory(const std::string& directory) override {
    ASSIGN_OR_RETURN(const Descriptor fd, OpenDirectory(directory));
    if (fsync(fd.get()) != 0) return FailErrno("sync directory", directory);
    return {};
  }

  Result<FileInfo> Info(const std::string& name) override {
    ASSIGN_OR_RETURN(const Place place, Find(name));
    struct statx info;
    if (statx(place.fd(*this), place.last.c_str(), AT_SYMLINK_NOFOLLOW,
              STATX_MODE | STATX_INO | STATX_BTIME, &info) != 0) {
      return FailErrno("stat", name);
    }
    FileInfo found{.mode = info.stx_mode & 0777u, .inode = info.stx_ino};
    if ((info.stx_mask & STATX_BTIME) != 0) {
      found.birth = info.stx_btime.tv_sec * 1'000'000'000 + info.stx_btime.tv_nsec;
    }
    return found;
  }

  // The fsid of ext4 and btrfs comes from their UUID. That of others (xfs) comes from the device
  // number, which another disk may have after a reboot.
  Result<std::string> FilesystemId() override {
    struct statfs info;
    if (Repeat([&] { return fstatfs(directory_.get(), &info); }) != 0) {
      return FailErrno("ask for the filesystem of", "");
    }
    const auto type = static_cast<unsigned long>(info.f_type) & 0xffffffffu;
    if (type == EXT4_SUPER_MAGIC || type == BTRFS_SUPER_MAGIC) {
      const std::string_view bytes(reinterpret_cast<const char*>(&info.f_fsid),
                                   sizeof(info.f_fsid));
      return "fsid:" + HexEncode(bytes);
    }
    FilesystemUuid uuid = {};
    if (ioctl(directory_.get(), kGetFilesystemUuid, &uuid) == 0 && 0 < uuid.length &&
        uuid.length <= sizeof(uuid.bytes)) {
      return "uuid:" + HexEncode({reinterpret_cast<const char*>(uuid.bytes), uuid.length});
    }
    return "none";
  }

  int64_t Uptime() override {
    timespec now{};
    CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }

  // The kernel prints a UUID: 32 hexadecimal digits and 4 dashes.
  Result<std::string> BootId() override {
    const std::string path = "/proc/sys/kernel/random/boot_id";
    const Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return FailErrno("open", path);
    char text[64];
    const ssize_t length = Repeat([&] { return read(fd.get(), text, sizeof(text)); });
    if (length < 0) return FailErrno("read", path);
    const char* const end = std::remove(text, text + length, '-');
    std::string id;
    for (const char* digits = text; end - digits >= 2 && id.size() < 16; digits += 2) {
      uint8_t byte = 0;
      if (std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2) break;
      id.push_back(static_cast<char>(byte));
    }
    if (id.size() != 16 || id == std::string(16, '\0')) {
      return Fail(Code::kIo, "read " + path + ": not a boot id");
    }
    return id;
  }

  std::string RandomBytes(size_t length) override {
    std::string bytes(length, '\0');
    size_t done = 0;
    while (done < length) {
      const ssize_t count =
          Repeat([&] { return getrandom(bytes.data() + done, length - done, 0); });
      CHECK(count > 0);
      done += static_cast<size_t>(count);
    }
    return bytes;
  }

 private:
  // Where a name's last component is looked up: an open directory below the disk's, or its own.
  struct Place {
    Descriptor parent;
    std::string last;
    int fd(const PosixDisk& disk) const {
      return parent.get() >= 0 ? parent.get() : disk.directory_.get();
    }
  };

  // Goes down one component at a time, following no link: O_PATH|O_NOFOLLOW opens the link itself,
  // and O_DIRECTORY then refuses it.
  Result<Place> Find(const std::string& name) const {
    if (!IsValidName(name)) return Fail(Code::kInvalid, "bad file name \"" + name + "\"");
    Place place;
    size_t begin = 0;
    for (size_t slash; (slash = name.find('/', begin)) != std::string::npos; begin = slash + 1) {
      const std::string component = name.substr(begin, slash - begin);
      Descriptor next(openat(place.fd(*this), component.c_str(),
                             O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (next.get() < 0) return FailErrno("find", name);
      place.parent = std::move(next);
    }
    place.last = name.substr(begin);
    return place;
  }

  Result<std::unique_ptr<File>> OpenFile(std::string_view verb, const std::string& name, int flags,
                                         unsigned mode) const {
    ASSIGN_OR_RETURN(const Place place, Find(name));
    Descriptor fd(Repeat([&] {
      return openat(place.fd(*this), place.last.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode);
    }));
    if (fd.get() < 0) return FailErrno(verb, name);
    struct stat info;
    if (fstat(fd.get(), &info) != 0) return FailErrno("stat", name);
    if (!S_ISREG(info.st_mode)) {
      return Fail(Code::kInvalid, std::string(verb) + " " + name + ": not a regular file");
    }
    return std::make_unique<PosixFile>(std::move(fd), name, buffer_);
  }

  Result<Descriptor> OpenDirectory(const std::string& name) const {
    Place place;
    place.last = ".";
    if (!name.empty()) {
      ASSIGN_OR_RETURN(place, Find(name));
    }
    Descriptor fd(openat(place.fd(*this), place.last.c_str(),
                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (fd.get() < 0) return FailErrno("open directory", name);
    return fd;
  }

  const Descriptor directory_;
  const std::shared_ptr<BlockBuffer> buffer_ = std::make_shared<BlockBuffer>();
};

}  // namespace

Result<std::unique_ptr<Disk>> OpenPosixDisk(const std::string& directory) {
  Descriptor fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return FailErrno("open", directory);
  return std::make_unique<PosixDisk>(std::move(fd));
}

}  // namespace logcore
