#!/usr/bin/env python3
"""examples/bettyfe over a mount: what it answers, to clients of all kinds, and what it holds on to.
bettyfe_log_test.py shows what the log can do to it.

    bettyfe_test.py path/to/tlogfs [Class.test]        bettyfe lies beside the program
    TLOGFS_BETTYFE_ROUNDS=20                           more rounds of what is random or repeated
"""

import contextlib
import os
import random
import signal
import threading
import time

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

    def test_an_entry_that_is_too_long_is_413_at_once_if_its_body_need_not_come(self):
        head = "POST /add HTTP/1.1\r\nHost: log\r\nContent-Length: %d\r\n%s\r\n"
        expect = "Expect: 100-continue\r\n"
        for length, more in ((LONGEST + 1, expect), (LONGEST + 1, expect.replace("c", "C")),
                             (1 << 40, expect), ((1 << 20) + 1, ""), (1 << 40, "")):
            raw = self.front.raw()
            raw.send((head % (length, more)).encode())  # and no more
            self.assert_answer(raw.answer(), 413, content_type=TEXT)
            self.assertIsNone(raw.answer())
        for length, more in ((LONGEST, expect), (LONGEST + 1, ""), (1 << 20, "")):
            raw = self.front.raw()
            raw.send((head % (length, more)).encode())
            if more:
                self.assertEqual(raw.answer().status, 100)
            raw.send(b"x" * length)
            self.assertEqual(raw.answer().status, 200 if length == LONGEST else 413)
            raw.send(post_bytes(b"after"))
            self.assertEqual(raw.answer().status, 200)
        self.assertEqual(self.published(4), [b"x" * LONGEST, b"after", b"after", b"after"])
        self.assertEqual(self.front.stop(2), (0, ""))  # It waits for nothing more of them.

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
        numbers = ("0", "", "010", "0x10", "+5", "-5", " 5", "5 ", "5x", "1.5", "1000001",
                   "18446744073709551617")
        for words in ([], ["--nothing"], ["--mount"], *(["--max-pending=" + n] for n in numbers)):
            mount = ["--mount", self.log.path] if "--max-pending" in "".join(words) else []
            done = harness.run([program, *mount, *words, "--listen", "127.0.0.1:0"], 10)
            self.assertEqual((done.code, done.out), (2, b""), words)
            self.assertRegex(done.err.decode(), r"\Abettyfe: command line: [^\n]+\n\Z", words)
        done = harness.run([program, "--help"], 10)
        self.assertEqual((done.code, done.err), (0, b""))
        self.assertIn(b"--max-pending", done.out)


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

    def test_what_is_not_http_is_refused(self):
        post = "POST /add HTTP/1.1\r\n%s\r\n%s"
        for request, status in (
                ("POST /add HTTP/9.9\r\nHost: x\r\n\r\n", 505),
                (post % ("Host: x\r\nContent-Length: -1\r\n", "x"), 400),
                (post % ("Host: x\r\nContent-Length: 5x\r\n", "abcde"), 400),
                (post % ("Host: x\r\nContent-Length: \r\n", "abcde"), 400),
                (post % ("Host: x\r\nContent-Length: %s\r\n" % ("9" * 30), "x"), 413),
                (post % ("Host: x\r\nTransfer-Encoding: chunked\r\n", "zz\r\nabc"), 400),
                ("GET /" + "x" * 20000 + " HTTP/1.1\r\nHost: x\r\n\r\n", 414),
                ("GET / HTTP/1.1\r\nHost: x\r\n" + "A: b\r\n" * 5000 + "\r\n", 431)):
            raw = self.front.raw()
            raw.send(request.encode())
            self.assertEqual(raw.answer().status, status, request[:80])
            raw.wait_for_end()
        self.assertEqual(self.front.add(b"first").index, 0)

    def test_bodies_that_are_too_long_take_no_room(self):
        """Of many that are refused already, and not yet at their end."""
        for chunked in (False, True):
            for _ in range(150):
                raw = self.front.raw()
                raw.send(b"POST /add HTTP/1.1\r\nHost: log\r\n" + (
                    b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % 200000 if chunked else
                    b"Content-Length: 200000\r\n\r\n"))
                raw.send(b"x" * 100000)
        time.sleep(0.3)
        connection = self.front.connection()
        for number in range(20):
            self.assertEqual(self.front.add(b"x" * LONGEST, connection).index, number)

    def test_a_client_that_goes_away_while_its_entry_waits(self):
        with self.locked_commits(self.log.store):
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
        raws = self.front.raws(3900)
        for raw in raws:
            raw.send(b"GET /checkpoint HTTP/1.1\r\nHost: log\r\nX: %s\r\n\r\n" % (b"x" * 3000))
        for raw in raws:
            self.assertEqual(raw.answer().status, 200)
        added, statuses = [], []
        with self.locked_commits(self.log.store):
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


if __name__ == "__main__":
    harness.main()
