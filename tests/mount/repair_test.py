#!/usr/bin/env python3
"""Stores with lost and damaged files: read as far as they verify, and repaired."""

import errno
import os
import shutil

import harness
from reference_log import ReferenceLog

SIZE = 1000


def zeros(path):
    with open(path, "r+b") as file:
        file.write(bytes(os.path.getsize(path)))


def flip(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def cut(path):
    os.truncate(path, os.path.getsize(path) - 1)


def empty(path):
    os.truncate(path, 0)


DERIVED = ("entries/0.index", "hashes/0", "hashes/1", "times", "checkpoint")
DAMAGES = (os.remove, empty, cut, flip, zeros)


class RepairTest(harness.PointTest):
    SECONDS = 120

    def setUp(self):
        super().setUp()
        self.log = ReferenceLog(b"entry %d" % i for i in range(SIZE))
        mount = self.mount(self.store)
        mount.append(*self.log.entries)
        self.newest = self.path("newest")
        with open(self.newest, "wb") as file:
            file.write(mount.read("checkpoint"))
        mount.unmount()

    def in_store(self, name):
        return os.path.join(self.store, name)

    def files(self):
        found = {}
        for parent, _, names in os.walk(self.store):
            for name in names:
                path = os.path.join(parent, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.store)] = file.read()
        return found

    def put_back(self, name, content):
        """In place: `lock` stays the file it is."""
        with open(self.in_store(name), "wb") as file:
            file.write(content)

    def read_all_or_eio(self, mount):
        """Returns which files could not be read. The others are as they must be, with the length
        that stat says."""
        refused = set()
        for path, content in self.log.resources().items():
            try:
                self.assertEqual(os.stat(mount / path).st_size, len(content), path)
                self.assertEqual(mount.read(path), content, path)
            except OSError as error:
                self.assertEqual(error.errno, errno.EIO, path)
                refused.add(path)
        return refused

    def check_read(self, options):
        """A mount of a damaged store: what verifies, and EIO for the rest."""
        mount = self.mount(self.store, options)
        self.assertIn("damaged, serving what verifies", mount.said())
        with open(self.newest, "rb") as file:
            self.assertEqual(mount.read("checkpoint"), file.read())
        refused = self.read_all_or_eio(mount)
        mount.unmount()
        return refused

    def test_each_file_that_follows_from_the_entries(self):
        good = self.files()
        for name in DERIVED:
            for damage in DAMAGES:
                with self.subTest(name=name, damage=damage.__name__):
                    damage(self.in_store(name))
                    self.assertEqual(self.program("check", self.store).code, 1)
                    self.check_repaired(name)
                    for left in set(self.files()) - set(good):
                        self.assertRegex(left, r"\.damaged(\.\d+)?\Z")
                        os.remove(self.in_store(left))

    def check_repaired(self, name):
        done = self.program("repair", self.store, "--newest", self.newest)
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.out.decode(),
                         r"\Arepaired: %s \(1000 entries, root [^ ]+=\)\n\Z" % name)
        self.assert_sound(self.store)
        done = self.program("repair", self.store)
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.out.decode(), r"\Anothing to repair: 1000 entries, root [^ ]+=\n\Z")
        mount = self.mount(self.store)
        self.assert_same_log(mount, self.log)
        mount.unmount()

    def test_all_of_them_at_once(self):
        for name in DERIVED:
            os.remove(self.in_store(name))
        self.assert_one_line(self.program("repair", self.store))
        self.assert_one_line(self.program("mount", self.store, self.point))
        with open(self.newest, "rb") as file:
            done = harness.run([harness.PROGRAM, "repair", self.store, "--newest", "-"],
                               stdin=file.read())
        self.assertEqual(done.code, 0, done)
        self.assertIn(b"repaired: %s (" % ", ".join(sorted(DERIVED)).encode(), done.out)
        mount = self.mount(self.store)
        mount.append(b"goes on")
        self.log.entries.append(b"goes on")
        self.assertEqual(mount.checkpoint().size, SIZE + 1)
        mount.unmount()
        self.assert_sound(self.store)

    def test_readers_get_what_verifies_of_a_damaged_store(self):
        """Bytes of the log or EIO, and in one line that it is damaged."""
        good = self.files()
        entries = {path for path in self.log.resources()
                   if path.startswith(("tile/entries/", "entries/")) or path == "log"}
        upper = {path for path in self.log.resources() if path.startswith("tile/1/")}
        last = {path for path in self.log.resources()
                if path.startswith(("tile/0/003.p/", "tile/entries/003.p/")) or path == "log"
                or (path.startswith("entries/") and int(path.rpartition("/")[2]) >= 768)}
        for name, damage, expected in (
                ("entries/0.index", os.remove, entries), ("entries/0.index", empty, entries),
                ("times", os.remove, set()), ("times", empty, set()), ("times", zeros, set()),
                ("hashes/5", os.remove, set()), ("hashes/1", empty, upper),
                ("hashes/1", flip, upper), ("hashes/0", os.remove, None), ("hashes/0", cut, last),
                ("entries/0", cut, None), ("entries/0", empty, entries)):
            with self.subTest(name=name, damage=damage.__name__):
                damage(self.in_store(name))
                refused = self.check_read("ro")
                if expected is not None:
                    self.assertEqual(refused, expected)
                self.assert_one_line(self.program("mount", self.store, self.point))
                self.put_back(name, good[name])
        self.assert_sound(self.store)

    def test_a_mount_in_the_background_and_a_static_one_say_it_too(self):
        os.remove(self.in_store("hashes/1"))
        for options in ("ro", "static"):
            done = self.program("mount", self.store, self.point, "-o", options)
            self.assertEqual(done.code, 0, done)
            self.assertRegex(done.err.decode(), r"\Atlogfs: mount [^\n]+: damaged, [^\n]+\n\Z")
            self.assert_answers()
            self.assert_unmounts()

    def test_listings_do_not_fail_where_times_are_lost(self):
        os.remove(self.in_store("times"))
        mount = self.mount(self.store, "ro")
        copy = self.path("copy")
        done = harness.run(["cp", "-r", mount / "tile", copy])
        self.assertEqual(done.code, 0, done)
        mount.unmount()

    def test_refusals_change_nothing(self):
        os.remove(self.in_store("hashes/1"))
        for name, damage, says in (("entries/0", flip, "entries/0"),
                                   ("entries/0", cut, "entries/0"),
                                   ("journal", os.remove, "journal"), ("journal", cut, "journal"),
                                   ("lock", os.remove, "lock"), ("config", os.remove, "config")):
            with self.subTest(name=name, damage=damage.__name__):
                kept = self.path("kept")
                shutil.copy(self.in_store(name), kept)
                if damage is os.remove:
                    os.rename(self.in_store(name), kept)
                else:
                    damage(self.in_store(name))
                before = self.files()
                done = self.program("repair", self.store, "--newest", self.newest)
                self.assert_one_line(done)
                self.assertIn(says, done.err.decode())
                self.assertEqual(self.files(), before)
                if damage is os.remove:
                    os.rename(kept, self.in_store(name))
                else:
                    shutil.copyfile(kept, self.in_store(name))
        self.assertEqual(self.program("repair", self.store).code, 0)
        self.assert_sound(self.store)

    def test_it_refuses_while_the_store_is_mounted_for_writing(self):
        mount = self.mount(self.store)
        os.truncate(self.in_store("hashes/0"), 100)
        done = self.program("repair", self.store)
        self.assert_one_line(done)
        self.assertIn("has it open for appending", done.err.decode())
        mount.remove()  # killed
        done = self.program("repair", self.store)
        self.assertEqual(done.code, 0, done)
        self.assert_sound(self.store)

    def test_the_new_files_are_their_owners(self):
        """The user who repairs, and the umask, do not matter."""
        if os.geteuid() != 0:
            self.skipTest("only root can repair what is somebody else's")
        for parent, folders, names in os.walk(self.store):
            for name in folders + names:
                os.chown(os.path.join(parent, name), 65534, 65534)
        os.chmod(self.in_store("hashes/0"), 0o640)
        empty(self.in_store("hashes/0"))
        os.remove(self.in_store("times"))
        done = harness.run(["sh", "-c", 'umask 077; exec "$@"', "sh", harness.PROGRAM, "repair",
                            self.store])
        self.assertEqual(done.code, 0, done)
        for name, mode in (("hashes/0", 0o640), ("times", 0o644)):
            info = os.stat(self.in_store(name))
            self.assertEqual((info.st_uid, info.st_gid, info.st_mode & 0o777),
                             (65534, 65534, mode), name)

    def test_a_partial_rollback_is_not_made_a_second_log(self):
        """What was not rolled back is evidence, and no damage."""
        kept = self.files()
        mount = self.mount(self.store)
        mount.append(*(b"newer %d" % i for i in range(5)))
        mount.unmount()
        for name in ("journal", "lock", "checkpoint", "entries/0", "entries/0.index"):
            self.put_back(name, kept[name])
        before = self.files()
        for newest in ((), ("--newest", self.newest)):
            done = self.program("repair", self.store, *newest)
            self.assert_one_line(done)
            self.assertIn("as if the journal was rolled back", done.err.decode())
            self.assertEqual(self.files(), before)
        self.assert_one_line(self.program("mount", self.store, self.point))

    def test_a_lost_lock_and_a_lost_journal_as_the_readme_says(self):
        os.remove(self.in_store("lock"))
        for command in (["install", "-m", "600", "/dev/null", self.in_store("lock")],
                        ["truncate", "-s", "4096", self.in_store("lock")],
                        [harness.PROGRAM, "adopt", self.store, "--newest", self.newest]):
            done = harness.run(command)
            self.assertEqual(done.code, 0, done)
        self.assert_sound(self.store)
        os.remove(self.in_store("journal"))
        done = self.program("init", self.path("new"), "--origin", self.ORIGIN, "--key",
                            self.in_store("key"))
        self.assertEqual(done.code, 0, done)
        mount = self.mount(self.path("new"))
        done = harness.run("for n in 0; do cat %s/entries/$n; done >> %s"
                           % (self.store, mount / "add.bundle"))
        self.assertEqual(done.code, 0, done)
        with open(self.newest, "rb") as file:
            self.assertEqual(mount.read("checkpoint"), file.read())
        mount.unmount()


if __name__ == "__main__":
    harness.main()
