"""examples/bettyfe, which serves a mounted log over HTTP, beside Tessera's own conformance server,
which keeps its log in a folder: POST /add, as many connections as say so, each of which waits for
its index. Tessera's puts 256 entries in a batch, or those of a second: only with as many connections
as that, or more, is it compared."""

import os
import pathlib
import shutil
import socket
from functools import partial

import harness
import web_servers
from machine import Broken
from report import Row

from .turns import figure, latencies, rates

CONNECTIONS = (1, 16, 256, 1024)
BATCH = 256  # of Tessera's
SECONDS = 2  # of each round: more than one of Tessera's batches
FILES = ["prlimit", "--nofile=8192:"]  # so many may be open, here and there
SCRIPT = pathlib.Path(__file__).parent.parent / "frontend.lua"


def frontend(bench):
    machine = bench.machine
    if not shutil.which("wrk"):
        raise Broken("it needs wrk")
    if not (machine.build / "bettyfe").exists():  # nor is libmicrohttpd
        return
    theirs_too = machine.has_peer("tessera_posix")
    for connections in CONNECTIONS:
        ours, theirs = bench.turns(
            partial(bettyfe, machine, connections),
            partial(tessera_posix, machine, connections) if theirs_too else None)
        memory = f"memory at most: bettyfe {most_memory(ours):.0f} MiB"
        if theirs:
            memory += f", Tessera {most_memory(theirs):.0f} MiB"
        yield Row(f"HTTP, {connections} connection{'s' if 1 < connections else ''}", "/s",
                  rates(ours), "Tessera's posix conformance server", rates(theirs),
                  goal=3 if BATCH <= connections else None,
                  extra=f"{latencies(bettyfe=ours, Tessera=theirs)}; {memory}")
    yield Row.at_most(f"bettyfe, {connections} connections, memory", "MiB",
                      figure(ours, "memory"), 64)


def most_memory(results):
    return max(result["memory"] for result in results)


def bettyfe(machine, connections):
    with machine.log() as log:
        command = [*FILES, machine.build / "bettyfe", "--mount", log.path,
                   "--listen", "127.0.0.1:0"]
        with machine.server(command) as server:
            url = server.stdout.readline().split()[-1]
            result = load(machine, url, connections, server.pid)
        size = log.checkpoint().size
        if not result["count"] <= size <= result["count"] + connections:
            raise Broken(f"bettyfe answered {result['count']} times, the log has {size} entries")
        return result


def tessera_posix(machine, connections):
    store, folder = machine.new_store(), machine.path()
    os.mkdir(folder)
    try:
        address = f"127.0.0.1:{web_servers.free_port()}"
        command = [*FILES, machine.peers / "tessera_posix", "--storage_dir", folder,
                   "--listen", address, "--private_key", os.path.join(store, "key")]
        with machine.server(command) as server:
            harness.wait_for(lambda: answers(address), f"{address} answers")
            return load(machine, "http://" + address, connections, server.pid)
    finally:
        machine.remove(store)
        machine.remove(folder)


def load(machine, url, connections, server):
    result = machine.run([*FILES, "wrk", "--threads", 1, "--connections", connections, "--duration",
                          f"{SECONDS}s", "--timeout", "10s", "--script", SCRIPT, url])
    if result["errors"] or not result["count"]:
        raise Broken(f"{url}: {result}")
    with open(f"/proc/{server}/status", encoding="utf-8") as file:
        line = next(line for line in file if line.startswith("VmHWM:"))
    result["memory"] = int(line.split()[1]) / 1024
    return result


def answers(address):
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
