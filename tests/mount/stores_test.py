#!/usr/bin/env python3
"""Stores that are not as they were: copied, damaged, incomplete, on a full disk."""

import errno
import os

import harness
from reference_log import ReferenceLog


class StoresTest(harness.PointTest):
    def test_a_copied_store_is_read_only_until_it_is_adopted(self):
        """Two logs under one key would be a fork."""
        mount = self.mount(self.store)
        mount.append(*[b"%d" % i for i in range(300)])
        old = mount.read("checkpoint")
        mount.append(b"newest")
        note = mount.read("checkpoint")
        mount.unmount()
        copy = self.path("copy")
        self.assertEqual(harness.run(["cp", "-a", self.store, copy]).code, 0)
        self.assert_one_line(self.program("mount", copy, self.point))
        reader = self.mount(copy, "ro")
        self.assertEqual(reader.read("checkpoint"), note)
        reader.unmount()
        newer = self.mount(self.store)
        newer.append(b"the copy lacks this")
        names = {"old": old, "newest": note, "ahead": newer.read("checkpoint"), "bad": b"x\n"}
        newer.unmount()
        for name, content in names.items():
            with open(self.path(name), "wb") as file:
                file.write(content)
        for name in ("ahead", "bad", "none"):
            self.assert_one_line(self.program("adopt", copy, "--newest", self.path(name)))
            self.assert_one_line(self.program("mount", copy, self.point))
        done = self.program("adopt", copy, "--newest", self.path("newest"))
        self.assertEqual(done.code, 0, done)
        adopted = self.mount(copy)
        adopted.append(b"goes on")
        self.assertEqual(adopted.checkpoint().size, 302)
        adopted.unmount()
        self.assert_sound(copy)

    def test_check_names_the_file_with_a_flipped_byte(self):
        mount = self.mount(self.store)
        mount.append(*[b"entry %d" % i for i in range(70000)])
        mount.unmount()
        self.assert_sound(self.store)
        self.assertEqual(self.program("check", self.store, "--vkey", self.vkey).code, 0)
        for name, offset in (("entries/0", 5000), ("entries/1", 100), ("hashes/0", 123456),
                             ("hashes/1", 33), ("hashes/2", 0)):
            self.flip(name, offset)
            done = self.program("check", self.store)
            self.assertEqual(done.code, 1, done)
            self.assertIn(name.encode(), done.out + done.err)
            self.flip(name, offset)
        self.assertEqual(self.program("check", self.store).code, 0)
        self.assertEqual(self.program("check", self.path("none")).code, 2)

    def test_bytes_that_rotted_are_eio_and_never_served(self):
        mount = self.mount(self.store)
        log = ReferenceLog(b"entry %d" % i for i in range(1000))
        mount.append(*log.entries)
        mount.unmount()
        self.flip("entries/0", 4000)  # in the second bundle
        self.flip("hashes/0", 8192 * 2 + 50)
        mount = self.mount(self.store, "ro")
        for path, content in log.resources().items():
            if path in ("tile/entries/001", "tile/0/002", "tile/entries/002"):
                continue
            self.assertEqual(mount.read(path), content, path)
        self.assert_errno(errno.EIO, mount.read, "tile/entries/001")
        self.assert_errno(errno.EIO, mount.read, "tile/0/002")
        self.assert_errno(errno.EIO, mount.read, "log")

    def test_files_that_are_cut_under_a_mount_are_eio_and_harm_nobody(self):
        """Somebody truncates a file of the store while it is mounted: no program dies of it."""
        mount = self.mount(self.store)
        log = ReferenceLog(b"entry %d" % i for i in range(1000))
        mount.append(*log.entries)
        mount.unmount()
        for options in ("ro", ""):
            for name in ("entries/0", "entries/0.index", "hashes/0", "hashes/1", "times",
                         "checkpoint"):
                with self.subTest(name=name, options=options):
                    mount = self.mount(self.store, options)
                    path = os.path.join(self.store, name)
                    with open(path, "rb") as file:
                        whole = file.read()
                    os.truncate(path, len(whole) // 3)
                    refused = self.read_all_or_eio(mount, log)
                    with open(path, "wb") as file:
                        file.write(whole)
                    # The checkpoint that is known is believed until there is a newer one. Times
                    # are not part of the proof: where they are lost, others stand for them.
                    self.assertTrue(refused or name in ("checkpoint", "times"), name)
                    self.assertEqual(mount.read("tile/entries/000"),
                                     log.resources()["tile/entries/000"])
                    mount.unmount()
        self.assert_sound(self.store)

    def read_all_or_eio(self, mount, log):
        """Returns how many files could not be read; the others are as they were."""
        refused = 0
        for path, content in log.resources().items():
            try:
                self.assertEqual(mount.read(path), content, path)
            except OSError as error:
                self.assertEqual(error.errno, errno.EIO, path)
                refused += 1
        return refused

    def flip(self, name, offset):
        with open(os.path.join(self.store, name), "r+b") as file:
            file.seek(offset)
            byte = file.read(1)
            file.seek(offset)
            file.write(bytes([byte[0] ^ 1]))

    def test_a_store_that_lost_a_file_stops(self):
        mount = self.mount(self.store)
        mount.append(*[b"%d" % i for i in range(300)])
        mount.unmount()
        files = [os.path.relpath(os.path.join(parent, name), self.store)
                 for parent, _, names in os.walk(self.store) for name in names]
        self.assertGreater(len(files), 8)
        for name in files:
            os.rename(os.path.join(self.store, name), self.path("away"))
            if not name.startswith("turnstile"):
                self.assert_one_line(self.program("mount", self.store, self.point))
                self.assertFalse(os.path.exists(os.path.join(self.store, name)), name)
            os.replace(self.path("away"), os.path.join(self.store, name))
        again = self.mount(self.store)
        self.assertEqual(again.checkpoint().size, 300)


class FullDiskTest(harness.MountTest):
    def test_a_full_disk_is_enospc_and_loses_nothing(self):
        """The write that finds no room says so; what was acknowledged stays; it can go on later."""
        disk = self.path("disk")
        os.mkdir(disk)
        done = harness.run(["mount", "-t", "tmpfs", "-o", "size=90M", "none", disk])
        self.assertEqual(done.code, 0, done)
        mount = self.mount(self.init("disk/store"))
        line = b"x" * 20000
        count = 0
        with open(mount / "add", "ab", buffering=0) as file:
            with self.assertRaises(OSError) as caught:
                for count in range(5000):
                    file.write(b"%d %s\n" % (count, line))
            self.assertEqual(caught.exception.errno, errno.ENOSPC)
        self.assertGreater(count, 100)
        self.assertEqual(mount.entries(), [b"%d %s" % (i, line) for i in range(count)])
        mount.unmount()
        self.assert_sound(mount.store)
        mount = self.mount(mount.store)
        harness.run(["mount", "-o", "remount,size=150M", disk])
        mount.append(line)
        self.assertEqual(mount.checkpoint().size, count + 1)
        mount.unmount()
        self.assert_sound(mount.store)


if __name__ == "__main__":
    harness.main()
