"""A disk that is full: a small ext4 in a loop device (a tmpfs where there are none), filled by
appends until not even one more entry fits, of long lines and of empty ones, and while somebody else
takes every block that becomes free.

What was acknowledged stays, and is published; appends say ENOSPC and add nothing; reading goes on,
also by new mounts; df tells the truth; the log can be mounted for writing on the full disk, even
after a death; and as soon as there is room, appends work again, without a restart.

TLOGFS_KILL_SEED says what is freed when in the race: it is printed.
"""

import errno
import os
import random
import signal
import threading
import time

from promises import harness, store_writer

SEED = int(os.environ.get("TLOGFS_KILL_SEED", str(time.time_ns() % 1_000_000)))
DISK_LENGTH = 24 << 20
BALLAST_LENGTH = 1 << 20
TURNS = 30


class FullDiskTest(harness.MountTest):
    SECONDS = 180

    def setUp(self):
        super().setUp()
        self.disk = self.path("disk")
        os.mkdir(self.disk)
        self.addCleanup(self.remove_disk)
        self.make_disk()
        self.store = os.path.join(self.disk, "store")
        os.mkdir(self.store)
        done = harness.run([store_writer(), "init", self.store, self.ORIGIN, str(1 << 20)])
        self.assertEqual(done.code, 0, done)
        self.text = b""  # what `log` must say

    def make_disk(self):
        image = self.path("image")
        with open(image, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, DISK_LENGTH)
        self.attach = "mount -o loop %s %s" % (image, self.disk)
        done = harness.run("PATH=$PATH:/usr/sbin:/sbin; mkfs.ext4 -q -m 0 %s && %s" %
                           (image, self.attach))
        if done.code != 0:
            print("no loop device: a tmpfs instead: %r" % done, flush=True)
            self.attach = None
            done = harness.run(["mount", "-t", "tmpfs", "-o", "size=%d" % DISK_LENGTH, "none",
                                self.disk])
            self.assertEqual(done.code, 0, done)

    def remount_disk(self):
        """What was said to be written fits on the disk, and comes back from there."""
        if self.attach:
            done = harness.run("umount %s && %s" % (self.disk, self.attach))
            self.assertEqual(done.code, 0, done)

    def remove_disk(self):
        for mount in self.mounts:
            mount.remove()
        self.mounts.clear()
        harness.run(["umount", "-l", self.disk])

    def fill(self, mount, make_lines, at_once):
        """Appends until not one more line is taken. Returns how often it heard ENOSPC."""
        refusals = 0
        descriptor = os.open(mount / "add", os.O_WRONLY | os.O_APPEND)
        try:
            while True:
                rest = make_lines(at_once)
                try:
                    while rest:
                        taken = os.write(descriptor, rest)
                        self.text += rest[:taken]
                        rest = rest[taken:]
                except OSError as error:
                    self.assertEqual(errno.errorcode[error.errno], "ENOSPC")
                    refusals += 1
                    if at_once == 1:
                        return refusals
                    at_once = max(at_once // 8, 1)
        finally:
            os.close(descriptor)

    def long_lines(self, count):
        first = self.text.count(b"\n")
        return b"".join(b"%-1023d\n" % (first + i) for i in range(count))

    def empty_lines(self, count):
        return b"\n" * count

    def all_there(self, mount):
        """Published to the last acknowledged entry, and no more; and readable."""
        size = self.text.count(b"\n")
        harness.wait_for(lambda: size <= mount.checkpoint().size, "published: %d" % size)
        self.assertEqual(mount.checkpoint().size, size)
        self.assertTrue(mount.read("log") == self.text, "the log says something else")

    def free_space(self, path):
        info = os.statvfs(path)
        return info.f_bavail * info.f_frsize

    def ballast(self):
        path = os.path.join(self.disk, "ballast")
        with open(path, "wb") as file:
            file.write(b"x" * BALLAST_LENGTH)
            os.fsync(file.fileno())
        return path

    def fills_up(self, make_lines, at_once):
        """The whole story, for one sort of lines."""
        ballast = self.ballast()
        mount = self.mount(self.store)
        self.assertAlmostEqual(self.free_space(mount.path), self.free_space(self.disk),
                               delta=1 << 20)
        refusals = self.fill(mount, make_lines, at_once)
        full = self.text.count(b"\n")
        self.all_there(mount)
        self.assertLess(self.free_space(mount.path), 64 << 10)
        reader = self.mount(self.store, "ro")
        self.all_there(reader)
        mount.daemon.kill()
        mount.daemon.wait(20)
        mount.remove()
        reader.unmount()
        self.remount_disk()
        reader = self.mount(self.store, "ro")
        mount = self.mount(self.store)  # It recovers, where nothing can be allocated.
        self.all_there(mount)
        self.fill(mount, make_lines, 1)
        os.remove(ballast)
        wait_for_room(self.disk)
        self.fill(mount, make_lines, at_once)
        self.assertGreater(self.text.count(b"\n"), full + 100)
        self.all_there(mount)
        self.all_there(reader)
        mount.unmount()
        self.assert_sound(self.store)
        self.all_there(self.mount(self.store))
        print("%d entries, %d more with room again, ENOSPC %d times" %
              (full, self.text.count(b"\n") - full, refusals), flush=True)

    def test_long_lines(self):
        self.fills_up(self.long_lines, 200)

    def test_empty_entries(self):
        """Their hashes are 16 times their frames; and there are several segments of them."""
        self.fills_up(self.empty_lines, 20000)
        self.assertGreater(self.text.count(b"\n"), 3 * 65536)

    def test_somebody_takes_what_becomes_free(self):
        """Two mounts, in turns, and a hog that fills the disk before, between and beside them."""
        print("TLOGFS_KILL_SEED=%d" % SEED, flush=True)
        choose = random.Random(SEED)
        mounts = [self.mount(self.store), self.mount(self.store)]
        hog = Hog(os.path.join(self.disk, "hog"))
        self.fill_by(hog)
        hog.start()
        refusals = 0
        for turn in range(TURNS):
            hog.give_back(choose.randrange(1 << 17, 1 << 20))
            sort, at_once = choose.choice(((self.long_lines, 50), (self.empty_lines, 8000)))
            refusals += self.fill(mounts[turn % 2], sort, at_once)
            self.all_there(mounts[choose.randrange(2)])
            if choose.random() < 0.2:
                self.kill_one(mounts, choose.randrange(2))
        hog.stop()
        print("%d entries, ENOSPC %d times" % (self.text.count(b"\n"), refusals), flush=True)
        self.assertGreater(self.text.count(b"\n"), 100)
        os.remove(hog.path)
        wait_for_room(self.disk)
        for mount in mounts:
            mount.append(b"there is room")
            self.text += b"there is room\n"
            self.all_there(mount)
            mount.unmount()
        self.assert_sound(self.store)

    def fill_by(self, hog):
        """All but room for the race, and 65,536 entries, so that segments end in it."""
        descriptor = os.open(self.mounts[0] / "add", os.O_WRONLY | os.O_APPEND)
        while self.text.count(b"\n") < 65000:
            self.text += b"\n" * os.write(descriptor, b"\n" * 13000)
        os.close(descriptor)
        hog.take()

    def kill_one(self, mounts, which):
        mounts[which].daemon.kill()
        self.assertEqual(mounts[which].daemon.wait(20), -signal.SIGKILL)
        mounts[which].remove()
        self.mounts.remove(mounts[which])
        mounts[which] = self.mount(self.store, name="again%d" % len(os.listdir(self.folder)))


def wait_for_room(disk):
    """ext4 gives the blocks of a removed file back when its journal commits."""
    os.sync()
    info = os.statvfs(disk)
    if info.f_bavail == 0:
        raise AssertionError("nothing became free")


class Hog(threading.Thread):
    """Takes all blocks of a disk, again and again, and gives some back when asked."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        self.file = open(path, "wb", buffering=0)
        self.lock = threading.Lock()
        self.stopping = False

    def take(self):
        with self.lock:
            try:
                while self.file.write(b"x" * 4096):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def give_back(self, length):
        with self.lock:
            self.file.truncate(max(self.file.tell() - length, 0))
            self.file.seek(0, os.SEEK_END)

    def run(self):
        while not self.stopping:
            time.sleep(0.005)
            self.take()

    def stop(self):
        self.stopping = True
        self.join(20)
        self.file.close()


if __name__ == "__main__":
    harness.main()
