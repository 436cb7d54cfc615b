#!/usr/bin/env python3
"""What each operation answers on each kind of file: the table that README.md has in short."""

import errno
import fcntl
import os
import socket
import stat

import harness

NOBODY = 65534
NAMES = {"add": ("add", "add.bundle"),
         "file": ("checkpoint", "log", "entries/5", "entries/005", "tile/0/000", "tile/0/002.p/88",
                  "tile/entries/000"),
         "directory": ("entries", "tile", "tile/0", "tile/0/002.p", "tile/entries")}


def on(function, *arguments):
    return lambda path: function(path, *arguments)


def opened(function, *arguments):
    """On a descriptor that is open for reading."""
    def call(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            function(descriptor, *arguments)
        finally:
            os.close(descriptor)
    return call


def opens(flags):
    return lambda path: os.close(os.open(path, flags, 0o600))


def bind(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)


class AnswersTest(harness.MountTest):
    def operations(self):
        """Answers to root, and to a user who may append: of `add`, a file, a directory, or of all
        alike (None: a sysctl says). Then operations on a path that answer so."""
        new, vkey, outside = self.log / "new", self.log / "vkey", self.path("outside")
        makes = (os.mkdir, os.mkfifo, on(os.mknod, stat.S_IFREG | 0o600), bind,
                 lambda path: os.symlink("target", path), opens(os.O_WRONLY | os.O_CREAT))
        return (
            ("0", "EACCES 0 0", opens(os.O_RDONLY), opened(os.fsync),
             opened(fcntl.flock, fcntl.LOCK_EX)),
            ("0 EROFS EISDIR", "0 EACCES EISDIR", on(os.truncate, 0), on(os.truncate, 1 << 40),
             *(opens(os.O_WRONLY | flag) for flag in (0, os.O_TRUNC, os.O_APPEND, os.O_CREAT))),
            ("0 EROFS EISDIR", "EACCES EACCES EISDIR", opens(os.O_RDWR),
             opens(os.O_RDONLY | os.O_TRUNC)),
            ("0 0 EISDIR", "EACCES 0 EISDIR", opens(os.O_RDONLY | os.O_CREAT)),
            ("ENOTDIR ENOTDIR 0", "ENOTDIR ENOTDIR 0", opens(os.O_DIRECTORY)),
            ("ENOTDIR ENOTDIR ENOTSUP", "ENOTDIR ENOTDIR EACCES", opens(os.O_TMPFILE | os.O_RDWR)),
            ("0 EROFS EROFS", "EPERM", on(os.chmod, 0o4777), on(os.lchown, 1, 1),
             on(os.utime, (1, 1))),
            ("0 EROFS EROFS", "EACCES EPERM EPERM", opened(os.fchmod, 0o600),
             opened(os.fchown, 1, 1), opened(os.utime, (1, 1))),
            ("0 EROFS EROFS", "0 EACCES EACCES", os.utime, on(os.setxattr, "user.note", b"1"),
             on(os.removexattr, "user.note")),
            ("EBADF", "EACCES EBADF EBADF", opened(os.write, b"line\n"),
             opened(os.posix_fallocate, 0, 100)),
            ("EINVAL", "EACCES EINVAL EINVAL", opened(os.ftruncate, 0)),
            ("EINVAL", "EINVAL", os.readlink),
            ("EROFS EROFS EISDIR", "EACCES", os.unlink, lambda path: os.rename(vkey, path)),
            ("ENOTDIR ENOTDIR EROFS", "EACCES", os.rmdir),
            ("EROFS", "EACCES", on(os.rename, new)),
            ("EXDEV", "EXDEV", on(os.rename, outside), lambda path: os.rename(outside, path)),
            ("EROFS EROFS EPERM", None, on(os.link, new)),
            ("EADDRINUSE", "EADDRINUSE", bind),
            ("EEXIST", "EEXIST", opens(os.O_CREAT | os.O_EXCL), lambda path: os.link(vkey, path),
             *(make for make in makes[:-1] if make != bind)),
            ("ENOTDIR ENOTDIR EROFS", "ENOTDIR ENOTDIR EACCES",
             *(lambda path, make=make: make(path + "/new") for make in makes)))

    def assert_answers(self, who):
        for row in self.operations():
            answers = (row[who] or "").split()
            for kind, answer in zip(NAMES, answers * 3 if len(answers) == 1 else answers):
                for number, operation in enumerate(row[2:]):
                    for name in NAMES[kind]:
                        code = 0
                        try:
                            operation(self.log / name)
                        except OSError as error:
                            code = error.errno
                        self.assertEqual(code, 0 if answer == "0" else getattr(errno, answer),
                                         (row[:2], number, name))

    def state(self):
        """All names, and what stat(2) says of them."""
        return {path: (*os.lstat(path)[:7], os.lstat(path).st_mtime_ns)
                for folder, _, files in os.walk(self.log.path)
                for path in (folder, *(os.path.join(folder, name) for name in files))}

    def test_root_and_another_user(self):
        os.chmod(self.folder, 0o755)
        self.log = self.mount(options="allow_other,mode=0622")
        entries = [b"%d" % number for number in range(600)]
        self.log.append(*entries)
        os.close(os.open(self.path("outside"), os.O_CREAT, 0o666))
        before = self.state()
        self.assert_answers(0)
        with harness.user(NOBODY):
            self.assert_answers(1)
        self.assert_errno(errno.EBUSY, os.rmdir, self.log.path)
        self.assertEqual(self.state(), before)
        self.log.append(b"next")
        self.assertEqual(self.log.entries(), entries + [b"next"])
        self.assertEqual(self.log.said(), "")


if __name__ == "__main__":
    harness.main()
