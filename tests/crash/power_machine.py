"""A machine for power_test.py: it starts anew under another boot id, records what reaches its disk,
and its disk can be cut at any point of that record.

What is done here is seen by this process and its children alone: they have a mount namespace of
their own, and with its last process everything that was mounted in it goes, loop devices too.
"""

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import uuid

import harness

BLOCK = 4096
SECTOR = 512
BOOT_ID = "/proc/sys/kernel/random/boot_id"
LIBC = ctypes.CDLL(None, use_errno=True)
# How each filesystem is made and mounted. All images made from one have its UUID: XFS must be told.
FILESYSTEMS = {
    "ext4": (128 << 20, ["mkfs.ext4", "-q", "-F"], "loop"),
    "xfs": (320 << 20, ["mkfs.xfs", "-q", "-f"], "loop,nouuid"),
}


def enter_namespace():
    """Before any thread is started."""
    new_mounts = 0x00020000  # CLONE_NEWNS
    if LIBC.unshare(new_mounts) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True, timeout=20)


def reason_not_to_run(filesystem):
    """Why there can be no disks of this kind here, or an empty string."""
    with open("/proc/filesystems", encoding="ascii") as file:
        if filesystem not in file.read().split():
            return "this kernel has no " + filesystem
    if not shutil.which("mkfs." + filesystem):
        return "no mkfs." + filesystem
    return "" if os.path.exists("/dev/loop-control") else "no loop devices"


def must(command, seconds=60):
    done = harness.run(command, seconds)
    if done.code != 0:
        raise AssertionError("%s: %r" % (" ".join(command), done))
    return done.out.decode()


class Machine:
    """Boots, makes filesystems, mounts images. `folder` gets a filesystem in memory for them."""

    def __init__(self, folder, filesystem):
        self.folder = folder
        self.filesystem = filesystem
        self.mounted = []
        self.recorder = None
        os.mkdir(folder)
        self._mount(["-t", "tmpfs", "-o", "size=2g", "none"], folder)
        with open(self.path("boot_id"), "w", encoding="ascii"):
            pass
        self._mount(["--bind", self.path("boot_id")], BOOT_ID)

    def path(self, name):
        return os.path.join(self.folder, name)

    def boot(self, rng):
        """From now on it is another boot, to whoever asks."""
        with open(self.path("boot_id"), "w", encoding="ascii") as file:
            file.write("%s\n" % uuid.UUID(int=rng.getrandbits(128), version=4))

    def make_filesystem(self, name):
        size, command, _ = FILESYSTEMS[self.filesystem]
        with open(self.path("new"), "wb") as file:
            file.truncate(size)
        must(command + [self.path("new")])
        must(["cp", "--sparse=always", self.path("new"), self.path(name)])
        os.unlink(self.path("new"))

    def copy(self, old, new):
        must(["cp", "--sparse=always", self.path(old), self.path(new)])

    def mount(self, image, point="disk"):
        """Mounts a file that has a filesystem; returns where."""
        options = FILESYSTEMS[self.filesystem][2]
        os.makedirs(self.path(point), exist_ok=True)
        self._mount(["-t", self.filesystem, "-o", options, self.path(image)], self.path(point))
        return self.path(point)

    def unmount(self, point="disk"):
        must(["umount", self.path(point)])
        self.mounted.remove(self.path(point))

    def remove(self):
        """Whatever happened."""
        self.stop_by_force()
        for point in reversed(self.mounted):
            subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL, timeout=60,
                           check=False)
        os.rmdir(self.folder)

    def stop_by_force(self):
        """Whoever waits for the recorded disk gets an error now."""
        if self.recorder:
            self.recorder.kill()

    def _mount(self, words, point):
        must(["mount"] + words + [point])
        self.mounted.append(point)


class Recorder:
    """A recorded disk: `image` while it is being written; its record goes to the file `record`."""

    def __init__(self, machine, image, record):
        self.machine = machine
        self.point = machine.path("recorder")
        self.disk = os.path.join(self.point, "disk")
        os.makedirs(self.point, exist_ok=True)
        program = os.path.join(os.path.dirname(harness.PROGRAM), "recorded_disk")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", program, machine.path(image), machine.path(record),
             self.point], stdin=subprocess.DEVNULL, start_new_session=True)
        machine.recorder = self
        machine.mounted.append(self.point)
        harness.wait_for(lambda: os.path.exists(self.disk) or self.process.poll() is not None,
                         "a recorded disk")
        self.marks = os.open(os.path.join(self.point, "mark"), os.O_WRONLY)

    def mark(self, text):
        """Says that what `text` tells has been promised. In one piece, from any thread."""
        content = text.encode()
        if os.write(self.marks, content) != len(content):
            raise AssertionError("a mark was cut")

    def stop(self):
        os.close(self.marks)
        # The loop device may let go of the disk a moment after it was unmounted.
        harness.wait_for(lambda: harness.run(["umount", self.point]).code == 0, "unmounted")
        self.machine.mounted.remove(self.point)
        self.machine.recorder = None
        if self.process.wait(20) != 0:
            raise AssertionError("the recorder ended with %d" % self.process.returncode)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)


class Record:
    """What a recorder wrote: a list of (kind, offset, length, bytes)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            content = memoryview(file.read())
        self.events = []
        at = 0
        while at < len(content):
            kind, offset, length = struct.unpack_from("=QQQ", content, at)
            at += 24
            kind = chr(kind)
            data = content[at:at + length] if kind in "WM" else b""
            at += len(data)
            self.events.append((kind, offset, length, data))

    def __len__(self):
        return len(self.events)

    def marks(self, point):
        """The lines that were marked before that point."""
        text = b"".join(data for kind, _, _, data in self.events[:point] if kind == "M")
        return text.decode().splitlines()

    def point_of(self, start):
        """The first point before which a mark that begins so was made; the end if none was."""
        for number, (kind, _, _, data) in enumerate(self.events):
            if kind == "M" and bytes(data[:len(start)]) == start:
                return number + 1
        return len(self.events)

    def cut(self, path, point, rng, torn):
        """Makes of the image as it was before the record one that a power cut at `point` may leave.

        All up to the last flush is there. Of what was written after it, each block is or is not;
        a block of `torn`, sector by sector.
        """
        flushed = max((i for i in range(point) if self.events[i][0] == "F"), default=0)
        loose = [piece for event in self.events[flushed:point] for piece in pieces(event)]
        kept = choose(loose, rng, torn)
        self.replay(path, flushed)
        with open(path, "r+b", buffering=0) as image:
            for offset, data in kept:
                image.seek(offset)
                image.write(data)

    def replay(self, path, point=None):
        """Does to the image all that was recorded before the point."""
        with open(path, "r+b", buffering=0) as image:
            for kind, offset, length, data in self.events[:point]:
                if kind == "W":
                    image.seek(offset)
                    image.write(data)
                elif kind == "Z":
                    punch(image, offset, length)


def pieces(event):
    """(offset, bytes) of each block of a write."""
    kind, offset, length, data = event
    if kind == "Z":
        data = bytes(length)
    elif kind != "W":
        return
    end = offset + length
    at = offset
    while at < end:
        stop = min(end, at // BLOCK * BLOCK + BLOCK)
        yield at, data[at - offset:stop - offset]
        at = stop


def choose(loose, rng, torn):
    """What survives of some pieces, in their order: all, none, a prefix, or each by chance."""
    way = rng.randrange(8)
    if way == 0:
        return loose[:rng.randint(0, len(loose))]
    chance = (None, 0, 1, 0.5, 0.5, 0.1, 0.9, 0.5)[way]
    tears = rng.choice((0, 0.2, 1))
    kept = []
    for offset, data in loose:
        if offset // BLOCK in torn and rng.random() < tears:
            kept += [(offset + at, data[at:at + SECTOR]) for at in range(0, len(data), SECTOR)
                     if rng.random() < 0.5]
        elif rng.random() < chance:
            kept.append((offset, data))
    return kept


def punch(image, offset, length):
    """Makes zeros of it, with a hole."""
    keep_size_and_punch = 0x3
    if LIBC.fallocate(image.fileno(), keep_size_and_punch, ctypes.c_long(offset),
                      ctypes.c_long(length)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def files_below(folder):
    for parent, _, names in os.walk(folder):
        for name in names:
            yield os.path.join(parent, name)


def push(path):
    """Has the kernel write a file to the disk, as it might at any time; waits for nothing."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        start_writing = 2  # SYNC_FILE_RANGE_WRITE
        LIBC.sync_file_range(descriptor, ctypes.c_long(0), ctypes.c_long(0), start_writing)
    finally:
        os.close(descriptor)


def blocks_of(folder):
    """The numbers of the blocks on the disk that files below this folder lie in.

    Only these are torn: a filesystem counts on its own blocks being written whole, or guards them.
    """
    get_extents = 0xC020660B  # FS_IOC_FIEMAP
    sync, unknown = 1, 0x2 | 0x4
    found = set()
    for path in files_below(folder):
        room = 256
        request = bytearray(struct.pack("=QQLLLL", 0, (1 << 64) - 1, sync, 0, room, 0))
        request += bytes(56 * room)
        with open(path, "rb") as file:
            fcntl.ioctl(file, get_extents, request)
        count = struct.unpack_from("=L", request, 20)[0]
        for i in range(count):
            _, at, length, _, _, flags = struct.unpack_from("=QQQQQL", request, 32 + 56 * i)
            if not flags & unknown:
                found.update(range(at // BLOCK, (at + length) // BLOCK))
    return found
