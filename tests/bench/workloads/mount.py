"""Through the mount, beside files that only commit or only count, and beside logcore alone."""

from functools import partial

from plot import Plot
from report import Row

from .turns import MIB, PIECE, figure, latencies, rates


def lines(bench):
    machine = bench.machine
    plot = Plot("durable appends through the mount", "writers", "entries/s")
    with machine.log() as log, machine.bare() as bare:
        for how, name, goal in (([], "write", 0.8), (["--open-each"], "echo", 0.7)):
            curves = {"log": [], "a FUSE file that only commits": []}
            for writers in (1, 8, 64):
                alone = writers == 1 and name == "write"
                ours, limit, flushes = bench.turns(
                    *(partial(machine.bench, "lines", file, "--length", 128, "--writers", writers,
                              "--seconds", bench.seconds, *how)
                      for file in (log / "add", bare / "group")),
                    bench.flushes(bench.seconds) if alone else None)
                curves["log"].append((writers, rates(ours).median))
                curves["a FUSE file that only commits"].append((writers, rates(limit).median))
                what = f"mount, {name}, {writers} writer{'s' if 1 < writers else ''}"
                yield Row(what, "/s", rates(ours), "bare FUSE file", rates(limit), goal=goal,
                          extra=latencies(the_log=ours, bare=limit))
                if alone:
                    yield Row(what, "/s", rates(ours), "flushes", rates(flushes), goal=goal,
                              extra=latencies(a_flush=flushes))
            for curve, points in curves.items():
                plot.add(f"{curve}, {name}", points)
    bench.plots.append(("mount", plot))


def asynchronous(bench):
    machine = bench.machine
    with machine.log("async") as log, machine.bare() as bare:
        for writers in (1, 8):
            ours, limit = bench.turns(*(
                partial(machine.bench, "lines", file, "--length", 128, "--writers", writers,
                        "--seconds", bench.seconds)
                for file in (log / "add", bare / "count")))
            yield Row(f"mount, async, {writers} writer{'s' if 1 < writers else ''}", "/s",
                      rates(ours), "FUSE that only counts", rates(limit), goal=0.5,
                      extra=latencies(the_log=ours, bare=limit))


def copies(bench):
    machine = bench.machine
    length = bench.amount(1 << 30, 32 * MIB)
    for file, piece, pieces, how, goal in (("add", PIECE, "128 KiB", [], 0.7),
                                           ("add.bundle", MIB, "1 MiB", ["--frames"], 0.9)):
        def through_mount(file=file, piece=piece, how=tuple(how)):
            with machine.log() as log:
                return machine.bench("copy", log / file, "--length", 100, "--bytes", length,
                                     "--piece", piece, *how)
        mount, process = bench.turns(
            through_mount,
            partial(machine.fresh, "batches", "--length", 99, "--piece", piece, "--writers", 1,
                    "--bytes", length))
        ours = figure(mount, lambda result: result["entries"] / result["seconds"])
        yield Row(f"mount, {length // MIB} MiB into {file}, {pieces} writes", "/s", ours,
                  "in process, 1 outstanding", rates(process, "durable_rate"), goal=goal)
