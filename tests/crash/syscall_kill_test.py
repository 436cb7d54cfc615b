"""kill -9 at chosen system calls: a commit, a publication, an advance of the base, an opening that
recovers, the first entry of a new segment, an init, each cut short at each of its calls.

First a program is watched by strace: that tells its calls on the store's files (strace.py). Then,
round after round, it is killed at one of them. After each death: the others that have the store
open go on at once, or it is opened again; everything acknowledged is there, at its index; every
checkpoint that was read holds; `tlogfs check` finds nothing.

TLOGFS_SYSCALL_ROUNDS says how often (100 for all tests here together, about); from some 3,000 on
every call has had its turn. TLOGFS_KILL_SEED says in which order: it is printed.
"""

import os
import random
import signal
import subprocess
import time
import warnings
from unittest import mock

import strace
from kill_test import MountWriter
from promises import Promises, Reader, harness, init_small, store_writer

ROUNDS = int(os.environ.get("TLOGFS_SYSCALL_ROUNDS", "100"))
SEED = int(os.environ.get("TLOGFS_KILL_SEED", str(time.time_ns() % 1_000_000)))
JOURNAL_LENGTH = 400 << 10  # 68 records: the base is advanced after every 17
SEGMENT = 65536
KILL = "signal=KILL"


class SyscallTest(harness.MountTest):
    SECONDS = 60 + 5 * ROUNDS

    def setUp(self):
        super().setUp()
        print("TLOGFS_KILL_SEED=%d" % SEED, flush=True)
        self.random = random.Random(SEED)
        self.promises = Promises()
        self.lines = 0
        self.kills = 0

    def new_lines(self, count):
        first = self.lines
        self.lines += count
        return [b"line %d" % i for i in range(first, first + count)]

    def some(self, points, rounds):
        """So many of the points, in random order, each before any comes again."""
        self.assertGreater(len(points), 20)
        chosen = []
        while len(chosen) < max(rounds, 1):
            chosen += self.random.sample(points, len(points))
        return chosen[:max(rounds, 1)]

    def append(self, store, before=(), count=60, batch=3):
        """A process of its own appends; `before` is strace's command line. Notes what was
        acknowledged."""
        lines = self.new_lines(count)
        done = harness.run([*before, store_writer(), "append", store, str(batch)],
                           stdin=b"".join(line + b"\n" for line in lines))
        for line, index in zip(lines, done.out.split()):
            self.promises.acknowledge(line, int(index))
        return done

    def append_until_killed(self, store, point, **how):
        done = self.append(store, strace.inject(store, point, KILL), **how)
        if done.code == -signal.SIGKILL:
            self.kills += 1
        else:  # It came to no such call this time.
            self.assertEqual(done.code, 0, (point, done))

    def profile(self, store, **how):
        self.assertEqual(self.append(store, strace.profile(self.path("trace")), **how).code, 0)
        return strace.points(self.path("trace"), store)

    def keep(self, looking):
        """All that is promised is to be published within a moment, and is kept."""
        size = 1 + max((index or 0 for _, index in self.promises.pending), default=-1)
        harness.wait_for(lambda: size <= looking.checkpoint().size, "published: %d" % size)
        self.promises.keep(looking)

    def init_points(self):
        store = self.path("profiled")
        self.init_store(store, strace.profile(self.path("trace")))
        return strace.points(self.path("trace"), store)

    def init_store(self, store, before):
        os.mkdir(store)
        return harness.run([*before, store_writer(), "init", store, self.ORIGIN,
                            str(JOURNAL_LENGTH)])

    def is_whole(self, store):
        """After an init that was cut short: a whole, empty store; or nothing that is taken for
        one, and its remains are refused in one line."""
        done = harness.run([harness.PROGRAM, "check", store])
        if done.code == 0:
            self.assertEqual(self.append(store, count=1).out, b"0\n")
            return True
        self.assertIn(done.code, (1, 2), done)
        os.makedirs(self.path("point"), exist_ok=True)
        self.assert_one_line(harness.run([harness.PROGRAM, "mount", store, self.path("point")]))
        self.assertNotEqual(self.append(store, count=1).code, 0)
        if os.listdir(store):
            self.assert_one_line(harness.run([harness.PROGRAM, "init", store, "--origin", "a"]))
        return False

    def say(self, what, rounds):
        print("%s: %d rounds, %d kills, %d entries, %d checkpoints" %
              (what, rounds, self.kills, len(self.promises.log), len(self.promises.heads)),
              flush=True)


class WriterTest(SyscallTest):
    """A process that writes to the store with the library alone."""

    def setUp(self):
        super().setUp()
        self.store = init_small(self, JOURNAL_LENGTH)
        self.looking = self.mount(self.store, "ro", name="looking")
        self.reader = Reader(self.looking / "checkpoint")
        self.reader.start()

    def look(self):
        for note in list(self.reader.notes):
            self.promises.see(note)
        self.keep(self.looking)
        self.assert_sound(self.store)

    def test_killed_alone(self):
        chosen = self.some(self.profile(self.store), ROUNDS // 2)
        for point in chosen:
            self.append_until_killed(self.store, point)
            if self.random.random() < 0.3:  # while it recovers, too
                self.append_until_killed(self.store, self.random.choice(chosen))
            with self.subTest(point=point):
                self.assertEqual(self.append(self.store, count=1).code, 0)
                self.look()
        self.reader.stop()
        self.say("alone", len(chosen))
        self.assertGreater(self.kills, len(chosen) // 2)

    def test_killed_beside_others(self):
        chosen = self.some(self.profile(self.store), ROUNDS // 2)
        mount = self.mount(self.store)
        library = self.start([store_writer(), "append", self.store], bufsize=0,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for point in chosen:
            self.append_until_killed(self.store, point)
            with self.subTest(point=point):
                self.goes_on(mount, library)
                self.look()
        library.stdin.close()
        self.assertEqual(library.wait(20), 0)
        mount.unmount()
        self.assert_sound(self.store)
        self.reader.stop()
        self.say("beside others", len(chosen))
        self.assertGreater(self.kills, len(chosen) // 2)

    def goes_on(self, mount, library):
        """Both append a line; who is first meets what the dead one left."""
        first, second = self.new_lines(2)
        if self.random.random() < 0.5:
            mount.append(first)
            self.promises.acknowledge(first)
        library.stdin.write(second + b"\n")
        self.promises.acknowledge(second, int(library.stdout.readline()))
        if first not in (entry for entry, _ in self.promises.pending):
            mount.append(first)
            self.promises.acknowledge(first)


class EdgeTest(SyscallTest):
    """The append that ends a segment and begins the next one."""

    def test_killed_between_two_segments(self):
        chosen = []
        rounds = max(ROUNDS // 12, 2)
        for number in range(1 + rounds):
            self.promises = Promises()
            os.mkdir(self.path("round %d" % number))
            store = self.prepare("round %d/store" % number)
            if number == 0:
                chosen = self.some([point for point in self.profile(store, count=12)
                                    if point.path.startswith("entries")], rounds)
                continue
            self.append_until_killed(store, chosen[number - 1], count=12)
            with self.subTest(point=chosen[number - 1]):
                self.assertEqual(self.append(store, count=7).code, 0)
                looking = self.mount(store, "ro", name="mnt")
                self.keep(looking)
                self.assert_sound(store)
                looking.unmount()
        self.say("between segments", rounds)
        self.assertGreater(self.kills, rounds // 3)

    def prepare(self, name):
        store = self.path(name)
        os.mkdir(store)
        done = harness.run([store_writer(), "init", store, self.ORIGIN, str(1 << 20)])
        self.assertEqual(done.code, 0, done)
        self.assertEqual(self.append(store, count=SEGMENT - 6, batch=8192).code, 0)
        return store


class DaemonTest(SyscallTest):
    def test_killed_daemon(self):
        store = init_small(self, JOURNAL_LENGTH)
        self.use_mount(store, strace.profile(self.path("trace"))[:1] + ["-D"] +
                       strace.profile(self.path("trace"))[1:])
        chosen = self.some(strace.points(self.path("trace"), store), ROUNDS // 8)
        for point in chosen:
            self.use_mount(store, strace.inject(store, point, KILL, detached=True))
            with self.subTest(point=point):
                again = self.mount(store, name="again")
                self.promises.keep(again)
                again.unmount()
                self.assert_sound(store)
        self.say("daemon", len(chosen))
        self.assertGreater(self.kills, len(chosen) // 3)

    def use_mount(self, store, before):
        """Mounts, appends a little, unmounts, as far as the daemon lives."""
        program = strace.wrapper(self.path("traced"), before, harness.PROGRAM)
        with mock.patch.object(harness, "PROGRAM", program), warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the file with a refusal's message
            try:
                mount = self.mount(store, name="mnt")
            except AssertionError:  # killed before it was mounted
                self.kills += 1
                return
        writer = MountWriter(mount / "add", b"lines %d" % self.lines, 2, True)
        self.lines += 1
        writer.start()
        harness.wait_for(lambda: 20 <= len(writer.acknowledged) or not writer.is_alive(), "lines")
        writer.stopping = True
        writer.join(20)
        self.assertFalse(writer.is_alive(), "a writer hangs on a dead mount")
        writer.promised_to(self.promises)
        if mount.daemon.poll() is None:
            harness.run(["umount", mount.path])
        if mount.daemon.wait(20) == -signal.SIGKILL:
            self.kills += 1
        else:
            self.assertEqual(mount.daemon.returncode, 0, mount.said())
        mount.remove()
        self.mounts.remove(mount)


class AdoptTest(SyscallTest):
    def test_killed_adoption(self):
        """The copy is still one, or is adopted; a second try always leads there."""
        self.source = init_small(self, JOURNAL_LENGTH)
        self.assertEqual(self.append(self.source).code, 0)
        mount = self.mount(self.source, "ro")
        self.keep(mount)
        with open(self.path("newest"), "wb") as file:
            file.write(mount.read("checkpoint"))
        profiled = self.copy("profiled")
        self.assertEqual(self.adopt(profiled, strace.profile(self.path("trace"))).code, 0)
        points = strace.points(self.path("trace"), profiled)
        reads = ("pread64", "newfstatat", "statx", "close")
        writes = [point for point in points if point.call not in reads]
        chosen = self.some(writes, ROUNDS // 8)
        for number, point in enumerate(chosen):
            copy = self.copy("copy%d" % number)
            self.adopt(copy, strace.inject(copy, point, KILL))
            with self.subTest(point=point):
                self.can_be_adopted(copy)
        print("adopt: %d kills" % len(chosen), flush=True)

    def copy(self, name):
        self.assertEqual(harness.run(["cp", "-a", self.source, self.path(name)]).code, 0)
        return self.path(name)

    def adopt(self, store, before=()):
        return harness.run([*before, harness.PROGRAM, "adopt", store, "--newest",
                            self.path("newest")])

    def can_be_adopted(self, store):
        self.assertEqual(self.adopt(store).code, 0)
        mount = self.mount(store, name="mnt")
        self.promises.keep(mount)
        mount.append(b"goes on")
        mount.unmount()
        self.assert_sound(store)


class InitTest(SyscallTest):
    def test_a_journal_too_small_for_every_entry_is_not_mounted(self):
        store = init_small(self, 192 << 10)
        os.mkdir(self.path("point"))
        self.assert_one_line(harness.run([harness.PROGRAM, "mount", store, self.path("point")]))
        self.assertEqual(self.append(store).code, 0)
        self.keep(self.mount(store, "ro"))

    def test_killed_init(self):
        points = self.init_points()
        whole = 0
        chosen = self.some(points, ROUNDS // 4)
        for number, point in enumerate(chosen):
            store = self.path("init%d" % number)
            done = self.init_store(store, strace.inject(store, point, KILL))
            with self.subTest(point=point):
                self.assertEqual(done.code, -signal.SIGKILL)
                whole += self.is_whole(store)
        print("init: %d kills, %d whole stores" % (len(chosen), whole), flush=True)


if __name__ == "__main__":
    harness.main()
