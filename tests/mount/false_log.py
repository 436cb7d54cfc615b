"""A mounted `add.bundle` that takes as much of a write as a test says, fails as it says, and gives
the receipts it says: what a real log does only when much goes wrong at the right moment. It speaks
the kernel's own protocol (linux/fuse.h). Used by bettyfe_log_test.py."""

import ctypes
import errno
import os
import stat
import struct
import threading

import harness

LOOKUP, FORGET, GETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC, FLUSH, INIT, INTERRUPT = (
    1, 2, 3, 14, 15, 16, 17, 18, 20, 25, 26, 36)
BATCH_FORGET = 42
ROOT, ADD_BUNDLE = 1, 2  # nodes
DIRECT_IO = 1


def attributes(node):
    mode = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o600
    return struct.pack("<6Q10I", node, 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


class FalseLog:
    """Takes everything and confirms it, unless `plan` has something else for the next writes, or
    `receipt` makes other receipts."""

    def __init__(self, test, path):
        os.mkdir(path)
        self.path = path
        self.plan = []  # (bytes taken, errno of the write after it, or 0), one for each write
        self.receipt = lambda index: b"%d %064x\n" % (index, index)
        self.writes = []  # the length of each
        self.go = threading.Event()
        self.go.set()  # Writes wait while it is not.
        self.size, self.frames, self.receipts = 0, b"", b""
        self.error = None
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % self.device
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"false_log", path.encode(), b"fuse", 0, options) != 0:
            raise OSError(ctypes.get_errno(), "mount")
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        test.addCleanup(self._remove)

    def _remove(self):
        self.go.set()
        harness.forget_mountpoint(self.path)
        self.thread.join(10)
        os.close(self.device)

    def _serve(self):
        while True:
            try:
                request = os.read(self.device, 1 << 21)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                    continue
                return  # It is unmounted.
            _, operation, unique, node = struct.unpack_from("<IIQQ", request)
            if operation in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            try:
                code, answer = 0, self._answer(operation, node, request[40:])
            except OSError as error:
                code, answer = -error.errno, b""
            try:
                os.write(self.device, struct.pack("<IiQ", 16 + len(answer), code, unique) + answer)
            except OSError:
                pass  # Nobody waits for it any more.

    def _answer(self, operation, node, body):
        if operation == INIT:
            return struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 0, 0, 1 << 17, 1, 0, 0, *[0] * 8)
        if operation == LOOKUP and body == b"add.bundle\0":
            return struct.pack("<4Q2I", ADD_BUNDLE, 0, 0, 0, 0, 0) + attributes(ADD_BUNDLE)
        if operation == LOOKUP:
            raise OSError(errno.ENOENT, "")
        if operation == GETATTR:
            return struct.pack("<Q2I", 0, 0, 0) + attributes(node)
        if operation == OPEN:
            self.frames, self.receipts, self.error = b"", b"", None
            return struct.pack("<Q2I", 1, DIRECT_IO, 0)
        if operation == READ:
            length = struct.unpack_from("<I", body, 16)[0]
            answer, self.receipts = self.receipts[:length], self.receipts[length:]
            return answer
        if operation == WRITE:
            return struct.pack("<2I", self._write(body[40:]), 0)
        if operation == STATFS:
            return bytes(80)
        if operation in (RELEASE, FSYNC, FLUSH):
            return b""
        raise OSError(errno.ENOSYS, "")

    def _write(self, frames):
        self.writes.append(len(frames))
        self.go.wait(30)
        if self.error:
            raise OSError(self.error, "")
        taken = len(frames)
        if self.plan:
            taken, self.error = self.plan.pop(0)
        if taken == 0:
            raise OSError(self.error, "")
        self.frames += frames[:taken]
        while len(self.frames) >= (end := 2 + int.from_bytes(self.frames[:2], "big")):
            self.frames = self.frames[end:]
            self.receipts += self.receipt(self.size)
            self.size += 1
        return taken
