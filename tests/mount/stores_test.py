#!/usr/bin/env python3
"""Stores that are not as they were: copied, damaged, incomplete, on a full disk; and a log that was
another program's."""

import base64
import errno
import hashlib
import os
import shutil

import harness
from reference_log import ReferenceLog, signature_is_good


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


class CarriedOnTest(harness.MountTest):
    """A log that another program has kept until now, with its key, its entries and its names."""

    KEY_NAME = "sum.example.org"
    SEED_PREFIX = bytes.fromhex("302e020100300506032b657004220420")  # DER, before 32 bytes of seed

    def openssl(self, *words, stdin=b""):
        done = harness.run(["openssl", *words], stdin=stdin)
        self.assertEqual(done.code, 0, done)
        return done.out

    def write(self, name, content):
        with open(os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                  "wb") as file:
            file.write(content)
        return self.path(name)

    def make_key(self):
        """The other program's key: a note key in the file `key`. Returns its verifier key."""
        seed = os.urandom(32)
        self.der = self.write("der", self.SEED_PREFIX + seed)
        public = b"\1" + self.openssl("pkey", "-inform", "DER", "-in", self.der, "-pubout",
                                      "-outform", "DER")[-32:]
        self.key_id = hashlib.sha256(self.KEY_NAME.encode() + b"\n" + public).digest()[:4]
        words = [self.KEY_NAME, self.key_id.hex(), base64.b64encode(b"\1" + seed).decode()]
        self.write("key", ("PRIVATE+KEY+" + "+".join(words) + "\n").encode())
        return "+".join([*words[:2], base64.b64encode(public).decode()])

    def note(self, origin, log):
        """The checkpoint that the other program signed: the same key gives the same signature."""
        text = "%s\n%d\n%s\n" % (origin, len(log), base64.b64encode(log.root()).decode())
        signature = self.openssl("pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey",
                                 self.der, "-in", self.write("text", text.encode()))
        blob = base64.b64encode(self.key_id + signature).decode()
        return ("%s\n\u2014 %s %s\n" % (text, self.KEY_NAME, blob)).encode()

    def test_a_log_whose_key_has_another_name_is_carried_on(self):
        vkey = self.make_key()
        programs = os.path.dirname(shutil.which(harness.PROGRAM))
        verify = [os.path.join(programs, "verify_checkpoint"), "--origin"]
        for number, origin in enumerate(["go.sum database tree", "log.example.org \u2014 42+1"]):
            store = self.path("store%d" % number)
            done = harness.run([harness.PROGRAM, "init", store, "--origin", origin, "--key",
                                self.path("key")])
            self.assertEqual((done.code, done.out.decode()), (0, vkey + "\n"), done)
            log = ReferenceLog(b"entry %d" % i for i in range(300))
            older = self.note(origin, log)
            self.write("older", older)
            mount = self.mount(store)
            with open(mount.path + "/add", "wb", buffering=0) as file:
                harness.write_all(file, log.text())
            self.assertEqual(mount.read("checkpoint"), older)

            with open(mount.path + "/add", "wb", buffering=0) as file:
                file.write(b"carried on\n")
            log.append(b"carried on")
            self.assertEqual(mount.read("checkpoint"), self.note(origin, log))
            self.assert_same_log(mount, log)
            self.assertTrue(signature_is_good(mount.checkpoint(), vkey))
            done = harness.run([*verify, origin, vkey, mount.path, "--since", self.path("older")])
            self.assertEqual((done.code, done.out), (0, self.note(origin, log)), done)
            done = harness.run([*verify, origin, vkey, mount.path, "300"])
            self.assertEqual((done.code, done.out), (0, b"carried on\n"), done)
            for words in ([verify[0]], [*verify, origin + " "]):  # another log by the same key
                done = harness.run([*words, vkey, mount.path])
                self.assertEqual((done.code, done.out), (1, b""), done)
                self.assertIn(b"it is of ", done.err)

            mount.unmount()
            done = harness.run([harness.PROGRAM, "check", store, "--vkey", vkey])
            self.assertEqual(done.code, 0, done)
            self.assertEqual(self.mount(store, "ro").read("checkpoint"), self.note(origin, log))


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

    def test_a_small_disk_takes_a_log_and_one_too_small_is_left_as_it_was(self):
        """With the longest entries, some hundred laps of a journal that suits the disk."""
        disk = self.path("disk")
        os.mkdir(disk)
        self.assertEqual(harness.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none",
                                      disk]).code, 0)
        os.mkdir(self.path("disk/there"))
        for name in ("disk/store", "disk/there"):
            done = harness.run([harness.PROGRAM, "init", self.path(name), "--origin", self.ORIGIN])
            self.assert_one_line(done)
            self.assertIn(b"No space left", done.err)
        self.assertEqual(os.listdir(disk), ["there"])
        self.assertEqual(os.listdir(self.path("disk/there")), [])
        harness.run(["mount", "-o", "remount,size=30M", disk])
        mount = self.mount(self.init("disk/store"))
        self.assertEqual(os.path.getsize(self.path("disk/store/journal")), 1 << 20)
        line = b"x" * 65535
        with open(mount / "add", "ab", buffering=0) as file:
            for _ in range(100):
                harness.write_all(file, line + b"\n")
            harness.write_all(file, (line + b"\n") * 20)
            with self.assertRaises(OSError) as caught:
                harness.write_all(file, line + b"x\n")
            self.assertEqual(caught.exception.errno, errno.EFBIG)
        mount.write("add.bundle", b"\xff\xff" + line)
        self.assertEqual(mount.entries(), [line] * 121)
        mount.unmount()
        self.assert_sound(mount.store)


if __name__ == "__main__":
    harness.main()
