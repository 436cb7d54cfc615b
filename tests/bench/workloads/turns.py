"""What all workloads share: how often, how long, and in turns.

A figure and what it is compared with are measured in turns, in the same run: `turns` does that.
"""

import statistics
from functools import partial

from report import Figure

MIB = 1 << 20
PIECE = 128 << 10  # what cat writes, and what submissions are
BATCHES = ["--piece", PIECE, "--writers", 16]  # so many under way: two records, and more


class Bench:
    """The machine, how often, how long."""

    def __init__(self, machine, rounds, seconds, scale, huge=False):
        self.machine = machine
        self.rounds = rounds      # of each measurement
        self.seconds = seconds    # of each round, where a time is what bounds it
        self.scale = scale        # 1 for the full run; amounts are multiplied by it
        self.huge = huge          # a log of 100,000,000 entries, too
        self.plots = []
        self._disk = None

    def amount(self, full, least=1):
        return max(least, int(full * self.scale))

    def turns(self, *measures):
        """Each measure `rounds` times, in turns: a list of results for each; empty for None."""
        results = [[] for _ in measures]
        for _ in range(self.rounds):
            for measure, list_of in zip(measures, results):
                if measure is not None:
                    list_of.append(measure())
        return results

    def peer(self, name, *arguments, path=None):
        """A measure of a peer, in a folder of its own if no path is given; None if it is
        missing."""
        machine = self.machine
        if not machine.has_peer(name):
            return None
        if path is None:
            return partial(machine.fresh_peer, name, *arguments)
        return partial(machine.peer, name, path, *arguments)

    def disk(self, length):
        """Writes so many bytes in the way that is fastest here, which is tried once."""
        machine = self.machine
        if self._disk is None:
            trials = []
            for piece in (PIECE, 256 << 10, 512 << 10, MIB, 2 * MIB, 4 * MIB):
                for how in ([], ["--prewritten"]):
                    way = ["--piece", piece, *how]
                    trial = machine.fresh("disk", *way, "--bytes", self.amount(256 * MIB, 8 * MIB))
                    trials.append((trial["rate"], way))
            self._disk = max(trials)[1]
        return partial(machine.fresh, "disk", *self._disk, "--bytes", length)

    def flushes(self, seconds):
        return partial(self.machine.fresh, "flush", "--seconds", seconds)


def figure(results, value):
    """The Figure of a number of each result, or of a function of it; None if there are none."""
    if not results:
        return None
    of = value if callable(value) else lambda result: result[value]
    return Figure([of(result) for result in results])


def rates(results, key="rate"):
    return figure(results, key)


def latencies(**measured):
    """p50, p99 and the longest, of each of them: its name, and its results."""
    parts = []
    for name, results in measured.items():
        if not results:
            continue
        p50, p99 = (statistics.median(result[key] for result in results)
                    for key in ("p50_us", "p99_us"))
        worst = max(result["max_us"] for result in results)
        name = name.replace("_", " ")
        parts.append(f"{name}: p50 {p50:.0f} us, p99 {p99:.0f} us, max {worst:.0f} us")
    return "; ".join(parts)
