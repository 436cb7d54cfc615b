#!/usr/bin/env python3
"""examples/append_lines: what it is given is in the log once, though the mount goes away and comes
back; what rsyslog's omprog has given to it survives whatever ends meanwhile.

  append_lines_test.py path/to/tlogfs [Class.test]
"""

import os
import re
import signal
import subprocess
import threading
import time

import harness
from syslog_test import EXAMPLES, ROUNDS, DayTest

PROGRAM = os.path.join(EXAMPLES, "append_lines")


class LinesTest(DayTest):
    def setUp(self):
        super().setUp()
        self.log = self.mount(name=self.point)

    def append_lines(self, **options):
        return self.start([PROGRAM, self.log.path], stdin=subprocess.PIPE, **options)

    def test_a_pipe_over_restarts_of_the_mount(self):
        child = self.append_lines(stderr=subprocess.DEVNULL)
        lines = []

        def feed():
            for number in range(3000 * ROUNDS):
                lines.append(b"%d" % number + b"." * (number % 300))
                child.stdin.write(lines[-1] + b"\n")
                child.stdin.flush()
                time.sleep(0.0003)
            child.stdin.close()
        feeder = threading.Thread(target=feed)
        feeder.start()
        while feeder.is_alive():
            time.sleep(0.4)
            self.kill_mount()
            time.sleep(0.1)
            self.remount()
        feeder.join()
        self.assertEqual(child.wait(20), 0)
        self.assertEqual(self.log.entries(), lines)

    def test_lines_of_all_kinds(self):
        child = self.append_lines(stderr=subprocess.PIPE)
        lines = [b"", b"\r", b"\0\0", b"x" * 65535, b"", b"y" * 65536, b"z" * 200000, b"tail"]
        child.stdin.write(b"\n".join(lines))
        child.stdin.close()
        self.assertEqual(child.wait(20), 0)
        self.assertEqual(self.log.entries(), [line[:65535] for line in lines])
        self.assertRegex(child.stderr.read().decode(), r"\A[^\n]+: a line of 65536 bytes is cut\n"
                         r"[^\n]+: a line of 200000 bytes is cut\n\Z")


class SpoolTest(DayTest):
    """As rsyslog's omprog runs it."""

    TRANSACTION = b"BEGIN TRANSACTION\nnew\nCOMMIT TRANSACTION\n"
    ACCEPTED = b"OK\nOK\nDEFER_COMMIT\n"

    def setUp(self):
        super().setUp()
        self.log = self.mount(name=self.point)
        self.command = [PROGRAM, self.log.path, "--omprog", self.path("spool")]

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def start_transaction(self):
        """It has been given all of one, and rsyslog is still there."""
        child = self.start(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.stdin.write(self.TRANSACTION)
        child.stdin.flush()
        return child

    def test_a_spool_in_doubt(self):
        """Two lines that may be in the log, and are not written twice; one that is new."""
        self.log.append(b"before", b"one", b"two", b"other")
        for doubt, text, size in (("2 7", "one\ntwo\nthree\n", 6), ("1 7", "none\n", 8),
                                  ("0 0", "two\n", 10)):
            with open(self.path("spool"), "w", encoding="utf-8") as file:
                file.write("%s\n%s" % (doubt, text))
            done = harness.run(self.command, stdin=self.TRANSACTION)
            self.assertEqual((done.code, done.out), (0, self.ACCEPTED + b"OK\n"), done)
            self.assertEqual(self.log.checkpoint().size, size)
            self.assertFalse(os.path.exists(self.path("spool")))
        self.assertEqual(self.log.entries()[4:],
                         [b"three", b"new", b"none", b"new", b"two", b"new"])

    def test_who_waits_may_be_killed(self):
        """The lines are in the spool from the beginning; the next one takes them from there."""
        self.kill_mount()
        child = self.start_transaction()
        harness.wait_for(lambda: os.path.exists(self.path("spool")), "a spool")
        self.assertEqual(self.read("spool"), b"0 0\nnew\n")
        child.kill()
        self.assertEqual(child.communicate()[0], self.ACCEPTED)
        self.remount()
        done = harness.run(self.command, stdin=self.TRANSACTION.replace(b"new", b"more"))
        self.assertEqual(done.code, 0, done)
        self.assertEqual(self.log.entries(), [b"new", b"more"])

    def test_neither_the_log_nor_the_spool_can_be_written(self):
        """As on one disk that is full: it says so once, acknowledges nothing, and goes on trying,
        also when rsyslog has ended."""
        os.mkdir(self.path("spool.new"))
        with open(self.path("spool.err"), "wb"):
            pass
        self.log.unmount()
        child = self.start_transaction()
        harness.wait_for(lambda: b"spool: " in self.read("spool.err"), "it says so")
        child.stdin.close()
        time.sleep(1)
        self.assertIsNone(child.poll())
        self.assertRegex(self.read("spool.err").decode(),
                         r"\A[^\n]+; waiting\n[^\n]+/spool: cannot be written: [^\n]+\n\Z")
        os.rmdir(self.path("spool.new"))
        self.assertEqual(child.wait(20), 0)
        self.assertEqual(child.stdout.read(), self.ACCEPTED)
        self.assertEqual(self.read("spool"), b"0 0\nnew\n")
        self.assertIn(b"rsyslog has ended; 1 lines are in", self.read("spool.err"))

    def test_the_spool_is_on_the_disk(self):
        """The file before it has its name, and the folder after each change."""
        self.command = ["strace", "-f", "-y", "-o", self.path("trace"), "-e",
                        "trace=fsync,rename,unlink", *self.command]
        self.kill_mount()
        child = self.start_transaction()
        harness.wait_for(lambda: os.path.exists(self.path("spool")), "a spool")
        self.remount()
        child.stdin.close()
        self.assertEqual(child.wait(20), 0)
        calls = re.findall(r' (?:(fsync)\(\d+<(.*)>|(\w+)\("([^"]+)")',
                           self.read("trace").decode())
        calls = [(one + other, path + name) for one, path, other, name in calls]
        folder, spool = self.folder, self.path("spool")
        self.assertEqual(calls, [
            ("fsync", spool + ".new"), ("rename", spool + ".new"), ("fsync", folder),
            ("unlink", spool), ("fsync", folder)])

    def test_no_folder_for_the_spool(self):
        done = harness.run([PROGRAM, self.log.path, "--omprog", self.path("none/spool")])
        self.assertEqual((done.code, done.out), (1, b""), done)
        self.assertRegex(done.err.decode(), r"\Aappend_lines: [^\n]+ No such file or directory\n\Z")


if __name__ == "__main__":
    harness.main()
