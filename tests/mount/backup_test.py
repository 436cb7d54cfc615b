#!/usr/bin/env python3
"""`tlogfs backup` of a log in use: while eight writers append, killed at any moment, onto a disk
that is full, by a user who may not read the key; and copies of a store in use by other programs,
which are no backups, and are told so.

TLOGFS_BACKUP_SEED says when the kills are: it is printed. TLOGFS_BACKUP_ROUNDS: how many.
"""

import os
import random
import shutil
import signal
import subprocess
import threading
import time

import harness

SEED = int(os.environ.get("TLOGFS_BACKUP_SEED", str(time.time_ns() % 1_000_000)))
ROUNDS = int(os.environ.get("TLOGFS_BACKUP_ROUNDS", "25"))
WRITERS = 8
DISK_LENGTH = 24 << 20
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


class Writers:
    """Threads that append lines to a mount, as fast as they are taken, until they are stopped."""

    def __init__(self, mount):
        self.stopped = threading.Event()
        self.counts = [0] * WRITERS
        self.threads = [threading.Thread(target=self._append, args=(mount, number))
                        for number in range(WRITERS)]
        for thread in self.threads:
            thread.start()

    def _append(self, mount, number):
        with open(mount / "add", "ab", buffering=0) as file:
            while not self.stopped.is_set():
                line = b"%d %d %s\n" % (number, self.counts[number], b"x" * random.randrange(150))
                harness.write_all(file, line)
                self.counts[number] += 1

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


class BackupTest(harness.PointTest):
    SECONDS = 150

    def setUp(self):
        super().setUp()
        self.dest = self.path("backup")
        self.writers = None
        self.addCleanup(self.stop_writers)
        print("seed", SEED, flush=True)

    def stop_writers(self):
        if self.writers:
            self.writers.stop()
            self.writers = None

    def backup(self, dest=None):
        done = self.program("backup", self.store, dest or self.dest, seconds=60)
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.out, rb"\Abacked up: \d+ entries \((\d+|nothing) new\), root \S+\n\Z")
        return int(done.out.split()[2])

    def assert_adopted(self, backup, checkpoint, seconds=60):
        """A copy of it is a log that goes on. Returns the entries that it had."""
        copy = self.path("copy")
        shutil.rmtree(copy, ignore_errors=True)
        self.assertEqual(harness.run(["cp", "-a", "--sparse=always", backup, copy]).code, 0)
        with open(self.path("newest"), "wb") as file:
            file.write(checkpoint)
        done = self.program("adopt", copy, "--newest", self.path("newest"), seconds=seconds)
        self.assertEqual(done.code, 0, done)
        mount = self.mount(copy)
        before = mount.entries()
        mount.append(b"goes on")
        self.assertEqual(mount.checkpoint().size, len(before) + 1)
        mount.unmount()
        self.assert_sound(copy)
        return before

    def test_while_eight_writers_append(self):
        mount = self.mount(self.store)
        mount.append(*[b"%d" % i for i in range(60000)])  # A segment's end is on the way.
        self.writers = Writers(mount)
        adopted = []
        for number in range(6):
            checkpoint = mount.read("checkpoint")
            size = self.backup()
            self.assertGreaterEqual(size, int(checkpoint.split(b"\n")[1]))
            self.assert_sound(self.dest)
            if number % 2 == 0:
                adopted.append(self.assert_adopted(self.dest, checkpoint))
                self.assertEqual(len(adopted[-1]), size)
        self.assertGreater(self.backup(self.path("another")), size)
        self.assert_sound(self.path("another"))
        self.stop_writers()
        entries = mount.entries()
        for before in adopted:
            self.assertEqual(entries[:len(before)], before)
        self.assertEqual(self.backup(), len(entries))
        reader = self.mount(self.dest, "ro")
        self.assertEqual(reader.read("log"), mount.read("log"))
        mount.unmount()
        self.assert_sound(self.store)

    def test_killed_at_any_moment(self):
        mount = self.mount(self.store)
        mount.append(*[b"%d %s" % (i, b"x" * 100) for i in range(30000)])
        self.writers = Writers(mount)
        dice = random.Random(SEED)
        done = 0  # size of the newest backup that was finished
        kills = 0
        longest = 0.3  # seconds until the kill: about as long as a backup takes
        for number in range(ROUNDS):
            child = self.start([harness.PROGRAM, "backup", self.store, self.dest],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            time.sleep(dice.random() * longest)
            child.send_signal(signal.SIGKILL)
            out, err = child.communicate(timeout=20)
            self.assertEqual(err, b"")
            kills += child.returncode != 0
            longest *= 1.3 if child.returncode != 0 else 0.7
            if child.returncode == 0:
                done = int(out.split()[2])
            if not os.path.exists(os.path.join(self.dest, "format")):
                self.assertEqual(done, 0)
                self.assertEqual(self.program("check", self.dest).code, 2)
                continue
            self.assert_sound(self.dest)
            reader = self.mount(self.dest, "ro")
            size = reader.checkpoint().size
            if number % 5 == 4:
                before = self.assert_adopted(self.dest, reader.read("checkpoint"))
                self.assertEqual(before[:size], reader.entries())
            reader.unmount()
            self.assertGreaterEqual(size, done)
            done = size
        self.assertGreater(kills, ROUNDS // 4)
        self.stop_writers()
        self.backup()
        self.assert_sound(self.dest)
        self.assertEqual(self.mount(self.dest, "ro").read("log"), mount.read("log"))

    def make_disk(self):
        image, disk = self.path("image"), self.path("disk")
        os.mkdir(disk)
        with open(image, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, DISK_LENGTH)
        self.addCleanup(harness.run, ["umount", "-l", disk])
        done = harness.run("PATH=$PATH:/usr/sbin:/sbin; mkfs.ext4 -q -m 0 %s && mount -o loop %s %s"
                           % (image, image, disk))
        if done.code != 0:
            print("no loop device: a tmpfs instead: %r" % done, flush=True)
            done = harness.run(["mount", "-t", "tmpfs", "-o", "size=%d" % DISK_LENGTH, "none",
                                disk])
            self.assertEqual(done.code, 0, done)
        return disk

    def test_a_full_disk_keeps_the_older_backup(self):
        disk = self.make_disk()
        dest = os.path.join(disk, "backup")
        mount = self.mount(self.store)
        mount.append(*[b"%d" % i for i in range(1000)])
        self.assertEqual(self.backup(dest), 1000)
        older = mount.read("log")
        checkpoint = mount.read("checkpoint")
        mount.append(*[b"%d %s" % (i, b"x" * 1000) for i in range(40000)])
        for _ in range(2):
            free = os.statvfs(disk).f_bavail
            done = self.program("backup", self.store, dest)
            self.assert_one_line(done)
            self.assertIn(b"No space left on device", done.err)
            self.assertGreater(os.statvfs(disk).f_bavail, free - 100)  # It was given back.
            self.assert_sound(dest)
            reader = self.mount(dest, "ro")
            self.assertEqual(reader.read("log"), older)
            reader.unmount()
        self.assertEqual(len(self.assert_adopted(dest, checkpoint)), 1000)
        # What does not fit at all is no backup, and none that could be taken for one.
        first = self.program("backup", self.store, os.path.join(disk, "first"))
        self.assertIn(b"No space left on device", first.err)
        self.assertEqual(self.program("check", os.path.join(disk, "first")).code, 2)

    def test_by_a_user_who_may_not_read_the_key(self):
        os.chmod(self.folder, 0o755)
        mount = self.mount(self.store)
        mount.append(b"one", b"two")
        checkpoint = mount.read("checkpoint")
        os.mkdir(self.dest)
        os.chown(self.dest, 65534, 65534)
        program = self.path("tlogfs")
        shutil.copy(harness.PROGRAM, program)
        done = harness.run(AS_NOBODY + [program, "backup", self.store, self.dest])
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.err, rb"\Atlogfs: [^\n]+ without the signing key[^\n]+ key[^\n]+\n\Z")
        self.assertFalse(os.path.exists(os.path.join(self.dest, "key")))
        self.assert_sound(self.dest)
        with open(self.path("newest"), "wb") as file:
            file.write(checkpoint)
        done = self.program("adopt", self.dest, "--newest", self.path("newest"))
        self.assert_one_line(done)
        self.assertIn(b"key", done.err)
        # Who may read it brings it in; and what it is readable for stays.
        self.backup()
        self.assertEqual(os.stat(os.path.join(self.dest, "key")).st_mode & 0o777, 0o600)
        self.assertEqual(self.assert_adopted(self.dest, checkpoint), [b"one", b"two"])

    def test_other_copies_of_a_store_in_use_are_told_apart(self):
        mount = self.mount(self.store)
        mount.append(*[b"%d %s" % (i, b"x" * 100) for i in range(100000)])
        self.writers = Writers(mount)
        question = b"was it copied while in use? tlogfs backup makes a consistent copy"
        refused = 0
        for _ in range(4):
            checkpoint = mount.read("checkpoint")
            with open(self.path("newest"), "wb") as file:
                file.write(checkpoint)
            copy = self.path("hot")
            shutil.rmtree(copy, ignore_errors=True)
            self.assertEqual(harness.run(["cp", "-a", self.store, copy]).code, 0)
            checked = self.program("check", copy)
            if checked.code != 0:
                refused += 1
                self.assertIn(question, checked.out + checked.err)
            adopted = self.program("adopt", copy, "--newest", self.path("newest"))
            if adopted.code != 0:
                self.assertIn(question, adopted.err)
        self.assertGreater(refused, 0)


if __name__ == "__main__":
    harness.main()
