"""Where the measurements run: programs, folders, mounts. Everything is taken away at the end."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time


class Broken(Exception):
    """A workload did not do what it should: no figure, but a failure."""


class Machine:
    """Runs the programs of a build in a folder of its own on the disk that is measured."""

    def __init__(self, build, peers, folder):
        self.build = pathlib.Path(build)
        self.peers = pathlib.Path(peers) if peers else None
        self._stack = contextlib.ExitStack()
        self._number = 0
        os.makedirs(folder, exist_ok=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
        self._stack.callback(shutil.rmtree, self.folder, True)

    def __enter__(self):
        return self

    def __exit__(self, *details):
        self._stack.close()

    def path(self):
        """A name that is not there yet."""
        self._number += 1
        return str(self.folder / str(self._number))

    def run(self, command, stdin=None, seconds=600):
        """The line of JSON that a program prints."""
        command = [str(part) for part in command]
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, text=True,
                                  timeout=seconds, check=False)
        except subprocess.TimeoutExpired as error:
            raise Broken(f"{' '.join(command)}: took over {seconds} s") from error
        if done.returncode != 0:
            raise Broken(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
        return json.loads(done.stdout.splitlines()[-1])

    def bench(self, *arguments, stdin=None):
        return self.run([self.build / "bench", *arguments], stdin=stdin)

    def in_new_folder(self, measure):
        """measure(path), and whatever is at the path is removed after."""
        path = self.path()
        try:
            return measure(path)
        finally:
            shutil.rmtree(path, True)
            pathlib.Path(path).unlink(missing_ok=True)

    def mount_log(self, options="", store=None):
        """A mounted log, new if no store is given: its mountpoint."""
        if store is None:
            store = self.path()
            os.mkdir(store)
            self._tlogfs("init", store, "--origin", "bench.example/log")
        mountpoint = self.path()
        os.mkdir(mountpoint)
        self._tlogfs("mount", store, mountpoint, *(["-o", options] if options else []))
        self._stack.callback(subprocess.run, ["umount", mountpoint], check=True)
        return pathlib.Path(mountpoint)

    def mount_bare(self):
        """Files that commit in groups, and that only count: the mountpoint."""
        mountpoint = pathlib.Path(self.path())
        mountpoint.mkdir()
        server = subprocess.Popen([self.build / "bare_fuse", mountpoint, self.path()])
        self._stack.callback(server.wait, 20)
        self._stack.callback(subprocess.run, ["umount", mountpoint], check=True)
        for _ in range(600):
            if (mountpoint / "count").exists():
                return mountpoint
            time.sleep(0.1)
        raise Broken("bare_fuse does not answer")

    def _tlogfs(self, *arguments):
        done = subprocess.run([self.build / "tlogfs", *arguments], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            raise Broken(done.stderr.strip())
