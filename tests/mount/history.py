"""What many processes did to one log and saw of it, with times; and whether it can be its past.

Times are nanoseconds of CLOCK_MONOTONIC, the same for all processes of a machine. One thing is
*before* another if it had ended when the other began; of things that overlap nothing is known, so
nothing is asked. A *place* is a process that has the store open: a mount's daemon, or a program
with the library.

Checked, once everybody has ended and the whole log is known:

    entries    everything acknowledged is in the log, once, and nothing else is; the entries of one
               append in their order; each receipt has its entry's index and leaf hash
    order      an append before another has the lower index
    visible    an fsync or close covers what was acknowledged at its place before; all that is seen
               after it, anywhere, is no smaller; and nothing is smaller than what was seen before
    roots      each checkpoint has the root of the log's first entries: so all are consistent
    contents   each tile, bundle, entry and `log` was, byte for byte, as the log's entries say
"""

import bisect
import collections
import hashlib
import itertools

from reference_log import Checkpoint

# receipts: [(index, leaf hash)], or None where none were read.
Append = collections.namedtuple("Append", "place begin end entries receipts")
# An fsync, a close, or waiting for a publication, that succeeded. `entry`: its own, or None.
Sync = collections.namedtuple("Sync", "place begin end entry")
# `what` showed that there were `size` entries; or this many at least, if `begin` is 0.
Sight = collections.namedtuple("Sight", "begin end size what")


class HighWater:
    """Of (time, value, ...) the one with the highest value up to a time."""

    def __init__(self, marks):
        marks = sorted(marks, key=lambda mark: mark[:2])
        self.times = [mark[0] for mark in marks]
        self.highest = list(itertools.accumulate(marks, lambda a, b: max(a, b, key=lambda m: m[1])))

    def before(self, time):
        count = bisect.bisect_left(self.times, time)
        return self.highest[count - 1] if count else (0, -1, None)


class History:
    def __init__(self):
        self.appends, self.syncs, self.sights = [], [], []
        self.notes = set()  # checkpoints, as they were read
        self.contents = {}  # (level or "entries" or "entry", number, width) -> digest
        self.texts = set()  # (length, digest) of what was read of `log`

    def see(self, key, content):
        """Notes what a file said that must never change."""
        digest = hashlib.sha256(content).digest()
        if self.contents.setdefault(key, digest) != digest:
            raise AssertionError("%s %d, width %d, has changed" % key)

    def add(self, other):
        for mine, others in ((self.appends, other.appends), (self.syncs, other.syncs),
                             (self.sights, other.sights)):
            mine += others
        self.notes |= other.notes
        self.texts |= other.texts
        for key, digest in other.contents.items():
            if self.contents.setdefault(key, digest) != digest:
                raise AssertionError("%s %d, width %d: two readers, two contents" % key)

    def check(self, log):
        """Raises AssertionError unless this can be the past of the log (a ReferenceLog)."""
        index_of = self.check_entries(log)
        self.check_order(index_of)
        self.check_visible(index_of)
        self.check_roots(log)
        self.check_contents(log)

    def check_entries(self, log):
        """Returns the index of each entry."""
        index_of = {}
        for index, entry in enumerate(log.entries):
            if index_of.setdefault(entry, index) != index:
                raise AssertionError("entries %d and %d are the same: %r" %
                                     (index_of[entry], index, entry))
        count = 0
        for append in self.appends:
            indexes = [index_of.get(entry) for entry in append.entries]
            if None in indexes:
                raise AssertionError("acknowledged, and lost: %r" %
                                     append.entries[indexes.index(None)])
            if indexes != sorted(indexes):
                raise AssertionError("not in the order of their write: %s" % indexes)
            right = [(index, log.nodes[0][index]) for index in indexes]
            if append.receipts is not None and append.receipts != right:
                wrong = [pair for pair in zip(append.receipts, right) if pair[0] != pair[1]]
                raise AssertionError("%d receipts for %d entries: of (index, leaf hash), %s" %
                                     (len(append.receipts), len(right), wrong and
                                      "%s is told, %s is true" % wrong[0]))
            count += len(indexes)
        if count != len(log):
            raise AssertionError("%d entries, %d appended" % (len(log), count))
        return index_of

    def check_order(self, index_of):
        ended = HighWater((append.end, index_of[append.entries[-1]], append)
                          for append in self.appends)
        for append in self.appends:
            _, index, earlier = ended.before(append.begin)
            if index_of[append.entries[0]] < index:
                raise AssertionError("%r got index %d, though %r, at %d, was acknowledged before" %
                                     (append.entries[0], index_of[append.entries[0]],
                                      earlier.entries[-1], index))

    def check_visible(self, index_of):
        acknowledged = collections.defaultdict(list)
        for append in self.appends:
            acknowledged[append.place].append((append.end, index_of[append.entries[-1]], append))
        acknowledged = {place: HighWater(acknowledged[place])
                        for place in {sync.place for sync in self.syncs}}
        known = [(sight.end, sight.size, sight.what) for sight in self.sights]
        for sync in self.syncs:
            covered = acknowledged[sync.place].before(sync.begin)[1] + 1
            if sync.entry is not None:
                covered = max(covered, index_of[sync.entry] + 1)
            known.append((sync.end, covered, "a sync at " + sync.place))
        known = HighWater(known)
        for sight in self.sights:
            _, size, earlier = known.before(sight.begin)
            if sight.size < size:
                raise AssertionError("%s shows %d entries, after %s had %d" %
                                     (sight.what, sight.size, earlier, size))

    def check_roots(self, log):
        for note in self.notes:
            checkpoint = Checkpoint(note)
            if len(log) < checkpoint.size or log.root(checkpoint.size) != checkpoint.root:
                raise AssertionError("no prefix of the log: %r" % note)

    def check_contents(self, log):
        for key, digest in self.contents.items():
            kind, number, width = key
            if kind == "entry":
                right = log.entries[number]
            elif kind == "entries":
                right = log.bundle(number, width)
            else:
                right = log.tile(kind, number, width)
            if hashlib.sha256(right).digest() != digest:
                raise AssertionError("%s %d, width %d, was another one" % key)
        text = log.text()
        for length, digest in self.texts:
            if hashlib.sha256(text[:length]).digest() != digest:
                raise AssertionError("`log` was another one")


def parse_receipts(text):
    """Lines of `INDEX HASH` -> [(index, leaf hash)]."""
    receipts = []
    for line in text.decode().splitlines():
        index, leaf = line.split(" ")
        receipts.append((int(index), bytes.fromhex(leaf)))
        if "%d %s" % (receipts[-1][0], receipts[-1][1].hex()) != line:
            raise ValueError("not a receipt: %r" % line)
    return receipts
