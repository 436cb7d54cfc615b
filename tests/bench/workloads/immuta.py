"""Immuta's benchmark: 100,000 records of 1 kB, appended and read."""

from functools import partial

from report import Row

from .turns import BATCHES, latencies, rates

LENGTH = 1000
WRITTEN = ["--mode", "fast", "--length", LENGTH]


def immuta(bench):
    machine = bench.machine
    count = bench.amount(100_000, 1000)
    fast = [*WRITTEN, "--count", count]
    ours, theirs = bench.turns(
        partial(machine.fresh, "batches", "--length", LENGTH, *BATCHES, "--bytes",
                count * (LENGTH + 2)),
        bench.peer("immuta", "--workload", "append", *fast))
    yield Row(f"append, {count:,} x 1 kB, durable in batches", "/s", rates(ours, "durable_rate"),
              "Immuta, never flushed", rates(theirs), goal=2)
    # So many that it takes about as long as ours.
    ours, theirs = bench.turns(
        partial(machine.fresh, "writers", "--length", LENGTH, "--seconds", bench.seconds),
        bench.peer("immuta", "--workload", "append", "--mode", "sync", "--length", LENGTH,
                   "--count", max(100, int(2000 * bench.seconds))))
    yield Row("append, 1 kB, durable, one at a time", "/s", rates(ours), "Immuta, O_SYNC",
              rates(theirs), goal=2.5, extra=latencies(the_log=ours, Immuta=theirs))
    store, path = machine.path(), machine.path()
    try:
        machine.bench("make", store, "--length", LENGTH, "--size", count)
        prepare = bench.peer("immuta", "--workload", "append", *fast, path=path)
        if prepare:
            prepare()
        ours, theirs = bench.turns(
            partial(machine.bench, "stream", store, "--writers", 1, "--seconds", bench.seconds),
            bench.peer("immuta", "--workload", "read", *fast, path=path))
        yield Row(f"read, {count:,} x 1 kB", "/s", rates(ours), "Immuta", rates(theirs), goal=10)
    finally:
        machine.remove(store)
        machine.remove(path)
