#!/usr/bin/env python3
"""history.py says yes to a past that a log can have, and no to each thing that it cannot. Needs no
mount."""

import base64
import hashlib
import unittest

from history import Append, History, Sight, Sync
from reference_log import ReferenceLog


class HistoryTest(unittest.TestCase):
    """What could be, and each thing that could not."""

    LOG = ReferenceLog([b"a", b"b", b"c"])

    def setUp(self):
        self.history = History()
        self.history.appends = [Append("one", 10, 20, [b"a", b"b"], self.receipts(0, 1)),
                                Append("two", 25, 40, [b"c"], self.receipts(2))]
        self.history.syncs = [Sync("one", 21, 29, None), Sync("two", 35, 41, b"c")]
        self.history.sights = [Sight(15, 16, 0, "early"), Sight(30, 31, 2, "later"),
                               Sight(0, 42, 3, "an entry"), Sight(43, 44, 3, "last")]
        self.history.notes = {self.note(2, self.LOG.root(2))}
        self.history.see((0, 0, 2), self.LOG.tile(0, 0, 2))
        self.history.see(("entries", 0, 3), self.LOG.bundle(0, 3))
        self.history.see(("entry", 1, 1), b"b")
        self.history.texts = {(4, hashlib.sha256(b"a\nb\n").digest())}

    def receipts(self, *indexes):
        return [(index, self.LOG.nodes[0][index]) for index in indexes]

    @staticmethod
    def note(size, root):
        return b"log\n%d\n%s\n\n\xe2\x80\x94 log AAAA\n" % (size, base64.b64encode(root))

    def assert_impossible(self, message, log=LOG):
        with self.assertRaisesRegex(AssertionError, message):
            self.history.check(log)

    def change(self, what, number, **values):
        items = getattr(self.history, what)
        items[number] = items[number]._replace(**values)

    def test_possible(self):
        self.history.check(self.LOG)

    def test_entries(self):
        self.assert_impossible("are the same", ReferenceLog([b"a", b"b", b"c", b"b"]))
        self.assert_impossible("and lost", ReferenceLog([b"a", b"b"]))
        self.assert_impossible("4 entries, 3 appended", ReferenceLog([b"a", b"b", b"c", b"d"]))
        self.change("appends", 0, entries=[b"b", b"a"])
        self.assert_impossible("order of their write")

    def test_receipts(self):
        for wrong in (self.receipts(1, 0), self.receipts(0), self.receipts(0, 1, 2),
                      [(0, self.LOG.nodes[0][0]), (1, self.LOG.nodes[0][0])]):
            self.change("appends", 0, receipts=wrong)
            self.assert_impossible("receipts for 2 entries")

    def test_order(self):
        self.change("appends", 1, begin=5, end=9)
        self.assert_impossible("was acknowledged before")
        self.change("appends", 1, begin=5, end=10)  # not before, as far as anybody can tell
        self.history.check(self.LOG)

    def test_visible(self):
        for number, size in ((1, 1), (3, 2)):  # after a sync; after an entry
            self.change("sights", number, size=size)
            self.assert_impossible("shows %d entries, after" % size)
            self.setUp()
        self.history.syncs.clear()
        self.history.sights = [Sight(30, 31, 2, "one"), Sight(32, 33, 1, "other")]
        self.assert_impossible("other shows 1 entries, after one had 2")

    def test_sync_covers_its_own(self):
        self.history.sights = [Sight(42, 43, 2, "last")]
        self.assert_impossible("after a sync at two had 3")

    def test_roots(self):
        for wrong in (self.note(2, self.LOG.root(3)), self.note(4, self.LOG.root(3))):
            self.history.notes = {wrong}
            self.assert_impossible("no prefix of the log")

    def test_contents(self):
        for key in list(self.history.contents):
            self.setUp()
            self.history.contents[key] = bytes(32)
            self.assert_impossible("was another one")
            with self.assertRaisesRegex(AssertionError, "has changed"):
                self.history.see(key, b"other")
        self.setUp()
        self.history.texts = {(4, hashlib.sha256(b"a\nc\n").digest())}
        self.assert_impossible("`log` was another one")


if __name__ == "__main__":
    unittest.main(verbosity=2)
