"""System calls of a mounted daemon fail, one of them or all from one on: EIO, ENOSPC, EDQUOT,
EINTR, too many open files, nothing written, nothing read. strace(1) makes them fail (strace.py
says which errors that cannot show); a limit on the length of files makes writes end half-way.

The daemon never dies nor hangs. An append is taken, or says ENOSPC, or EIO and from then on EROFS;
reading goes on. After a new mount everything acknowledged is there, at its index, and appends work;
`tlogfs check` finds nothing.

TLOGFS_SYSCALL_ROUNDS says how often (100, about), TLOGFS_KILL_SEED which calls: it is printed.
"""

import errno
import os
import resource
import signal
import threading
import time
import warnings
from unittest import mock

import strace
from kill_test import MountWriter
from promises import harness, init_small
from syscall_kill_test import JOURNAL_LENGTH, SyscallTest, ROUNDS

# What each call is made to say. An EINTR that no signal caused is no less possible than the others.
FAULTS = {
    "pwrite64": ("EIO", "ENOSPC", "EDQUOT", "EINTR", "0"),
    "pread64": ("EIO", "EINTR", "0"),
    "fdatasync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT"),
    "fallocate": ("EIO", "ENOSPC", "EDQUOT", "EINTR", "EOPNOTSUPP"),
    "openat": ("EIO", "EMFILE", "ENOSPC", "EINTR"),
    "newfstatat": ("EIO",),
    "statx": ("EIO",),
    "getdents64": ("EIO",),
}
# What a daemon that stays in the foreground says, when the log stops, and at the end.
STOPPED = r"tlogfs\[\d+\]: [^\n]+: stopped, mount it again: [^\n]+\n"
FAILED = r"tlogfs: [^\n]+: [^\n]+\n"
FULL = (errno.ENOSPC,)
ENDED = (errno.EIO, errno.EROFS)
WRITES = 24


def what(fault):
    return "retval=0" if fault == "0" else "error=" + fault


def tracer_of(thread):
    with open("/proc/%s/status" % thread, encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("TracerPid:"))


class ErrorWriter(MountWriter):
    """Goes on after errors, for so many writes; remembers them."""

    def __init__(self, path, name):
        super().__init__(path, name, 2, True)
        self.errors = []

    def append(self, lines):
        try:
            super().append(lines)
        except OSError as error:
            self.errors.append(error.errno)
        self.stopping = WRITES <= len(self.errors) + len(self.acknowledged) // 2


class ErrorTest(SyscallTest):
    def setUp(self):
        super().setUp()
        self.store = init_small(self, JOURNAL_LENGTH)
        self.outcomes = {}

    def traced(self, before):
        """A mount whose daemon runs under strace; None if it refused to mount."""
        program = strace.wrapper(self.path("traced"), before, harness.PROGRAM)
        with mock.patch.object(harness, "PROGRAM", program), warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the file with a refusal's message
            try:
                return self.mount(self.store, name="mnt")
            except AssertionError as refused:
                message = str(refused)
        self.assertRegex(message, r": tlogfs: [^\n]+: [^\n]+\n\Z")
        return None

    def load(self, mount):
        """Appends through two files while somebody reads. Returns the errors of the appends."""
        read_errors = []
        reader = threading.Thread(target=self.read_all, args=(mount, read_errors), daemon=True)
        writers = [ErrorWriter(mount / "add", b"lines %d" % (self.lines + i)) for i in range(2)]
        self.lines += 2
        for thread in writers + [reader]:
            thread.start()
        for thread in writers + [reader]:
            thread.join(20)
            self.assertFalse(thread.is_alive(), "a thread hangs: " + mount.said())
        for writer in writers:
            writer.promised_to(self.promises)
        self.assertLessEqual(len(read_errors), 3)  # A fault comes once in each thread.
        self.assertEqual(set(read_errors) - {errno.EIO}, set())
        self.assertIsNone(mount.daemon.poll(), mount.said())
        return [writer.errors for writer in writers]

    def read_all(self, mount, errors):
        for name in ("checkpoint", "log", "vkey", "tile/0/000", "tile/entries/000") * 3:
            try:
                mount.read(name)
            except FileNotFoundError:
                pass  # no full tile yet
            except OSError as error:
                errors.append(error.errno)

    def goes_on(self, mount):
        """Reading does, whatever became of appending. The fault may come to each thread once."""
        for name in ("checkpoint", "log"):
            for attempt in range(4):
                try:
                    content = mount.read(name)
                    break
                except OSError as error:
                    self.assertEqual(error.errno, errno.EIO)
                    self.assertLess(attempt, 3, "reading does not go on")
            if name == "checkpoint":
                self.promises.see(content)

    def end(self, mount):
        """Unmounts: success, or one line about why the store was not closed well."""
        self.assertEqual(harness.run(["umount", mount.path]).code, 0)
        code = mount.daemon.wait(20)
        self.assertIn(code, (0, 1), mount.said())
        if code == 1:
            self.assertRegex(mount.said(), rf"{FAILED}\Z")
            self.assertLessEqual(mount.said().count("\n"), 2)
        mount.remove()
        self.mounts.remove(mount)

    def look_after(self):
        again = self.mount(self.store, name="again")
        again.append(*self.new_lines(1))
        self.promises.keep(again)
        again.unmount()
        again.remove()
        self.mounts.remove(again)
        self.assert_sound(self.store)

    def count(self, outcome):
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


class OneFaultTest(ErrorTest):
    def test_any_call_fails(self):
        profile = strace.profile(self.path("trace"))
        mount = self.traced(profile[:1] + ["-D"] + profile[1:])
        self.assertEqual(self.load(mount), [[], []])
        self.end(mount)
        points = [point for point in strace.points(self.path("trace"), self.store)
                  if point.call in FAULTS]
        rounds = max(ROUNDS // 2, 1)
        for point in self.some(points, rounds):
            fault = self.random.choice(FAULTS[point.call])
            with self.subTest(point=point, fault=fault):
                self.one_round(point, fault)
        print("%d of %d calls: %s" % (rounds, len(points), sorted(self.outcomes.items())),
              flush=True)

    def one_round(self, point, fault):
        if self.random.random() < 0.3:  # The mount has something to recover.
            died = strace.Point("journal", "fdatasync", 3)
            self.append_until_killed(self.store, died, count=12)
        mount = self.traced(strace.inject(self.store, point, what(fault), detached=True))
        if mount is None:
            self.count("not mounted")
            return self.look_after()
        errors = self.load(mount)
        self.goes_on(mount)
        said = mount.said()
        self.end(mount)
        found = [error for each in errors for error in each]
        self.assertEqual(set(found) - set(FULL + ENDED), set())
        if errno.EIO in found or errno.EROFS in found:
            self.count("stopped")
            self.assertRegex(said, rf"\A{STOPPED}\Z")
            for each in errors:  # Once it has stopped, it takes nothing more.
                first = next((i for i, error in enumerate(each) if error in ENDED), len(each))
                self.assertEqual(set(each[first + 1:]) - {errno.EROFS, errno.EIO}, set())
        else:
            self.count("full" if found else "all taken")
        return self.look_after()


class InitErrorTest(SyscallTest):
    def test_init_fails(self):
        points = [point for point in self.init_points() if point.call in FAULTS]
        chosen = self.some(points, ROUNDS // 4)
        codes = []
        for number, point in enumerate(chosen):
            store = self.path("init%d" % number)
            fault = self.random.choice(FAULTS[point.call])
            done = self.init_store(store, strace.inject(store, point, what(fault)))
            codes.append(done.code)
            with self.subTest(point=point, fault=fault):
                if done.code == 0:
                    self.assertTrue(self.is_whole(store))
                else:
                    self.assertEqual(done.code, 1)
                    self.assertRegex(done.err.decode(), r"\Astore_writer: [^\n]+\n\Z")
                    self.assertEqual(os.listdir(store) if os.path.isdir(store) else [], [])
        print("init: %d faults, %d survived" % (len(codes), codes.count(0)), flush=True)


class ForeverTest(ErrorTest):
    """Deterministic cases: what exactly is said, and what is said next."""

    def start(self, path, call, fault, first):
        point = strace.Point(path, call, "%d+" % first)
        mount = self.traced(strace.inject(self.store, point, what(fault), detached=True))
        self.assertIsNotNone(mount)
        return mount

    def append_one(self, mount):
        """Its errno, or 0."""
        line = self.new_lines(1)[0]
        descriptor = os.open(mount / "add", os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, line + b"\n")
        except OSError as error:
            return error.errno
        finally:
            try:
                os.close(descriptor)
            except OSError:
                pass
        self.promises.acknowledge(line)
        return 0

    def let_go(self, mount):
        """Ends strace, which ran detached: from here on the daemon's calls are what they are."""
        threads = os.listdir("/proc/%d/task" % mount.daemon.pid)
        tracer = tracer_of(threads[0])
        self.assertNotEqual(tracer, 0)
        os.kill(tracer, signal.SIGTERM)
        harness.wait_for(lambda: not any(map(tracer_of, threads)), "strace has let go")

    def test_a_failed_sync_stops_the_log_until_it_is_mounted_again(self):
        for fault in ("EIO", "ENOSPC", "EDQUOT", "EINTR"):
            with self.subTest(fault=fault):
                other = self.mount(self.store, name="other")
                mount = self.start("journal", "fdatasync", fault, 1)
                self.assertEqual(self.append_one(other), 0)
                self.assertEqual(self.append_one(mount), errno.EIO)
                self.let_go(mount)
                for _ in range(3):
                    self.assertEqual(self.append_one(mount), errno.EROFS)
                self.assertEqual(self.append_one(other), errno.EROFS)
                self.goes_on(mount)
                self.end(mount)
                self.end(other)
                self.look_after()

    def test_a_failed_sync_in_the_background(self):
        """Only the advance of the base syncs `times`: the next append hears of it."""
        mount = self.start("times", "fdatasync", "EIO", 1)
        codes = [self.append_one(mount) for _ in range(60)]
        first = next(i for i, code in enumerate(codes) if code)
        self.assertEqual(codes[first:], [errno.EIO] + [errno.EROFS] * (59 - first))
        self.goes_on(mount)
        self.end(mount)
        self.look_after()

    def test_a_full_disk_or_quota_is_not_damage(self):
        for fault in ("ENOSPC", "EDQUOT"):
            with self.subTest(fault=fault):
                mount = self.start("hashes/0", "fallocate", fault, 1)
                for _ in range(3):
                    self.assertEqual(self.append_one(mount), errno.ENOSPC)
                self.goes_on(mount)
                self.let_go(mount)
                self.assertEqual(self.append_one(mount), 0)
                self.end(mount)
                self.look_after()

    def test_the_checkpoint_cannot_be_written_for_a_while(self):
        """write(2) acknowledges what is durable; close(2) says that it is not published; then it
        is, without another append."""
        mount = self.start("checkpoint", "pwrite64", "EIO", 3)
        size = mount.checkpoint().size
        descriptor = os.open(mount / "add", os.O_WRONLY | os.O_APPEND)
        line = self.new_lines(1)[0]
        self.assertEqual(os.write(descriptor, line + b"\n"), len(line) + 1)
        self.promises.acknowledge(line)
        self.goes_on(mount)
        self.let_go(mount)
        os.close(descriptor)
        harness.wait_for(lambda: mount.checkpoint().size == size + 1, "published")
        self.assertEqual(self.append_one(mount), 0)
        self.end(mount)
        self.look_after()


class ShortWriteTest(ErrorTest):
    def test_a_write_that_ends_half_way(self):
        """A limit on the length of files makes real short writes: the first half is there."""
        for name in ("journal", "entries/0", "hashes/0", "times"):
            with self.subTest(name=name):
                self.short_write(name)

    def short_write(self, name):
        mount = self.mount(self.store)
        self.assertEqual(self.load(mount), [[], []])
        if name == "journal":
            limit = self.newest_record_end() + 1000
        else:
            limit = os.stat(os.path.join(self.store, name)).st_size + 10
            time.sleep(1.1)  # `times` has a row a second.
        # Where other files are longer, theirs is the short write: the journal's as a rule.
        resource.prlimit(mount.daemon.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        errors = [error for each in self.load(mount) for error in each]
        self.count(tuple(sorted(set(errors))))
        self.assertIn(errno.EIO, errors)
        self.assertEqual(set(errors) - set(ENDED), set())
        self.goes_on(mount)
        # What it says is a file, too.
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(mount.daemon.pid, resource.RLIMIT_FSIZE, unlimited)
        self.end(mount)
        self.look_after()

    def newest_record_end(self):
        with open(os.path.join(self.store, "journal"), "rb") as file:
            journal = file.read()
        return max(offset for offset in range(128 << 10, len(journal), 4096)
                   if journal[offset:offset + 4096].strip(b"\0")) + 4096


if __name__ == "__main__":
    harness.main()
