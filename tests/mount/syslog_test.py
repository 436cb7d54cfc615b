#!/usr/bin/env python3
"""rsyslog and the systemd journal into a log, and rsyslog as a shipper of a log, with the
configurations and scripts of examples/: every message once and in order, while the mount and the
programs are killed, stopped and started again.

  syslog_test.py path/to/tlogfs [Class.test]
  TLOGFS_SYSLOG_ROUNDS=50 syslog_test.py path/to/tlogfs
"""

import contextlib
import glob
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import harness
from web_servers import free_port

EXAMPLES = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../examples"))
ROUNDS = int(os.environ.get("TLOGFS_SYSLOG_ROUNDS", "1"))


class DayTest(harness.MountTest):
    SECONDS = 60 + 30 * ROUNDS

    def setUp(self):
        super().setUp()
        self.point = "point"  # below the test's folder
        self.count = 0  # numbered messages sent so far

    def kill_mount(self):
        """As in a crash: the mountpoint is there, and dead."""
        self.log.daemon.kill()
        self.log.daemon.wait(20)

    def remount(self):
        harness.forget_mountpoint(self.log.path)
        self.log = self.mount(self.log.store, name=self.point)

    def stop(self, child):
        child.terminate()
        child.wait(20)

    def numbers(self):
        """Of the numbered messages in the log, in its order."""
        text = [entry.rpartition(b": n ") for entry in self.log.read("log").splitlines()]
        return [int(number) for before, _, number in text if before.endswith(b" test")]

    def wait_for_all(self, numbers):
        """Each once, in order."""
        with contextlib.suppress(AssertionError):  # What is missing is told below.
            harness.wait_for(lambda: len(numbers()) >= self.count, "all messages", 30)
        found = numbers()
        missing = sorted(set(range(self.count)) - set(found))
        self.assertEqual((missing, len(found)), ([], self.count))
        jumps = [pair for pair in zip(found, found[1:]) if pair[1] != pair[0] + 1]
        self.assertEqual((jumps, found[0]), ([], 0))


class RsyslogTest(DayTest):
    def setUp(self):
        super().setUp()
        self.rsyslogd = self.need("rsyslogd")
        self.log = self.mount(name=self.point)
        os.mkdir(self.path("work"))
        self.socket = self.path("socket")

    def configure(self, example, changes):
        """The example, with other paths, as the only thing that this rsyslog does."""
        with open(os.path.join(EXAMPLES, example), encoding="utf-8") as file:
            text = file.read()
        for old, new in changes.items():
            self.assertIn(old, text)
            text = text.replace(old, new)
        with open(self.path("rsyslog.conf"), "w", encoding="utf-8") as file:
            file.write('global(workDirectory="%s")\n'
                       'global(parser.escapeControlCharactersOnReceive="off")\n'
                       'module(load="imuxsock" SysSock.Use="off")\n'
                       'input(type="imuxsock" Socket="%s" RateLimit.Interval="0")\n%s'
                       % (self.path("work"), self.socket, text))
        done = harness.run([self.rsyslogd, "-N1", "-f", self.path("rsyslog.conf")])
        self.assertEqual(done.code, 0, done)

    def start_rsyslog(self):
        for leftover in ("pid", "socket"):
            if os.path.exists(self.path(leftover)):
                os.remove(self.path(leftover))
        with open(self.path("rsyslog.out"), "ab") as out:
            child = self.start([self.rsyslogd, "-n", "-f", self.path("rsyslog.conf"), "-i",
                                self.path("pid")], stdout=out, stderr=out)
        harness.wait_for(lambda: os.path.exists(self.path("pid")) and os.path.exists(self.socket),
                         "rsyslogd listens")
        return child

    def send(self, *texts):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(self.socket)
            for text in texts:
                sender.send(b"<14>Jan  1 00:00:00 test: " + text)
                time.sleep(0.0005)

    def send_numbers(self, count):
        self.send(*[b"n %d" % number for number in range(self.count, self.count + count)])
        self.count += count


class IntoLogTest(RsyslogTest):
    def setUp(self):
        super().setUp()
        self.configure("rsyslog-into-log.conf", {
            "/usr/local/bin/append_lines /srv/log":
                "%s/append_lines %s" % (EXAMPLES, self.log.path),
            "/var/spool/rsyslog/": self.path("work/")})

    def start_rsyslog(self):
        self.said = self.path("work/into-log.rest.err")
        with open(self.said, "wb"):
            pass
        return super().start_rsyslog()

    def stop_while_waiting(self, rsyslog):
        """Its program has been handed messages, and waits for the mount. (While it is being handed
        them, rsyslog may put them behind those that came later.)"""
        def waits():
            with open(self.said, "rb") as file:
                return file.read().endswith(b"not connected; waiting\n")
        harness.wait_for(waits, "it waits")
        self.stop(rsyslog)

    def test_the_mount_goes_and_comes_back(self):
        self.start_rsyslog()
        for _ in range(ROUNDS):
            self.send_numbers(100)
            self.kill_mount()
            self.send_numbers(300)
            self.remount()
            self.send_numbers(100)
            self.log.stop()
            self.send_numbers(100)
            self.remount()
        self.wait_for_all(self.numbers)

    def test_and_rsyslog_too(self):
        """Is stopped, twice, with messages under way."""
        for _ in range(ROUNDS):
            rsyslog = self.start_rsyslog()
            self.send_numbers(200)
            self.kill_mount()
            self.send_numbers(200)
            self.stop_while_waiting(rsyslog)
            rsyslog = self.start_rsyslog()
            self.send_numbers(100)
            self.stop_while_waiting(rsyslog)
            self.remount()
            rsyslog = self.start_rsyslog()
            self.send_numbers(100)
            self.wait_for_all(self.numbers)
            self.stop(rsyslog)

    def test_a_message_is_a_line(self):
        self.start_rsyslog()
        texts = [b"with\nnewline", b"with\ttab", "gr\u00fc\u00df Gott".encode(), b"x" * 7000,
                 b"end"]
        self.send(*texts)
        harness.wait_for(lambda: b"test: end\n" in self.log.read("log"), "the last one")
        found = [entry.partition(b" test: ") for entry in self.log.read("log").splitlines()]
        self.assertEqual([text for _, _, text in found if text],
                         [b"with#010newline", b"with#009tab", *texts[2:]])
        self.assertRegex(found[0][0].decode(), r"^\d{4}-\d\d-\d\dT[\d:.]+[-+]\d\d:\d\d \S+$")

    def test_a_long_message_is_cut(self):
        """Where rsyslog cuts it: see rsyslog-into-log.conf."""
        self.start_rsyslog()
        self.send(b"x" * 9000, b"end")
        harness.wait_for(lambda: b"test: end\n" in self.log.read("log"), "the last one")
        found = self.log.read("log").splitlines()
        self.assertEqual(len(found), 2)
        self.assertTrue(8000 < found[0].count(b"x") < 8192, len(found[0]))

    def test_where_nothing_is_mounted_nothing_is_written(self):
        self.log.unmount()
        self.start_rsyslog()
        self.send_numbers(50)
        time.sleep(0.5)
        self.assertEqual(os.listdir(self.log.path), [])
        self.remount()
        self.wait_for_all(self.numbers)


class FromLogTest(RsyslogTest):
    def setUp(self):
        super().setUp()
        if not glob.glob("/usr/lib/*/rsyslog/omrelp.so"):
            self.skipTest("no rsyslog-relp")
        self.port = free_port()
        os.mkdir(self.path("received"))
        self.start_receiver()
        self.configure("rsyslog-from-log.conf", {
            "/srv/log": self.log.path, "logs.example.com": "127.0.0.1",
            '"2514"': '"%d"' % self.port})

    def start_receiver(self):
        """The other machine's rsyslog: what it is sent is in the file `all`, as lines."""
        with open(os.path.join(EXAMPLES, "rsyslog-from-log.conf"), encoding="utf-8") as file:
            text = re.search(r"^#   (global.* port=.*)$", file.read(), re.M)[1]
        with open(self.path("receiver.conf"), "w", encoding="utf-8") as file:
            file.write('global(workDirectory="%s")\n'
                       'global(parser.escapeControlCharactersOnReceive="off")\n%s\n'
                       'template(name="line" type="string" string="%%rawmsg%%\\n")\n'
                       'action(type="omfile" file="%s" template="line")\n'
                       % (self.path("received"), text.replace('"2514"', '"%d"' % self.port),
                          self.path("received/all")))
        with open(self.path("received/out"), "ab") as out:
            self.receiver = self.start([self.rsyslogd, "-n", "-f", self.path("receiver.conf"), "-i",
                                        self.path("received/pid")], stdout=out, stderr=out)

    @property
    def received(self):
        with contextlib.suppress(FileNotFoundError), open(self.path("received/all"), "rb") as file:
            return file.read()
        return b""

    def append(self, *entries):
        """Whether or not somebody reads: each published, in pieces."""
        for start in range(0, len(entries), 10):
            self.log.append(*entries[start:start + 10])

    def append_numbers(self, count):
        self.append(*[b"%d" % number for number in range(self.count, self.count + count)])
        self.count += count

    def shipped(self):
        return [int(line) for line in self.received.splitlines()]

    def test_every_line_once_in_order(self):
        for _ in range(ROUNDS):
            rsyslog = self.start_rsyslog()
            self.append_numbers(500)
            self.stop(rsyslog)  # perhaps in the midst of them
            self.append_numbers(300)
            rsyslog = self.start_rsyslog()
            self.append_numbers(300)
            self.kill_mount()
            time.sleep(1.2)  # It has noticed.
            self.remount()
            self.append_numbers(300)
            self.log.unmount()
            time.sleep(7.5 if ROUNDS > 1 else 1.5)  # After 5 s it takes the file for deleted.
            self.remount()
            self.append_numbers(300)
            self.log.stop()
            self.stop(rsyslog)
            rsyslog = self.start_rsyslog()
            time.sleep(1.2)
            self.remount()
            self.append_numbers(300)
            self.wait_for_all(self.shipped)
            self.stop(rsyslog)

    def test_the_receiver_is_restarted(self):
        """Nothing is lost, and what is sent again comes in order, too."""
        self.start_rsyslog()
        for _ in range(ROUNDS):
            before = len(self.received)
            self.append_numbers(5000)
            harness.wait_for(lambda before=before: len(self.received) > before, "some")
            self.stop(self.receiver)
            self.append_numbers(100)
            self.start_receiver()
        harness.wait_for(lambda: self.shipped()[-1:] == [self.count - 1], "the last one", 30)
        self.assertEqual(list(dict.fromkeys(self.shipped())), list(range(self.count)))

    def test_every_byte(self):
        """Entries of all lengths but none, which rsyslog leaves out."""
        rsyslog = self.start_rsyslog()
        entries = [b"x" * length for length in (1, 4095, 4096, 4097, 8192, 65534, 65535, 2)]
        entries += ["gr\u00fc\u00df Gott".encode(), b" blanks ", b"\ttab", b"%s $!all-json"]
        self.append(*entries)
        harness.wait_for(lambda: len(self.received) >= len(self.log.read("log")), "all")
        self.assertEqual(self.received, self.log.read("log"))
        self.stop(rsyslog)


class JournalTest(DayTest):
    """A journal of the test's own: journald in a mount namespace with another /run and /var/log."""

    JOURNALD = "/lib/systemd/systemd-journald"

    def setUp(self):
        super().setUp()
        if not os.path.exists(self.JOURNALD) or not os.path.exists("/etc/machine-id"):
            self.skipTest("no systemd-journald")
        for folder in ("run", "logs/journal"):
            os.makedirs(self.path(folder))
        self.start(["unshare", "--mount", "bash", "-c",
                    "mount --bind %s /run && mount --bind %s /var/log && exec %s test"
                    % (self.path("run"), self.path("logs"), self.JOURNALD)],
                   stderr=subprocess.DEVNULL)
        self.socket = self.path("run/systemd/journal.test/socket")
        harness.wait_for(lambda: os.path.exists(self.socket), "journald listens")
        self.log = self.mount(name=self.point)  # after the namespace, or it would be held there
        self.send(b"first")
        self.folder_of_journal = harness.wait_for(
            lambda: glob.glob(self.path("logs/journal/*.test")), "a journal")[0]

    def send(self, *texts):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(self.socket)
            for text in texts:
                sender.send(b"SYSLOG_IDENTIFIER=test\nPRIORITY=6\nMESSAGE=%s\n" % text)
                time.sleep(0.0005)

    def send_numbers(self, count):
        self.send(*[b"n %d" % number for number in range(self.count, self.count + count)])
        self.count += count

    def start_script(self):
        return self.start([os.path.join(EXAMPLES, "journal_into_log"), self.log.path,
                           "-D", self.folder_of_journal, "-t", "test"])

    @staticmethod
    def end(script):
        os.killpg(script.pid, signal.SIGTERM)
        script.wait(20)

    def numbers(self):
        messages = [json.loads(entry)["MESSAGE"] for entry in self.log.read("log").splitlines()]
        return [int(message.removeprefix("n ")) for message in messages if message != "first"]

    def test_everything_is_killed_and_restarted(self):
        self.send_numbers(100)
        for _ in range(ROUNDS):
            script = self.start_script()
            self.send_numbers(200)
            os.killpg(script.pid, signal.SIGKILL)
            script.wait(20)
            self.send_numbers(100)
            script = self.start_script()
            self.send_numbers(200)
            self.kill_mount()
            self.send_numbers(100)
            self.end(script)
            self.assertNotEqual(self.start_script().wait(10), 0)  # not without a mount
            self.remount()
            script = self.start_script()
            self.send_numbers(100)
            self.kill_mount()
            self.send_numbers(100)
            self.remount()
            self.wait_for_all(self.numbers)
            self.end(script)

    def test_lines_that_lost_their_cursor(self):
        """Cut, and the last ones: it goes on from the one before, so they are written again."""
        self.send_numbers(2)
        script = self.start_script()
        harness.wait_for(lambda: self.log.checkpoint().size == 3, "all messages")
        self.end(script)
        self.log.write("add.bundle", 12 * (b"\xff\xff" + b'{"A":"' + b"x" * 65529))
        self.send_numbers(1)
        script = self.start_script()
        harness.wait_for(lambda: self.log.checkpoint().size == 16, "the new one")
        last = json.loads(self.log.entries()[-1])
        self.assertEqual(last["MESSAGE"], "n 2")
        self.end(script)

    def test_a_log_of_something_else_is_refused(self):
        self.log.append(b"something else")
        self.send_numbers(1)
        with open(self.path("err"), "w+b") as err:
            script = self.start([os.path.join(EXAMPLES, "journal_into_log"), self.log.path,
                                 "-D", self.folder_of_journal], stderr=err)
            self.assertEqual(script.wait(10), 1)
            err.seek(0)
            self.assertIn(b"not from a journal", err.read())
        self.assertEqual(self.log.checkpoint().size, 1)


if __name__ == "__main__":
    harness.main()
