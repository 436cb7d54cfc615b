#!/usr/bin/env python3
"""examples/bettyfe over a mount: what it answers, whom it believes, and what it holds on to.

    bettyfe_test.py path/to/tlogfs [Class.test]        bettyfe lies beside the program
    TLOGFS_BETTYFE_ROUNDS=20                           more rounds of what is random or repeated
"""

import contextlib
import errno
import os
import random
import resource
import signal
import sys
import threading
import time
import unittest

import harness
from front import LONGEST, Front, FrontTest, post_bytes
from reference_log import ReferenceLog

ROUNDS = int(os.environ.get("TLOGFS_BETTYFE_ROUNDS", "1"))
SEED = int(os.environ.get("TLOGFS_BETTYFE_SEED", "1"))
IMMUTABLE = "public, max-age=31536000, immutable"
TEXT = "text/plain; charset=utf-8"
MEMORY = 64 << 20


class AnswersTest(FrontTest):
    def test_entries_of_any_bytes_and_length(self):
        random.seed(SEED)
        entries = [b"one", b"", b"two\nlines\n", b"\n", bytes(range(256)), b"\0", b"x" * LONGEST,
                   random.randbytes(30000), b"one"]
        connection = self.front.connection()
        for index, entry in enumerate(entries):
            answer = self.front.add(entry, connection)
            self.assert_answer(answer, 200, content_type=TEXT)
            self.assertEqual(answer.body, b"%d" % index)
        self.assertEqual(self.published(len(entries)), entries)

    def test_an_entry_that_is_too_long_is_413_and_the_connection_goes_on(self):
        connection = self.front.connection()
        for length in (LONGEST + 1, LONGEST + 2, 1 << 20):
            self.assert_answer(self.front.add(b"x" * length, connection), 413)
            self.front.add(b"after", connection)
        chunks = (b"x" * 10000 for _ in range(7))
        connection.request("POST", "/add", chunks, encode_chunked=True)
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.read()[:8]), (413, b"an entry"))
        connection.request("POST", "/add", iter([b"chunk", b"ed"]), encode_chunked=True)
        self.assertEqual(connection.getresponse().read(), b"3")
        self.assertEqual(self.published(4), [b"after"] * 3 + [b"chunked"])

    def test_other_methods_are_405(self):
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
            self.assert_answer(self.front.ask(method, "/add", b"x"), 405, allow="POST")
        for path in ("/checkpoint", "/tile/0/000", "/", "/nothing", "/add/", "/Add", "//add"):
            self.assert_answer(self.front.ask("POST", path, b"x"), 405, allow="GET, HEAD")
        self.assertEqual(self.log.checkpoint().size, 0)

    def test_reading_gives_what_the_mount_has_with_the_headers_of_tlog_tiles(self):
        log = ReferenceLog([b"%d" % number for number in range(600)])
        self.log.append(*log.entries)
        for path in log.resources():
            for method in ("GET", "HEAD"):
                answer = self.front.ask(method, "/" + path)
                self.assert_answer(answer, 200, content_type="application/octet-stream",
                                   cache_control=IMMUTABLE, access_control_allow_origin="*",
                                   content_length="%d" % len(self.log.read(path)))
                self.assertEqual(answer.body, self.log.read(path) if method == "GET" else b"")
        self.assert_answer(self.front.get("/vkey"), 200, content_type=TEXT)
        self.assertEqual(self.front.get("/vkey").body.decode().strip(), self.vkey)

    def test_a_checkpoint_is_never_cached_nor_conditional(self):
        later = "Fri, 01 Jan 2100 00:00:00 GMT"
        for size in range(50):
            answer = self.front.ask("GET", "/checkpoint", headers={
                "If-Modified-Since": later, "If-None-Match": "*"})
            self.assert_answer(answer, 200, content_type=TEXT, cache_control="no-store",
                               access_control_allow_origin="*", etag=None, last_modified=None)
            self.assertEqual(answer.body.split(b"\n")[1], b"%d" % size)
            self.assertEqual(answer.body, self.log.read("checkpoint"))
            self.log.append(b"next")

    def test_nothing_else_is_served_and_errors_are_not_cached(self):
        self.log.append(b"entry")
        with open(self.path("secret"), "wb") as file:
            file.write(b"secret")
        for path in ("/", "/tile", "/tile/", "/tile/0", "/tile/0/", "/tile/0/000.p", "/log",
                     "/entries/0", "/add.bundle", "/tile/0/000", "/tile/0/000.p/2",
                     "/tile/0/000.p/01", "/tile/00/000.p/1", "/tile/0/000.p/1/", "//checkpoint",
                     "/./checkpoint", "/checkpoint/", "/checkpoint%00", "/../secret",
                     "/tile/../vkey", "/tile/../../secret", "/%2e%2e/secret",
                     "/tile/%2e%2e/%2e%2e/secret",
                     "/tile/..%2f..%2fsecret", "/tile/0/000.p/1%00", "/tile//0/000.p/1",
                     "/" + self.path("secret"), "/tile/" + "0" * 5000):
            answer = self.front.get(path)
            self.assert_answer(answer, 404, cache_control=None, access_control_allow_origin="*")
            self.assertEqual(answer.body, b"not there\n")
        self.assert_answer(self.front.get("/tile/0/000.p/1?x=y"), 200)

    def test_options(self):
        program = os.path.join(os.path.dirname(harness.PROGRAM), "bettyfe")
        taken = "127.0.0.1:%d" % self.front.port
        for words in (["--listen", taken], ["--listen", "8080"], ["--listen", "127.0.0.1:"],
                      ["--listen", "127.0.0.1:http"], ["--listen", "127.0.0.1:65536"],
                      ["--listen", ":0"], ["--listen", "::1:0"]):
            done = harness.run([program, "--mount", self.log.path, *words], 10)
            self.assertEqual(done.code, 1, done)
            self.assertRegex(done.err.decode(), r"\Abettyfe: [^\n]+: [^\n]+\n\Z")
        for words in ([], ["--mount", self.log.path, "--max-pending", "0"], ["--nothing"]):
            self.assertNotEqual(harness.run([program, *words], 10).code, 0)


class ManyTest(FrontTest):
    SECONDS = 60 * max(1, ROUNDS // 4)

    def test_many_connections_at_once(self):
        """Entries in as many connections, all of them ready at the same moment: as many as one wait
        of the server gives (128), its multiples, and others."""
        added = []
        for _ in range(ROUNDS):
            for count in (128, 256, 384, 512, 100):
                raws = [self.front.raw() for _ in range(count)]
                for turn in range(3):
                    self.front.process.send_signal(signal.SIGSTOP)
                    entries = [b"%d of %d in turn %d\n" % (i, count, turn) for i in range(count)]
                    for raw, entry in zip(raws, entries):
                        raw.send(post_bytes(entry))
                    self.front.process.send_signal(signal.SIGCONT)
                    start = time.monotonic()
                    added += [(raw.answer().index, entry) for raw, entry in zip(raws, entries)]
                    self.assertLess(time.monotonic() - start, 5)
                for raw in raws:
                    raw.close()
        self.assertEqual(len(self.assert_added(added)), len(added))

    def test_pipelined_requests_are_answered_in_their_order(self):
        raw = self.front.raw()
        raw.send(post_bytes(b"a") + post_bytes(b"b") + b"GET /vkey HTTP/1.1\r\nHost: log\r\n\r\n"
                 + post_bytes(b"c"))
        answers = [raw.answer() for _ in range(4)]
        self.assertEqual([answer.body for answer in answers[:2] + answers[3:]], [b"0", b"1", b"2"])
        self.assertEqual(answers[2].body.decode().strip(), self.vkey)
        self.assertEqual(self.published(3), [b"a", b"b", b"c"])

    def test_beside_other_writers(self):
        """Others append through the mount meanwhile: every index is that of the entry."""
        stop = threading.Event()

        def write():
            with open(self.log / "add", "ab", buffering=0) as file:
                while not stop.is_set():
                    file.write(b"from beside\n" * 10)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            added = []
            raws = [self.front.raw() for _ in range(30)]
            for turn in range(20 * ROUNDS):
                entries = [b"%d %d" % (turn, i) * (1 + 40 * i) for i in range(len(raws))]
                for raw, entry in zip(raws, entries):
                    raw.send(post_bytes(entry))
                added += [(raw.answer().index, entry) for raw, entry in zip(raws, entries)]
        finally:
            stop.set()
            writer.join()
        self.assertGreater(len(self.assert_added(added)), len(added))


class BadClientsTest(FrontTest):
    def test_slow_and_broken_clients_hold_nobody_up_and_add_nothing(self):
        random.seed(SEED)
        whole = post_bytes(b"never")
        raws = []
        for number in range(200):
            raws.append(self.front.raw())
            raws[-1].send(whole[:1 + number % (len(whole) - 1)])
        for number in range(200):
            raw = self.front.raw()
            with contextlib.suppress(OSError):  # It may be closed by then.
                raw.send(random.choice([
                    random.randbytes(1 + number * 50), b"\0" * 10000, b"POST /add HTTP/9.9\r\n\r\n",
                    b"POST /add HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nx",
                    b"POST /add HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\nabcde",
                    b"POST /add HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
                    b"GET /" + b"x" * 20000, b"A: b\r\n" * 5000, b"\r\n" * 1000]))
        start = time.monotonic()
        connection = self.front.connection()
        for number in range(100):
            self.assertEqual(self.front.add(b"%d" % number, connection).index, number)
        self.assertLess(time.monotonic() - start, 5)
        for raw in raws:
            raw.close()
        self.assertEqual(self.published(100), [b"%d" % number for number in range(100)])
        self.assertIsNone(self.front.process.poll())

    def test_a_client_that_goes_away_while_its_entry_waits(self):
        with self.locked_store():
            for number in range(100):
                raw = self.front.raw()
                raw.send(post_bytes(b"gone %d" % number))
                raw.close()
            time.sleep(0.3)
        last = self.front.add(b"last")
        self.assertEqual(self.assert_added([(last.index, b"last")])[-1], b"last")

    def test_memory_is_bounded(self):
        """Thousands of connections; and as many of the longest entries as are sent, of which it
        takes as many as it has room for, and refuses the others."""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        raws = [self.front.raw() for _ in range(min(3900, most // 2 - 200))]
        for raw in raws:
            raw.send(b"GET /checkpoint HTTP/1.1\r\nHost: log\r\nX: %s\r\n\r\n" % (b"x" * 3000))
        for raw in raws:
            self.assertEqual(raw.answer().status, 200)
        added, statuses = [], []
        with self.locked_store():
            for number, raw in enumerate(raws[:1000]):
                raw.send(post_bytes(b"%d" % number * (LONGEST // len(b"%d" % number))))
            time.sleep(0.5)
        for number, raw in enumerate(raws[:1000]):
            answer = raw.answer()
            statuses.append(answer.status)
            if answer.status == 200:
                added.append((answer.index, b"%d" % number * (LONGEST // len(b"%d" % number))))
        self.assertEqual(set(statuses), {200, 429})
        self.assertEqual(len(self.assert_added(added)), len(added))
        if not {"ASAN_OPTIONS", "TSAN_OPTIONS"} & os.environ.keys():  # They take their own.
            self.assertLess(self.front.memory(), MEMORY)
        for raw in raws:
            raw.close()


class PushBackTest(FrontTest):
    OPTIONS = ("--max-pending", "5")

    def test_more_than_may_wait_are_429(self):
        with self.locked_store():
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
        with self.locked_store():
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


class EndTest(FrontTest):
    def test_sigterm_answers_what_was_begun(self):
        for _ in range(3 * ROUNDS):
            idle = self.front.raw()  # holds nothing up
            raws = [self.front.raw() for _ in range(50)]
            half = self.front.raw()
            half.send(post_bytes(b"half")[:-2])
            with self.locked_store():
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

    @unittest.skipUnless(ROUNDS > 1, "takes 15 s")
    def test_a_log_that_hangs_does_not_keep_it(self):
        with self.locked_store():
            self.front.raw().send(post_bytes(b"waits"))
            time.sleep(0.2)
            self.front.process.send_signal(signal.SIGTERM)
            self.assertEqual(self.front.process.wait(20), -signal.SIGALRM)


if __name__ == "__main__":
    harness.main()
