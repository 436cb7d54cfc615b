#!/usr/bin/env python3
"""Many writers and readers at once on one store, in many processes; their whole history is checked.

Two mounts with eight writers and eight readers each, every one of them a process; and two programs
with the library, four threads each, one of which comes and goes. They work for two seconds and note
what they did and saw, and when. Then the log is read once more, and everything is compared with it:
history.py says what must be true. Half of the rounds have a journal so small that it wraps all the
time.

TLOGFS_CONCURRENCY_ROUNDS says how often (2), TLOGFS_CONCURRENCY_SEED with what (it is printed; the
scheduling is never the same).
"""

import hashlib
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "crash"))

import harness  # noqa: E402
from harness import Checkpoint, tile_path, write_all  # noqa: E402
from history import Append, History, Sight, Sync, parse_receipts  # noqa: E402
from promises import entries_from, init_small, store_writer  # noqa: E402
from reference_log import ReferenceLog, leaf_hash, signature_is_good  # noqa: E402

ROUNDS = int(os.environ.get("TLOGFS_CONCURRENCY_ROUNDS", "2"))
SEED = int(os.environ.get("TLOGFS_CONCURRENCY_SEED", str(time.time_ns() % 1_000_000)))
LOAD_SECONDS = 2
MOUNTS = 2
READERS = 8  # for each mount
ENTRIES_A_SECOND = 1500  # at most, by one writer: Python has to check them all
JOURNAL_LENGTHS = (1 << 20, 64 << 20)

now = time.monotonic_ns


class Worker:
    """A process that runs `work` from the beginning of a round to its end, and gives a History."""

    def __init__(self, test, work, begin, end):
        receiver, sender = multiprocessing.Pipe(duplex=False)
        self.process = multiprocessing.get_context("fork").Process(
            target=self.run, args=(sender, work, begin, end), daemon=True)
        self.receiver = receiver
        self.process.start()
        sender.close()
        test.addCleanup(self.remove)

    @staticmethod
    def run(sender, work, begin, end):
        try:
            time.sleep(max(0, (begin - now()) / 1e9))
            work.step()
            while now() < end:
                work.step()
            sender.send(work.finish())
        except BaseException:  # pylint: disable=broad-except
            sender.send(traceback.format_exc())

    def result(self):
        if not self.receiver.poll(harness.MountTest.SECONDS):
            raise AssertionError("a worker hangs")
        result = self.receiver.recv()
        if isinstance(result, str):
            raise AssertionError("a worker failed:\n" + result)
        self.remove()
        return result

    def remove(self):
        self.process.kill()  # If it is not at its end, the test is.
        self.process.join(20)
        self.receiver.close()


class Writer:
    """Appends through a mount. Each step is one append, of one write or more."""

    def __init__(self, mount, name, seed, most_lines, most_bytes):
        self.mount, self.place = mount, mount.path
        self.name = name
        self.random = random.Random("%s %s" % (seed, name))
        self.most_lines, self.most_bytes = most_lines, most_bytes
        self.count = 0
        self.history = History()

    def step(self):
        begin = now()
        count = self.append()
        time.sleep(max(0, count / ENTRIES_A_SECOND - (now() - begin) / 1e9))

    def finish(self):
        return self.history

    def entries(self):
        """New ones: no other ever written is the same."""
        first = self.count
        self.count += self.random.randint(1, self.most_lines)
        return [b"%s %d %s" % (self.name.encode(), number,
                               b"." * self.random.randrange(self.most_bytes))
                for number in range(first, self.count)]

    def open(self, name="add", mode="r+b"):
        return open(self.mount / name, mode, buffering=0)

    def write(self, file, content, entries, receipts=True):
        begin = now()
        write_all(file, content)
        end = now()
        text = b""
        while receipts and text.count(b"\n") < len(entries):
            part = file.read(1 << 20)
            if not part:
                raise AssertionError("%d of %d receipts" % (text.count(b"\n"), len(entries)))
            text += part
        self.history.appends.append(Append(self.place, begin, end, entries,
                                           parse_receipts(text) if receipts else None))

    def sync(self, function, *arguments, entry=None):
        begin = now()
        function(*arguments)
        self.history.syncs.append(Sync(self.place, begin, now(), entry))


def lines_of(entries):
    return b"".join(entry + b"\n" for entry in entries)


class Holding(Writer):
    """Has `add` open all the time, and sometimes waits for fsync(2)."""

    file = None

    def append(self):
        self.file = self.file or self.open()
        entries = self.entries()
        self.write(self.file, lines_of(entries), entries)
        if self.random.random() < 0.3:
            self.sync(os.fsync, self.file.fileno())
        return len(entries)

    def finish(self):
        if self.file:
            self.sync(self.file.close)
        return self.history


class Bundles(Holding):
    def append(self):
        self.file = self.file or self.open("add.bundle")
        entries = self.entries()
        frames = b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
        self.write(self.file, frames, entries)
        return len(entries)


class Passing(Writer):
    """Opens `add`, writes, closes it: as `echo` does, or reading the receipts."""

    def append(self):
        receipts = self.random.random() < 0.5
        file = self.open() if receipts else self.open(mode="ab")
        entries = self.entries()
        self.write(file, lines_of(entries), entries, receipts)
        self.sync(file.close)
        return len(entries)


class Unterminated(Writer):
    """Writes lines in pieces; close(2) ends the last one."""

    def append(self):
        file = self.open()
        entries = self.entries()
        content = lines_of(entries)[:-1]
        middle = self.random.randrange(len(content))
        begin = now()
        write_all(file, content[:middle])
        write_all(file, content[middle:])
        self.sync(file.close, entry=entries[-1])
        self.history.appends.append(Append(self.place, begin, now(), entries, None))
        return len(entries)


# (class, lines at most, bytes at most of a line): the eight writers of a mount.
WRITERS = ((Holding, 1, 200), (Holding, 1, 200), (Holding, 40, 200), (Holding, 300, 1000),
           (Bundles, 60, 100), (Passing, 1, 100), (Passing, 3, 100), (Unterminated, 2, 100))


class Reader:
    """Each step reads a checkpoint and something that it covers, each through one of the mounts."""

    def __init__(self, mounts, seed):
        self.mounts = mounts
        self.random = random.Random(seed)
        self.history = History()
        self.logs = {}  # mount -> [file, lines, hash, length] of `log`

    def step(self):
        size = self.read_checkpoint()
        self.random.choice((self.read_tile, self.read_bundle, self.read_entry, self.read_next_entry,
                            self.read_log, lambda size: None))(size)
        time.sleep(0.001)

    def finish(self):
        for file, _, digest, length in self.logs.values():
            file.close()
            self.history.texts.add((length, digest.digest()))
        return self.history

    def mount(self):
        return self.random.choice(self.mounts)

    def saw(self, begin, size, what):
        self.history.sights.append(Sight(begin, now(), size, what))

    def read_checkpoint(self):
        mount = self.mount()
        begin = now()
        note = mount.read("checkpoint")
        size = Checkpoint(note).size
        self.saw(begin, size, "a checkpoint of " + mount.path)
        self.history.notes.add(note)
        return size

    def slice(self, size, level):
        """(number, width) of the newest slice of that level, or of any, as it was at any time."""
        if self.random.random() < 0.5:
            size = self.random.randint(0, size)
        nodes = size >> 8 * level
        if nodes == 0:
            return None, 0
        number = (nodes - 1) // 256
        if self.random.random() < 0.2:
            number = self.random.randint(0, number)
        return number, min(256, nodes - 256 * number)

    def read_tile(self, size):
        level = self.random.choice((0, 0, 1, 2))
        number, width = self.slice(size, level)
        if width:
            self.history.see((level, number, width),
                             self.mount().read(tile_path(level, number, width)))

    def read_bundle(self, size):
        number, width = self.slice(size, 0)
        if width:
            self.history.see(("entries", number, width),
                             self.mount().read(tile_path("entries", number, width)))

    def read_entry(self, size):
        if size:
            number = self.random.randrange(size)
            self.history.see(("entry", number, 1), self.mount().read("entries/%d" % number))

    def read_next_entry(self, size):
        """It may be there already; but then its checkpoint is, too."""
        mount = self.mount()
        try:
            content = mount.read("entries/%d" % size)
        except FileNotFoundError:
            return
        self.saw(0, size + 1, "an entry of " + mount.path)
        self.history.see(("entry", size, 1), content)

    def read_log(self, _):
        """What came since the last time; it grows by whole lines."""
        mount = self.mount()
        if mount not in self.logs:
            self.logs[mount] = [open(mount / "log", "rb", buffering=0), 0, hashlib.sha256(), 0]
        log = self.logs[mount]
        begin = now()
        last = b"\n"
        while part := log[0].read(1 << 20):
            log[1] += part.count(b"\n")
            log[2].update(part)
            log[3] += len(part)
            last = part[-1:]
        self.saw(begin, log[1], "`log` of " + mount.path)
        if last != b"\n":
            raise AssertionError("`log` ends in half a line")


class Library(threading.Thread):
    """Programs with the library, one after the other, that append until the end of the round."""

    THREADS = 4
    BATCH = 5
    LINES_A_SECOND = 3000

    def __init__(self, test, name, seconds, end):
        super().__init__(daemon=True)
        self.test, self.name_of_lines, self.seconds, self.end = test, name, seconds, end
        self.output = test.path(name)
        self.history = History()
        self.count = 0
        self.error = None

    def run(self):
        try:
            while now() < self.end:
                self.run_program(min(self.end, now() + int(self.seconds * 1e9)))
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def run_program(self, end):
        with open(self.output, "wb") as output:
            # A short pipe: what is in it at the end still has to be appended.
            child = self.test.start([store_writer(), "history", self.test.store, str(self.BATCH),
                                     str(self.THREADS)],
                                    stdin=subprocess.PIPE, stdout=output, pipesize=4096,
                                    bufsize=0)
        while now() < end:
            lines = b"".join(b"%s %d\n" % (self.name_of_lines.encode(), self.count + i)
                             for i in range(30))
            self.count += 30
            write_all(child.stdin, lines)
            time.sleep(30 / self.LINES_A_SECOND)
        child.stdin.close()
        if child.wait(20) != 0:
            raise AssertionError("%s ended with %d" % (self.name_of_lines, child.returncode))
        self.take_history()

    def take_history(self):
        place = "%s %d" % (self.name_of_lines, self.count)
        with open(self.output, "rb") as output:
            for line in output:
                begin, end, published, index, entry = line.rstrip(b"\n").split(b" ", 4)
                receipts = [(int(index), leaf_hash(entry))]
                self.history.appends.append(Append(place, int(begin), int(end), [entry], receipts))
                if int(published):
                    self.history.syncs.append(Sync(place, int(end), int(published), entry))

    def result(self):
        self.join(60)
        self.test.assertFalse(self.is_alive(), "a program with the library hangs")
        if self.error:
            raise self.error
        self.test.assertEqual(len(self.history.appends), self.count)
        return self.history


class ConcurrencyTest(harness.MountTest):
    SECONDS = 60 + 30 * ROUNDS

    def test_every_history_is_one_of_a_log(self):
        print("TLOGFS_CONCURRENCY_SEED=%d" % SEED, flush=True)
        for number in range(ROUNDS):
            self.store = init_small(self, JOURNAL_LENGTHS[number % 2])
            self.one_round("%d %d" % (SEED, number))
            shutil.rmtree(self.store)

    def one_round(self, seed):
        mounts = [self.mount(self.store, name="mnt%d" % i) for i in range(MOUNTS)]
        begin = now() + 500_000_000
        end = begin + LOAD_SECONDS * 1_000_000_000
        works = [kind(mount, "mount %d writer %d" % (i, j), seed, lines, length)
                 for i, mount in enumerate(mounts)
                 for j, (kind, lines, length) in enumerate(WRITERS)]
        works += [Reader(mounts, "%s %d" % (seed, i)) for i in range(READERS * MOUNTS)]
        # These are forked: before there are pipes that they would keep open.
        parts = [Worker(self, work, begin, end) for work in works]
        libraries = [Library(self, "stays", LOAD_SECONDS, end), Library(self, "goes", 0.3, end)]
        time.sleep(max(0, (begin - now()) / 1e9))
        for library in libraries:
            library.start()
        parts += libraries
        history = History()
        for part in parts:
            history.add(part.result())
        log = self.read_log(mounts, history)
        history.check(log)
        self.assert_signed(history, mounts[0].read("vkey").decode().strip())
        for mount in mounts:
            mount.unmount()
            mount.remove()
            self.mounts.remove(mount)
        self.assert_sound(self.store)
        self.assertGreater(len(history.appends), 100, "there was hardly any load")
        self.assertGreater(len(history.notes), 10, "there was hardly any load")
        print("%d appends, %d entries, %d syncs, %d checkpoints, seen %d times, %d other contents" %
              (len(history.appends), len(log), len(history.syncs), len(history.notes),
               len(history.sights), len(history.contents)), flush=True)

    def read_log(self, mounts, history):
        """The log, now that nobody appends any more. Both mounts show the same."""
        checkpoints = []
        for mount in mounts:
            begin = now()
            checkpoints.append(mount.checkpoint())
            history.sights.append(Sight(begin, now(), checkpoints[-1].size, "the last checkpoint"))
        self.assertEqual(len({checkpoint.note for checkpoint in checkpoints}), 1)
        history.notes.add(checkpoints[0].note)
        log = ReferenceLog(entries_from(mounts[0], 0, checkpoints[0].size))
        self.assert_same_log(mounts[1], log)
        return log

    def assert_signed(self, history, vkey):
        """A few of the checkpoints: openssl(1) takes its time."""
        for note in random.Random(SEED).sample(sorted(history.notes), min(20, len(history.notes))):
            self.assertTrue(signature_is_good(Checkpoint(note), vkey), note)


if __name__ == "__main__":
    harness.main()
