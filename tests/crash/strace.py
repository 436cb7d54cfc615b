"""Programs under strace(1), which kills them at chosen system calls, or lets those calls fail.

A Point is the n-th call of one kind by one thread on one file of the store. A first run under
`profile` shows which ones there are; `inject` is strace's command line that does something there.

What strace can do: a call that fails was not made (error=), and one that succeeds with a made up
result (retval=) was not made either; a program that is killed at a call has not made it. A call
that was made and then reports an error needs the simulated disk: error_test.cc has those.
"""

import collections
import os
import re

# Everything that the library does to a store, and what it learns from it.
CALLS = ("pwrite64", "pread64", "fdatasync", "fsync", "fallocate", "ftruncate", "openat", "fcntl",
         "mkdirat", "renameat", "newfstatat", "statx", "getdents64", "close")

# `path` is relative to the store ("" for its directory).
Point = collections.namedtuple("Point", "path call number")

# Whoever is traced cannot look for its own leaks.
STRACE = ["strace", "-E", "LSAN_OPTIONS=detect_leaks=0"]

CALL = re.compile(r"(\d+) +(\w+)\(\d+<([^>]*)>")


def profile(output):
    """The beginning of a command line: traces what follows, and writes what it does to a file."""
    return [*STRACE, "-f", "-qq", "-y", "-o", output, "-e", "signal=none",
            "-e", "trace=" + ",".join(CALLS)]


def points(output, store):
    """All Points of a profile, in order; of different threads, calls of one number are one."""
    counts = collections.Counter()
    found = {}
    with open(output, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = CALL.match(line)
            if not match or not (match[3] + "/").startswith(store + "/"):
                continue
            thread, call, path = match.groups()
            counts[thread, call, path] += 1
            found[Point(path[len(store) + 1:], call, counts[thread, call, path])] = None
    return list(found)


def inject(store, point, what, detached=False):
    """The same, but `what` happens at the point. `detached`: what is traced keeps its pid, and
    goes on alone when strace is told to end."""
    return [*STRACE, *(["-D", "-I", "1"] if detached else []), "-f", "-qq", "-o", "/dev/null",
            "-e", "signal=none", "-P", os.path.join(store, point.path).rstrip("/"),
            "-e", "trace=" + point.call,
            "-e", "inject=%s:%s:when=%s" % (point.call, what, point.number)]


def wrapper(path, strace, program):
    """Makes a script that runs the program under strace, to be used in its place."""
    with open(path, "w", encoding="utf-8") as file:
        words = " ".join("'%s'" % word for word in strace + [program])
        file.write("#!/bin/sh\nexec %s \"$@\"\n" % words)
    os.chmod(path, 0o755)
    return path
