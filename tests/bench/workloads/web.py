"""nginx over a mount, beside nginx over a plain copy of the same tree on the same disk.

The configuration is examples/nginx.conf for all of them, the load wrk's: 16 connections, tiles of
8 KiB. Cold: the mount and nginx are new, and the kernel has forgotten what it had read of any disk;
then each tile is asked for once, in no order, until the round's time is over.
"""

import contextlib
import os
import pathlib
import random
import shutil
import subprocess
from functools import partial

import web_servers
from machine import Broken
from reference_log import tile_path
from report import Row

from .turns import latencies, rates

TILES = 10000
CONNECTIONS = 16
SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "web.lua"

# How a tree is served: the mount's options (None: plain files), and whether nginx keeps files open.
STATIC, KEPT, PLAIN, PLAIN_KEPT = (("static", False), ("ro", True), (None, False), (None, True))


class Site:
    """A log's tree, as a store and as plain files; and how to ask for its tiles."""

    def __init__(self, machine, tiles, seconds):
        self.machine, self.seconds = machine, seconds
        self.store, self.plain, self.scratch = (machine.path() for _ in range(3))
        os.mkdir(self.scratch)
        machine.bench("make", self.store, "--length", 32, "--size", 256 * tiles)
        names = [tile_path("0", number) for number in range(tiles)]
        with machine.log("static", self.store) as mount:
            shutil.copytree(mount.path, self.plain)
        random.Random(1).shuffle(names)
        self.list = os.path.join(self.scratch, "paths")
        pathlib.Path(self.list).write_text("\n".join(names) + "\n", encoding="utf-8")

    def remove(self):
        for path in (self.store, self.plain, self.scratch):
            self.machine.remove(path)

    @contextlib.contextmanager
    def served(self, way):
        """nginx's port."""
        options, keeps_open = way
        with contextlib.ExitStack() as stack:
            root = self.plain
            if options:
                root = stack.enter_context(self.machine.log(options, self.store)).path
            make = partial(web_servers.Nginx, self.scratch, root, keeps_open=keeps_open,
                           user="root")
            start = partial(subprocess.Popen, stdin=subprocess.DEVNULL)
            port, child = web_servers.serve(start, make)
            try:
                yield port
            finally:
                child.terminate()
                child.wait(20)

    def load(self, port, order):
        result = self.machine.run([
            "wrk", "-t", 1, "-c", CONNECTIONS, "-d", f"{self.seconds}s", "-s", SCRIPT,
            f"http://127.0.0.1:{port}", "--", self.list, order])
        if result["errors"]:
            raise Broken(f"wrk: {result['errors']} errors")
        return result

    def cold(self, way):
        with self.served(way) as port:
            self.machine.forget_caches()
            return self.load(port, "once")


def web(bench):
    for program in (web_servers.Nginx.PROGRAM, shutil.which("wrk")):
        if not program:
            raise Broken("it needs nginx and wrk")
    seconds = max(1, round(bench.seconds))  # wrk takes whole ones
    site = Site(bench.machine, bench.amount(TILES), seconds)
    try:
        with contextlib.ExitStack() as stack:
            warm = []
            for way in (STATIC, KEPT, PLAIN, PLAIN_KEPT):
                port = stack.enter_context(site.served(way))
                site.load(port, "once")
                warm.append(partial(site.load, port, "random"))
            results = bench.turns(*warm)
        yield from rows("warm", *results, goal=0.9)
        yield from rows("cold", *bench.turns(*(partial(site.cold, way) for way in
                                               (STATIC, KEPT, PLAIN, PLAIN_KEPT))))
    finally:
        site.remove()


def rows(how, static, kept, plain, plain_kept, goal=None):
    for name, ours, beside, limit, wanted in (
            ("`static`", static, "plain files", plain, goal),
            ("`ro`, files kept open", kept, "plain files", plain, None),
            ("`ro`, files kept open", kept, "plain files kept open", plain_kept, goal)):
        yield Row(f"nginx over {name}, {how}", "/s", rates(ours), beside, rates(limit), goal=wanted,
                  extra=latencies(the_log=ours, plain=limit))
