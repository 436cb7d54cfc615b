#!/usr/bin/env python3
"""`add` as a file: what programs do to a file that they write is taken, and changes nothing."""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import re

import harness
from reference_log import leaf_hash

NOBODY = 65534
NAMES = ("add", "add.bundle")
# An access list as the kernel takes it: version 2; user::rw-, user:65534:rw-, group, mask, other.
ACCESS_LIST = (2).to_bytes(4, "little") + b"".join(
    tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + who.to_bytes(4, "little")
    for tag, bits, who in ((1, 6, 0xffffffff), (2, 6, NOBODY), (4, 4, 0xffffffff),
                           (16, 6, 0xffffffff), (32, 0, 0xffffffff)))


class AddTest(harness.MountTest):
    OPTIONS = ""

    def setUp(self):
        super().setUp()
        os.chmod(self.folder, 0o755)
        self.log = self.mount(options=self.OPTIONS)

    def open(self, name="add", flags=os.O_RDWR):
        descriptor = os.open(self.log / name, flags)
        self.addCleanup(self.close, descriptor)
        return descriptor

    def close(self, descriptor):
        with contextlib.suppress(OSError):  # A test may have closed it.
            os.close(descriptor)

    def receipts(self, first, *entries):
        return b"".join(b"%d %s\n" % (first + i, leaf_hash(entry).hex().encode())
                        for i, entry in enumerate(entries))

    def assert_entries(self, *entries):
        os.fsync(self.open())  # What was written before is published.
        self.assertEqual(self.log.entries(), list(entries))


class PositionTest(AddTest):
    def test_writes_at_any_offset_append(self):
        descriptor = self.open()
        offsets = (0, 1 << 40, 7, 0, (1 << 62), 3)
        for number, offset in enumerate(offsets):
            self.assertEqual(os.pwrite(descriptor, b"p%d\n" % number, offset), 3)
            self.assertEqual(os.pwritev(descriptor, [b"v", b"%d\n" % number], offset), 3)
        self.assert_entries(*(b"%c%d" % (kind, n) for n in range(len(offsets)) for kind in b"pv"))

    def test_seeking_does_not_change_where_a_line_goes(self):
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_TRUNC):
            before = self.log.checkpoint().size
            descriptor = self.open(flags=flags)
            for number, (offset, whence) in enumerate(((0, os.SEEK_END), (100, os.SEEK_SET),
                                                       (-3, os.SEEK_CUR), (1 << 40, os.SEEK_END))):
                os.lseek(descriptor, offset, whence)
                os.write(descriptor, b"in ")
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, b"parts %d\n" % number)
            os.close(descriptor)
            self.assertEqual(self.log.entries()[before:], [b"in parts %d" % n for n in range(4)])

    def test_the_position_is_that_of_an_empty_file_that_is_written(self):
        descriptor = self.open()
        self.assertEqual(os.lseek(descriptor, 0, os.SEEK_END), 0)
        self.assertEqual(os.lseek(descriptor, 0, os.SEEK_CUR), 0)
        os.write(descriptor, b"ten bytes\n")
        self.assertEqual(os.lseek(descriptor, 0, os.SEEK_CUR), 10)
        self.assertEqual(os.lseek(descriptor, 0, os.SEEK_END), 0)
        self.assertEqual(os.lseek(descriptor, 5, os.SEEK_SET), 5)
        self.assert_errno(errno.EINVAL, os.lseek, descriptor, -1, os.SEEK_SET)
        for whence in (os.SEEK_DATA, os.SEEK_HOLE):
            self.assert_errno(errno.ENXIO, os.lseek, descriptor, 0, whence)

    def test_receipts_are_a_stream_whatever_the_position(self):
        descriptor = self.open()
        entries = [b"%d" % number for number in range(8)]
        os.write(descriptor, b"".join(entry + b"\n" for entry in entries))
        length = len(self.receipts(0, b""))
        got = b"".join([os.pread(descriptor, length, 0), os.pread(descriptor, length, 1 << 40),
                        os.pread(descriptor, length, 0), os.read(descriptor, length)])
        os.lseek(descriptor, 0, os.SEEK_SET)
        got += os.read(descriptor, length)
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        got += os.read(descriptor, 1 << 20)
        self.assertEqual(got, self.receipts(0, *entries))
        self.assertEqual(os.pread(descriptor, 100, 0), b"")

    def test_what_was_read_ahead_is_put_back_by_seeking(self):
        for reads in ("head -n 1 <&3", "sed -n 1p\\;1q <&3", "read -r line <&3; echo $line"):
            script = ("exec 3<> '%s'; printf '0\n1\n2\n' >&3; %s; echo 3 >&3; "
                      "while read -r line <&3; do echo $line; done" % (self.log / "add", reads))
            done = harness.run(script)
            first = self.log.checkpoint().size - 4
            self.assertEqual(done.out, self.receipts(first, b"0", b"1", b"2", b"3"), reads)
        first += 4
        with open(self.log / "add", "r+b") as file:
            file.write(b"0\n1\n2\n")
            file.flush()
            self.assertEqual(file.readline(), self.receipts(first, b"0"))
            file.write(b"3\n")
            file.flush()
            self.assertEqual(file.read(), self.receipts(first + 1, b"1", b"2", b"3"))

    def test_buffered_files_write_and_read_receipts(self):
        """As Python's (and C's) buffered streams do it: they ask for the position and seek."""
        index = 0
        for mode in ("r+", "w+", "a+", "r+b", "w+b", "a+b"):
            with open(self.log / "add", mode) as file:
                for text in ("one", "two"):
                    line = text + "\n"
                    file.write(line.encode() if "b" in mode else line)
                    file.flush()
                    file.seek(0)
                    receipt = self.receipts(index, text.encode())
                    self.assertEqual(file.readline(), receipt if "b" in mode else receipt.decode(),
                                     mode)
                    file.tell()
                    index += 1
        self.assert_entries(*[b"one", b"two"] * 6)

    def test_offsets_of_frames_are_ignored(self):
        descriptor = self.open("add.bundle")
        os.pwrite(descriptor, b"\0\3one\0\3t", 1000)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, b"wo")
        self.assertEqual(os.pread(descriptor, 1000, 0), self.receipts(0, b"one", b"two"))

    def test_pipes_and_files_are_copied_into_it_by_the_kernel(self):
        with open(self.path("from"), "w+b") as source:
            source.write(b"line\n" * 3)
            source.flush()
            descriptor = self.open(flags=os.O_WRONLY)
            self.assertEqual(os.sendfile(descriptor, source.fileno(), 0, 100), 15)
            self.assert_errno(errno.EXDEV, os.copy_file_range, source.fileno(), descriptor, 15)
            reader, writer = os.pipe()
            with open(reader, "rb"), open(writer, "wb", buffering=0) as pipe:
                pipe.write(b"line\n")
                self.assertEqual(os.splice(reader, descriptor, 100, offset_dst=9), 5)
        self.assert_entries(*[b"line"] * 4)
        descriptor = self.open("add.bundle", os.O_WRONLY)
        with open(self.log / "tile/entries/000.p/4", "rb") as bundle:
            self.assertEqual(os.copy_file_range(bundle.fileno(), descriptor, 100, 0, 7), 24)
        self.assert_entries(*[b"line"] * 8)

    def test_it_cannot_be_mapped_for_writing(self):
        descriptor = self.open()
        os.write(descriptor, b"line\n")
        libc = ctypes.CDLL(None, use_errno=True)  # mmap.mmap refuses what lies beyond the end.
        libc.mmap.restype = ctypes.c_void_p
        address = libc.mmap(None, ctypes.c_size_t(4096), mmap.PROT_READ | mmap.PROT_WRITE,
                            mmap.MAP_SHARED, descriptor, ctypes.c_long(0))
        self.assertEqual(address, ctypes.c_void_p(-1).value)
        self.assertEqual(ctypes.get_errno(), errno.ENODEV)


class RequestsTest(AddTest):
    OPTIONS = "debug"

    def requests(self, function):
        """What the kernel asked meanwhile, in order, but for the root's attributes."""
        os.stat(self.log.path)  # It has been mounted.
        before = len(self.log.said())
        function()
        harness.wait_for(lambda: "RELEASE" in self.log.said()[before:], "it is closed")
        requests = re.findall(r"opcode: ([A-Z]+) \(\d+\), nodeid: (\d+)", self.log.said()[before:])
        return [name for name, node in requests if (name, node) != ("GETATTR", "1")]

    def test_seeking_asks_for_nothing(self):
        def append(seek):
            descriptor = os.open(self.log / "add", os.O_WRONLY | os.O_APPEND)
            if seek:
                os.lseek(descriptor, 0, os.SEEK_END)
                os.lseek(descriptor, 0, os.SEEK_CUR)
            os.write(descriptor, b"line\n")
            if seek:
                os.lseek(descriptor, 0, os.SEEK_CUR)
            os.close(descriptor)
        for seek in (False, True):
            self.assertEqual(self.requests(lambda seek=seek: append(seek)),
                             ["LOOKUP", "OPEN", "WRITE", "FLUSH", "RELEASE"])


class AttributesTest(AddTest):
    OPTIONS = "allow_other,mode=0622"

    def everything(self, name):
        """(what it does, function, arguments): on the path, and on an open file."""
        path = self.log / name
        opened = self.open(name)
        yield from self.for_writers(path, opened)
        yield from ((function, (file, *arguments)) for function, *arguments in (
            (os.chmod, 0), (os.chmod, 0o7777), (os.chown, NOBODY, NOBODY), (os.chown, 0, 0),
            (os.utime, (1, 1)), (os.setxattr, "user.note", b"1"), (os.removexattr, "user.note"),
            (os.setxattr, "system.posix_acl_access", ACCESS_LIST),
            (os.removexattr, "system.posix_acl_access")) for file in (path, opened))

    def for_writers(self, path, opened):
        """What needs the permission to write, or an open file."""
        for size in (0, 1, 4096, 1 << 40):
            yield os.truncate, (path, size)
            yield os.ftruncate, (opened, size)
        yield os.utime, (path,)
        yield os.posix_fallocate, (opened, 0, 10000)
        yield os.posix_fallocate, (opened, 1 << 40, 10000)
        for operation in (fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_UN):
            yield fcntl.flock, (opened, operation)
            yield fcntl.lockf, (opened, operation)
        yield os.fsync, (opened,)
        yield os.posix_fadvise, (opened, 0, 0, os.POSIX_FADV_DONTNEED)

    def state(self, name):
        status = os.stat(self.log / name)
        return (status.st_mode, status.st_ino, status.st_uid, status.st_gid, status.st_size,
                status.st_blocks, status.st_mtime_ns, os.listxattr(self.log / name))

    def test_all_that_programs_set_is_taken_and_changes_nothing(self):
        self.log.append(b"one")
        for name in NAMES:
            before = self.state(name)
            for function, arguments in self.everything(name):
                function(*arguments)
                self.assertEqual(self.state(name), before, (function, arguments))
                if isinstance(arguments[0], int):
                    status = os.fstat(arguments[0])
                    self.assertEqual((status.st_mode, status.st_size), (before[0], 0), function)
        self.log.append(b"two")
        self.assert_entries(b"one", b"two")

    def test_space_is_reserved_and_given_back_without_a_byte(self):
        """posix_fallocate(3) writes zeros where it is told that this is not supported."""
        for options in ([], ["-n"], ["-p"], ["-z"], ["-x"]):
            done = harness.run(["fallocate", *options, "-o", "0", "-l", "10000", self.log / "add"])
            self.assertEqual(done.code, 0, (options, done))
        self.log.append(b"one")
        self.assert_entries(b"one")

    def test_locks_are_held_by_any_number(self):
        """A lock that waited for others would make writers wait for each other."""
        one, two = self.open(), self.open()
        for descriptor in (one, two):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, b"line\n")
        self.assert_entries(b"line", b"line")

    def test_who_may_write_may_do_what_a_writer_may(self):
        for name in NAMES:
            with harness.user(NOBODY):
                path = self.log / name
                opened = self.open(name, os.O_WRONLY)
                for function, arguments in self.for_writers(path, opened):
                    function(*arguments)
                os.setxattr(path, "user.note", b"1")
                for function, *arguments in (
                        (os.chmod, 0o666), (os.chown, NOBODY, NOBODY), (os.chown, 0, 0),
                        (os.utime, (1, 1)), (os.removexattr, "system.posix_acl_access"),
                        (os.setxattr, "system.posix_acl_access", ACCESS_LIST),
                        (os.setxattr, "trusted.note", b"1"), (os.setxattr, "security.note", b"1")):
                    for file in (path, opened):
                        self.assert_errno(errno.EPERM, function, file, *arguments)
        self.assert_entries()

    def test_who_may_not_write_may_do_nothing(self):
        log = self.mount(self.log.store, options="allow_other,mode=0644")
        for name in NAMES:
            path = log / name
            before = os.stat(path)
            with harness.user(NOBODY):
                for function, *arguments in ((os.truncate, 0), (os.utime,), (os.open, os.O_WRONLY),
                                             (os.setxattr, "user.note", b"1")):
                    self.assert_errno(errno.EACCES, function, path, *arguments)
                for function, *arguments in ((os.chmod, 0o666), (os.chown, NOBODY, NOBODY),
                                             (os.utime, (1, 1)),
                                             (os.setxattr, "system.posix_acl_access", ACCESS_LIST)):
                    self.assert_errno(errno.EPERM, function, path, *arguments)
            self.assertEqual(os.stat(path), before)

    def test_the_owner_need_not_be_root(self):
        log = self.mount(self.log.store, options="allow_other,uid=%d,gid=%d" % (NOBODY, NOBODY))
        before = os.stat(log / "add")
        with harness.user(NOBODY):
            path = log / "add"
            os.chmod(path, 0o777)
            os.chown(path, NOBODY, NOBODY)
            os.utime(path, (1, 1))
            os.setxattr(path, "system.posix_acl_access", ACCESS_LIST)
            self.assert_errno(errno.EPERM, os.chown, path, 0, 0)
        self.assertEqual(os.stat(path), before)


if __name__ == "__main__":
    harness.main()
