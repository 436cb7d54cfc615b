#!/usr/bin/env python3
"""What a growing log serves: every tile that was ever true, in every width, and nothing else."""

import errno
import os
import random
import stat
import threading
import unittest

import harness
from reference_log import (ReferenceLog, leaf_hash, merkle_tree_hash, numbered, signature_is_good,
                           tile_path, tiles_of)

WRITING = {"add", "add.bundle", "put"}
NAMES = {"checkpoint", "tile", "log", "entries", "proof", "follow", "at", "vkey", "metrics"}


def files_below(folder):
    """Paths of all files that listings show, relative to the folder."""
    def failed(error):
        raise error
    return {os.path.relpath(os.path.join(parent, name), folder)
            for parent, _, names in os.walk(folder, onerror=failed) for name in names}


class ReferenceTest(unittest.TestCase):
    def test_reference_log_computes_the_rfcs_root(self):
        """The oracle of these tests agrees with RFC 6962's own recursive definition."""
        entries = [b"%d" % i for i in range(300)]
        log = ReferenceLog(entries)
        leaves = [leaf_hash(entry) for entry in entries]
        for size in range(len(entries) + 1):
            self.assertEqual(log.root(size), merkle_tree_hash(leaves[:size]))


class GrowTest(harness.MountTest):
    def test_an_empty_log_is_a_signed_checkpoint_and_no_tiles(self):
        mount = self.mount()
        checkpoint = mount.checkpoint()
        self.assertEqual((checkpoint.size, checkpoint.root), (0, ReferenceLog().root()))
        self.assertEqual(checkpoint.origin, self.ORIGIN)
        self.assertTrue(signature_is_good(checkpoint, self.vkey))
        self.assertEqual(mount.read("vkey").decode(), self.vkey + "\n")
        self.assertEqual(files_below(mount / "tile"), set())
        self.assertEqual(files_below(mount / "entries"), set())
        self.assertEqual(mount.read("log"), b"")
        for name in ("tile/0/000", "tile/0/000.p/1", "tile/entries/000.p/1", "entries/0"):
            self.assert_errno(errno.ENOENT, os.stat, mount / name)

    def test_one_by_one_to_600_nothing_that_was_true_is_ever_lost(self):
        """After each entry: the new resources, and a share of all earlier ones. Around full tiles,
        and on a fresh mount at the end, all resources of all checkpoints since the first."""
        mount = self.mount()
        log = ReferenceLog()
        ever = {}
        chance = random.Random(1)
        for size in range(1, 601):
            log.append(b"entry %d" % size + b"." * (size % 50))
            self.assert_not_yet(mount, size)
            mount.append(log.entries[-1])
            checkpoint = mount.checkpoint()
            self.assertEqual((checkpoint.size, checkpoint.root), (size, log.root()))
            now = log.resources()
            ever.update(now)
            everything = size % 256 in (0, 1, 255) or size == 600
            old = ever if everything else chance.sample(list(ever), min(len(ever), 100))
            for path in [*now, *old]:
                self.assertEqual(mount.read(path), ever[path], "%s at size %d" % (path, size))
        self.assertTrue(signature_is_good(checkpoint, self.vkey))
        mount.unmount()
        again = self.mount(mount.store)
        for path, content in ever.items():
            self.assertEqual(again.read(path), content, path)
        self.assertEqual(again.entries(), log.entries)
        again.unmount()
        self.assert_sound(mount.store)

    def assert_not_yet(self, mount, size):
        """What `size` needs is absent before, at all levels; it is not remembered as absent."""
        for level, number, width in tiles_of(size):
            if (level, number, width) not in set(tiles_of(size - 1)):
                self.assert_errno(errno.ENOENT, os.stat, mount / tile_path(level, number, width))

    def test_the_edge_of_65536_fills_level_one_and_opens_level_two(self):
        mount = self.mount()
        log = ReferenceLog(b"%d" % i for i in range(65535))
        mount.append(*log.entries)
        for step in (0, 1, 1, 1, 254, 1, 300):
            new = [b"later %d" % (len(log) + i) for i in range(step)]
            log.extend(new)
            mount.append(*new)
            checkpoint = mount.checkpoint()
            self.assertEqual((checkpoint.size, checkpoint.root), (len(log), log.root()))
            for path, content in log.resources().items():
                near = path.startswith(("tile/1", "tile/2", "tile/0/25", "tile/entries/25"))
                if near or step == 300:
                    self.assertEqual(mount.read(path), content, path)
        for size in (1, 255, 256, 257, 511, 65535, 65536, 65537):  # as an old client asks
            for level, number, width in tiles_of(size):
                if width < 256:
                    path = tile_path(level, number, width)
                    self.assertEqual(mount.read(path), log.tile(level, number, width), path)
        mount.unmount()
        self.assert_sound(mount.store)

    def test_listings_show_full_tiles_and_the_newest_partial_ones(self):
        """At each size exactly what a copy of the site needs, so that `cp -r` copies just that."""
        mount = self.mount()
        log = ReferenceLog()
        for size in (1, 255, 256, 257, 600, 65535, 65536, 66000):
            new = [b"%d" % i for i in range(len(log), size)]
            log.extend(new)
            mount.append(*new)
            listed = {"tile/" + path for path in files_below(mount / "tile")}
            self.assertEqual(listed, set(log.resources()))
        self.assertLessEqual(set(os.listdir(mount.path)), NAMES | WRITING)
        self.assertLessEqual({"add", "add.bundle", "checkpoint", "tile", "log", "entries", "vkey"},
                             set(os.listdir(mount.path)))

    def test_entries_are_files_in_shards_and_by_plain_number(self):
        mount = self.mount()
        entries = [b"%d" % i for i in range(1999)] + [b"a\0\xff\r"]
        mount.append(*entries)
        for number in (0, 7, 67, 255, 256, 999, 1000, 1001, 1999):
            self.assertEqual(mount.read("entries/" + numbered(number)), entries[number])
            self.assertEqual(mount.read("entries/%d" % number), entries[number])
        self.assert_errno(errno.ENOENT, os.stat, mount / "entries/2000")
        self.assert_errno(errno.ENOENT, os.stat, mount / "entries/x002/000")
        found = files_below(mount / "entries")
        self.assertEqual(len(found), 2000)
        self.assertIn("x001/999", found)


class NamesTest(harness.MountTest):
    def test_every_other_spelling_is_enoent(self):
        """One name for one thing: no leading zeros, signs, spaces, overlong or padded numbers."""
        mount = self.mount()
        mount.append(*[b"%d" % i for i in range(600)])
        exist = ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/0/000.p/1",
                 "tile/0/001.p/255", "tile/0/002.p/1", "tile/1/000.p/1", "tile/1/000.p/2",
                 "tile/entries/000", "tile/entries/002.p/88", "tile/entries/000.p/7", "entries/0",
                 "entries/599", "entries/067"]
        for name in exist:
            self.assertTrue(stat.S_ISREG(os.stat(mount / name).st_mode), name)
        absent = """
            tile/00/000 tile/64/000 tile/-1/000 tile/+0/000 tile/0x0/000 tile/L/000 tile/2/000
            tile/2/000.p/1 tile/99999999999999999999/000 tile/data/000 tile/Entries/000 tile/0/1
            tile/0/01 tile/0/0 tile/0/0000 tile/0/0001 tile/0/x000/001 tile/0/x001/000 tile/0/x001
            tile/0/x1/000 tile/0/002 tile/0/003 tile/0/003.p/1 tile/0/00a tile/0/-01 tile/0/+01
            tile/0/000.p/0 tile/0/000.p/256 tile/0/000.p/01 tile/0/000.p/-1 tile/0/000.p/1a
            tile/0/000.p/999999999999999999999 tile/0/000.P/1 tile/0/000.p1 tile/0/000.p/x
            tile/0/002.p/89 tile/0/002.p/255 tile/1/000 tile/1/000.p/3 tile/1/001.p/1
            tile/entries/002 tile/entries/002.p/89 tile/entries/x000/000 tile/entries/0
            tile/0/x999/x999/x999/x999/x999/x999/x999/999 tile/0/000.p.p/1
            entries/00 entries/01 entries/0067 entries/600 entries/-1 entries/+1 entries/1.0
            entries/18446744073709551615 entries/18446744073709551616 entries/0x10 entries/1e1
            entries/x000/000 entries/x001/000 entries/x000 entries/99999999999999999999999999
            Checkpoint checkpoint.sig tiles log.txt README .hidden vkey.pub index.html
            """.split()
        absent += ["tile/0/001 ", " tile", "tile/0/ 01", "entries/ 1", "entries/1 ", "entries/1\n",
                   "tile/0/00\u0661", "n" * 255, "tile/" + "0" * 250]
        for name in absent:
            self.assert_errno(errno.ENOENT, os.stat, mount / name)
            self.assert_errno(errno.ENOENT, os.open, mount / name, os.O_RDONLY)

    def test_sizes_blocks_times_and_inode_numbers_are_true_and_survive_a_remount(self):
        """tar -S believes st_blocks, rsync sizes and times, backups inode numbers."""
        mount = self.mount()
        log = ReferenceLog(b"%d" % i for i in range(1300))
        mount.append(*log.entries)
        before = self.attributes(mount, log)
        for path, content in log.resources().items():
            status = os.stat(mount / path)
            self.assertEqual(status.st_size, len(content), path)
            self.assertEqual(status.st_blocks, (len(content) + 511) // 512, path)
            self.assertEqual(stat.S_IMODE(status.st_mode), 0o444, path)
            self.assertEqual(status.st_nlink, 1, path)
            self.assertEqual(status.st_mtime_ns % 10**9, 0, path)
        numbers = [attributes[0] for attributes in before.values()]
        self.assertEqual(len(set(numbers)), len(numbers), "an inode number twice")
        mount.append(*[b"more"] * 700)
        self.assertEqual(self.attributes(mount, log), before)
        mount.unmount()
        again = self.mount(mount.store)
        self.assertEqual(self.attributes(again, log), before)

    def attributes(self, mount, log):
        names = list(log.resources()) + ["entries/000", "entries/x001/299"]
        found = {}
        for name in names + sorted({os.path.dirname(name) for name in names}):
            status = os.stat(mount / name)
            immutable = not stat.S_ISDIR(status.st_mode)
            found[name] = (status.st_ino, immutable and (status.st_mtime, status.st_size,
                                                         status.st_blocks, status.st_mode))
        return found


class SeveralMountsTest(harness.MountTest):
    def test_a_read_only_mount_follows_what_a_writer_appends(self):
        """It has no way to append, the same bytes, and each checkpoint as soon as it is out."""
        writer = self.mount()
        log = ReferenceLog(b"%d" % i for i in range(300))
        writer.append(*log.entries)
        reader = self.mount(writer.store, options="ro")
        self.assertEqual(set(os.listdir(reader.path)) & WRITING, set())
        for name in WRITING:
            self.assert_errno(errno.ENOENT, os.stat, reader / name)
        self.assert_errno(errno.EROFS, os.open, reader / "add", os.O_WRONLY | os.O_CREAT)
        for _ in range(60):
            entry = b"%d" % len(log)
            log.append(entry)
            writer.append(entry)
            self.assertEqual(reader.checkpoint().note, writer.checkpoint().note)
            self.assertEqual(reader.read("entries/%d" % (len(log) - 1)), entry)
        self.assert_same_log(reader, log)
        self.assertEqual(reader.read("log"), log.text())
        writer.unmount()
        self.assertEqual(reader.checkpoint().size, len(log))

    def test_two_mounts_append_to_one_store_at_once(self):
        """Nothing is lost or doubled, each writer's order is kept, both show one log."""
        first = self.mount()
        second = self.mount(first.store)
        lines = 400

        def write(mount, name):
            with open(mount / "add", "ab", buffering=0) as file:
                for number in range(lines):
                    file.write(b"%s %d\n" % (name, number))

        writers = {}
        for number, mount in enumerate((first, second, first, second)):
            name = b"writer%d" % number
            writers[name] = threading.Thread(target=write, args=(mount, name))
        for thread in writers.values():
            thread.start()
        for thread in writers.values():
            thread.join()
        self.assertEqual(first.checkpoint().note, second.checkpoint().note)
        log = ReferenceLog(first.entries())
        self.assertEqual(len(log), lines * len(writers))
        for name in writers:
            mine = [entry for entry in log.entries if entry.startswith(name)]
            self.assertEqual(mine, [b"%s %d" % (name, number) for number in range(lines)])
        self.assert_same_log(first, log)
        self.assert_same_log(second, log)
        first.unmount()
        second.append(b"and one more")
        self.assertEqual(second.checkpoint().size, len(log) + 1)
        second.unmount()
        self.assert_sound(first.store)


if __name__ == "__main__":
    harness.main()
