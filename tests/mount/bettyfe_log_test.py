#!/usr/bin/env python3
"""examples/bettyfe over a log that pushes back, is slow, dies, is full, or is none at all, and its
own end: nobody is told anything that is not so.

    bettyfe_log_test.py path/to/tlogfs [Class.test]    bettyfe lies beside the program
    TLOGFS_BETTYFE_ROUNDS=20                           more rounds of what is random or repeated
"""

import errno
import os
import random
import signal
import sys
import threading
import time
import unittest

import harness
from false_log import FalseLog
from front import LONGEST, Front, FrontTest, post_bytes

ROUNDS = int(os.environ.get("TLOGFS_BETTYFE_ROUNDS", "1"))
SEED = int(os.environ.get("TLOGFS_BETTYFE_SEED", "1"))


class PushBackTest(FrontTest):
    OPTIONS = ("--max-pending", "5")

    def test_more_than_may_wait_are_429(self):
        with self.locked_commits(self.log.store):
            waiting = [self.front.raw() for _ in range(5)]
            for number, raw in enumerate(waiting):
                raw.send(post_bytes(b"%d" % number))
            time.sleep(0.3)
            for _ in range(20):
                self.assert_answer(self.front.add(b"refused"), 429, retry_after="1")
            self.assert_answer(self.front.get("/checkpoint"), 200)
        added = [(raw.answer().index, b"%d" % number) for number, raw in enumerate(waiting)]
        self.assertEqual(len(self.assert_added(added)), 5)
        self.assertEqual(self.front.add(b"taken again").index, 5)

    def test_a_log_whose_queue_is_full_is_429(self):
        descriptor = os.open(self.log / "add", os.O_WRONLY | os.O_APPEND)
        with self.locked_commits(self.log.store):
            filler = self.start([sys.executable, "-c",
                                 "import os, sys\n"
                                 "for _ in range(100):\n"
                                 "    if os.fork() == 0:\n"
                                 "        fd = os.open(sys.argv[1], os.O_WRONLY)\n"
                                 "        os.write(fd, (b'x' * 60000 + b'\\n') * 17)\n"
                                 "        os._exit(0)\n"
                                 "while True:\n"
                                 "    try: os.wait()\n"
                                 "    except ChildProcessError: break\n", self.log / "add"])
            os.set_blocking(descriptor, False)

            def is_full():
                try:
                    os.write(descriptor, b"half")
                    return False
                except BlockingIOError:
                    return True
            harness.wait_for(is_full, "the queue is full")
            for _ in range(3):
                self.assert_answer(self.front.add(b"refused"), 429, retry_after="1")
        self.assertEqual(filler.wait(30), 0)
        os.close(descriptor)
        self.assertEqual(self.front.add(b"taken again").status, 200)
        self.assertNotIn(b"refused", self.log.entries())


class ClosedLoopTest(FrontTest):
    CLIENTS = 8
    OPTIONS = ("--max-pending", str(CLIENTS))

    def test_as_many_clients_as_places_are_never_refused(self):
        """Each comes with its next entry as soon as it has its answer: its place is free then."""
        counts = []

        def work(connection):
            for number in range(500 * ROUNDS):
                if self.front.add(b"%d" % number, connection).status != 200:
                    return
                counts.append(1)
        workers = [threading.Thread(target=work, args=[self.front.connection()])
                   for _ in range(self.CLIENTS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual(len(counts), self.CLIENTS * 500 * ROUNDS)


class AsyncTest(FrontTest):
    MOUNT_OPTIONS = "async"

    def test_nobody_is_told_of_an_entry_before_it_is_durable(self):
        """The mount takes writes, and gives receipts later."""
        added = []
        raws = [self.front.raw() for _ in range(20)]
        for turn in range(20 * ROUNDS):
            entries = [b"%d %d" % (turn, i) * (1 + 300 * i) for i in range(len(raws))]
            for raw, entry in zip(raws, entries):
                raw.send(post_bytes(entry))
            added += [(raw.answer().index, entry) for raw, entry in zip(raws, entries)]
        with self.locked_commits(self.log.store):
            raws[0].send(post_bytes(b"late"))
            raws[0].socket.settimeout(0.3)
            self.assertRaises(TimeoutError, raws[0].answer)
        raws[0].socket.settimeout(20)
        added.append((raws[0].answer().index, b"late"))
        self.assertEqual(len(self.assert_added(added)), len(added))


class FalseLogTest(FrontTest):
    """A log that does what a test says."""

    def setUp(self):
        super().setUp()
        self.false = FalseLog(self, self.path("false"))
        self.front = Front(self, self.false.path)

    def add_together(self, *entries):
        """All in one write: what each is answered."""
        self.false.go.clear()
        begun = len(self.false.writes)
        first = self.front.raw()
        first.send(post_bytes(b"first"))
        harness.wait_for(lambda: begun < len(self.false.writes), "it writes")
        raws = [self.front.raw() for _ in entries]
        for raw, entry in zip(raws, entries):
            raw.send(post_bytes(entry))
            time.sleep(0.05)  # They come in this order.
        self.false.go.set()
        self.assertEqual(first.answer().status, 200)
        answers = [raw.answer() for raw in raws]
        self.assertEqual(self.false.writes[begun + 1], sum(2 + len(entry) for entry in entries))
        return answers

    def assert_unknown(self, answer):
        self.assert_answer(answer, 503)
        self.assertIn(b"not known", answer.body)

    def test_what_a_write_took_before_it_failed_may_be_in_the_log(self):
        entries = (b"whole", b"begun", b"behind", b"last")
        for error, whole in ((errno.EAGAIN, True), (errno.ENOSPC, False)):
            for length in (2 + len(b"whole") + 1, 4 + len(b"wholebegun") - 1):
                size = self.false.size
                self.false.plan = [(7, 0), (length, error)]  # the first one alone, as it is
                answers = self.add_together(*entries)
                if whole:
                    self.assertEqual(answers[0].index, size + 1)
                else:
                    self.assert_unknown(answers[0])
                self.assert_unknown(answers[1])
                for answer in answers[2:]:
                    self.assert_answer(answer, 429 if error == errno.EAGAIN else 503)
                    self.assertNotIn(b"not known", answer.body)

    def test_nothing_is_known_after_an_input_output_error(self):
        for length in (0, 8):
            self.false.plan = [(7, 0), (length, errno.EIO)]
            for answer in self.add_together(b"whole", b"begun", b"behind"):
                self.assert_unknown(answer)

    def test_only_a_receipt_is_a_receipt(self):
        digits = b"0123456789abcdef" * 4
        for line in (b"", b"%s", b"1", b"1 ", b"1 " + digits[1:], b"1 " + digits + b"0",
                     b" " + digits, b"-1 " + digits, b"+1 " + digits, b"1x " + digits,
                     b"1 " + digits.upper(), b"1 " + digits[1:] + b"g", b"1  " + digits[1:],
                     b"99999999999999999999 " + digits, b"lost 1", b"1 %s\r" % digits):
            self.false.receipt = lambda _, line=line: line + b"\n"
            self.assert_unknown(self.front.add(b"entry"))
        self.false.receipt = lambda _: b"1042 %s\n" % digits
        self.assertEqual(self.front.add(b"entry").index, 1042)

    def test_a_receipt_too_many_or_too_few(self):
        good = self.false.receipt
        self.false.receipt = lambda index: good(index) + good(index + 1)
        self.front.add(b"entry")
        self.false.receipt = lambda index: b""
        self.assert_unknown(self.front.add(b"entry"))


class NoLogTest(FrontTest):
    def kill(self):
        os.kill(self.log.daemon.pid, signal.SIGKILL)
        self.log.daemon.wait(10)

    def mount_again(self, options=""):
        store = self.log.store
        self.log.remove()
        self.log = self.mount(store, options, "log")

    def test_503_while_there_is_none_and_then_it_goes_on(self):
        self.assertEqual(self.front.add(b"0").index, 0)
        self.published(1)
        self.log.abort()  # a mount that is dead
        for _ in range(3):
            self.assert_answer(self.front.add(b"no"), 503)
            for path in ("/checkpoint", "/tile/0/000.p/1", "/tile/0/001"):
                self.assert_answer(self.front.get(path), 503, cache_control=None)
        self.log.daemon.wait(10)
        harness.forget_mountpoint(self.log.path)  # none at all
        for path in ("/checkpoint", "/tile/0/000.p/1", "/tile/0/001"):
            self.assert_answer(self.front.get(path), 503, cache_control=None)
        self.assert_answer(self.front.add(b"no"), 503)
        self.mount_again("ro")
        self.assert_answer(self.front.add(b"no"), 503)
        self.assert_answer(self.front.get("/tile/0/000.p/1"), 200)
        harness.forget_mountpoint(self.log.path)
        self.log.daemon.wait(10)
        self.mount_again()
        self.assertEqual(self.front.add(b"1").index, 1)
        self.assertEqual(self.published(2), [b"0", b"1"])
        said = self.front.stop()[1].splitlines()
        self.assertRegex(said[0], r"^bettyfe: \S+/add.bundle: ")
        self.assertRegex(said[-1], "can be written again")

    def test_a_mount_that_was_replaced_meanwhile_fails_no_request(self):
        for index in range(5):
            self.assertEqual(self.front.add(b"%d" % index).index, index)
            self.log.stop() if index % 2 else self.kill()
            self.mount_again()

    def test_no_false_200_when_the_daemon_is_killed(self):
        """Whatever was acknowledged is there at its index, in every life of the daemon."""
        random.seed(SEED)
        added, unknown = [], 0
        raws = [self.front.raw() for _ in range(40)]
        for turn in range(4 * ROUNDS):
            killer = threading.Timer(random.uniform(0, 0.1), self.kill)
            killer.start()
            statuses, end = {200}, time.monotonic() + 5
            while 503 not in statuses:
                self.assertLess(time.monotonic(), end)
                entries = [b"%d %d %d" % (turn, i, len(added)) for i in range(len(raws))]
                for raw, entry in zip(raws, entries):
                    raw.send(post_bytes(entry))
                answers = [raw.answer() for raw in raws]
                statuses = {answer.status for answer in answers}
                self.assertLessEqual(statuses, {200, 503})
                unknown += sum(b"not known" in answer.body for answer in answers)
                added += [(answer.index, entry) for answer, entry in zip(answers, entries)
                          if answer.status == 200]
            killer.join()
            self.mount_again()
            self.assert_added(added)
        self.assertLessEqual(len(self.log.entries()), len(added) + unknown)
        self.assert_sound(self.log.store)

    def test_a_full_disk(self):
        disk = self.path("disk")
        os.mkdir(disk)
        done = harness.run(["mount", "-t", "tmpfs", "-o", "size=90M", "none", disk])
        self.assertEqual(done.code, 0, done)
        self.addCleanup(harness.run, ["umount", "-l", disk])
        log = self.mount(self.init("disk/store"), name="full")
        front = Front(self, log.path)
        self.assertEqual(front.add(b"first").index, 0)
        with open(os.path.join(disk, "filler"), "wb", buffering=0) as filler:
            with self.assertRaises(OSError) as caught:
                while True:
                    filler.write(b"x" * 4096)
            self.assertEqual(caught.exception.errno, errno.ENOSPC)
            connection = front.connection()
            statuses = [front.add(b"x" * LONGEST, connection).status for _ in range(600)]
            self.assertEqual(statuses[-1], 503)
            accepted = statuses.count(200)
            self.assertEqual(set(statuses[accepted:]), {503})
            filler.truncate(0)
            self.assertEqual(front.add(b"last", connection).index, 1 + accepted)

    def test_a_plain_file_is_no_log(self):
        """Where none is mounted a file of that name may lie: nobody writes to it."""
        plain = self.path("plain")
        os.mkdir(plain)
        content = b"0 %s\n1 %s\n" % (b"0" * 64, b"1" * 64)
        with open(os.path.join(plain, "add.bundle"), "wb") as file:
            file.write(b"x" * 7 + content)
        front = Front(self, plain)
        for _ in range(2):
            answer = front.add(b"entry")
            self.assert_answer(answer, 503)
            self.assertEqual(answer.body, b"the log cannot be written: no log is mounted there\n")
        with open(os.path.join(plain, "add.bundle"), "rb") as file:
            self.assertEqual(file.read(), b"x" * 7 + content)
        line = "bettyfe: %s/add.bundle: no log is mounted there\n" % plain
        self.assertEqual(front.stop(), (0, 2 * line))  # as it starts, and as it fails


class EndTest(FrontTest):
    def test_sigterm_answers_what_was_begun(self):
        for _ in range(3 * ROUNDS):
            idle = self.front.raw()  # holds nothing up
            raws = [self.front.raw() for _ in range(50)]
            half = self.front.raw()
            half.send(post_bytes(b"half")[:-2])
            with self.locked_commits(self.log.store):
                for number, raw in enumerate(raws):
                    raw.send(post_bytes(b"%d" % number))
                time.sleep(0.2)
                self.front.process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
                half.send(b"lf")
                time.sleep(0.1)
            added = [(raw.answer().index, b"%d" % number) for number, raw in enumerate(raws)]
            added.append((half.answer().index, b"half"))
            self.assertEqual(self.front.process.wait(5), 0)
            self.assertIsNone(idle.answer())
            self.assert_added(added)
            self.front = Front(self, self.log.path)

    def test_sigint_and_sigterm_end_it_at_once_when_idle(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            keep = self.front.connection()
            self.assertEqual(self.front.add(b"entry", keep).status, 200)
            start = time.monotonic()
            self.front.process.send_signal(number)
            self.assertEqual(self.front.process.wait(5), 0)
            self.assertLess(time.monotonic() - start, 1)
            self.front = Front(self, self.log.path)
        self.log.unmount()

    def test_what_the_log_took_late_is_answered(self):
        """Later than it waits for slow clients after SIGTERM, and with others to answer."""
        raws, readers = self.front.raws(200), self.front.raws(800)
        with self.locked_commits(self.log.store):
            for number, raw in enumerate(raws):
                raw.send(post_bytes(b"%d" % number))
            time.sleep(0.2)
            self.front.process.send_signal(signal.SIGTERM)
            time.sleep(5.3)
            self.front.process.send_signal(signal.SIGSTOP)
            for reader in readers:
                reader.send(b"GET /checkpoint HTTP/1.1\r\nHost: log\r\n\r\n")
        self.front.process.send_signal(signal.SIGCONT)
        added = [(raw.answer().index, b"%d" % number) for number, raw in enumerate(raws)]
        self.assertEqual(self.front.process.wait(5), 0)
        self.assertEqual(len(self.assert_added(added)), len(added))

    @unittest.skipUnless(ROUNDS > 1, "takes 15 s")
    def test_a_log_that_hangs_does_not_keep_it(self):
        with self.locked_commits(self.log.store):
            self.front.raw().send(post_bytes(b"waits"))
            time.sleep(0.2)
            self.front.process.send_signal(signal.SIGTERM)
            self.assertEqual(self.front.process.wait(20), -signal.SIGALRM)


if __name__ == "__main__":
    harness.main()
