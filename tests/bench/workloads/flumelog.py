"""bench-flumelog's workloads, beside async flumelog and flumelog-aligned-offset."""

from functools import partial

from report import Row

from .turns import BATCHES, MIB, rates

LENGTH = 155
PEER = "async-append-only-log"


def appends(bench):
    ours, theirs = bench.turns(
        partial(bench.machine.fresh, "batches", "--length", LENGTH, *BATCHES, "--bytes",
                bench.amount(512 * MIB, 32 * MIB)),
        bench.peer("flumelog", "--log", "aaol", "--workload", "append", "--seconds",
                   bench.seconds))
    yield Row("append, 155 B", "/s", rates(ours, "durable_rate"), PEER, rates(theirs), goal=1.5,
              extra="ours: until the last entry has its index, and is durable; theirs: until it is "
                    "copied in memory, where all of it stays for now")
    yield Row("append until drained, 155 B", "/s", rates(ours), PEER,
              rates(theirs, "drained_rate"), goal=4)


def flumelog(bench):
    yield from appends(bench)
    machine = bench.machine
    size = bench.amount(10_000_000, 50_000)
    store, theirs, small = machine.path(), machine.path(), machine.path()
    try:
        machine.bench("make", store, "--length", LENGTH, "--size", size)
        for log, count, path in (("aaol", size, theirs), ("aligned", 4000, small)):
            prepare = bench.peer("flumelog", "--log", log, "--prepare", count, path=path)
            if prepare:
                prepare()
        yield from readings(bench, size, store, theirs, small)
    finally:
        for path in (store, theirs, small):
            machine.remove(path)


def readings(bench, size, store, theirs, small):
    def peer(log, workload, path):
        return bench.peer("flumelog", "--log", log, "--workload", workload, "--seconds",
                          bench.seconds, path=path)

    for workload, scans, goal in (("stream", 1, 10), ("stream10", 10, 20)):
        ours, others = bench.turns(
            partial(bench.machine.bench, "stream", store, "--writers", scans, "--seconds",
                    bench.seconds),
            peer("aaol", workload, theirs))
        yield Row(f"{workload}, {size:,} entries", "/s", rates(ours), PEER, rates(others),
                  goal=goal)
    ours, others, aligned = bench.turns(
        partial(bench.machine.bench, "random", store, "--seconds", bench.seconds),
        peer("aaol", "random", theirs), peer("aligned", "random", small))
    yield Row(f"random, {size:,} entries", "/s", rates(ours), PEER, rates(others), goal=100)
    yield Row(f"random, {size:,} entries", "/s", rates(ours), "aligned-offset, 4,000",
              rates(aligned), goal=1)
