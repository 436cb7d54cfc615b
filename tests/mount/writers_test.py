#!/usr/bin/env python3
"""Writers that are many, that are stopped, killed or interrupted, and that must not wait."""

import ctypes
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import harness

# Writes its arguments to the file as they are, then sleeps with the file open.
WRITE_AND_SLEEP = """
import os, sys, time
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
for word in sys.argv[2:]:
    os.write(fd, word.encode())
print('asleep', flush=True)
time.sleep(100)
"""

# For the beginning of a script: it runs, and comes to its first write at once.
SAY_SO = "print('here', flush=True)\n"

# Appends numbered lines, one write each, for ever.
WRITE_ON = """
import itertools, os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
for number in itertools.count():
    os.write(fd, b'%d\\n' % number)
"""


class WritersTest(harness.MountTest):
    def setUp(self):
        super().setUp()
        self.log = self.mount()

    def python(self, script, *arguments, **options):
        return self.start([sys.executable, "-c", script, self.log / "add", *arguments], **options)

    def assert_counts(self, entries):
        """0, 1, 2, ... each once, in order."""
        self.assertEqual(entries, [b"%d" % number for number in range(len(entries))])

    def test_many_writers_at_once(self):
        """64 writers, lines in two writes: each line whole, once, in its writer's order."""
        def write(name):
            with open(self.log / "add", "ab", buffering=0) as file:
                for number in range(40):
                    file.write(b"%d " % name)
                    file.write(b"%d\n" % number)
        threads = [threading.Thread(target=write, args=(name,)) for name in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        entries = self.log.entries()
        self.assertEqual(len(entries), 64 * 40)
        for name in range(64):
            mine = [entry for entry in entries if entry.startswith(b"%d " % name)]
            self.assertEqual(mine, [b"%d %d" % (name, number) for number in range(40)])

    def test_a_writer_killed_with_half_a_line_adds_none_of_it(self):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP):
            writer = self.python(WRITE_AND_SLEEP, "whole\nhalf", stdout=subprocess.PIPE)
            self.assertEqual(writer.stdout.readline(), b"asleep\n")
            writer.send_signal(number)
            self.assertEqual(writer.wait(10), -number)
            self.log.append(b"next")
        self.assertEqual(self.log.entries(), [b"whole", b"next"] * 3)

    def test_a_writer_that_handles_the_signal_and_exits_has_its_tail_committed(self):
        handler = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))"
        writer = self.python(handler + WRITE_AND_SLEEP, "kept", stdout=subprocess.PIPE)
        self.assertEqual(writer.stdout.readline(), b"asleep\n")
        writer.terminate()
        self.assertEqual(writer.wait(10), 3)
        harness.wait_for(lambda: self.log.checkpoint().size, "the tail")
        self.assertEqual(self.log.entries(), [b"kept"])

    def test_stopped_and_continued_like_ctrl_z(self):
        """Stops and goes on, many times, in the middle of writes: no line twice, none missing."""
        writer = self.python(WRITE_ON)
        harness.wait_for(lambda: self.log.checkpoint().size > 10, "lines")
        for _ in range(20):
            writer.send_signal(signal.SIGTSTP)
            harness.wait_for(lambda: harness.state_of(writer.pid) == "T", "stopped")
            size = self.log.checkpoint().size
            writer.send_signal(signal.SIGCONT)
            harness.wait_for(lambda: self.log.checkpoint().size > size, "more lines")
        writer.kill()
        writer.wait(10)
        self.assert_counts(self.log.entries())

    def test_a_handled_signal_does_not_end_a_write(self):
        """A timer every 200 us: write(2) is never EINTR or short, each entry is there once."""
        libc = ctypes.CDLL(None, use_errno=True)
        alarms = []
        before = signal.signal(signal.SIGALRM, lambda *_: alarms.append(1))
        descriptor = os.open(self.log / "add", os.O_WRONLY | os.O_APPEND)
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        try:
            for number in range(3000):
                line = b"%d\n" % number
                count = libc.write(descriptor, line, len(line))
                self.assertEqual(count, len(line), errno.errorcode.get(ctypes.get_errno()))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            os.close(descriptor)
        self.assertGreater(len(alarms), 100)
        entries = self.log.entries()
        self.assertEqual(len(entries), 3000)
        self.assert_counts(entries)

    def test_nonblocking_writers_wait_with_poll(self):
        descriptor = os.open(self.log / "add", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        for number in range(2000):
            line = b"%d\n" % number
            while line:
                try:
                    line = line[os.write(descriptor, line):]
                except BlockingIOError:
                    self.assertTrue(poll.poll(10000))
        os.close(descriptor)
        self.assert_counts(self.log.entries())

    def test_waiting_writers_delay_no_reader_and_can_be_killed(self):
        """While another process holds the store, appends wait: reads do not, and a waiting writer
        whose entry has no index yet can be killed at once, without a trace."""
        self.log.append(b"first")
        with self.locked_commits(self.log.store):
            holder = self.python(SAY_SO + WRITE_AND_SLEEP, "held\n", stdout=subprocess.PIPE)
            self.assertEqual(holder.stdout.readline(), b"here\n")
            time.sleep(0.5)  # it is now being committed
            waiting = [self.python(SAY_SO + WRITE_AND_SLEEP, "killed\n", stdout=subprocess.PIPE)
                       for _ in range(30)]
            for writer in waiting:
                self.assertEqual(writer.stdout.readline(), b"here\n")
            time.sleep(0.5)
            start = time.monotonic()
            self.assertEqual(self.log.checkpoint().size, 1)
            self.assertEqual(self.log.read("entries/0"), b"first")
            self.assertEqual(os.listdir(self.log / "tile/0"), ["000.p"])
            self.assertLess(time.monotonic() - start, 0.5)
            for writer in waiting:
                self.assertIsNone(writer.poll())
                start = time.monotonic()
                writer.kill()
                writer.wait(5)
                self.assertLess(time.monotonic() - start, 1)
            self.assertIsNone(holder.poll())
        self.assertEqual(holder.stdout.readline(), b"asleep\n")
        self.log.append(b"last")
        self.assertEqual(self.log.entries(), [b"first", b"held", b"last"])

    def test_a_child_that_ends_while_a_write_waits_ends_nothing(self):
        """The FLUSH of a background child arrives while the opener's own write is waiting."""
        with self.locked_commits(self.log.store):
            shell = self.start(["bash", "-c", "{ sleep 0.2 & printf 'first\\n'; printf 'sec';"
                                "wait; printf 'ond\\n'; } >> '%s'" % (self.log / "add")])
            time.sleep(0.6)
            self.assertIsNone(shell.poll())
        self.assertEqual(shell.wait(10), 0)
        self.assertEqual(self.log.entries(), [b"first", b"second"])

    def test_logger_through_rsyslog(self):
        """rsyslog's omfile holds the file open, and cuts lines at 4,096 bytes under load."""
        rsyslogd, _ = self.need("rsyslogd", "logger")
        path = self.path("syslog")
        with open(self.path("rsyslog.conf"), "w", encoding="utf-8") as file:
            file.write('global(workDirectory="%s")\nmodule(load="imuxsock" SysSock.Use="off")\n'
                       'input(type="imuxsock" Socket="%s" RateLimit.Interval="0")\n'
                       'template(name="line" type="string" string="%%msg%%\\n")\n'
                       '*.* action(type="omfile" file="%s" template="line" fileCreateMode="0600")\n'
                       % (self.folder, path, self.log / "add"))
        self.start([rsyslogd, "-n", "-f", self.path("rsyslog.conf"), "-i", self.path("pid")])
        harness.wait_for(lambda: os.path.exists(path), "rsyslogd listens")
        for number in range(20):
            done = harness.run(["logger", "-u", path, "-t", "test", "single %d" % number])
            self.assertEqual(done.code, 0, done)
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sender.close)
        sender.connect(path)
        for number in range(3000):
            sender.send(b"<14>Jan  1 00:00:00 test: load %d" % number)

        def lines():
            return [line.strip() for line in self.log.read("log").splitlines()
                    if b"load" in line or b"single" in line]
        harness.wait_for(lambda: len(lines()) >= 3020, "all messages", 20)
        self.assertEqual(lines(), [b"single %d" % number for number in range(20)] +
                         [b"load %d" % number for number in range(3000)])

    def test_programs_that_start_others_with_add_open_do_not_hang_the_mount(self):
        """exec closes the child's copy, under a lock that reading /proc/PID/stat waits for."""
        script = ("import os, sys\n"
                  "add = [os.open(sys.argv[1], os.O_WRONLY) for _ in range(4)]\n"
                  "for fd in add: os.write(fd, b'half')\n"
                  "for _ in range(20): os.system('true')\n")
        children = [self.python(script) for _ in range(4)]
        for child in children:
            self.assertEqual(child.wait(20), 0)
        self.assertEqual(self.log.checkpoint().size, 16)


if __name__ == "__main__":
    harness.main()
