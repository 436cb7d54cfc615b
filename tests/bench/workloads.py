"""The measurements: each a function of a Bench that gives rows of the table.

A figure and what it is compared with are measured in turns, in the same run: `pair` does that.
"""

import os
import statistics

from report import Figure, Plot, Row

MIB = 1 << 20


class Bench:
    """What all workloads share: the machine, how often, how long."""

    def __init__(self, machine, rounds, seconds, scale):
        self.machine = machine
        self.rounds = rounds      # of each measurement
        self.seconds = seconds    # of each round, where a time is what bounds it
        self.scale = scale        # 1 for the full run; amounts are multiplied by it
        self.plots = []

    def amount(self, full, least=1):
        return max(least, int(full * self.scale))

    def turns(self, *measures):
        """Each measure `rounds` times, in turns: a list of results for each."""
        results = [[] for _ in measures]
        for _ in range(self.rounds):
            for measure, list_of in zip(measures, results):
                list_of.append(measure())
        return results


def rates(results, key="rate"):
    return Figure([result[key] for result in results])


def latencies(results):
    middle = {key: statistics.median(result[key] for result in results)
              for key in ("p50_us", "p99_us")}
    worst = max(result["max_us"] for result in results)
    return f"p50 {middle['p50_us']:.0f} us, p99 {middle['p99_us']:.0f} us, max {worst:.0f} us"


# ---- in process

def fastest_disk(bench, length):
    """The best way to write and sync, chosen once: a function that measures it, in bytes/s."""
    machine = bench.machine
    trial = bench.amount(256 * MIB, 32 * MIB)
    best, best_rate = None, 0
    for piece in (128 << 10, 512 << 10, MIB, 4 * MIB):
        for how in ([], ["--prewritten"]):
            def measure(piece=piece, how=tuple(how), length=trial):
                return machine.in_new_folder(lambda path: machine.bench(
                    "disk", path, "--piece", piece, "--bytes", length, *how))
            rate = measure()["rate"]
            if best_rate < rate:
                best, best_rate = measure, rate
    return lambda: best(length=length)


def batches(bench):
    machine = bench.machine
    length = bench.amount(4 << 30, 64 * MIB)
    disk = fastest_disk(bench, length)
    for entry in (155, 100, 1000):
        def log(entry=entry):
            return machine.in_new_folder(lambda path: machine.bench(
                "batches", path, "--length", entry, "--piece", 128 << 10, "--writers", 16,
                "--bytes", length))

        def hashing(entry=entry):
            return machine.bench("hash", "--length", entry, "--seconds", bench.seconds)
        rounds = bench.turns(log, hashing, disk)
        written = Figure([result["rate"] / (entry + 2) for result in rounds[2]])
        hashed = rates(rounds[1])
        slower = ("disk", written) if written.median < hashed.median else ("hashing", hashed)
        yield Row(f"in process, {entry} B, batches, drained", "/s", rates(rounds[0]), *slower,
                  goal=0.6, extra=f"hashing {hashed}, disk {written}")


def tessera(bench):
    machine = bench.machine
    if machine.peers is None:
        return
    length = bench.amount(MIB << 8, 16 * MIB)
    for entry, batch in ((100, 256), (100, 1024), (1000, 256), (1000, 1024)):
        ours, theirs = bench.turns(
            lambda entry=entry: machine.in_new_folder(lambda path: machine.bench(
                "batches", path, "--length", entry, "--piece", 128 << 10, "--writers", 16,
                "--bytes", length)),
            lambda entry=entry, batch=batch: machine.in_new_folder(lambda path: machine.run(
                [machine.peers / "tessera", "--dir", path, "--batch", batch, "--entry-length",
                 entry, "--seconds", bench.seconds])))
        yield Row(f"in process, {entry} B, batches", "/s", rates(ours), f"Tessera, batch {batch}",
                  rates(theirs), goal=40)


def one_at_a_time(bench):
    machine = bench.machine
    ours, flushes = bench.turns(
        lambda: machine.in_new_folder(lambda path: machine.bench(
            "writers", path, "--length", 100, "--seconds", bench.seconds)),
        lambda: machine.in_new_folder(lambda path: machine.bench(
            "flush", path, "--seconds", bench.seconds)))
    yield Row("in process, one at a time", "/s", rates(ours), "flushes", rates(flushes), goal=0.8,
              extra=latencies(ours))
    if machine.peers is None:
        return
    ours, theirs = bench.turns(
        lambda: machine.in_new_folder(lambda path: machine.bench(
            "writers", path, "--length", 100, "--seconds", bench.seconds)),
        lambda: machine.in_new_folder(lambda path: machine.run(
            [machine.peers / "tessera", "--dir", path, "--batch", 1, "--entry-length", 100,
             "--seconds", bench.seconds])))
    yield Row("in process, one at a time", "/s", rates(ours), "Tessera, batch 1", rates(theirs),
              goal=25)


def threads(bench):
    machine = bench.machine
    curves = {"log": [], "group commit without a log": []}
    for writers in (1, 8, 64, 256, 1000):
        ours, limit = bench.turns(*(
            lambda what=what, writers=writers: machine.in_new_folder(lambda path: machine.bench(
                what, path, "--length", 155, "--writers", writers, "--seconds", bench.seconds))
            for what in ("writers", "group")))
        curves["log"].append((writers, rates(ours).median))
        curves["group commit without a log"].append((writers, rates(limit).median))
        if 64 <= writers:
            yield Row(f"in process, {writers} threads", "/s", rates(ours), "group commit",
                      rates(limit), goal=0.8, extra=latencies(ours))
    plot = Plot("durable appends in process", "threads", "entries/s")
    for name, points in curves.items():
        plot.add(name, points)
    bench.plots.append(("threads", plot))


# ---- through the mount

def lines(bench):
    machine = bench.machine
    log, bare = machine.mount_log(), machine.mount_bare()
    plot = Plot("durable appends through the mount", "writers", "entries/s")
    for how, name, goal in (([], "write", 0.8), (["--open-each"], "echo", 0.7)):
        curves = {"log": [], "a FUSE file that only commits": []}
        for writers in (1, 8, 64):
            def measure(file, writers=writers, how=tuple(how)):
                return machine.bench("lines", file, "--length", 128, "--writers", writers,
                                     "--seconds", bench.seconds, *how)
            measures = [lambda: measure(log / "add"), lambda: measure(bare / "group")]
            flushes = writers == 1 and name == "write"
            if flushes:
                measures.append(lambda: machine.in_new_folder(lambda path: machine.bench(
                    "flush", path, "--seconds", bench.seconds)))
            ours, limit, *rest = bench.turns(*measures)
            curves["log"].append((writers, rates(ours).median))
            curves["a FUSE file that only commits"].append((writers, rates(limit).median))
            yield Row(f"mount, {name}, {writers} writers", "/s", rates(ours), "bare FUSE file",
                      rates(limit), goal=None if flushes else goal, extra=latencies(ours))
            if flushes:
                yield Row(f"mount, {name}, {writers} writer", "/s", rates(ours), "flushes",
                          rates(rest[0]), goal=goal)
        for curve, points in curves.items():
            plot.add(f"{curve}, {name}", points)
    bench.plots.append(("mount", plot))


def asynchronous(bench):
    machine = bench.machine
    log, bare = machine.mount_log("async"), machine.mount_bare()
    for writers in (1, 8):
        ours, limit = bench.turns(*(
            lambda file=file, writers=writers: machine.bench(
                "lines", file, "--length", 128, "--writers", writers, "--seconds", bench.seconds)
            for file in (log / "add", bare / "count")))
        yield Row(f"mount, async, {writers} writers", "/s", rates(ours), "FUSE that only counts",
                  rates(limit), goal=0.5)


def copies(bench):
    machine = bench.machine
    log = machine.mount_log()
    length = bench.amount(1 << 30, 32 * MIB)
    for file, piece, how, goal in (("add", 128 << 10, [], 0.7),
                                   ("add.bundle", MIB, ["--frames"], 0.9)):
        mount, process = bench.turns(
            lambda: machine.bench("copy", log / file, "--length", 100, "--bytes", length, "--piece",
                                  piece, *how),
            lambda: machine.in_new_folder(lambda path: machine.bench(
                "batches", path, "--length", 99, "--piece", piece, "--writers", 1, "--bytes",
                length)))
        ours = Figure([result["entries"] / result["seconds"] for result in mount])
        yield Row(f"mount, {length // MIB} MiB into {file}, {piece >> 10} KiB writes", "/s", ours,
                  "in process, one outstanding", rates(process, "durable_rate"), goal=goal)


def reads(bench):
    machine = bench.machine
    store = machine.path()
    size = bench.amount(1_000_000, 20_000)
    machine.bench("make", store, "--length", 155, "--size", size)
    mount = machine.mount_log("ro", store)
    tiles = sorted(str(path) for path in (mount / "tile" / "0").rglob("*") if path.is_file())
    plain = machine.path()
    os.mkdir(plain)
    copies_of = []
    for number, tile in enumerate(tiles):
        copies_of.append(f"{plain}/{number}")
        with open(tile, "rb") as source, open(copies_of[-1], "wb") as target:
            target.write(source.read())
    for readers in (1, 2):
        ours, limit = bench.turns(*(
            lambda files=files, readers=readers: machine.bench(
                "reads", "--writers", readers, "--size", bench.amount(10),
                stdin="\n".join(files))
            for files in (tiles, copies_of)))
        yield Row(f"open, read, close of tiles, warm, {readers} readers", "/s", rates(ours),
                  "files on the disk", rates(limit))


# ---- size

def sizes(bench):
    machine = bench.machine
    opening = Plot("opening after a crash, and an append", "entries in the log", "us")
    curves = {"opening": [], "append": []}
    rows = []
    for full in (100_000, 1_000_000, 10_000_000):
        size = bench.amount(full, 1000)
        made = machine.path()
        machine.bench("make", made, "--length", 100, "--size", size, "--crash")
        files = sum(len(names) for _, _, names in os.walk(made))
        used = sum(os.stat(os.path.join(folder, name)).st_size
                   for folder, _, names in os.walk(made) for name in names if name != "journal")
        opened = machine.bench("open", made)
        curves["opening"].append((size, opened["open_ms"] * 1000))
        curves["append"].append((size, opened["p50_us"]))
        rows.append((size, files, used, opened))
    for size, files, used, opened in rows:
        yield Row(f"opening after a crash, {size} entries", "ms", Figure([opened["open_ms"]]),
                  "goal, in ms", Figure([100]), goal=1, smaller_is_better=True,
                  extra=f"RssAnon {opened['anonymous_bytes'] / MIB:.1f} MiB, {files} files")
        yield Row(f"append, {size} entries", "us", Figure([opened["p50_us"]]), "the smallest log",
                  Figure([rows[0][3]["p50_us"]]), goal=1.1, smaller_is_better=True)
    size, _, used, _ = rows[-1]
    yield Row(f"bytes on disk beyond the payload, {size} entries", "B an entry",
              Figure([used / size - 100]), "goal", Figure([36]), goal=1, smaller_is_better=True)
    for name, points in curves.items():
        opening.add(name, points)
    bench.plots.append(("size", opening))


# ---- flumelog's and immuta's benchmarks

def flumelog(bench):
    machine = bench.machine
    if machine.peers is None:
        return
    length = 155
    node = ["node", machine.peers / "flumelog" / "bench.js", "--seconds", bench.seconds]
    drained = bench.turns(
        lambda: machine.in_new_folder(lambda path: machine.bench(
            "batches", path, "--length", length, "--piece", 128 << 10, "--writers", 16, "--bytes",
            bench.amount(1 << 30, 32 * MIB))),
        lambda: machine.in_new_folder(lambda path: machine.run(
            [*node, "--log", "aaol", "--workload", "drained", "--dir", path])))
    yield Row("append until drained, 155 B", "/s", rates(drained[0]), "async-append-only-log",
              rates(drained[1]), goal=4)
    size = bench.amount(10_000_000, 50_000)
    store, theirs = machine.path(), machine.path()
    machine.bench("make", store, "--length", length, "--size", size)
    machine.run([*node, "--log", "aaol", "--prepare", size, "--workload", "stream", "--dir",
                 theirs])
    for workload, scans, goal in (("stream", 1, 10), ("stream10", 10, 20)):
        ours, peer = bench.turns(
            lambda scans=scans: machine.bench("stream", store, "--writers", scans, "--seconds",
                                              bench.seconds),
            lambda workload=workload: machine.run([*node, "--log", "aaol", "--workload", workload,
                                                   "--dir", theirs]))
        yield Row(f"{workload}, {size} entries", "/s", rates(ours), "async-append-only-log",
                  rates(peer), goal=goal)
    small = machine.path()
    machine.run([*node, "--log", "aligned", "--prepare", 4000, "--workload", "stream", "--dir",
                 small])
    ours, peer, aligned = bench.turns(
        lambda: machine.bench("random", store, "--seconds", bench.seconds),
        lambda: machine.run([*node, "--log", "aaol", "--workload", "random", "--dir", theirs]),
        lambda: machine.run([*node, "--log", "aligned", "--workload", "random", "--dir", small]))
    yield Row(f"random, {size} entries", "/s", rates(ours), "async-append-only-log", rates(peer),
              goal=100)
    yield Row(f"random, {size} entries", "/s", rates(ours), "aligned-offset, 4,000 entries",
              rates(aligned), goal=1)


ALL = [batches, tessera, one_at_a_time, threads, lines, asynchronous, copies, reads, sizes,
       flumelog]
