#!/usr/bin/env python3
"""examples/mirror: each copy is a whole log, whoever appends, reads or copies meanwhile; and with
the log's key nothing takes its place.

  mirror_test.py path/to/tlogfs [Class.test]         verify_checkpoint lies beside the program
  TLOGFS_MIRROR_ROUNDS=200 mirror_test.py path/to/tlogfs
"""

import os
import re
import threading

import harness
from examples_test import ExamplesTest
from reference_log import Checkpoint, ReferenceLog, merkle_tree_hash


class MirrorTest(ExamplesTest):
    ROUNDS = int(os.environ.get("TLOGFS_MIRROR_ROUNDS", "10"))
    SECONDS = 60 + 5 * ROUNDS

    def assert_whole(self, folder):
        """All that a client of its checkpoint asks for is there, and right; returns its size."""
        checkpoint = Checkpoint(self.read(folder + "/checkpoint"))
        log = ReferenceLog(self.log.entries()[:checkpoint.size])
        self.assertEqual(checkpoint.root, log.root())
        for path, content in log.resources().items():
            self.assertEqual(self.read(os.path.join(folder, path)), content, path)
        return checkpoint.size

    def test_sizes(self):
        self.shell("mirror $M mirror")
        self.assertEqual(Checkpoint(self.read("mirror/checkpoint")).root, merkle_tree_hash([]))
        for size in (1, 255, 256, 257, 300, 65536, 65537):
            self.log.append(*[b"x"] * (size - self.log.checkpoint().size))
            self.shell("mirror $M mirror; mirror $M mirror; mirror $M whole%d" % size)
            self.assertEqual(self.assert_whole("mirror"), size)
            self.assertEqual(self.assert_whole("whole%d" % size), size)
        self.assertEqual(self.read("mirror/vkey"), self.vkey.encode() + b"\n")

    def test_runs_that_overlap(self):
        self.overlap("rsync", "mirror $M mirror")
        self.assertEqual(self.assert_whole("mirror"), 600)

    def test_all_is_on_the_disk_before_it_has_its_name(self):
        self.shell("seq 600 >> $M/add")
        synced, renamed = set(), []
        for name, arguments in self.traced("mirror $M mirror"):
            if name == "fsync":
                synced.add(re.search(r"([^/]*)>$", arguments)[1])
            else:
                old, new = re.findall(r'([^/"]+)"(?:,|$)', arguments)
                self.assertIn(old, synced)
                renamed.append(new)
        self.assertEqual(len(renamed), 3 + 3 + 1 + 2, renamed)  # tiles, bundles, root; vkey
        self.assertEqual(renamed[-1], "checkpoint")

    def test_while_others_append(self):
        """Each copy is a whole log; and who reads it while it is being renewed verifies, too. Of a
        mount as web servers have it."""
        published = self.mount(self.log.store, options="static")
        self.environment["P"] = published.path
        stop = threading.Event()
        failures = []
        verified = []

        def write():
            number = 0
            while not stop.is_set():
                self.log.append(*[b"entry"] * (number % 50 + 1))
                number += 1

        def read():
            while not stop.is_set():
                done = self.run_shell("verify_checkpoint $V mirror 0")
                verified.append(done)
                if (done.code, done.out) != (0, b"entry\n"):
                    failures.append(done)
        threads = [threading.Thread(target=write)]
        threads[0].start()
        harness.wait_for(lambda: self.log.checkpoint().size > 300, "entries")
        self.shell("mirror $P mirror")
        threads.append(threading.Thread(target=read))
        threads[1].start()
        sizes = []
        try:
            for _ in range(self.ROUNDS):
                self.shell("mirror $P mirror")
                sizes.append(self.assert_whole("mirror"))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(sizes, sorted(set(sizes)))
        self.assertGreater(len(verified), len(sizes))


class VerifiedMirrorTest(ExamplesTest):
    """With the key: what contradicts the mirror changes nothing in it."""

    def setUp(self):
        super().setUp()
        self.shell("seq 300 >> $M/add; mirror $M older $V; seq 300 >> $M/add; mirror $M mirror $V")

    def content(self):
        return self.shell("cd mirror; find . -printf '%p %s %T@ %i\\n' | sort;"
                          "find . -type f | sort | xargs sha256sum")

    def assert_refused(self, source, why):
        before = self.content()
        self.assert_refuses("mirror %s mirror $V" % source, why)
        self.assertEqual(self.content(), before)

    def test_follows_a_log_that_grows(self):
        self.shell("seq 300 >> $M/add; mirror $M mirror $V; mirror $M mirror $V")
        self.assertEqual(self.read("mirror/checkpoint"), self.log.read("checkpoint"))

    def test_an_older_state(self):
        self.assert_refused("older", "300 entries that had 600")

    def test_another_history(self):
        """Signed with the log's own key."""
        self.log.unmount()
        self.shell("mkdir other; '%s' init other/store --origin example.com/log --key store/key"
                   % harness.PROGRAM)
        fork = self.mount(self.path("other/store"))
        fork.append(*[b"%d" % number for number in range(1000)])
        self.assert_refused(fork.path, "verify_checkpoint: ")

    def test_another_key(self):
        before = self.content()
        self.refuses_key("mirror $M mirror $OTHER")
        self.refuses_key("mirror $M new $OTHER")
        self.assertEqual((self.content(), os.listdir(self.path("new"))), (before, []))

    def test_of_another_machine(self):
        """What rsync reaches by ssh; here a shell that is on this machine."""
        self.write("here", b"#!/bin/sh\nshift\nexec \"$@\"\n")
        os.chmod(self.path("here"), 0o755)
        self.environment["RSYNC_RSH"] = self.path("here")
        there = "host:" + self.path("there")
        self.shell("mirror $M %s $V; mirror $M %s $V" % (there, there))
        self.assertEqual(self.read("there/checkpoint"), self.log.read("checkpoint"))
        self.assert_refuses("mirror older %s $V" % there, "300 entries that had 600")
        self.assertEqual(self.read("there/checkpoint"), self.log.read("checkpoint"))


if __name__ == "__main__":
    harness.main()
