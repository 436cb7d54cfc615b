"""kill -9 of real processes, again and again on one store, while others append and read.

KillTest: the mounted daemon dies under four writers and a reader, and is mounted again.
OneOfManyTest: two mounts and two programs with the library append to one store at the same time;
one of them dies, and the others go on without an error and without a pause.

Every acknowledged line is in the log, once, in its writer's order, and where a receipt said an
index, at that index; every checkpoint that anybody ever read is a root of this log. `tlogfs check`
finds nothing. (What this cannot find is a missing sync: the page cache survives. That is
crash_test's work.)

TLOGFS_KILL_ROUNDS says how often (100; OneOfManyTest a quarter), TLOGFS_KILL_SEED when: it is
printed.
"""

import contextlib
import os
import random
import subprocess
import threading
import time

from promises import Promises, Reader, harness, init_small, store_writer

ROUNDS = int(os.environ.get("TLOGFS_KILL_ROUNDS", "100"))
SEED = int(os.environ.get("TLOGFS_KILL_SEED", str(time.time_ns() % 1_000_000)))
WRITERS = 4
CHECK_EVERY = 10


class Writer(threading.Thread):
    """Appends numbered lines until what it writes to dies; `acknowledged` are those taken."""

    def __init__(self, name, lines_at_once):
        super().__init__(daemon=True)
        self.name_of_lines, self.lines_at_once = name, lines_at_once
        self.acknowledged = []
        self.receipts = {}  # line -> index
        self.error = None
        self.stopping = False

    def run(self):
        try:
            self.append_until_the_end()
        except OSError:
            pass  # It is dead: what was being written is of unknown outcome.
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def append_until_the_end(self):
        number = 0
        while not self.stopping:
            lines = [b"%s %d" % (self.name_of_lines, number + i)
                     for i in range(self.lines_at_once)]
            number += len(lines)
            self.append(lines)

    def promised_to(self, promises):
        """Hands over what was acknowledged; checks that it had an order."""
        if self.error:
            raise self.error
        indexes = [self.receipts[line] for line in self.acknowledged if line in self.receipts]
        if indexes != sorted(indexes):
            raise AssertionError("receipts out of order")
        for line in self.acknowledged:
            promises.acknowledge(line, self.receipts.get(line))


class MountWriter(Writer):
    def __init__(self, path, name, lines_at_once, with_receipts):
        super().__init__(name, lines_at_once)
        self.path, self.with_receipts = path, with_receipts

    def append_until_the_end(self):
        mode = os.O_RDWR if self.with_receipts else os.O_WRONLY
        self.descriptor = os.open(self.path, mode | os.O_APPEND)
        try:
            super().append_until_the_end()
        finally:
            with contextlib.suppress(OSError):
                os.close(self.descriptor)

    def append(self, lines):
        rest = b"".join(line + b"\n" for line in lines)
        while rest:
            rest = rest[os.write(self.descriptor, rest):]
        self.acknowledged += lines
        if self.with_receipts:
            self.read_receipts(lines)

    def read_receipts(self, lines):
        text = b""
        while text.count(b"\n") < len(lines):
            part = os.read(self.descriptor, 4096)
            if not part:
                raise AssertionError("no receipt for %r" % lines)
            text += part
        for line, receipt in zip(lines, text.splitlines()):
            self.receipts[line] = int(receipt.split()[0])


class LibraryWriter(Writer):
    def __init__(self, child, name, lines_at_once):
        super().__init__(name, lines_at_once)
        self.child = child

    def append(self, lines):
        self.child.stdin.write(b"".join(line + b"\n" for line in lines))
        self.child.stdin.flush()
        for line in lines:
            index = self.child.stdout.readline()
            if not index.endswith(b"\n"):
                raise BrokenPipeError("the writer ended")
            self.receipts[line] = int(index)
            self.acknowledged.append(line)


def join(test, threads):
    for thread in threads:
        thread.join(20)
        test.assertFalse(thread.is_alive(), "a thread hangs on what is dead")


class KillTest(harness.MountTest):
    SECONDS = 60 + 5 * ROUNDS

    def test_nothing_acknowledged_is_lost(self):
        print("TLOGFS_KILL_SEED=%d" % SEED, flush=True)
        self.random = random.Random(SEED)
        self.store = self.init()
        self.promises = Promises()
        for number in range(ROUNDS):
            self.one_round(number)
            if number % CHECK_EVERY == CHECK_EVERY - 1:
                self.assert_sound(self.store)
        self.assert_sound(self.store)
        promises = self.promises
        print("%d rounds, %d entries, %d acknowledged, %d checkpoints" %
              (ROUNDS, len(promises.log), promises.count, len(promises.heads)), flush=True)
        self.assertGreater(promises.count, 5 * ROUNDS)
        self.assertGreater(len(promises.heads), ROUNDS)

    def one_round(self, number):
        mount = self.mount(self.store, name="mnt")
        self.promises.see(mount.read("checkpoint"))
        writers = [MountWriter(mount / "add", b"round %d writer %d line" % (number, i),
                               self.random.choice((1, 1, 3, 40)), i == 0) for i in range(WRITERS)]
        reader = Reader(mount / "checkpoint")
        for thread in writers + [reader]:
            thread.start()
        harness.wait_for(lambda: any(writer.acknowledged for writer in writers), "a first line")
        time.sleep(self.random.uniform(0, 0.06))
        mount.daemon.kill()
        mount.daemon.wait(20)
        mount.remove()
        self.mounts.remove(mount)
        join(self, writers + [reader])
        for note in reader.notes:
            self.promises.see(note)
        for writer in writers:
            writer.promised_to(self.promises)
        self.look_after(writers)

    def look_after(self, writers):
        """What the next mount shows: everything that was promised before."""
        mount = self.mount(self.store, name="mnt")
        self.promises.keep(mount)
        for writer in writers:
            indexes = [self.promises.index_of[line] for line in writer.acknowledged]
            self.assertEqual(indexes, sorted(indexes))
        mount.unmount()
        mount.remove()
        self.mounts.remove(mount)


class Killable:
    """A process that appends, and the threads that give it lines and hear its answers."""

    def __init__(self, test, number, name):
        self.test, self.mounted = test, number % 2 == 0
        if self.mounted:
            self.mount = test.mount(test.store, name="writer%d" % number)
            self.writers = [MountWriter(self.mount / "add", name + b" a", 1, True),
                            MountWriter(self.mount / "add", name + b" b", 30, False)]
        else:
            self.child = test.start([store_writer(), "append", test.store, "3"],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.writers = [LibraryWriter(self.child, name, 3)]
        for writer in self.writers:
            writer.start()

    def kill(self):
        process = self.mount.daemon if self.mounted else self.child
        process.kill()
        process.wait(20)
        if self.mounted:
            self.mount.remove()
            self.test.mounts.remove(self.mount)
        self.end()

    def end(self):
        """Its writers have ended, or end now; what they were told is noted."""
        join(self.test, self.writers)
        for writer in self.writers:
            writer.promised_to(self.test.promises)
        if not self.mounted:
            with contextlib.suppress(BrokenPipeError):  # lines that it did not take any more
                self.child.stdin.close()
            self.child.stdout.close()

    def stop(self):
        for writer in self.writers:
            self.test.assertTrue(writer.is_alive(), "a writer got an error: it was not killed")
            writer.stopping = True
        self.end()
        if self.mounted:
            self.mount.unmount()
        else:
            self.test.assertEqual(self.child.wait(20), 0)

    def counts(self):
        return [len(writer.acknowledged) for writer in self.writers]


class OneOfManyTest(harness.MountTest):
    ROUNDS = max(ROUNDS // 4, 1)
    SECONDS = 60 + 5 * ROUNDS
    PAUSE = 5  # seconds: far more than is seen, on a machine that does other things, too

    def test_the_others_go_on(self):
        print("TLOGFS_KILL_SEED=%d" % SEED, flush=True)
        choose = random.Random(SEED)
        self.store = init_small(self, 1 << 20)
        self.promises = Promises()
        looking = self.mount(self.store, "ro", name="looking")
        reader = Reader(looking / "checkpoint")
        reader.start()
        processes = [Killable(self, i, b"process %d" % i) for i in range(4)]
        longest = 0
        for number in range(self.ROUNDS):
            time.sleep(choose.uniform(0.01, 0.1))
            victim = choose.randrange(len(processes))
            others = processes[:victim] + processes[victim + 1:]
            counts = [process.counts() for process in others]
            killed = time.monotonic()
            processes[victim].kill()
            harness.wait_for(lambda: self.all_went_on(others, counts), "the others go on",
                             self.PAUSE)
            longest = max(longest, time.monotonic() - killed)
            processes[victim] = Killable(self, victim, b"round %d process %d" % (number, victim))
        for process in processes:
            process.stop()
        reader.stop()
        for note in reader.notes:
            self.promises.see(note)
        self.promises.keep(looking)
        self.assert_sound(self.store)
        print("%d rounds, %d entries, %d acknowledged, %d checkpoints, longest pause %.3f s" %
              (self.ROUNDS, len(self.promises.log), self.promises.count,
               len(self.promises.heads), longest), flush=True)

    def all_went_on(self, others, counts):
        for process, before in zip(others, counts):
            for writer in process.writers:
                self.assertTrue(writer.is_alive(), "a writer got an error: %r" % writer.error)
            if any(now <= then for now, then in zip(process.counts(), before)):
                return False
        return True


if __name__ == "__main__":
    harness.main()
