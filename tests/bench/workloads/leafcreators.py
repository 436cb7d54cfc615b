"""examples/leafcreator at full speed, with the flags of Betty's README, beside that README."""

import re
from functools import partial

from machine import Broken
from report import Figure, Row

from .turns import MIB, figure, latencies, rates

LEAF = 1024  # bytes: what Betty makes when it is not told another size
FLAGS = ["--num_writers=1000", "--leaves_per_second=0", "--batch_size=256", f"--leaf_size={LEAF}"]
SUMMARY = re.compile(r"(\d+) leaves in ([\d.]+) s, .* Max: ([\d.]+)ms p50: ([\d.]+)ms"
                     r" p99: ([\d.]+)ms\]")
# What Betty's README shows, of one instance and of three. It is of another machine and not measured
# here: Betty cannot be had as a module.
BETTY = Figure([68_000, 75_000])


def create(bench, count):
    """What so many instances append to a new store in the same time, in all."""
    machine = bench.machine
    store = machine.new_store()
    try:
        command = [machine.build / "leafcreator", "--path", store, *FLAGS,
                   f"--duration={2000 * bench.seconds:.0f}ms"]
        said = machine.at_once(*[command] * count)
        size = machine.bench("size", store)["size"]
    finally:
        machine.remove(store)
    found = [SUMMARY.fullmatch(text.splitlines()[-1]) for text in said]
    if not all(found):
        raise Broken(f"leafcreator: gives no figures: {said!r}")
    leaves = sum(int(one[1]) for one in found)
    if size != leaves:
        raise Broken(f"{leaves} leaves were made by {count}, {size:.0f} are there")
    worst = {key: 1000 * max(float(one[group]) for one in found)
             for key, group in (("max_us", 3), ("p50_us", 4), ("p99_us", 5))}
    return {"rate": leaves / max(float(one[2]) for one in found), **worst}


def leafcreators(bench):
    *created, disk = bench.turns(*(partial(create, bench, count) for count in (1, 2, 3)),
                                 bench.disk(bench.amount(512 * MIB, 16 * MIB)))
    written = figure(disk, lambda result: result["rate"] / (LEAF + 2))
    for count, results in enumerate(created, 1):
        yield Row(f"leafcreator, {LEAF} B, 1,000 writers each, {count} at once", "/s",
                  rates(results), "Betty's README: another machine, not measured", BETTY,
                  extra=f"the disk {written}; " + latencies(the_slowest=results))
