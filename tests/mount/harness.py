"""Real mounts for tests: makes them, waits with a limit, and always takes them away again.

A test file ends with `harness.main()`. It is given the program by its first argument, or by the
environment's TLOGFS; the exit status is 77 (skipped) where nothing can be mounted, unless
TLOGFS_REQUIRE_MOUNT=1.

A mount that hangs cannot hang the run: when a test's time is over, a watchdog aborts the
connections in the kernel and kills the daemons, which wakes everything that waits for them; the
test then fails.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from reference_log import Checkpoint, tile_path

SKIPPED = 77
COMMIT_LOCK = 1  # kCommit of logcore/posix/files/lock_file.h
PROGRAM = os.environ.get("TLOGFS", "tlogfs")
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/go/bin"


def wait_for(condition, what, seconds=10):
    """Waits until condition() is true, and returns what it was."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("after %s s still not: %s" % (seconds, what))
        time.sleep(0.01)


def write_all(file, content):
    """As programs do: a write may take less than it was given."""
    content = memoryview(content)
    while content:
        content = content[file.write(content):]


def connection_of(mountpoint):
    """The number of the mount under /sys/fs/fuse/connections, or None. Never blocks."""
    found = None
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        for line in table:
            fields = line.split(" ")
            if fields[4].encode().decode("unicode_escape") == mountpoint:
                found = fields[2].split(":")[1]
    return found


def mountpoints_below(folder):
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        points = [line.split(" ")[4] for line in table]
    return [point for point in points if point.startswith(folder + "/")]


def daemons_below(folder):
    """Processes of the program that were given a path in this folder, wherever they came from."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                words = file.read().decode(errors="replace").split("\0")
        except OSError:
            continue  # It has just ended.
        if os.path.basename(words[0]) in ("tlogfs", "mount.tlogfs") and any(
                word.startswith(folder + "/") for word in words):
            found.append(int(pid))
    return found


def state_of(pid):
    """A process's state: R, S, D (waits and cannot be killed), T (stopped), Z, ..."""
    with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0]


class Done:
    """What a command did."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return "exit status %d, out %r, err %r" % (self.code, self.out[-600:], self.err[-600:])


def run(command, seconds=30, stdin=b"", environment=None):
    """Runs a program, or a bash script if `command` is a string, and all of its children."""
    if isinstance(command, str):
        command = ["bash", "-c", command]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, start_new_session=True,
                          env={**os.environ, **(environment or {}), "LC_ALL": "C.UTF-8"}) as child:
        try:
            out, err = child.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            raise AssertionError("after %s s still running: %s" % (seconds, command)) from None
    return Done(child.returncode, out, err)


@contextlib.contextmanager
def user(number):
    """This process is another user, without any capability."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(number)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


class Mount:
    """One mounted log. Its daemon is a child in the foreground, so that its pid is known."""

    def __init__(self, store, path, options):
        os.makedirs(path, exist_ok=True)
        self.store, self.path = store, path
        self.errors = tempfile.TemporaryFile()
        command = [PROGRAM, "mount", store, path, "-f"]
        if options:
            command += ["-o", options]
        # Should this test be killed, the daemon unmounts and goes.
        self.daemon = subprocess.Popen(["setpriv", "--pdeathsig", "TERM"] + command,
                                       stdin=subprocess.DEVNULL, stdout=self.errors,
                                       stderr=self.errors, start_new_session=True)
        wait_for(lambda: connection_of(path) or self.daemon.poll() is not None,
                 "mounted: " + " ".join(command))
        if self.daemon.poll() is not None:
            raise AssertionError("no mount: %s: %s" % (" ".join(command), self.said()))
        self.connection = connection_of(path)

    def said(self):
        # The daemon writes where the file's position is: it stays.
        descriptor = self.errors.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def read(self, name):
        descriptor = os.open(self / name, os.O_RDONLY)
        try:
            parts = []
            while part := os.read(descriptor, 1 << 20):
                parts.append(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            os.close(descriptor)

    def checkpoint(self):
        return Checkpoint(self.read("checkpoint"))

    def append(self, *entries):
        """Appends lines; when it returns, they are published."""
        self.write("add", b"".join(entry + b"\n" for entry in entries))

    def write(self, name, content):
        with open(self / name, "ab", buffering=0) as file:
            write_all(file, content)

    def entries(self):
        """All entries, from the bundles of the newest checkpoint."""
        size = self.checkpoint().size
        found = []
        for number in range((size + 255) // 256):
            width = min(256, size - 256 * number)
            bundle = self.read(tile_path("entries", number, width))
            while bundle:
                end = 2 + int.from_bytes(bundle[:2], "big")
                found.append(bundle[2:end])
                bundle = bundle[end:]
        return found

    def unmount(self):
        """As an administrator does; the daemon then ends by itself, with success."""
        done = run(["umount", self.path])
        if done.code != 0:
            raise AssertionError("umount %s: %r" % (self.path, done))
        self.wait()

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        self.wait()

    def wait(self, seconds=20):
        try:
            code = self.daemon.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("the daemon does not end: " + self.said()) from None
        if code != 0:
            raise AssertionError("the daemon ended with %d: %s" % (code, self.said()))

    def abort(self):
        """Ends it by force: whoever waits for an answer of this mount gets an error now."""
        if self.daemon.poll() is None:
            self.daemon.kill()
        abort_connection(self.connection)

    def remove(self):
        """Leaves nothing behind, whatever happened."""
        if self.daemon.poll() is None:
            self.abort()
            self.daemon.wait(20)
        forget_mountpoint(self.path)
        self.errors.close()


def abort_connection(number):
    try:
        with open("/sys/fs/fuse/connections/%s/abort" % number, "w", encoding="utf-8") as file:
            file.write("1")
    except OSError:
        pass  # It is gone already, or fusectl is not mounted; killing the daemon does the same.


def forget_mountpoint(path):
    while connection_of(path):
        abort_connection(connection_of(path))
        if subprocess.run(["umount", "-l", path], stderr=subprocess.DEVNULL, timeout=20,
                          check=False).returncode != 0:
            return


class MountTest(unittest.TestCase):
    """A folder of its own, a store in it, and mounts that are gone when the test is over."""

    SECONDS = 60  # for one test
    ORIGIN = "example.com/log"

    def setUp(self):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="tlogfs-"))
        self.addCleanup(self._remove_folder)
        self.mounts = []
        self.addCleanup(self._remove_mounts)
        self.expired = False
        self.watchdog = threading.Timer(self.SECONDS, self._expire)
        self.watchdog.daemon = True
        self.watchdog.start()
        self.addCleanup(self.watchdog.cancel)

    def path(self, name):
        return os.path.join(self.folder, name)

    def init(self, name="store"):
        """Creates a store; self.vkey is its verifier key."""
        done = run([PROGRAM, "init", self.path(name), "--origin", self.ORIGIN])
        self.assertEqual(done.code, 0, done)
        self.vkey = done.out.decode().strip().splitlines()[-1].split()[-1]
        return self.path(name)

    def mount(self, store=None, options="", name=None):
        """Mounts a store (by default a new one) at a folder of its own."""
        store = store or self.init()
        mount = Mount(store, self.path(name or "mnt%d" % len(self.mounts)), options)
        self.mounts.append(mount)
        return mount

    def start(self, command, **options):
        """Starts a process of the test's own, which does not outlive the test."""
        # A process group, not a session: in an orphaned group Ctrl-Z would do nothing.
        options.setdefault("stdin", subprocess.DEVNULL)
        child = subprocess.Popen(command, process_group=0, **options)

        def end():
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(20)
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe:
                    pipe.close()
        self.addCleanup(end)
        return child

    def need(self, *files, installed=True):
        """The paths of other people's programs (and files): a test that lacks one is skipped, or
        fails if TLOGFS_REQUIRE_MOUNT=1 and tests/run has `installed` it."""
        found = [shutil.which(file, path=SEARCH) or (os.path.exists(file) and file)
                 for file in files]
        if not all(found):
            missing = "no " + ", ".join(file for file, path in zip(files, found) if not path)
            if installed and os.environ.get("TLOGFS_REQUIRE_MOUNT") == "1":
                self.fail(missing)
            self.skipTest(missing)
        return found[0] if len(found) == 1 else found

    @contextlib.contextmanager
    def locked_commits(self, store):
        """Holds the store as another process that hangs in its commit: what is appended waits."""
        with open(os.path.join(store, "lock"), "r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX, 1, COMMIT_LOCK)
            yield

    def assert_sound(self, store):
        """`tlogfs check` finds nothing."""
        done = run([PROGRAM, "check", store])
        self.assertEqual(done.code, 0, done)

    def assert_same_log(self, mount, log):
        """The mount's newest checkpoint and all of its tiles are those of a ReferenceLog."""
        checkpoint = mount.checkpoint()
        self.assertEqual(checkpoint.size, len(log))
        self.assertEqual(checkpoint.root, log.root())
        for path, content in log.resources().items():
            self.assertEqual(mount.read(path), content, path)

    def assert_errno(self, number, function, *arguments):
        with self.assertRaises(OSError) as caught:
            function(*arguments)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[number],
                         "%s%r" % (getattr(function, "__name__", function), arguments))

    def assert_one_line(self, done):
        """A refusal: not exit status 0, and one line that says why."""
        self.assertNotEqual(done.code, 0, done)
        self.assertRegex(done.err.decode(), r"\Atlogfs: [^\n]+: [^\n]+\n\Z")

    def _expire(self):
        self.expired = True
        sys.stderr.write("%s: its %d s are over\n" % (self.id(), self.SECONDS))
        self._kill_daemons()

    def _kill_daemons(self):
        for mount in list(self.mounts):
            mount.abort()
        for pid in daemons_below(self.folder):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def _remove_mounts(self):
        self._kill_daemons()
        for mount in self.mounts:
            mount.remove()
        for point in reversed(mountpoints_below(self.folder)):
            forget_mountpoint(point)
        if self.expired:
            self.fail("its time was over; the daemons were killed")

    def _remove_folder(self):
        self.assertEqual(mountpoints_below(self.folder), [])  # never delete through a mount
        shutil.rmtree(self.folder)


class PointTest(MountTest):
    """Has a store and a mountpoint, to mount as an administrator does: with a daemon."""

    def setUp(self):
        super().setUp()
        self.store = self.init()
        self.point = self.path("point")
        os.mkdir(self.point)

    def program(self, *words, seconds=30):
        return run([PROGRAM, *words], seconds)

    def assert_answers(self):
        with open(os.path.join(self.point, "checkpoint"), "rb") as file:
            self.assertTrue(file.read().startswith(self.ORIGIN.encode() + b"\n"))

    def assert_unmounts(self):
        """umount succeeds, and the daemon is gone soon after."""
        done = run(["umount", self.point])
        self.assertEqual(done.code, 0, done)
        wait_for(lambda: not daemons_below(self.folder), "the daemon has ended")


class NamespaceTest(PointTest):
    """Works in a mount namespace of its own, where the helpers of mount(8) and umount(8) are
    installed: what is mounted there nobody else sees, and it goes with its processes."""

    HELPERS = ("mount.tlogfs", "mount.fuse.tlogfs", "umount.tlogfs", "umount.fuse.tlogfs")

    def setUp(self):
        super().setUp()
        # Everything that is in /usr/sbin, and the helpers, as links in a folder over it.
        sbin = os.path.realpath("/sbin")
        links, real = self.path("links"), self.path("sbin")
        os.mkdir(links)
        os.mkdir(real)
        for name in set(os.listdir(sbin)) - set(self.HELPERS):
            os.symlink(os.path.join(real, name), os.path.join(links, name))
        for name in self.HELPERS:
            os.symlink(os.path.abspath(shutil.which(PROGRAM)), os.path.join(links, name))
        script = 'mount --bind "$0" "$1" && mount --bind "$2" "$0" && echo && exec sleep infinity'
        self.holder = self.start(["unshare", "-m", "bash", "-c", script, sbin, real, links],
                                 stdout=subprocess.PIPE)
        self.assertEqual(self.holder.stdout.readline(), b"\n")

    def command(self, script):
        """To run a bash script in the namespace, with $program, and where the folder is."""
        return ["nsenter", "-t", str(self.holder.pid), "-m", "env",
                "program=" + os.path.abspath(shutil.which(PROGRAM)),
                "bash", "-c", "cd '%s'; %s" % (self.folder, script)]

    def inside(self, script, seconds=30):
        return run(self.command(script), seconds)

    def mounts_here(self):
        """What is mounted in the test's folder: lines of /proc/self/mounts."""
        return self.succeeds("grep ' %s/' /proc/self/mounts || true" % self.folder)

    def succeeds(self, script, seconds=30):
        """What it prints."""
        done = self.inside(script, seconds)
        self.assertEqual((done.code, done.err), (0, b""), (script, done))
        return done.out.decode()


def reason_not_to_mount():
    """Why nothing can be mounted here, or an empty string."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return "/dev/fuse: " + error.strerror
    with open("/proc/self/status", encoding="utf-8") as file:
        capabilities = next(line for line in file if line.startswith("CapEff:"))
    if not int(capabilities.split()[1], 16) >> 21 & 1:  # CAP_SYS_ADMIN
        return "no permission to mount"
    return ""


def main():
    global PROGRAM  # The one setting of the run; tests only read it.
    if len(sys.argv) > 1 and os.path.sep in sys.argv[1]:
        PROGRAM = os.path.abspath(sys.argv.pop(1))
    if not shutil.which(PROGRAM):
        sys.exit("%s: no such program" % PROGRAM)
    reason = reason_not_to_mount()
    if reason:
        sys.stderr.write("skipped: %s\n" % reason)
        sys.exit(1 if os.environ.get("TLOGFS_REQUIRE_MOUNT") == "1" else SKIPPED)
    unittest.main(module="__main__", verbosity=2)
