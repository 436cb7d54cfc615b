"""Where the measurements run: programs, folders, mounts. Everything is taken away at the end.

Nothing can hang the run: when a workload's time is over, a watchdog kills its programs and aborts
its mounts, and the workload is broken.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

import harness

PEERS = {"tessera": "tessera", "tessera_posix": "tessera_posix", "flumelog": "flumelog/bench.js",
         "immuta": "immuta"}


class Broken(Exception):
    """A workload did not do what it should: no figure, but a failure."""


class Machine:
    """Runs the programs of a build in a folder of its own on the disk that is measured."""

    def __init__(self, build, peers, folder):
        self.build = pathlib.Path(build)
        self.peers = pathlib.Path(peers).resolve() if peers else None
        self._number = 0
        self._lock = threading.Lock()  # guards the two below; the watchdog is another thread
        self._children = set()
        self._mounts = set()  # things with abort()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=folder))

    def __enter__(self):
        return self

    def __exit__(self, *details):
        if not harness.mountpoints_below(str(self.folder)):  # never delete through a mount
            shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def watched(self, seconds):
        """What goes on within must be over in that time, or is broken."""
        expired = threading.Event()

        def expire():
            expired.set()
            with self._lock:
                for one in self._mounts:
                    one.abort()
                for child in self._children:
                    child.kill()

        watchdog = threading.Timer(seconds, expire)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        except (AssertionError, OSError, Broken) as error:
            why = f"its {seconds} s were over" if expired.is_set() else error
            raise Broken(why) from error
        finally:
            watchdog.cancel()

    # ---- folders

    def path(self):
        """A name that is not there yet."""
        self._number += 1
        return str(self.folder / str(self._number))

    def in_new_folder(self, measure):
        """measure(path), and whatever is at the path is removed after."""
        path = self.path()
        try:
            return measure(path)
        finally:
            self.remove(path)

    @staticmethod
    def remove(path):
        shutil.rmtree(path, True)
        pathlib.Path(path).unlink(missing_ok=True)

    def forget_caches(self):
        """What was read or written is on the disk alone, as far as one may ask for that."""
        self.run(["sync", "-f", self.folder], json_wanted=False)
        with open("/proc/sys/vm/drop_caches", "w", encoding="utf-8") as file:
            file.write("3\n")

    # ---- programs

    @contextlib.contextmanager
    def _child(self, command):
        command = [str(part) for part in command]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as child:
            with self._lock:
                self._children.add(child)
            try:
                yield child
            finally:
                with self._lock:
                    self._children.discard(child)
                if child.poll() is None:
                    child.kill()

    @staticmethod
    def _output(child, stdin=None):
        out, err = child.communicate(stdin)
        if child.returncode != 0:
            raise Broken(f"{' '.join(child.args)}: {err.strip() or child.returncode}")
        return out

    def _result(self, child, stdin=None, json_wanted=True):
        out = self._output(child, stdin)
        if not json_wanted:
            return None
        try:
            return json.loads(out.splitlines()[-1])
        except (ValueError, IndexError) as error:
            raise Broken(f"{' '.join(child.args)}: gives no figures: {out!r}") from error

    def run(self, command, stdin=None, json_wanted=True):
        """The line of JSON that a program prints."""
        with self._child(command) as child:
            return self._result(child, stdin, json_wanted)

    @contextlib.contextmanager
    def server(self, command):
        """A program that serves until it is told to end."""
        with self._child(command) as child:
            yield child
            if child.poll() is not None:
                raise Broken(f"{' '.join(child.args)}: ended: {child.stderr.read().strip()}")
            child.terminate()
            child.communicate(timeout=20)

    def bench(self, *arguments, stdin=None):
        return self.run([self.build / "bench", *arguments], stdin)

    def at_once(self, *commands):
        """Runs programs at the same time: what each of them prints."""
        with contextlib.ExitStack() as stack:
            children = [stack.enter_context(self._child(command)) for command in commands]
            return [self._output(child) for child in children]

    def fresh(self, command, *arguments):
        """A measurement of `bench` that makes its files anew."""
        return self.in_new_folder(lambda path: self.bench(command, path, *arguments))

    def together(self, count, *arguments):
        """So many `bench share` at once: what each prints."""
        with contextlib.ExitStack() as stack:
            children = [stack.enter_context(self._child([self.build / "bench", *arguments]))
                        for _ in range(count)]
            for child in children:
                child.stdout.readline()  # it is ready, or has ended
            start = time.monotonic() + 0.3
            for child in children:
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.write(f"{start}\n")
                    child.stdin.flush()
            return [self._result(child) for child in children]

    # ---- peers

    def has_peer(self, name):
        return self.peers is not None and (self.peers / PEERS[name]).exists()

    def peer(self, name, path, *arguments):
        """A peer's measurement; it has the folder to itself, or finds there what it made."""
        os.makedirs(path, exist_ok=True)
        program = [self.peers / PEERS[name]]
        if program[0].suffix == ".js":
            program.insert(0, "node")
        return self.run([*program, "--dir", path, *arguments])

    def fresh_peer(self, name, *arguments):
        return self.in_new_folder(lambda path: self.peer(name, path, *arguments))

    # ---- stores and mounts

    def new_store(self):
        store = self.path()
        os.mkdir(store)
        self.run([self.build / "tlogfs", "init", store, "--origin", "bench.example/log"],
                 json_wanted=False)
        return store

    @contextlib.contextmanager
    def _held(self, mount):
        with self._lock:
            self._mounts.add(mount)
        try:
            yield mount
            mount.unmount()
        finally:
            with self._lock:
                self._mounts.discard(mount)
            mount.remove()

    @contextlib.contextmanager
    def log(self, options="", store=None):
        """A mounted log, new if no store is given."""
        mine = self.new_store() if store is None else None
        try:
            with self._held(harness.Mount(store or mine, self.path(), options)) as mount:
                yield mount
        finally:
            if mine:
                self.remove(mine)

    @contextlib.contextmanager
    def bare(self):
        """Files that commit in groups, and that only count."""
        with self._held(BareMount(self.build / "bare_fuse", self.path(), self.path())) as mount:
            yield mount


class BareMount:
    """A mounted bare_fuse."""

    def __init__(self, program, path, file):
        os.mkdir(path)
        self.path, self.file = path, file
        self.server = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", program, path, file],
                                       stdin=subprocess.DEVNULL)
        harness.wait_for(lambda: harness.connection_of(path) or self.server.poll() is not None,
                         "bare_fuse is mounted", 60)

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def unmount(self):
        subprocess.run(["umount", self.path], check=True)
        code = self.server.wait(20)
        if code != 0:
            raise Broken(f"bare_fuse ended with {code}")

    def abort(self):
        if self.server.poll() is None:
            self.server.kill()
        harness.abort_connection(harness.connection_of(self.path))

    def remove(self):
        if self.server.poll() is None:
            self.abort()
            self.server.wait(20)
        harness.forget_mountpoint(self.path)
        pathlib.Path(self.file).unlink(missing_ok=True)
