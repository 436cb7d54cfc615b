#!/usr/bin/env python3
"""-o static: checkpoint, tiles and vkey alone, for web servers. The kernel opens files itself."""

import collections
import errno
import mmap
import os
import re
import socket

import harness
from grow_test import files_below
from reference_log import ReferenceLog, signature_is_good, tile_path, tiles_of

# More versions of `checkpoint` than are kept for those who do not have one open.
MANY_VERSIONS = 4200


class StaticMountTest(harness.MountTest):
    """A store, a mount that writes it, and static ones."""

    def setUp(self):
        super().setUp()
        self.writer = self.mount()
        self.store = self.writer.store

    def static(self, options=""):
        return self.mount(self.store, "static" + options)

    def write_numbers(self, count):
        """So many more entries; the log of them."""
        log = ReferenceLog(b"entry %d" % number for number in range(count))
        self.writer.append(*log.entries)
        return log


class SiteTest(StaticMountTest):
    def test_it_has_what_clients_read_and_nothing_else(self):
        log = self.write_numbers(700)
        site = self.static()
        self.assertEqual(files_below(site.path), {"checkpoint", "vkey", *log.resources()})
        self.assert_same_log(site, log)
        self.assertEqual(site.read("vkey").decode(), self.vkey + "\n")
        self.assertTrue(signature_is_good(site.checkpoint(), self.vkey))
        for name in ("add", "add.bundle", "log", "entries", "entries/7", "entries/007", "put",
                     "tile/0/003", "tile/0/002.p/189", "tile/0/00", "tile/0/000.p/0", "tile/8"):
            self.assert_errno(errno.ENOENT, os.stat, site / name)

    def test_nothing_can_be_changed(self):
        self.write_numbers(1)
        site = self.static()
        site.read("checkpoint")  # from now on the kernel opens
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDONLY | os.O_TRUNC):
            self.assert_errno(errno.EROFS, os.open, site / "checkpoint", flags)
        self.assert_errno(errno.EROFS, os.open, site / "new", os.O_WRONLY | os.O_CREAT)
        for function, *arguments in ((os.unlink,), (os.chmod, 0o600), (os.truncate, 0), (os.utime,),
                                     (os.rename, site / "other")):
            self.assert_errno(errno.EROFS, function, site / "checkpoint", *arguments)
        self.assert_errno(errno.EROFS, os.mkdir, site / "tile/9")

    def test_attributes_are_those_of_a_read_only_mount(self):
        """Inode numbers and times too: to rsync and to ETags the two are the same files."""
        log = self.write_numbers(700)
        other = self.mount(self.store, "ro")
        site = self.static()
        for name in ("", "checkpoint", "vkey", "tile", "tile/0", "tile/0/002.p", *log.resources(),
                     "tile/0/001.p/17", "tile/entries/001.p/255"):
            mine, theirs = (os.stat(mount / name) for mount in (site, other))
            for what in ("st_ino", "st_mode", "st_nlink", "st_uid", "st_size", "st_blocks",
                         "st_blksize", "st_mtime_ns", "st_ctime_ns"):
                self.assertEqual(getattr(mine, what), getattr(theirs, what), (name, what))

    def test_it_follows_what_others_append(self):
        """One by one: a name is absent, then there at once; listings, too, within one second."""
        site = self.static()
        log = ReferenceLog()
        ever = {}
        for size in range(1, 521):
            new = set(tiles_of(size)) - set(tiles_of(size - 1))
            for tile in new:
                self.assert_errno(errno.ENOENT, os.stat, site / tile_path(*tile))
            log.append(b"entry %d" % size)
            self.writer.append(log.entries[-1])
            checkpoint = site.checkpoint()
            self.assertEqual((checkpoint.size, checkpoint.root), (size, log.root()))
            resources = log.resources()
            for path, content in resources.items():
                if path not in ever:
                    self.assertEqual(site.read(path), content, path)
            ever.update(resources)
            if size % 20 < 3:
                self.assertEqual({"tile/" + path for path in files_below(site / "tile")},
                                 set(resources))
        again = self.static()
        for path, content in ever.items():
            for mount in (site, again):
                self.assertEqual(mount.read(path), content, path)
        self.writer.unmount()
        self.assertEqual(site.checkpoint().note, again.checkpoint().note)

    def test_all_ways_to_read(self):
        entries = [bytes([97 + number % 26]) * (1900 + number) for number in range(300)]
        self.writer.append(*entries)
        log = ReferenceLog(entries)
        ways = {"direct": os.O_RDONLY | os.O_DIRECT, "plain": os.O_RDONLY}
        for way, flags in ways.items():  # each on a mount that has read nothing yet
            site = self.static()
            for path, content in log.resources().items():
                descriptor = os.open(site / path, flags)
                with os.fdopen(descriptor, "rb", buffering=0) as file:
                    if way == "direct":
                        page = mmap.mmap(-1, 1 << 20)
                        length = file.readinto(page)
                        self.assertEqual(page[:length], content, path)
                        continue
                    if path.startswith("tile/0"):
                        here, there = socket.socketpair()
                        with here, there:
                            sent = os.sendfile(here.fileno(), descriptor, 0, 8192)
                            self.assertEqual(there.recv(sent, socket.MSG_WAITALL), content)
                    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as mapped:
                        self.assertEqual(mapped[:], content, path)
                    self.assertEqual(os.pread(descriptor, 77, 5), content[5:82])
                    self.assertEqual(os.pread(descriptor, 77, len(content)), b"")


class KernelTest(StaticMountTest):
    """What the kernel asks, as libfuse tells on stderr; each request is a line of its own."""

    @staticmethod
    def asked(site):
        return collections.Counter(re.findall(r"opcode: (\w+) ", site.said()))

    def test_opens_are_the_kernels(self):
        self.write_numbers(300)
        site = self.static(",debug")
        names = ["tile/0/000", "tile/entries/001.p/44", "vkey", "tile/0/001.p/7"]
        for name in [*names, "checkpoint"]:
            site.read(name)
        first = self.asked(site)
        self.assertEqual((first["OPEN"], first["READ"]), (1, 5), first)
        for _ in range(100):
            for name in names:
                site.read(name)
        later = self.asked(site)
        for what in first.keys() | later.keys():  # directories' attributes are asked for again
            if what != "GETATTR":
                self.assertEqual(later[what], first[what], what)
        self.assertLessEqual(later["FLUSH"], 1)
        self.assertEqual(later["RELEASE"], 0)
        for _ in range(100):
            site.read("checkpoint")
        self.assertEqual(self.asked(site)["LOOKUP"], first["LOOKUP"] + 100)
        self.assertEqual(self.asked(site)["READ"], 5)

    def test_others_are_still_asked(self):
        """It is a mount of `ro` that must not be served so: `log` grows."""
        site = self.mount(self.store, "ro,debug")
        for _ in range(3):
            site.read("log")
        self.assertEqual(self.asked(site)["OPEN"], 3)


class VersionsTest(StaticMountTest):
    def test_an_open_checkpoint_keeps_its_version(self):
        """However many come after it, and although a static mount is not told that it is open."""
        mounts = [self.static(), self.mount(self.store, "ro")]
        held = []
        for _ in range(5):
            for mount in mounts:
                descriptor = os.open(mount / "checkpoint", os.O_RDONLY)
                self.addCleanup(os.close, descriptor)
                held.append((descriptor, self.writer.read("checkpoint")))
            self.writer.append(b"early")
        seen = set()
        with open(self.writer / "add", "ab", buffering=0) as file:
            for number in range(MANY_VERSIONS):
                file.write(b"%d\n" % number)
                os.fsync(file.fileno())
                seen.update(os.stat(mount / "checkpoint").st_ino for mount in mounts)
        self.assertEqual(len(seen), MANY_VERSIONS)
        for descriptor, note in held:  # none was read before
            self.assertEqual(os.fstat(descriptor).st_size, len(note))
            self.assertEqual(os.pread(descriptor, 4096, 0), note)
        for mount in mounts:
            self.assertEqual(mount.read("checkpoint"), self.writer.read("checkpoint"))


class RotTest(StaticMountTest):
    def flip(self, name, offset):
        with open(os.path.join(self.store, name), "r+b", buffering=0) as file:
            byte = os.pread(file.fileno(), 1, offset)
            os.pwrite(file.fileno(), bytes([byte[0] ^ 4]), offset)

    def test_rotten_bytes_are_eio_and_nothing_is_cached_for_them(self):
        log = self.write_numbers(1000)
        self.writer.unmount()
        self.flip("hashes/0", 8192 * 2 + 50)
        self.flip("entries/0", len(log.bundle(0)) + 5)
        site = self.static()
        bad = ["tile/0/002", "tile/entries/001", "tile/entries/002"]
        for _ in range(2):
            for path in bad[1:]:  # a bundle's length is believed with the bundle alone
                self.assert_errno(errno.EIO, os.open, site / path, os.O_RDONLY)
            for flags in (os.O_RDONLY, os.O_RDONLY | os.O_DIRECT):
                with os.fdopen(os.open(site / bad[0], flags), "rb", buffering=0) as file:
                    page = mmap.mmap(-1, 8192)
                    self.assert_errno(errno.EIO, file.readinto, page)
                    self.assertEqual(page[:], bytes(8192))
                    here, there = socket.socketpair()
                    with here, there:
                        self.assert_errno(errno.EIO, os.sendfile, here.fileno(), file.fileno(), 0,
                                          99)
            for path, content in log.resources().items():
                if path not in bad:
                    self.assertEqual(site.read(path), content, path)
        self.flip("hashes/0", 8192 * 2 + 50)
        self.flip("entries/0", len(log.bundle(0)) + 5)
        self.assert_same_log(site, log)


class EndTest(StaticMountTest):
    def test_it_ends_as_other_mounts_do(self):
        log = self.write_numbers(300)
        site = self.static()
        file = open(site / "tile/0/000", "rb")
        self.assertEqual(file.read(), log.tile(0, 0))
        self.assertNotEqual(harness.run(["umount", site.path]).code, 0)
        file.close()
        site.unmount()
        stopped = self.static()
        self.assert_same_log(stopped, log)
        stopped.stop()
        killed = self.static()
        self.assert_same_log(killed, log)
        killed.abort()
        self.assert_errno(errno.ENOTCONN, os.stat, killed / "checkpoint")
        killed.remove()
        self.assert_same_log(self.static(), log)


if __name__ == "__main__":
    harness.main()
