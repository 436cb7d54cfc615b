#!/usr/bin/env python3
"""Those who take much or do not move: they cost the daemon little, and nobody else anything."""

import errno
import mmap
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import harness

MIB = 1 << 20
HANDLES = 10_000
NOBODY = 65534
MOST = 96 * MIB  # may be held for them all: the budget, a little for each, what strings waste
PROMPT = 5  # seconds; what is measured takes some milliseconds

# Opens the file FILES times, writes half a line of LENGTH bytes to each, and never closes one.
OPEN_MANY = """
import os, sys, time
path, files, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
refused = 0
for number in range(files):
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, b'x' * length)
    except OSError as error:
        refused += 1
        os.strerror(error.errno) == 'No buffer space available' or sys.exit(str(error))
print(refused, flush=True)
time.sleep(1000)
"""

# Opens the file FILES times for reading, too, writes LENGTH empty lines to each, and reads nothing.
NEVER_READ = """
import os, sys, time
path, files, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(files):
    os.write(os.open(path, os.O_RDWR), b'\\n' * length)
print(0, flush=True)
time.sleep(1000)
"""

# Opens the file, writes LENGTH bytes without a newline, and closes it, COUNT times or until it is
# refused; another opening that it has closed a copy of makes that nobody waits for these closes.
CLOSE_ON = """
import errno, os, sys
path, count, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.close(os.dup(os.open(path, os.O_WRONLY)))
for number in range(count):
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, b'x' * length)
    except OSError as error:
        print(number if error.errno == errno.ENOBUFS else error)
        break
    os.close(descriptor)
else:
    print(number + 1)
"""

# Writes empty entries, a MiB of them at a time, for SECONDS.
FLOOD = """
import os, sys, time
file, end = os.open(sys.argv[1], os.O_WRONLY), time.monotonic() + float(sys.argv[2])
empty = (b'\\0\\0' if sys.argv[1].endswith('.bundle') else b'\\n') * (1 << 20)
while time.monotonic() < end:
    os.write(file, empty[:1 << 20])
"""

# Reads the file from the beginning again and again, in small pieces, with THREADS threads.
READ_ON = """
import os, sys, threading
def read():
    descriptor = os.open(sys.argv[1], os.O_RDONLY)
    while True:
        offset = 0
        while part := os.pread(descriptor, 4096, offset):
            offset += len(part)
threads = [threading.Thread(target=read) for _ in range(int(sys.argv[2]))]
for thread in threads:
    thread.start()
print('reading', flush=True)
"""

# Maps the file and looks at its pages for ever.
MAP_ON = """
import mmap, os, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
pages = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
print('mapped', flush=True)
while True:
    pages[:].count(b'x')
"""

WRITE = """
import os, sys
print('writing', flush=True)
os.write(os.open(sys.argv[1], os.O_WRONLY), b'a line\\n')
"""


class MountedTest(harness.MountTest):
    SECONDS = 240
    OPTIONS = ""

    def setUp(self):
        super().setUp()
        self.log = self.mount(options=self.OPTIONS)
        self.log.append(b"first")

    def python(self, script, *arguments):
        return self.start([sys.executable, "-c", script, *(str(word) for word in arguments)],
                          stdout=subprocess.PIPE)

    def memory(self):
        with open("/proc/%d/status" % self.log.daemon.pid, encoding="utf-8") as file:
            line = next(line for line in file if line.startswith("RssAnon:"))
        return int(line.split()[1]) * 1024

    def assert_others_go_on(self):
        """Whole lines, lines in small pieces, receipts, and reading."""
        self.log.append(b"and all before it is published")
        size = self.log.checkpoint().size
        start = time.monotonic()
        self.log.append(b"whole", b"lines")
        done = harness.run("{ printf 'a '; printf 'b\\n'; } >> '%s'" % (self.log / "add"))
        self.assertEqual(done.code, 0, done)
        done = harness.run("exec 3<> '%s'; echo c >&3; read -r index hash <&3; echo $index"
                           % (self.log / "add"))
        self.assertEqual(done.out, b"%d\n" % (size + 3))
        self.assertEqual(self.log.read("entries/%d" % (size + 2)), b"a b")
        self.assertEqual(self.log.checkpoint().size, size + 4)
        self.assertLess(time.monotonic() - start, PROMPT)


class BudgetTest(MountedTest):
    def half_a_line(self, length):
        """Whether there is room for one."""
        descriptor = os.open(self.log / "add", os.O_WRONLY)
        try:
            return os.write(descriptor, b"y" * length) == length
        except OSError as error:
            self.assertEqual(error.errno, errno.ENOBUFS)
            return False
        finally:
            os.close(descriptor)

    def greedy(self, script, files, length, name="add"):
        """Runs it to its end; what it was refused, and by how many bytes the daemon has grown."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files + 100, max(files + 100, limit[1])))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        before = self.memory()
        process = self.python(script, self.log / name, files, length)
        refused = int(process.stdout.readline())
        return process, refused, self.memory() - before


class GreedyTest(BudgetTest):
    def test_ten_thousand_half_lines(self):
        """Ever so long ones: a few find room, the rest are refused, and only that."""
        for name, files in (("add", HANDLES), ("add.bundle", 3000)):
            process, refused, grown = self.greedy(OPEN_MANY, files, 30_000, name)
            self.assertLess(files // 2, refused)
            self.assertLess(refused, files)
            self.assertLess(grown, MOST)
            self.assertFalse(self.half_a_line(30_000))
            self.assert_others_go_on()
            process.kill()
            process.wait(20)
            harness.wait_for(lambda: self.half_a_line(30_000), "there is room again")

    def test_ten_thousand_short_ones_are_kept(self):
        process, refused, grown = self.greedy(OPEN_MANY, HANDLES, 60)
        self.assertEqual(refused, 0)
        self.assertLess(grown, MOST)
        self.assert_others_go_on()
        process.kill()

    def test_receipts_that_nobody_reads(self):
        process, _, grown = self.greedy(NEVER_READ, 600, 4000)
        self.assertLess(grown, MOST)
        self.assert_others_go_on()
        with open(self.log / "add", "r+b", buffering=0) as file:
            file.write(b"\n" * 4000)
            self.assertEqual(file.read(100), b"lost 4000\n")
        process.kill()
        process.wait(20)

        def finds_room():
            with open(self.log / "add", "r+b", buffering=0) as file:
                file.write(b"\n" * 4000)
                return not file.read(100).startswith(b"lost")
        harness.wait_for(finds_room, "there is room again")

    def test_a_file_used_for_long_lines_keeps_no_memory(self):
        """What came and went in two pieces is not held until the file is closed."""
        files = [os.open(self.log / "add", os.O_WRONLY) for _ in range(900)]
        for descriptor in files:
            self.addCleanup(os.close, descriptor)
        before = self.memory()
        for descriptor in files:
            os.write(descriptor, b"x" * 60_000)
            os.write(descriptor, b"x" * 5_000 + b"\n" + b"y" * 60_000)
            os.write(descriptor, b"\n")
        self.assertLess(self.memory() - before, 32 * MIB)


class OnItsWayTest(BudgetTest):
    """Tails that are closed, and that nobody waits for."""
    OPTIONS = "allow_other,mode=0622"
    MOST = 64 * MIB

    def test_closing_again_and_again_while_a_commit_hangs(self):
        os.chmod(self.folder, 0o755)
        for length, most in ((65_000, 2_000), (1_000, 20_000), (1, 20_000)):
            before = self.memory()
            with self.locked_commits(self.log.store):
                done = harness.run(["setpriv", "--reuid=%d" % NOBODY, "--clear-groups",
                                    sys.executable, "-c", CLOSE_ON, self.log / "add", str(most),
                                    str(length)], seconds=60)
                self.assertEqual((done.code, done.err), (0, b""), done)
                closed = int(done.out)  # It was refused: that was no other error.
                self.assertLess(100, closed)
                self.assertLess(closed, most)
                self.assertLess(self.memory() - before, self.MOST)
                another = os.open(self.log / "add", os.O_WRONLY)
                self.assertEqual(os.write(another, b"y"), 1)  # Another user may begin a line.
            os.close(another)
            self.log.append(b"last")
            self.assertEqual(self.log.entries()[-1], b"last")
            self.assertEqual(self.log.entries().count(b"x" * length), closed)
            self.assert_others_go_on()


class RefusedTest(BudgetTest):
    """Beside one user who holds all that one user may."""
    OPTIONS = "allow_other,mode=0622"

    def setUp(self):
        super().setUp()
        os.chmod(self.folder, 0o755)
        _, refused, _ = self.greedy(OPEN_MANY, 2000, 30_000)
        self.assertLess(0, refused)

    def test_another_user_has_room(self):
        self.assertFalse(self.half_a_line(30_000))
        script = ("import os, sys\n"
                  "files = [os.open(sys.argv[1], os.O_WRONLY) for _ in range(100)]\n"
                  "for half in (b'x' * 30_000, b'y\\n'):\n"
                  "    for file in files: assert os.write(file, half) == len(half)\n")
        done = harness.run(["setpriv", "--reuid=%d" % NOBODY, "--clear-groups", sys.executable,
                            "-c", script, self.log / "add"])
        self.assertEqual(done.code, 0, done)
        self.assertEqual(self.log.entries()[1:], [b"x" * 30_000 + b"y"] * 100)

    def test_a_line_of_which_a_piece_was_refused_is_none(self):
        """Neither its beginning nor its end; but it is one if the piece is written again."""
        piece = b"m" * 30_000
        for after in ((), (b"the end\nnext\n",), (b"more", b"the end\nnext\n")):
            with open(self.log / "add", "wb", buffering=0) as file:
                file.write(b"begun ")
                self.assert_errno(errno.ENOBUFS, file.write, piece)
                for part in after:
                    self.assertEqual(file.write(part), len(part))
        self.assertEqual(self.log.entries(), [b"first", b"next", b"next"])
        with open(self.log / "add", "wb", buffering=0) as file:
            file.write(b"begun ")
            self.assert_errno(errno.ENOBUFS, file.write, piece)
            self.assertEqual(file.write(piece + b"\n"), len(piece) + 1)
        self.assertEqual(self.log.entries()[3:], [b"begun " + piece])

    def test_a_frame_of_which_a_piece_was_refused_is_none(self):
        frame = (30_006).to_bytes(2, "big") + b"begun "
        descriptor = os.open(self.log / "add.bundle", os.O_WRONLY)
        os.write(descriptor, frame)
        self.assert_errno(errno.ENOBUFS, os.write, descriptor, b"m" * 29_000)
        for after in (b"m" * 1_000, b"\0\4next", b"\0"):
            self.assert_errno(errno.EINVAL, os.write, descriptor, after)
        self.assert_errno(errno.EINVAL, os.close, descriptor)
        self.assertEqual(self.log.entries(), [b"first"])


class FloodTest(MountedTest):
    """An empty entry costs the daemon a hash of 32 bytes, and more, in several places."""
    DURING, AFTER = 64 * MIB, 16 * MIB

    def flood(self, *names):
        writers = [self.python(FLOOD, self.log / name, 1.5) for name in names]
        most = 0
        while any(writer.poll() is None for writer in writers):
            most = max(most, self.memory())
            time.sleep(0.005)
        self.assertEqual([writer.returncode for writer in writers], [0] * len(names))
        self.assertLess(most, self.DURING)
        harness.wait_for(lambda: self.memory() < self.AFTER, "the memory is given back")
        self.assert_others_go_on()

    def test_one_writer(self):
        self.flood("add")

    def test_memory_is_given_back_while_a_little_is_written(self):
        for _ in range(9):  # A slow machine needs more than one to leave something to give back.
            if self.memory() <= self.AFTER:
                for writer in [self.python(FLOOD, self.log / "add", 1.5) for _ in range(48)]:
                    self.assertEqual(writer.wait(60), 0)
        self.assertLess(self.AFTER, self.memory())
        end = time.monotonic() + 5
        while time.monotonic() < end:
            self.log.append(b"a little")
            time.sleep(0.3)
        self.assertLess(self.memory(), self.AFTER)

    def test_many_writers(self):
        self.flood(*["add"] * 48)

    def test_many_writers_of_frames(self):
        self.flood(*["add.bundle"] * 48)

    def test_more_than_there_is_room_for(self):
        """Of a full queue each writer gets little; the others have their turns."""
        self.flood(*["add", "add.bundle"] * 60)

    def test_short_bundles_stay_whole(self):
        """Also when the queue is full: each write's entries have indexes one after the other."""
        flood = [self.python(FLOOD, self.log / "add", 1.5) for _ in range(80)]
        descriptor = os.open(self.log / "add.bundle", os.O_RDWR)
        frames = b"".join(b"\0\3%03d" % number for number in range(1000))
        while any(writer.poll() is None for writer in flood):
            self.assertEqual(os.write(descriptor, frames), len(frames))
            receipts = b"".join(iter(lambda: os.read(descriptor, 1 << 20), b"")).splitlines()
            indexes = [int(line.split()[0]) for line in receipts]
            self.assertEqual(indexes, list(range(indexes[0], indexes[0] + 1000)))
        os.close(descriptor)

    def test_writers_that_do_not_wait(self):
        self.log.unmount()
        self.log = self.mount(self.log.store, "async")
        self.flood(*["add"] * 24)


class StuckTest(MountedTest):
    def writers(self, count):
        """Processes that are in their write(2), or in the open(2) before."""
        writers = [self.python(WRITE, self.log / "add") for _ in range(count)]
        for writer in writers:
            self.assertEqual(writer.stdout.readline(), b"writing\n")
        time.sleep(0.5)
        return writers

    def assert_can_be_killed(self, process, number=signal.SIGKILL):
        start = time.monotonic()
        process.send_signal(number)
        process.wait(PROMPT)
        self.assertLess(time.monotonic() - start, PROMPT)

    def test_a_writer_whose_commit_is_stuck_can_be_killed(self):
        """The first one, too, whose entry can no longer be taken back."""
        with self.locked_commits(self.log.store):
            writers = self.writers(1)
            writers += self.writers(4)
            for writer in writers:
                self.assertIsNone(writer.poll())
                self.assert_can_be_killed(writer)
        harness.wait_for(lambda: self.log.checkpoint().size == 2, "it is committed all the same")
        self.assert_others_go_on()
        self.log.unmount()
        self.assert_sound(self.log.store)

    def test_every_signal_that_ends_a_process_ends_a_writer_whose_commit_is_stuck(self):
        """Those that dump core, too."""
        limit = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, limit[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_CORE, limit)
        with self.locked_commits(self.log.store):
            numbers = (signal.SIGTERM, signal.SIGQUIT, signal.SIGABRT)
            for writer, number in zip(self.writers(3), numbers):
                writer.send_signal(signal.SIGWINCH)
                writer.send_signal(signal.SIGCHLD)
                time.sleep(0.3)
                self.assertIsNone(writer.poll())
                self.assert_can_be_killed(writer, number)
                self.assertEqual(writer.returncode, -number)
        self.assert_others_go_on()

    def test_who_calls_a_stopped_daemon_can_be_killed(self):
        self.log.daemon.send_signal(signal.SIGSTOP)
        harness.wait_for(lambda: harness.state_of(self.log.daemon.pid) == "T", "stopped")
        for caller in self.writers(3):
            self.assertIsNone(caller.poll())
            self.assert_can_be_killed(caller)
        self.log.daemon.send_signal(signal.SIGCONT)
        self.assertEqual(self.log.checkpoint().size, 1)
        self.assert_others_go_on()

    def test_readers_that_stop_delay_nobody(self):
        self.log.append(*(b"%d" % number for number in range(20_000)))
        readers = [self.python(READ_ON, self.log / "log", 1), self.python(READ_ON,
                                                                          self.log / "log", 64),
                   self.python(READ_ON, self.log / "tile/entries/000", 8),
                   self.python(MAP_ON, self.log / "tile/entries/001")]
        for reader in readers:
            reader.stdout.readline()
        self.assert_others_go_on()  # beside 73 threads with a read under way at any time
        for _ in range(5):
            for reader in readers:
                reader.send_signal(signal.SIGSTOP)
            self.assert_others_go_on()
            for reader in readers:
                reader.send_signal(signal.SIGCONT)
            time.sleep(0.05)
        for reader in readers:
            self.assertIsNone(reader.poll())
            self.assert_can_be_killed(reader)

    def test_a_buffer_that_cannot_be_filled_delays_nobody(self):
        """A read into pages of another mount whose daemon has stopped."""
        other = self.mount(self.init("other"))
        other.append(*(b"%d" % number for number in range(300)))
        with open(other / "tile/entries/000", "rb") as file:
            pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        other.daemon.send_signal(signal.SIGSTOP)
        descriptor = os.open(self.log / "add", os.O_WRONLY)
        failed = []

        def write():
            try:
                os.write(descriptor, pages)  # The kernel needs the bytes, and waits for them.
            except OSError as error:
                failed.append(error)
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        time.sleep(0.3)
        self.assertTrue(writer.is_alive())
        self.assert_others_go_on()
        other.daemon.send_signal(signal.SIGCONT)
        writer.join(20)
        self.assertFalse(writer.is_alive())
        self.assertEqual(failed, [])
        os.close(descriptor)
        pages.close()


if __name__ == "__main__":
    harness.main()
