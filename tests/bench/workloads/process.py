"""In process: logcore alone, beside the machine's limits and beside Tessera."""

from functools import partial

from plot import Plot
from report import Figure, Row

from .turns import BATCHES, MIB, latencies, rates


def batches(bench):
    machine = bench.machine
    lengths = (155, 100, 1000)
    # All of what is written at 155 B, which is the goal's; the others need not be as long.
    amounts = {length: bench.amount(MIB << (12 if length == 155 else 10), 32 * MIB)
               for length in lengths}
    logs = [partial(machine.fresh, "batches", "--length", length, *BATCHES, "--bytes",
                    amounts[length]) for length in lengths]
    hashes = [partial(machine.bench, "hash", "--length", length, "--seconds", bench.seconds / 2)
              for length in lengths]
    *results, disk = bench.turns(*logs, *hashes, bench.disk(amounts[155]))
    for length, log, hashing in zip(lengths, results, results[len(lengths):]):
        # The bytes of an entry are those of its frame.
        written = Figure([result["rate"] / (length + 2) for result in disk])
        hashed = rates(hashing)
        slower = ("disk", written) if written.median < hashed.median else ("hashing", hashed)
        yield Row(f"in process, {length} B, batches, drained", "/s", rates(log), *slower, goal=0.6,
                  extra=f"hashing {hashed}, disk {written}; " + latencies(a_submission=log))


def tessera(bench):
    machine = bench.machine
    amount = bench.amount(256 * MIB, 16 * MIB)
    for length in (100, 1000):
        ours, disk, *theirs = bench.turns(
            partial(machine.fresh, "batches", "--length", length, *BATCHES, "--bytes", amount),
            bench.disk(amount),
            *(bench.peer("tessera", "--batch", batch, "--entry-length", length, "--seconds",
                         bench.seconds) for batch in (256, 1024)))
        written = Figure([result["rate"] / (length + 2) for result in disk])
        for batch, peer in zip((256, 1024), theirs):
            rate = rates(ours)
            yield Row(f"in process, {length} B, batches, drained", "/s", rate,
                      f"Tessera, batch {batch}", rates(peer), goal=40,
                      extra=latencies(a_submission=ours, Tessera=peer),
                      other=Row("", "/s", rate, "the disk", written, goal=0.6))


def one_at_a_time(bench):
    machine = bench.machine
    # Long enough for the journal's ring to come round.
    seconds = 2 * bench.seconds
    ours, flushes, peer = bench.turns(
        partial(machine.fresh, "writers", "--length", 100, "--seconds", seconds),
        bench.flushes(seconds),
        bench.peer("tessera", "--batch", 1, "--entry-length", 100, "--seconds", bench.seconds))
    yield Row("in process, one at a time", "/s", rates(ours), "flushes", rates(flushes), goal=0.8,
              extra=latencies(the_log=ours, a_flush=flushes))
    yield Row("in process, one at a time", "/s", rates(ours), "Tessera, batch 1", rates(peer),
              goal=25, extra=latencies(the_log=ours, Tessera=peer))


def threads(bench):
    machine = bench.machine
    curves = {"log": [], "group commit without a log": []}
    for writers in (1, 8, 64, 256, 1000):
        ours, limit = bench.turns(*(
            partial(machine.fresh, what, "--length", 155, "--writers", writers, "--seconds",
                    bench.seconds) for what in ("writers", "group")))
        curves["log"].append((writers, rates(ours).median))
        curves["group commit without a log"].append((writers, rates(limit).median))
        if 64 <= writers:
            yield Row(f"in process, {writers} threads", "/s", rates(ours), "group commit",
                      rates(limit), goal=0.8,
                      extra=latencies(the_log=ours, group_commit=limit))
    plot = Plot("durable appends in process", "threads", "entries/s")
    for name, points in curves.items():
        plot.add(name, points)
    bench.plots.append(("threads", plot))
