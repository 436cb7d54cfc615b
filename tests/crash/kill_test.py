"""kill -9 of the real daemon, again and again on one store, while writers append and readers look.

After each death the store is mounted again: every acknowledged line is in the log, once, in its
writer's order, and where a receipt said an index, at that index; every checkpoint that anybody ever
read is a root of this log. `tlogfs check` finds nothing. (What this cannot find is a missing sync:
the page cache survives. That is crash_test's work.)

TLOGFS_KILL_ROUNDS says how often (100), TLOGFS_KILL_SEED when: it is printed.
"""

import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mount"))

import harness  # noqa: E402
from reference_log import Checkpoint, ReferenceLog  # noqa: E402

ROUNDS = int(os.environ.get("TLOGFS_KILL_ROUNDS", "100"))
SEED = int(os.environ.get("TLOGFS_KILL_SEED", str(time.time_ns() % 1_000_000)))
WRITERS = 4
CHECK_EVERY = 10


class Writer(threading.Thread):
    """Appends numbered lines until the daemon dies; `acknowledged` are those that write(2) took."""

    def __init__(self, path, name, lines_at_once, with_receipts):
        super().__init__(daemon=True)
        self.path, self.name_of_lines = path, name
        self.lines_at_once, self.with_receipts = lines_at_once, with_receipts
        self.acknowledged = []
        self.receipts = {}  # line -> index
        self.error = None

    def run(self):
        try:
            mode = os.O_RDWR if self.with_receipts else os.O_WRONLY
            descriptor = os.open(self.path, mode | os.O_APPEND)
        except OSError:
            return  # killed before
        try:
            self.append(descriptor)
        except OSError:
            pass  # The daemon is dead: what was being written is of unknown outcome.
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
        finally:
            try:
                os.close(descriptor)
            except OSError:
                pass

    def append(self, descriptor):
        number = 0
        while True:
            lines = [b"%s %d" % (self.name_of_lines, number + i)
                     for i in range(self.lines_at_once)]
            number += len(lines)
            rest = b"".join(line + b"\n" for line in lines)
            while rest:
                rest = rest[os.write(descriptor, rest):]
            self.acknowledged += lines
            if self.with_receipts:
                self.read_receipts(descriptor, lines)

    def read_receipts(self, descriptor, lines):
        text = b""
        while text.count(b"\n") < len(lines):
            part = os.read(descriptor, 4096)
            if not part:
                raise AssertionError("no receipt for %r" % lines)
            text += part
        for line, receipt in zip(lines, text.splitlines()):
            self.receipts[line] = int(receipt.split()[0])


class Reader(threading.Thread):
    """Keeps every checkpoint that it can read."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        self.notes = set()

    def run(self):
        try:
            while True:
                descriptor = os.open(self.path, os.O_RDONLY)
                try:
                    note = os.read(descriptor, 65536)
                finally:
                    os.close(descriptor)
                if note:
                    self.notes.add(note)
        except OSError:
            pass


class KillTest(harness.MountTest):
    SECONDS = 60 + 5 * ROUNDS

    def test_nothing_acknowledged_is_lost(self):
        print("TLOGFS_KILL_SEED=%d" % SEED, flush=True)
        self.random = random.Random(SEED)
        self.store = self.init()
        self.log = ReferenceLog()
        self.heads = {}  # size -> root, of every checkpoint ever read
        self.visible = 0
        acknowledged = 0
        for number in range(ROUNDS):
            acknowledged += self.one_round(number)
            if number % CHECK_EVERY == CHECK_EVERY - 1:
                self.assert_sound(self.store)
        self.assert_sound(self.store)
        print("%d rounds, %d entries, %d acknowledged, %d checkpoints" %
              (ROUNDS, len(self.log), acknowledged, len(self.heads)), flush=True)
        self.assertGreater(acknowledged, 5 * ROUNDS)
        self.assertGreater(len(self.heads), ROUNDS)

    def one_round(self, number):
        mount = self.mount(self.store, name="mnt")
        self.see(mount.read("checkpoint"))
        writers = [Writer(mount / "add", b"round %d writer %d line" % (number, i),
                          self.random.choice((1, 1, 3, 40)), i == 0) for i in range(WRITERS)]
        readers = [Reader(mount / "checkpoint")]
        for thread in writers + readers:
            thread.start()
        harness.wait_for(lambda: any(writer.acknowledged for writer in writers), "a first line")
        time.sleep(self.random.uniform(0, 0.06))
        mount.daemon.kill()
        mount.daemon.wait(20)
        mount.remove()
        self.mounts.remove(mount)
        for thread in writers + readers:
            thread.join(20)
            self.assertFalse(thread.is_alive(), "a thread hangs on a dead mount")
        for writer in writers:
            self.assertIsNone(writer.error)
        for reader in readers:
            for note in reader.notes:
                self.see(note)
        self.look_after(writers)
        return sum(len(writer.acknowledged) for writer in writers)

    def see(self, note):
        checkpoint = Checkpoint(note)
        known = self.heads.setdefault(checkpoint.size, checkpoint.root)
        self.assertEqual(known, checkpoint.root, "two roots of size %d" % checkpoint.size)

    def look_after(self, writers):
        """What the next mount shows: everything that was promised before."""
        mount = self.mount(self.store, name="mnt")
        checkpoint = mount.checkpoint()
        self.see(checkpoint.note)
        first_new = len(self.log)
        self.log.extend(entries_from(mount, first_new, checkpoint.size))
        self.assertGreaterEqual(checkpoint.size, max(self.heads))
        for size, root in self.heads.items():
            if size >= first_new:
                self.assertEqual(self.log.root(size), root, "the root of size %d" % size)
        self.assertEqual(self.log.root(), checkpoint.root)

        index_of = {}
        for index in range(first_new, len(self.log)):
            entry = self.log.entries[index]
            self.assertNotIn(entry, index_of, "an entry twice")
            index_of[entry] = index
        for writer in writers:
            indexes = [index_of.get(line) for line in writer.acknowledged]
            self.assertNotIn(None, indexes, "an acknowledged line is lost")
            self.assertEqual(indexes, sorted(indexes))
            for line, index in writer.receipts.items():
                self.assertEqual(index_of[line], index)
        mount.unmount()
        mount.remove()
        self.mounts.remove(mount)


def entries_from(mount, first, size):
    """Entries [first, size), from the bundles."""
    found = []
    for number in range(first // 256, (size + 255) // 256):
        width = min(256, size - 256 * number)
        bundle = mount.read(harness.tile_path("entries", number, width))
        entries = []
        while bundle:
            end = 2 + int.from_bytes(bundle[:2], "big")
            entries.append(bundle[2:end])
            bundle = bundle[end:]
        if len(entries) != width:
            raise AssertionError("bundle %d has %d entries" % (number, len(entries)))
        found += entries[max(first - 256 * number, 0):]
    return found


if __name__ == "__main__":
    harness.main()
