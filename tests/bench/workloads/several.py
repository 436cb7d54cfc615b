"""Several processes that append to one store at once, beside one that has it alone."""

from functools import partial

from machine import Broken
from report import Row

from .turns import BATCHES, figure, latencies, rates

KINDS = {
    "one thread each": ["--writers", 1],
    "batches": ["--batches", *BATCHES],
}


def append(bench, count, how):
    """What `count` processes append to a new store: in all, and how it is shared out."""
    machine = bench.machine
    store = machine.new_store()
    try:
        results = machine.together(count, "share", store, "--length", 155, "--seconds",
                                   bench.seconds, *how)
        appended = sum(result["appended"] for result in results)
        size = machine.bench("size", store)["size"]
    finally:
        machine.remove(store)
    if size != appended:
        raise Broken(f"{appended:.0f} entries were appended by {count}, {size:.0f} are there")
    counts = [result["count"] for result in results]
    return {"rate": sum(result["rate"] for result in results),
            "shares": max(counts) / max(1, min(counts)),
            "max_ms": max(result["max_us"] for result in results) / 1000,
            **{key: max(result[key] for result in results)
               for key in ("p50_us", "p99_us", "max_us")}}


def several(bench):
    for kind, how in KINDS.items():
        alone, *more = bench.turns(*(partial(append, bench, count, how) for count in (1, 2, 4)))
        for count, results in zip((2, 4), more):
            name = f"{count} processes, {kind}"
            yield Row(f"{name}: in all", "/s", rates(results), "one process", rates(alone),
                      goal=0.7, extra=latencies(the_slowest=results, one_process=alone))
            yield Row.at_most(f"{name}: greatest share", "x the least",
                              figure(results, "shares"), 2)
            yield Row.at_most(f"{name}: longest wait", "ms", figure(results, "max_ms"), 50)
