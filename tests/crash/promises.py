"""What a log promised while processes died around it, and whether a mount still keeps it.

For the tests here that work with real processes. `acknowledge` notes an entry that some writer was
told is in the log, at an index if it was told one; `see` notes a checkpoint that anybody read.
`keep` compares all of it with what a mount shows now. Entries must differ from each other.
"""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mount"))

import harness  # noqa: E402
from reference_log import Checkpoint, ReferenceLog  # noqa: E402


class Promises:
    def __init__(self):
        self.log = ReferenceLog()
        self.index_of = {}  # of every entry of the log
        self.heads = {}  # size -> root, of every checkpoint ever read
        self.pending = []  # [(entry, index or None)] not compared yet
        self.count = 0  # of acknowledged entries

    def acknowledge(self, entry, index=None):
        self.pending.append((entry, index))
        self.count += 1

    def see(self, note):
        checkpoint = Checkpoint(note)
        known = self.heads.setdefault(checkpoint.size, checkpoint.root)
        if known != checkpoint.root:
            raise AssertionError("two roots of size %d" % checkpoint.size)
        return checkpoint

    def keep(self, mount):
        """Raises AssertionError unless the mount shows everything promised up to now."""
        checkpoint = self.see(mount.read("checkpoint"))
        first_new = len(self.log)
        if checkpoint.size < max(self.heads):
            raise AssertionError("size %d after %d" % (checkpoint.size, max(self.heads)))
        for entry in entries_from(mount, first_new, checkpoint.size):
            if self.index_of.setdefault(entry, len(self.log)) != len(self.log):
                raise AssertionError("an entry twice: %r" % entry)
            self.log.append(entry)
        for size, root in self.heads.items():
            if first_new <= size and self.log.root(size) != root:
                raise AssertionError("the root of size %d is another one now" % size)
        for entry, index in self.pending:
            found = self.index_of.get(entry)
            if found is None or index not in (None, found):
                raise AssertionError("acknowledged %r at %s, is at %s" % (entry, index, found))
        self.pending.clear()


class Reader(threading.Thread):
    """Reads a mount's checkpoint until told to stop, or until the mount is dead."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        self.notes = set()
        self.stopping = False

    def run(self):
        try:
            while not self.stopping:
                descriptor = os.open(self.path, os.O_RDONLY)
                try:
                    self.notes.add(os.read(descriptor, 65536))
                finally:
                    os.close(descriptor)
                time.sleep(0.001)
        except OSError:
            pass

    def stop(self):
        self.stopping = True
        self.join(20)
        if self.is_alive():
            raise AssertionError("a reader hangs")


def entries_from(mount, first, size):
    """Entries [first, size), from the bundles."""
    found = []
    for number in range(first // 256, (size + 255) // 256):
        width = min(256, size - 256 * number)
        bundle = mount.read(harness.tile_path("entries", number, width))
        entries = frames_of(bundle)
        if len(entries) != width:
            raise AssertionError("bundle %d has %d entries" % (number, len(entries)))
        found += entries[max(first - 256 * number, 0):]
    return found


def frames_of(bundle):
    entries = []
    while bundle:
        end = 2 + int.from_bytes(bundle[:2], "big")
        entries.append(bundle[2:end])
        bundle = bundle[end:]
    return entries


def store_writer():
    """The library's writer (writer.cc), which is built next to the program."""
    return os.path.join(os.path.dirname(os.path.abspath(harness.PROGRAM)), "store_writer")


def init_small(test, journal_length):
    """A store whose journal wraps often. Returns its path."""
    store = test.path("store")
    os.mkdir(store)
    done = harness.run([store_writer(), "init", store, test.ORIGIN, str(journal_length)])
    test.assertEqual(done.code, 0, done)
    return store
