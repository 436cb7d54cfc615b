#!/usr/bin/env python3
"""Power cuts: the real program on a real filesystem, on a disk that records what reaches it.

A recording is a life of a store: it is created, daemons are mounted on it, alone and in pairs, they
append and publish, end well or are killed, while the kernel writes back what it likes. Marks in the
record say what had been promised by then: entry i is acknowledged, this checkpoint was read. Then
the power is cut at points of the record: all up to the last flush is on the disk, and any part of
what was written after it. On each such disk the filesystem replays its own journal, in another
boot, and

- a `ro` mount shows a right checkpoint, or asks for a mount for writing in one line;
- a mount for writing recovers. All that was acknowledged is there, every checkpoint that was ever
  read is a root of this log, and appending goes on;
- `tlogfs check` finds nothing.

Of some disks the recovery is recorded too, and cut again, up to two deep.

    power_test.py path/to/tlogfs      recorded_disk and store_writer lie beside the program

    TLOGFS_POWER_CUTS=20      how many
    TLOGFS_POWER_SEED=N       which; printed. What threads do is not repeated by it
    TLOGFS_POWER_FS=ext4      or xfs
    TLOGFS_POWER_KEPT=FOLDER  looks again at one disk, which a failure kept
"""

import collections
import os
import random
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mount"))

import harness  # noqa: E402
import power_machine  # noqa: E402
from promises import store_writer  # noqa: E402
from reference_log import ReferenceLog  # noqa: E402

CUTS = int(os.environ.get("TLOGFS_POWER_CUTS", "20"))
SEED = int(os.environ.get("TLOGFS_POWER_SEED", str(time.time_ns() % 1_000_000)))
FILESYSTEM = os.environ.get("TLOGFS_POWER_FS", "ext4")
KEPT = os.environ.get("TLOGFS_POWER_KEPT", "")
CUTS_A_RECORDING = 10
DEEPEST = 2  # recoveries that are cut before one is let through
BLOCK = power_machine.BLOCK
SMALL_JOURNAL = 2 * 64 * 1024 + 68 * BLOCK  # the smallest that can be mounted: it wraps often


class Marks:
    """What a log has said: it is there, it has these entries, it has had these checkpoints."""

    def __init__(self, lines=()):
        self.vkey = None
        self.entries = {}  # index -> bytes
        self.heads = {0: ReferenceLog().root()}  # size -> root
        self.add(lines)

    def add(self, lines):
        for line in lines:
            kind, *words = line.split(" ")
            if kind == "store":
                self.vkey = words[0]
            elif kind == "entry":
                self.put(self.entries, int(words[0]), bytes.fromhex(words[1]))
            elif kind == "head":
                self.put(self.heads, int(words[0]), bytes.fromhex(words[1]))
            else:
                raise AssertionError("an unknown mark: " + line)

    @staticmethod
    def put(table, key, value):
        if table.setdefault(key, value) != value:
            raise AssertionError("%d was promised twice, differently" % key)

    def lines(self):
        if self.vkey:
            yield "store " + self.vkey
        for index, entry in sorted(self.entries.items()):
            yield entry_line(index, entry)
        for size, root in sorted(self.heads.items()):
            yield "head %d %s" % (size, root.hex())

    def assert_kept(self, mount):
        """The mount shows a log that breaks none of them; returns its newest checkpoint."""
        checkpoint = mount.checkpoint()
        log = ReferenceLog(mount.entries())
        if checkpoint.size < max(self.heads):
            raise AssertionError("a checkpoint of size %d was seen, and now it is %d" %
                                 (max(self.heads), checkpoint.size))
        if len(log) < checkpoint.size or log.root(checkpoint.size) != checkpoint.root:
            raise AssertionError("size %d: the root is not that of the entries" % checkpoint.size)
        for index, entry in self.entries.items():
            if len(log) <= index:
                raise AssertionError("entry %d was acknowledged, and the log has %d" %
                                     (index, len(log)))
            if log.entries[index] != entry:
                raise AssertionError("entry %d was acknowledged, and is another now" % index)
        for size, root in self.heads.items():
            if log.root(size) != root:
                raise AssertionError("the checkpoint of size %d is contradicted" % size)
        return checkpoint


def entry_line(index, entry):
    return "entry %d %s" % (index, entry.hex())


def append_with_receipts(path, entries):
    """Returns (index, entry) of each, once acknowledged."""
    with open(path, "r+b", buffering=0) as file:
        harness.write_all(file, b"".join(entry + b"\n" for entry in entries))
        text = b""
        while text.count(b"\n") < len(entries):
            part = file.read(65536)
            if not part:
                raise AssertionError("%d receipts are missing" % len(entries))
            text += part
    return [(int(receipt.split()[0]), entry) for receipt, entry in zip(text.splitlines(), entries)]


class Worker(threading.Thread):
    """Repeats `step` so many times, or until it is told to stop, or its mount is killed."""

    def __init__(self, step, times):
        super().__init__(daemon=True)
        self.step, self.times = step, times
        self.stopped = threading.Event()
        self.error = None

    def run(self):
        try:
            for _ in range(self.times):
                if self.stopped.is_set():
                    return
                self.step()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def finish(self, may_have_died):
        self.join(30)
        if self.is_alive():
            raise AssertionError("a thread hangs")
        if self.error and not (may_have_died and isinstance(self.error, OSError)):
            raise AssertionError("%r" % self.error) from self.error


class Life:
    """What happens to one store while its disk is recorded."""

    def __init__(self, test, recorder, store, rng):
        self.test, self.recorder, self.store, self.rng = test, recorder, store, rng

    def create(self, with_default_journal):
        origin = self.test.ORIGIN
        if with_default_journal:
            vkey = power_machine.must([harness.PROGRAM, "init", self.store, "--origin", origin])
        else:
            os.mkdir(self.store)
            parent = os.open(os.path.dirname(self.store), os.O_RDONLY)
            os.fsync(parent)
            os.close(parent)
            length = SMALL_JOURNAL + BLOCK * self.rng.choice((0, 0, 16, 200))
            vkey = power_machine.must([store_writer(), "init", self.store, origin, str(length)])
        self.recorder.mark("store %s\n" % vkey.split()[-1])

    def one_round(self, most_appends):
        """Some daemons, writers and a reader; in the end some are killed, the others unmounted."""
        mounts = [self.test.mount(self.store, name="log%d" % i)
                  for i in range(self.rng.choice((1, 1, 2)))]
        killed = [mount for mount in mounts if self.rng.random() < 0.3]
        writers = [(mount, Worker(self.writing(mount), self.rng.randint(1, most_appends)))
                   for mount in mounts for _ in range(self.rng.choice((1, 1, 2)))]
        others = [(mount, Worker(self.reading(mount), 1 << 30)) for mount in mounts]
        others.append((None, Worker(self.pushing(), 1 << 30)))
        for _, worker in others + writers:
            worker.start()
        if killed:
            time.sleep(self.rng.uniform(0, 0.05))
            for mount in killed:
                mount.daemon.kill()
                mount.daemon.wait(20)
        for mount, worker in writers:
            worker.finish(mount in killed)
        for mount, worker in others:
            worker.stopped.set()
            worker.finish(mount in killed)
        for mount in mounts:
            if mount not in killed:
                mount.unmount()
            self.test.forget(mount)

    def writing(self, mount):
        rng = random.Random(self.rng.getrandbits(64))

        def step():
            entries = [rng.randbytes(rng.choice((0, 4, 30, 300))).hex().encode()
                       for _ in range(rng.choice((1, 1, 1, 2, 9, 60, 300)))]
            self.recorder.mark("".join(entry_line(index, entry) + "\n" for index, entry in
                                       append_with_receipts(mount / "add", entries)))
        return step

    def reading(self, mount):
        seen = set()

        def step():
            checkpoint = mount.checkpoint()
            if checkpoint.note not in seen:
                seen.add(checkpoint.note)
                self.recorder.mark("head %d %s\n" % (checkpoint.size, checkpoint.root.hex()))
            time.sleep(0.0005)
        return step

    def pushing(self):
        """The kernel may write back any page at any time."""
        rng = random.Random(self.rng.getrandbits(64))

        def step():
            time.sleep(rng.choice((0.001, 0.003, 0.01)))
            power_machine.push(rng.choice(list(power_machine.files_below(self.store))))
        return step


class PowerTest(harness.MountTest):
    SECONDS = 60 + 3 * CUTS

    machine = None

    def setUp(self):
        super().setUp()
        self.machine = power_machine.Machine(self.path("machine"), FILESYSTEM)
        self.addCleanup(self.machine.remove)
        self.addCleanup(self._forget_all)  # the logs before what they lie on
        self.counts = collections.Counter()

    def test_nothing_promised_is_lost(self):
        if KEPT:
            self.look_again()
            return
        print("TLOGFS_POWER_SEED=%d" % SEED, flush=True)
        start = time.monotonic()
        recording = 0
        while self.counts["cuts"] < CUTS:
            self.cut_one_life(random.Random("%d.%d" % (SEED, recording)), recording)
            recording += 1
        counts = self.counts
        print("%s: %d cuts of %d recordings, %d of them in recovery, %d before there was a store; "
              "ro showed %d, refused %d; %d acknowledged entries looked for; %.0f ms a cut" %
              (FILESYSTEM, counts["cuts"], recording, counts["in recovery"], counts["no store"],
               counts["ro shown"], counts["ro refused"], counts["entries"],
               1000 * (time.monotonic() - start) / counts["cuts"]), flush=True)
        self.assertGreater(counts["entries"], 10 * CUTS)

    def cut_one_life(self, rng, recording):
        self.machine.boot(rng)
        self.machine.make_filesystem("empty.img")
        record, torn = self.record_life(
            "empty.img", rng, rounds=rng.randint(2, 6), most_appends=20,
            create=lambda life: life.create(recording % 4 == 1))
        self.assert_complete(record)
        is_there = record.point_of(b"store ")
        for _ in range(min(CUTS_A_RECORDING, CUTS - self.counts["cuts"])):
            points = (0, is_there) if rng.random() < 0.15 else (is_there, len(record))
            point = rng.randint(*points)
            self.machine.copy("empty.img", "cut.img")
            record.cut(self.machine.path("cut.img"), point, rng, torn)
            marks = Marks(record.marks(point))
            try:
                self.survive(marks, rng, 0)
            except Exception as error:
                raise AssertionError(
                    "TLOGFS_POWER_SEED=%d: cut %d, of recording %d at %d of %d: %s; %s" %
                    (SEED, self.counts["cuts"], recording, point, len(record),
                     str(error).strip(), self.keep())) from error
            self.counts["cuts"] += 1

    def assert_complete(self, record):
        """All that was recorded, on top of what was before it, is what the disk has in the end."""
        self.machine.copy("empty.img", "cut.img")
        record.replay(self.machine.path("cut.img"))
        power_machine.must(["cmp", self.machine.path("cut.img"), self.machine.path("live.img")])

    def record_life(self, image, rng, rounds, most_appends, create=None):
        """Lives on a copy of the image; returns the record, and which blocks may be torn."""
        self.machine.copy(image, "live.img")
        recorder = power_machine.Recorder(self.machine, "live.img", "record")
        life = Life(self, recorder, os.path.join(self.machine.mount(recorder.disk), "store"), rng)
        if create:
            create(life)
        for _ in range(rounds):
            life.one_round(most_appends)
        torn = power_machine.blocks_of(life.store)
        self.machine.unmount()
        recorder.stop()
        return power_machine.Record(self.machine.path("record")), torn

    def survive(self, marks, rng, depth):
        """`cut.img` keeps what is promised, also if the power is cut again while it recovers."""
        self.marks = marks  # for keep()
        if not marks.vkey or depth == DEEPEST or rng.random() < 0.7:
            self.look(marks, rng)
            return
        self.machine.boot(rng)
        record, torn = self.record_life("cut.img", rng, rounds=1, most_appends=3)
        is_up = record.point_of(b"head ")
        point = rng.randint(0, is_up if rng.random() < 0.7 else len(record))
        self.machine.copy("cut.img", "next.img")
        record.cut(self.machine.path("next.img"), point, rng, torn)
        os.rename(self.machine.path("next.img"), self.machine.path("cut.img"))
        self.counts["in recovery"] += depth == 0
        self.survive(Marks([*marks.lines(), *record.marks(point)]), rng, depth + 1)

    def look(self, marks, rng):
        self.machine.boot(rng)
        self.machine.copy("cut.img", "look.img")
        store = os.path.join(self.machine.mount("look.img"), "store")
        if marks.vkey:
            self.look_reading(store, marks)
            self.look_writing(store, marks)
        else:
            self.counts["no store"] += 1
            if os.path.isdir(store) and self.is_let_in(store, "rw"):
                self.look_writing(store, marks)
        self.machine.unmount()

    def look_reading(self, store, marks):
        if not self.is_let_in(store, "ro", "mount it once for writing"):
            self.counts["ro refused"] += 1
            return
        self.counts["ro shown"] += 1
        mount = self.mount(store, "ro", name="log")
        marks.assert_kept(mount)
        mount.unmount()
        self.forget(mount)

    def look_writing(self, store, marks):
        mount = self.mount(store, name="log")
        checkpoint = marks.assert_kept(mount)
        self.counts["entries"] += len(marks.entries)
        after = Marks(marks.lines())
        entries = [b"after the cut %d" % i for i in range(5)]
        for index, entry in append_with_receipts(mount / "add", entries):
            self.assertLessEqual(checkpoint.size, index)
            after.put(after.entries, index, entry)
        after.put(after.heads, checkpoint.size, checkpoint.root)
        after.assert_kept(mount)
        mount.unmount()
        self.forget(mount)
        power_machine.must([harness.PROGRAM, "check", store] +
                           (["--vkey", marks.vkey] if marks.vkey else []))

    def is_let_in(self, store, options, advice=""):
        """Whether it can be mounted; if not, one line says why, and gives this advice."""
        point = self.path("log")
        os.makedirs(point, exist_ok=True)
        done = harness.run([harness.PROGRAM, "mount", store, point, "-o", options])
        if done.code != 0:
            self.assert_one_line(done)
            self.assertIn(advice, done.err.decode())
            return False
        power_machine.must(["umount", point])
        harness.wait_for(lambda: not harness.daemons_below(self.folder), "the daemon has ended")
        return True

    def look_again(self):
        with open(os.path.join(KEPT, "marks"), encoding="utf-8") as file:
            marks = Marks(file.read().splitlines())
        power_machine.must(["cp", "--sparse=always", os.path.join(KEPT, "cut.img"),
                            self.machine.path("cut.img")])
        self.look(marks, random.Random(SEED))

    def keep(self):
        """Brings the disk to a folder that stays; returns a line that says how to see it again."""
        if not os.path.exists(self.machine.path("cut.img")):
            return "nothing was cut"
        folder = tempfile.mkdtemp(prefix="tlogfs-power-")
        power_machine.must(["cp", "--sparse=always", self.machine.path("cut.img"), folder])
        with open(os.path.join(folder, "marks"), "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in self.marks.lines())
        return "again: TLOGFS_POWER_FS=%s TLOGFS_POWER_KEPT=%s" % (FILESYSTEM, folder)

    def forget(self, mount):
        mount.remove()
        self.mounts.remove(mount)

    def _forget_all(self):
        super()._kill_daemons()
        for mount in list(self.mounts):
            self.forget(mount)

    def _kill_daemons(self):
        super()._kill_daemons()
        if self.machine:
            self.machine.stop_by_force()


if __name__ == "__main__":
    if not harness.reason_not_to_mount():
        reason = power_machine.reason_not_to_run(FILESYSTEM)
        if reason:
            sys.stderr.write("skipped: %s\n" % reason)
            sys.exit(1 if os.environ.get("TLOGFS_REQUIRE_MOUNT") == "1" else harness.SKIPPED)
        power_machine.enter_namespace()
    harness.main()
