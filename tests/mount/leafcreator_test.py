#!/usr/bin/env python3
"""examples/leafcreator on a store that is mounted: several of them, read and verified all the time.

ThreeTerminalsTest: two instances, a reader and a writer with a mount, and a third instance; one of
the three is killed. The others go on, every checkpoint that anybody read is a root of the log, each
writer's leaves are there without a gap, and as many as its instance said. Once at a rate, and at
full speed on a journal that wraps all the time.

LoadTest: what one instance does: its rate, its memory, its end, its refusals.

TLOGFS_LEAFCREATOR_ROUNDS says how often at full speed (1), TLOGFS_LEAFCREATOR_SEED when the kill
comes (it is printed; the scheduling is never the same).
"""

import collections
import contextlib
import fcntl
import os
import random
import re
import shutil
import signal
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "crash"))

import harness  # noqa: E402
from promises import Promises, Reader, init_small  # noqa: E402
from reference_log import Checkpoint, signature_is_good  # noqa: E402

ROUNDS = int(os.environ.get("TLOGFS_LEAFCREATOR_ROUNDS", "1"))
SEED = int(os.environ.get("TLOGFS_LEAFCREATOR_SEED", str(time.time_ns() % 1_000_000)))
WRITERS = 20  # of each instance
LATENCY = r"(--|\[Mean: [\d.]+ms Min: [\d.]+ms Max: [\d.]+ms p50: [\d.]+ms p99: [\d.]+ms\])"
FIGURE = re.compile(r"(\w+): ([\d.]+)ms")
LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{6} CP size (\d+) \(\+(\d+)\); Latency: " + LATENCY)
SUMMARY = re.compile(r"(\d+) leaves in ([\d.]+) s, \d+/s( of \d+/s)?; Latency: " + LATENCY)


def leafcreator():
    """It is built next to the program."""
    return os.path.join(os.path.dirname(os.path.abspath(harness.PROGRAM)), "leafcreator")


class Terminal:
    """A running instance, and what it says."""

    def __init__(self, test, store, *flags):
        self.test = test
        self.path = test.path("terminal %d" % time.monotonic_ns())
        with open(self.path, "wb") as output, open(self.path + " errors", "wb") as errors:
            self.child = test.start([leafcreator(), "--path", store, *flags], stdout=output,
                                    stderr=errors)
        self.pid = self.child.pid

    def read(self, suffix=""):
        with open(self.path + suffix, encoding="utf-8") as file:
            return file.read()

    def sizes(self):
        """(size of the checkpoint, how much it grew) of each line up to now."""
        lines = [LINE.fullmatch(line) for line in self.read().splitlines()]
        return [(int(line[1]), int(line[2])) for line in lines if line]

    def latencies(self):
        """{"Mean": milliseconds, ...} of each line that has any, up to now and in their order."""
        found = [{name: float(value) for name, value in FIGURE.findall(line)}
                 for line in self.read().splitlines()]
        return [figures for figures in found if figures]

    def stop(self):
        self.child.send_signal(signal.SIGINT)
        return self.end()

    def kill(self):
        self.child.kill()
        self.child.wait(20)

    def end(self, code=0):
        """Its summary: how many leaves, in how many seconds. Each line was as it should be."""
        self.test.assertEqual(self.child.wait(30), code, self.read(" errors"))
        *lines, summary = self.read().splitlines()
        for line in lines:
            self.test.assertRegex(line, LINE)
        found = SUMMARY.fullmatch(summary)
        self.test.assertTrue(found, summary)
        sizes = self.sizes()
        for (before, _), (after, growth) in zip(sizes, sizes[1:]):
            self.test.assertEqual(after - before, growth)
        greatest = 0
        for figures in self.latencies():
            mean, least, most, p50, p99 = (figures[name]
                                           for name in ("Mean", "Min", "Max", "p50", "p99"))
            self.test.assertTrue(least <= p50 <= p99 <= most, figures)
            self.test.assertTrue(least <= mean <= most, figures)
            self.test.assertLessEqual(greatest, most)  # of all since the start
            greatest = most
        if code == 0:
            self.test.assertEqual(self.read(" errors"), "")
        return int(found[1]), float(found[2])


def count_leaves(test, entries):
    """How many of each instance there are; those of each writer are there in order, without gap."""
    next_number = collections.Counter()
    counts = collections.Counter()
    for entry in entries:
        instance, writer, number, _ = entry.split(b" ")
        test.assertEqual(int(number), next_number[instance, writer], entry)
        next_number[instance, writer] += 1
        counts[instance] += 1
    return counts


class ThreeTerminalsTest(harness.MountTest):
    SECONDS = 60 + 30 * ROUNDS

    def terminal(self, *flags):
        return Terminal(self, self.store, "--num_writers=%d" % WRITERS, *flags)

    def work_until(self, moment, count, *places):
        """Reads and verifies all that is new, through one mount, and appends through it as well.
        Until then at least, until so many instances have come, and until those in these places,
        in the order in which they came, have a leaf among what is new."""
        found = set()
        while (time.monotonic() < moment or len(self.instances) < count
               or not {self.instances[place] for place in places} <= found):
            self.assertLess(time.monotonic(), moment + 20, "leaves of %s alone" % found)
            line = b"mount 0 %d ." % self.lines
            self.mounts[0].append(line)
            self.lines += 1
            self.promises.acknowledge(line)
            before = len(self.promises.log)
            self.promises.keep(self.mounts[0])
            for entry in self.promises.log.entries[before:]:
                found.add(entry.split(b" ", 1)[0])
                if entry.split(b" ", 1)[0] not in (b"mount", *self.instances):
                    self.instances.append(entry.split(b" ", 1)[0])
            time.sleep(0.02)

    def run_terminals(self, flags, times):
        """Three instances, started at three times; the second is killed; to the end of the last."""
        second, third, kill, end = times
        self.promises, self.lines, self.instances = Promises(), 0, []
        mount = self.mount(self.store, name="mnt")
        reader = Reader(self.mount(self.store, "ro", name="public") / "checkpoint")
        reader.start()
        start = time.monotonic()
        one = self.terminal(*flags)
        self.work_until(start + second, 1)
        killed = self.terminal(*flags)
        self.work_until(start + third, 2)
        three = self.terminal(*flags)
        self.work_until(start + kill, 3, 1, 2)
        killed.kill()
        self.promises.keep(mount)
        self.work_until(start + end, 3, 0, 2)  # They go on.
        of_one, of_killed, of_three = self.instances
        counts = {b"mount": self.lines, of_one: one.stop()[0], of_three: three.stop()[0]}
        reader.stop()
        for note in reader.notes:
            self.promises.see(note)
        self.promises.keep(mount)
        self.assert_signed(reader.notes, mount.read("vkey").decode().strip())

        entries = self.promises.log.entries
        found = count_leaves(self, entries)
        counts[of_killed] = found[of_killed]  # What it had been told, nobody knows.
        self.assertEqual(found, counts)
        for size, _ in one.sizes() + three.sizes():
            self.assertLessEqual(size, len(entries))
        print("%d leaves of three, %d lines, %d checkpoints; %d of the killed one" % (
            len(entries) - self.lines, self.lines, len(reader.notes), counts[of_killed]),
            flush=True)
        for each in list(self.mounts):
            each.unmount()
            each.remove()
            self.mounts.remove(each)
        self.assert_sound(self.store)

    def assert_signed(self, notes, vkey):
        """A few of the checkpoints: openssl(1) takes its time."""
        for note in random.Random(SEED).sample(sorted(notes), min(10, len(notes))):
            self.assertTrue(signature_is_good(Checkpoint(note), vkey), note)

    def test_at_a_rate(self):
        self.store = self.init()
        self.run_terminals(["--leaves_per_second=100", "--leaf_size=100"], (0.7, 1.4, 2.5, 4))

    def test_at_full_speed(self):
        print("TLOGFS_LEAFCREATOR_SEED=%d" % SEED, flush=True)
        chance = random.Random(SEED)
        for _ in range(ROUNDS):
            self.store = init_small(self, 1 << 20)
            # Few writers and small batches: Python has to check all of it.
            flags = ["--leaves_per_second=0", "--leaf_size=40", "--batch_size=5"]
            self.run_terminals(flags, (0.2, 0.4, 0.6 + 0.4 * chance.random(), 1.2))
            shutil.rmtree(self.store)


class LoadTest(harness.MountTest):
    @contextlib.contextmanager
    def nobody_commits(self, store):
        """Holds the lock of commits, as a writer on a very slow disk does."""
        with open(os.path.join(store, "lock"), "r+b") as file:
            for kind in (fcntl.F_WRLCK, fcntl.F_UNLCK):
                lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, 1, 1, 0)
                fcntl.fcntl(file, fcntl.F_OFD_SETLKW, lock)
                if kind == fcntl.F_WRLCK:
                    yield

    def test_the_rate_does_not_drift(self):
        """After a store that stood still for a second all is made that was to be made; and the
        latency tells of that second."""
        store = self.init()
        terminal = Terminal(self, store, "-num_writers=10", "--leaves_per_second=100",
                            "-batch_size=4", "--leaf_size=50", "--duration=3s")
        harness.wait_for(terminal.sizes, "a line is there")
        with self.nobody_commits(store):
            time.sleep(1)
        leaves, seconds = terminal.end()
        self.assertGreaterEqual(leaves, 0.85 * 1000 * 3)
        self.assertLessEqual(leaves, 1000 * seconds + 10)
        mount = self.mount(store)
        self.assertEqual(list(count_leaves(self, mount.entries()).values()), [leaves])
        self.assertTrue(950 <= terminal.latencies()[-1]["Max"] <= 1000 * seconds)
        self.assertEqual({len(entry) for entry in mount.entries()}, {50})

    def test_a_slow_store_takes_no_memory(self):
        store = self.init()
        terminal = Terminal(self, store, "--num_writers=5000", "--leaves_per_second=1000",
                            "--leaf_size=50000")
        harness.wait_for(terminal.sizes, "a line is there")
        with self.nobody_commits(store):
            lines = len(terminal.sizes())
            harness.wait_for(lambda: lines + 2 <= len(terminal.sizes()), "two lines more")
            self.assertEqual(terminal.sizes()[-1][1], 0, "it was held up")
            with open("/proc/%d/status" % terminal.pid, encoding="utf-8") as status:
                peak = int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])
        leaves, _ = terminal.stop()
        self.assertLess(peak, 64 << 10)
        done = harness.run([harness.PROGRAM, "check", store])
        self.assertEqual(done.code, 0, done)
        self.assertIn(b" %d " % leaves, done.out + b" ")

    def test_a_full_disk_ends_it(self):
        disk = self.path("disk")
        os.mkdir(disk)
        done = harness.run(["mount", "-t", "tmpfs", "-o", "size=90M", "none", disk])
        self.assertEqual(done.code, 0, done)
        store = self.init("disk/store")
        terminal = Terminal(self, store, "--leaves_per_second=0", "--leaf_size=1000")
        leaves, _ = terminal.end(1)
        self.assertRegex(terminal.read(" errors"), r"\Aleafcreator: [^\n]+No space[^\n]*\n\Z")
        mount = self.mount(store, "ro")
        self.assertEqual(list(count_leaves(self, mount.entries()).values()), [leaves])
        mount.unmount()
        self.assert_sound(store)

    def test_each_instance_has_a_number_of_its_own(self):
        """Wherever they run, also where all have the same process number."""
        store = self.init()
        command = ["unshare", "--pid", "--fork", leafcreator(), "--path", store, "--duration=100ms",
                   "--num_writers=1", "--leaf_size=100"]
        for _ in range(3):
            done = harness.run(command)
            self.assertEqual(done.code, 0, done)
        counts = count_leaves(self, self.mount(store, "ro").entries())
        self.assertEqual(len(counts), 3)

    def test_leaves_that_the_journal_cannot_take(self):
        store = init_small(self, 3 << 16)
        run = [leafcreator(), "--path", store, "--duration=100ms", "--num_writers=3"]
        done = harness.run([*run, "--leaf_size=65535"])
        self.assertEqual((done.code, done.out), (1, b""))
        self.assertRegex(done.err, rb"\Aleafcreator: [^\n]+: its journal is too small[^\n]+\n\Z")
        most = int(re.search(rb"takes (\d+)", done.err)[1])
        done = harness.run([*run, "--leaf_size=%d" % (most + 1)])
        self.assertEqual((done.code, done.out), (1, b""))
        done = harness.run([*run, "--leaf_size=%d" % most])
        self.assertEqual((done.code, done.err), (0, b""))
        self.assert_sound(store)

    def test_it_ends_by_signals(self):
        store = self.init()
        leaves = 0
        terminals = [(Terminal(self, store, "--leaves_per_second=0", "--leaf_size=0"), number)
                     for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        for terminal, number in terminals:
            harness.wait_for(terminal.sizes, "a line is there")
            terminal.child.send_signal(number)
            leaves += terminal.end()[0]
        self.assertEqual(self.mount(store).checkpoint().size, leaves)

    def test_what_it_refuses(self):
        store = self.init()
        for flags in (["--num_writers=0"], ["--num_writers=100001"], ["--num_writers=1x"],
                      ["--num_writers"], ["--leaves_per_second=-1"], ["--batch_size=0"],
                      ["--batch_size=010"], ["--leaf_size=65536"], ["--duration=1w"],
                      ["--duration=s"], ["--duration=99999999999999999999s"], ["--leaf_size=1.5"],
                      ["--rate=1"], ["more"], ["--path=again"]):
            done = harness.run([leafcreator(), "--path", store, "--duration=100ms", *flags])
            self.assertEqual((done.code, done.out), (2, b""), flags)
            self.assertRegex(done.err, rb"\Aleafcreator: [^\n]+\n\Z", flags)
        done = harness.run([leafcreator()])
        self.assertEqual((done.code, done.out), (2, b""))
        done = harness.run([leafcreator(), "--path", self.path("nowhere")])
        self.assertEqual((done.code, done.out), (1, b""))
        self.assertRegex(done.err, rb"\Aleafcreator: [^\n]+nowhere: [^\n]+\n\Z")
        self.assertFalse(os.path.exists(self.path("nowhere")))
        done = harness.run([leafcreator(), "--help"])
        self.assertEqual((done.code, done.err), (0, b""))


if __name__ == "__main__":
    harness.main()
