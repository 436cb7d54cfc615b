"""What depends on the size of a log: opening it, appending to it, memory, room on the disk.

A killed process leaves a store in the middle of a commit. A power cut leaves, besides, nothing in
`lock`, which is never synced, nor anything in memory: the opening after it goes through all of the
journal, and reads it from the disk.
"""

import os
from statistics import median

from plot import Plot
from report import Figure, Row

from .turns import BATCHES, MIB, figure

LENGTH = 100
ALL_SIZES = (100_000, 1_000_000, 10_000_000)
HUGE = 100_000_000
KEPT = 10_000_000  # From this size on a log is made once; what a round adds is little.


def lose_lock(store):
    with open(os.path.join(store, "lock"), "r+b") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        file.write(bytes(length))


def room_of(store):
    """Files, and bytes on the disk but for the journal's."""
    found = [(name, os.stat(os.path.join(folder, name)).st_blocks * 512)
             for folder, _, names in os.walk(store) for name in names]
    return len(found), sum(room for name, room in found if name != "journal")


class Sized:
    """A log of one size, and what was measured of it."""

    def __init__(self, bench, size):
        self.bench, self.size = bench, size
        self.store = None
        self.killed, self.cut, self.opened, self.batches = [], [], [], []
        self.files = self.room = 0  # for each entry

    def make(self):
        if KEPT <= self.size and self.store:
            self._open("--crash")
        else:
            self.remove()
            self.store = self.bench.machine.path()
            self.bench.machine.bench("make", self.store, "--length", LENGTH, "--size", self.size,
                                     "--crash")

    def open_after_crashes(self):
        self.killed.append(self._open("--crash"))
        lose_lock(self.store)
        self.bench.machine.forget_caches()
        self.cut.append(self._open())

    def open_after_close(self):
        self.opened.append(self._open())
        files, room = room_of(self.store)
        self.files = files / self.opened[-1]["size"]
        # Some of what was appended is shorter: the crashes'. So this is a little too much.
        self.room = room / self.opened[-1]["size"] - LENGTH

    def append(self):
        seconds = self.bench.seconds / 2
        self.batches += self.bench.machine.together(1, "share", self.store, "--length", LENGTH,
                                                    "--seconds", seconds, "--batches", *BATCHES)

    def remove(self):
        if self.store:
            self.bench.machine.remove(self.store)

    def _open(self, *how):
        return self.bench.machine.bench("open", self.store, "--size",
                                        self.bench.amount(1000, 50), *how)

    def all_opened(self):
        return self.killed + self.cut + self.opened


def measure(bench, logs):
    for _ in range(bench.rounds):
        for log in logs:
            log.make()
        for log in logs:
            log.open_after_crashes()
        for _ in range(3):
            for log in logs:
                log.open_after_close()
        for log in logs:
            log.append()


def sizes(bench):
    logs = [Sized(bench, bench.amount(size, 1000)) for size in ALL_SIZES]
    if bench.huge:
        logs.append(Sized(bench, bench.amount(HUGE)))
    try:
        measure(bench, logs)
    finally:
        for log in logs:
            log.remove()
    smallest = logs[0]
    for log in logs:
        yield Row.at_most(f"opening after a kill, {log.size:,} entries", "ms",
                          figure(log.killed, "open_ms"), 100)
    for log in logs:
        yield Row.at_most(f"opening after a power cut, {log.size:,} entries", "ms",
                          figure(log.cut, "open_ms"), 100)
    for log in logs[1:]:
        yield Row(f"append, {log.size:,} entries", "us", figure(log.opened, "p50_us"),
                  "the smallest log", figure(smallest.opened, "p50_us"), goal=1.1,
                  smaller_is_better=True)
    for log in logs[1:]:
        yield Row(f"anonymous memory, {log.size:,} entries", "MiB", memory(log.all_opened()),
                  "the smallest log", memory(smallest.all_opened()), goal=1.1,
                  smaller_is_better=True, extra="RssAnon, after an opening and its appends")
    largest = logs[-1]
    yield Row.at_most(f"on disk beyond payload, {largest.size:,} entries", "B an entry",
                      Figure([largest.room]), 36)
    yield Row.at_most(f"files a million entries, {largest.size:,} entries", "",
                      Figure([largest.files * 1e6]), 60)
    bench.plots += plots(logs)


def memory(results):
    return figure(results, lambda result: result["anonymous_bytes"] / MIB)


def plots(logs):
    opening = Plot("opening", "entries in the log", "us")
    rate = Plot("durable appends", "entries in the log", "entries/s")
    for name, of in (("after a power cut", lambda log: log.cut),
                     ("after a kill", lambda log: log.killed),
                     ("after a close", lambda log: log.opened)):
        opening.add(name, [(log.size, 1000 * median(result["open_ms"] for result in of(log)))
                           for log in logs])
    rate.add("batches", [(log.size, median(result["rate"] for result in log.batches))
                         for log in logs])
    rate.add("one at a time", [(log.size, 1e6 / median(result["p50_us"] for result in log.opened))
                               for log in logs])
    return [("opening", opening), ("size", rate)]
