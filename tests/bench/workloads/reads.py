"""Reading through the mount, beside plain files of the same bytes on the same disk.

Cold: the mount is new, and the kernel has forgotten what it had read of any disk.
"""

import os
from functools import partial

from reference_log import tile_path
from report import Row

from .turns import MIB, figure, rates

LENGTH = 155
TILES = 4000


def copy_of(source, target):
    with open(source, "rb") as read, open(target, "wb") as write:
        while part := read.read(MIB):
            write.write(part)


def reads(bench):
    machine = bench.machine
    size = bench.amount((1 << 30) // (LENGTH + 1), 16 * 256)
    store, plain = machine.path(), machine.path()
    os.mkdir(plain)
    try:
        machine.bench("make", store, "--length", LENGTH, "--size", size)
        names = [tile_path("0", number, 256) for number in range(min(TILES, size // 256))]
        plain_tiles = [os.path.join(plain, str(number)) for number in range(len(names))]
        plain_log = os.path.join(plain, "log")
        with machine.log("ro", store) as mount:
            for name, target in zip(names, plain_tiles):
                copy_of(mount / name, target)
            copy_of(mount / "log", plain_log)

        def read(files, readers=1, rounds=1):
            return machine.bench("reads", "--writers", readers, "--size", rounds,
                                 stdin="\n".join(files))

        def cold(files, readers=1):
            machine.forget_caches()
            return read(files, readers)

        def cold_mount(wanted, readers=1):
            with machine.log("ro", store) as mount:
                return cold([mount / name for name in wanted], readers)

        warm_rounds = bench.amount(5)
        with machine.log("ro", store) as mount:
            tiles = [mount / name for name in names]
            read(tiles)
            for readers in (1, 2):
                ours, limit = bench.turns(*(partial(read, files, readers, warm_rounds)
                                            for files in (tiles, plain_tiles)))
                yield row_of_tiles("warm", readers, ours, limit)
            ours, limit = bench.turns(partial(read, [mount / "log"]), partial(read, [plain_log]))
            yield row_of_log("warm", ours, limit)
        for readers in (1, 2):
            ours, limit = bench.turns(partial(cold_mount, names, readers),
                                      partial(cold, plain_tiles, readers))
            yield row_of_tiles("cold", readers, ours, limit)
        ours, limit = bench.turns(partial(cold_mount, ["log"]), partial(cold, [plain_log]))
        yield row_of_log("cold", ours, limit)
    finally:
        machine.remove(store)
        machine.remove(plain)


def row_of_tiles(how, readers, ours, limit):
    return Row(f"open, read, close of tiles, {how}, {readers} reader{'s' if 1 < readers else ''}",
               "/s", rates(ours), "plain files", rates(limit))


def row_of_log(how, ours, limit):
    def rate(result):
        return result["bytes"] / result["seconds"]
    return Row(f"`log`, {ours[0]['bytes'] / MIB:.0f} MiB from end to end, {how}", "B/s",
               figure(ours, rate), "a plain file", figure(limit, rate))
