#!/usr/bin/env python3
"""Other people's programs over a mount: they work, and give the same bytes as a plain directory."""

import ctypes
import errno
import os
import random
import shutil
import socket
import stat
import struct
import subprocess
import sys
import threading
import time

import harness
from reference_log import Checkpoint, ReferenceLog, node_hash, numbered, tile_path, tiles_of

# Maps a file: prints it. A process of its own, as a page that never comes stops one whole.
MAP = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
with mmap.mmap(fd, 0, getattr(mmap, sys.argv[2]), mmap.PROT_READ) as memory:
    sys.stdout.buffer.write(memory[:])
"""


class ToolsTest(harness.MountTest):
    def setUp(self):
        super().setUp()
        self.log = self.mount()
        self.reference = ReferenceLog(b"entry %d" % i + b"\0" * (i % 3) for i in range(3300))
        self.log.append(*self.reference.entries)

    def shell(self, script, seconds=40, code=0):
        """Runs a bash script in the test's folder, with the mount as $M; it must not complain."""
        done = harness.run("cd '%s' && set -o pipefail && %s" % (self.folder, script), seconds,
                           environment={"M": self.log.path})
        self.assertEqual((done.code, done.err), (code, b""), done)
        return done.out

    def assert_is_copy(self, copy):
        """The folder holds what a client needs, with the right bytes; and the log as text."""
        self.assertEqual(Checkpoint(self.read(copy, "checkpoint")).root, self.reference.root())
        for path, content in self.reference.resources().items():
            self.assertEqual(self.read(copy, path), content, path)
        self.assertEqual(self.read(copy, "log"), self.reference.text())
        for index, entry in enumerate(self.reference.entries):
            self.assertEqual(self.read(copy, "entries/" + numbered(index)), entry)

    def read(self, folder, name):
        with open(os.path.join(self.folder, folder, name), "rb") as file:
            return file.read()


class CopyTest(ToolsTest):
    def test_cp_and_diff(self):
        self.shell("cp -r $M copy; diff -r $M/tile copy/tile; diff -r $M/entries copy/entries;"
                   "cp -a $M/tile again; diff -r $M/tile again")
        self.assert_is_copy("copy")

    def test_cp_while_others_append(self):
        """Never an error, and no tile that is short or changed under the copy."""
        stop = threading.Event()

        def write():
            while not stop.is_set():
                self.log.append(b"more")
        writer = threading.Thread(target=write)
        writer.start()
        try:
            self.shell("for i in 1 2 3; do mkdir c$i; cat $M/checkpoint > c$i/checkpoint;"
                       "cp -r $M/tile c$i; done")
        finally:
            stop.set()
            writer.join()
        final = ReferenceLog(self.log.entries())
        for number in (1, 2, 3):
            copy = "c%d" % number
            checkpoint = Checkpoint(self.read(copy, "checkpoint"))
            self.assertEqual(checkpoint.root, final.root(checkpoint.size))
            for parent, _, names in os.walk(os.path.join(self.folder, copy, "tile")):
                for name in names:
                    path = os.path.relpath(os.path.join(parent, name), self.path(copy))
                    self.assertEqual(self.read(copy, path), self.log.read(path), path)

    def test_rsync_twice(self):
        """The second run finds nothing to do."""
        self.need("rsync")
        self.shell("rsync -a $M/ copy/")
        self.assert_is_copy("copy")
        again = self.shell("rsync -ai $M/tile $M/entries $M/vkey copy/").splitlines()
        self.assertEqual([line for line in again if line.startswith(b">f")], [])
        self.shell("rsync -ac --delete $M/tile/ copy/tile/; diff -r $M/tile copy/tile")

    def test_tar(self):
        """Also with -S, which believes st_blocks."""
        for number, flags in enumerate(("", "-S")):
            self.shell("tar c %s -C $M checkpoint tile entries log vkey > t.tar;"
                       "mkdir t%d; tar x -C t%d -f t.tar" % (flags, number, number))
            self.assert_is_copy("t%d" % number)

    def test_find_du_grep_sha256sum(self):
        """Walks over everything end, without a complaint."""
        found = self.shell("find $M -type f | wc -l; find $M/tile -ls | wc -l")
        self.assertGreater(int(found.split()[0]), 3300)
        self.shell("du -s $M")
        self.assertEqual(self.shell("grep -rlx 'entry 3' $M/entries"),
                         self.log.path.encode() + b"/entries/003\n")
        self.shell("grep -ra 'entry 33' $M > found")
        self.assertIn(b"entry 33", self.read("", "found"))
        self.shell("cd $M; find tile -type f -print0 | xargs -0 sha256sum > ../sums;"
                   "sha256sum --quiet -c ../sums")

    def test_df_tells_of_the_stores_filesystem(self):
        mount, store = os.statvfs(self.log.path), os.statvfs(self.log.store)
        self.assertEqual(mount.f_blocks * mount.f_frsize, store.f_blocks * store.f_frsize)
        self.assertGreater(mount.f_namemax, 100)
        self.shell("df $M; df -i $M")


class LogTest(ToolsTest):
    def test_text_tools_read_the_log(self):
        self.log.append(b"the end")
        self.assertEqual(self.shell("wc -l < $M/log"), b"3301\n")
        self.assertEqual(self.shell("grep -ac 'entry 1' $M/log"), b"1111\n")
        self.assertEqual(self.shell("head -1 $M/log; tail -1 $M/log"), b"entry 0\nthe end\n")
        self.assertEqual(self.shell("sed -n 4p $M/log; sed -n 1000p $M/log"),
                         b"entry 3\nentry 999\n")
        if shutil.which("less"):
            self.assertEqual(self.shell("less -f $M/log | tail -1"), b"the end\n")
        self.assertEqual(os.stat(self.log / "log").st_size, len(self.log.read("log")))

    def test_any_offset_of_the_log_and_of_tiles(self):
        """Random positions and lengths, and dd with odd ones."""
        chance = random.Random(3)
        texts = {"log": self.reference.text()}
        for path, content in self.reference.resources().items():
            if path.endswith(("tile/0/003", "entries/000", ".p/228")):
                texts[path] = content
        for path, text in texts.items():
            descriptor = os.open(self.log / path, os.O_RDONLY)
            for _ in range(1500):
                start = chance.randrange(len(text) + 100)
                length = chance.choice((1, 2, 31, 100, 4096, 70000))
                self.assertEqual(os.pread(descriptor, length, start), text[start:start + length])
            os.close(descriptor)
            for start, length in ((0, 1), (1, 4095), (4097, 5000), (len(text) - 1, 10)):
                out = self.shell("dd if=$M/%s iflag=skip_bytes,count_bytes skip=%d count=%d bs=1023"
                                 " status=none" % (path, start, length))
                self.assertEqual(out, text[start:start + length], path)

    def test_tail_f_sees_every_line_that_others_append(self):
        """Whole lines, in order, and no NUL where a page was not yet full."""
        tail = self.start(["tail", "-n", "0", "-s", "0.01", "-f", self.log / "log"],
                          stdout=subprocess.PIPE)
        time.sleep(0.3)
        lines = [b"line %d %s" % (number, b"." * (number % 200)) for number in range(3000)]
        reader = threading.Thread(target=lambda: got.extend(
            tail.stdout.readline() for _ in range(len(lines))))
        got = []
        reader.start()
        for start in range(0, len(lines), 7):
            self.log.append(*lines[start:start + 7])
        harness.wait_for(lambda: not reader.is_alive(), "all lines")
        self.assertEqual(got, [line + b"\n" for line in lines])

    def test_tail_F_checkpoint_prints_each_version(self):
        with open(self.path("out"), "wb") as out, open(self.path("err"), "wb") as err:
            self.start(["tail", "-n", "+1", "-s", "0.01", "-F", self.log / "checkpoint"],
                       stdout=out, stderr=err)
            for number in range(5):
                note = self.log.read("checkpoint")
                harness.wait_for(lambda: note in self.read("", "out"), "version %d" % number)
                self.log.append(b"next")

    def test_readers_of_the_growing_log_see_whole_pages(self):
        """Sizes and bytes belong together at every moment: no NUL, no short line inside."""
        stop = threading.Event()
        bad = []

        def read():
            while not stop.is_set():
                text = self.log.read("log")
                if not text.endswith(b"\n") or b"\0\0\0" in text:
                    bad.append(text[-200:])
        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        with open(self.log / "add", "ab", buffering=0) as file:
            for number in range(1500):
                file.write(b"%d" % number + b"x" * (number % 1000) + b"\n")
        stop.set()
        for reader in readers:
            reader.join()
        self.assertEqual(bad, [])


class ReadingTest(ToolsTest):
    def test_mmap(self):
        def mapped(name, flags):
            return harness.run([sys.executable, "-c", MAP, self.log / name, flags])
        for name in ("tile/0/003", "tile/entries/012.p/228", "checkpoint", "vkey", "entries/7"):
            for flags in ("MAP_SHARED", "MAP_PRIVATE"):
                self.assertEqual(mapped(name, flags).out, self.log.read(name), name)
        self.assertEqual(mapped("log", "MAP_PRIVATE").out, self.reference.text())

    def test_inotify_tells_of_appends_here_and_the_stores_file_of_every_publication(self):
        """As README.md says. No event comes from a mount's own checkpoint."""
        events = ctypes.CDLL(None)
        inotify = events.inotify_init1(os.O_NONBLOCK)
        self.addCleanup(os.close, inotify)
        here, elsewhere = self.log, self.mount(self.log.store)
        modify = 2
        root, checkpoint, stored = (
            events.inotify_add_watch(inotify, path.encode(), modify)
            for path in (here.path, here / "checkpoint", os.path.join(here.store, "checkpoint")))
        for mount, expected in ((here, {root, stored}), (elsewhere, {stored})):
            mount.append(b"x")
            seen = set()
            while self.read_event(inotify, seen) or expected - seen:
                self.assertNotIn(checkpoint, seen)
            self.assertEqual(seen, expected)

    def read_event(self, inotify, seen):
        try:
            event = os.read(inotify, 4096)
        except BlockingIOError:
            time.sleep(0.05)
            return False
        while event:
            watch, _, _, length = struct.unpack("iIII", event[:16])
            seen.add(watch)
            event = event[16 + length:]
        return True

    def test_sendfile(self):
        for name in ("tile/0/003", "tile/entries/012.p/228", "checkpoint", "log"):
            content = self.log.read(name)
            with open(self.log / name, "rb") as file:
                here, there = socket.socketpair()
                with here, there:
                    sent = os.sendfile(here.fileno(), file.fileno(), 0, 100000)
                    self.assertEqual(there.recv(sent, socket.MSG_WAITALL), content[:sent], name)
                    self.assertGreater(sent, min(len(content), 4000) - 1)

    def test_an_open_checkpoint_keeps_its_version(self):
        """As if replaced by rename(2)."""
        versions = []
        for number in range(20):
            file = open(self.log / "checkpoint", "rb", buffering=0)
            self.addCleanup(file.close)
            status = os.fstat(file.fileno())
            note = self.log.read("checkpoint")
            self.assertEqual(status.st_size, len(note))
            self.assertEqual(Checkpoint(note).size, 3300 + number)
            versions.append((file, status.st_ino, note))
            self.log.append(b"next")
        for file, inode, note in versions:
            self.assertEqual(os.pread(file.fileno(), 4096, 0), note)
            status = os.fstat(file.fileno())
            self.assertEqual((status.st_ino, status.st_size), (inode, len(note)))
        self.assertEqual(len({inode for _, inode, _ in versions}), len(versions))

    def test_everything_else_is_read_only(self):
        """EROFS whatever is tried, and never ENOSYS, which the kernel would remember."""
        m = self.log.path
        files = ["checkpoint", "tile/0/000", "tile/0/012.p/228", "tile/entries/000", "log",
                 "entries/000", "entries/5", "vkey"]
        for name in files:
            path = os.path.join(m, name)
            for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND,
                          os.O_WRONLY | os.O_TRUNC):
                self.assert_errno(errno.EROFS, os.open, path, flags)
            self.assert_errno(errno.EROFS, os.truncate, path, 0)
            self.assert_errno(errno.EROFS, os.chmod, path, 0o600)
            self.assert_errno(errno.EROFS, os.chown, path, 0, 0)
            self.assert_errno(errno.EROFS, os.utime, path, (0, 0))
            self.assert_errno(errno.EROFS, os.unlink, path)
            self.assert_errno(errno.EROFS, os.rename, path, os.path.join(m, "other"))
            self.assert_errno(errno.EROFS, os.link, path, os.path.join(m, "other"))
            self.assert_errno(errno.EROFS, os.setxattr, path, "user.x", b"1")
            self.assert_errno(errno.EROFS, os.removexattr, path, "user.x")
        self.assert_errno(errno.EROFS, os.rename, os.path.join(m, "log"), os.path.join(m, "vkey"))
        for parent in ("", "tile", "tile/0", "tile/entries", "tile/0/012.p", "entries"):
            path = os.path.join(m, parent, "new")
            self.assert_errno(errno.EROFS, os.open, path, os.O_WRONLY | os.O_CREAT)
            self.assert_errno(errno.EROFS, os.mkdir, path)
            self.assert_errno(errno.EROFS, os.symlink, "target", path)
            self.assert_errno(errno.EROFS, os.mknod, path, stat.S_IFIFO | 0o600)
        self.assert_errno(errno.EROFS, os.rmdir, os.path.join(m, "tile/0"))
        for name in ("add", "add.bundle"):
            self.assert_errno(errno.EROFS, os.unlink, os.path.join(m, name))
            self.assert_errno(errno.EROFS, os.rename, os.path.join(m, name), os.path.join(m, "x"))
            self.assert_errno(errno.EROFS, os.link, os.path.join(m, name), os.path.join(m, "x"))
        self.log.append(b"and appending still works")
        self.assertEqual(self.log.checkpoint().size, 3301)

    def test_no_name_has_more_than_255_bytes(self):
        self.assertEqual(os.statvfs(self.log.path).f_namemax, 255)
        for parent in ("", "tile", "tile/0", "tile/0/012.p", "entries"):
            fits = os.path.join(self.log.path, parent, "é" * 127 + "a")
            known = self.log / "vkey"
            for path, found, made in ((fits, errno.ENOENT, errno.EROFS),
                                      (fits + "a", errno.ENAMETOOLONG, errno.ENAMETOOLONG)):
                for function, *arguments in ((os.stat,), (os.open, os.O_RDONLY), (os.unlink,),
                                             (os.rmdir,), (os.chmod, 0o600), (os.truncate, 0),
                                             (os.readlink,), (os.getxattr, "user.x"),
                                             (os.rename, known), (os.link, known)):
                    self.assert_errno(found, function, path, *arguments)
                self.assert_errno(made, os.open, path, os.O_WRONLY | os.O_CREAT)
                self.assert_errno(made, os.mkdir, path)
                self.assert_errno(made, os.mknod, path, stat.S_IFIFO | 0o600)
                self.assert_errno(made, os.symlink, "target", path)
                self.assert_errno(made, os.link, known, path)
                self.assert_errno(made, os.rename, known, path)


class ConcurrencyTest(harness.MountTest):
    def test_what_a_checkpoint_needs_is_there_with_it(self):
        """Readers loop checkpoint, then all of its tiles, while writers append: never ENOENT, and
        the root always follows from the tiles."""
        log = self.mount()
        follower = self.mount(log.store, options="ro")
        stop = threading.Event()
        failures = []
        rounds = []

        def write():
            number = 0
            while not stop.is_set():
                log.append(*[b"x"] * (number % 40 + 1))
                number += 1

        def read(mount):
            try:
                while not stop.is_set():
                    checkpoint = mount.checkpoint()
                    rounds.append(self.check_tiles(mount, checkpoint))
            except Exception as error:  # a thread's failure is the test's
                failures.append(repr(error))
                stop.set()
        threads = [threading.Thread(target=write) for _ in range(2)]
        threads += [threading.Thread(target=read, args=(mount,)) for mount in (log, log, follower)]
        for thread in threads:
            thread.start()
        stop.wait(6)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertGreater(len(rounds), 20)

    def check_tiles(self, mount, checkpoint):
        """Reads what a client of this checkpoint needs: the right edge, and tiles to the left."""
        hashes = {}
        tiles = list(tiles_of(checkpoint.size))
        for level, number, width in tiles:
            if width < 256 or number >= (checkpoint.size >> (8 * level + 8)) - 3:
                tile = mount.read(tile_path(level, number, width))
                self.assertEqual(len(tile), 32 * width)
                for i in range(width):
                    hashes[level, 256 * number + i] = tile[32 * i:32 * i + 32]
                if level == 0:
                    mount.read(tile_path("entries", number, width))
        root = None
        for bit in range(checkpoint.size.bit_length()):  # complete subtrees, from the right
            if checkpoint.size >> bit & 1:
                level, height = divmod(bit, 8)
                first = ((checkpoint.size >> bit) - 1) << height
                row = [hashes[level, first + i] for i in range(1 << height)]
                while len(row) > 1:
                    row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
                root = row[0] if root is None else node_hash(row[0], root)
        if root is not None:
            self.assertEqual(root, checkpoint.root, checkpoint.size)
        return checkpoint.size


if __name__ == "__main__":
    harness.main()
