"""A bettyfe over a mount, and clients that speak HTTP to it by hand: so slowly, so many at once or
so badly as a test wants. Used by bettyfe_test.py and bettyfe_log_test.py."""

import http.client
import os
import resource
import signal
import socket
import subprocess

import harness

LONGEST = 65535


def post_bytes(entry, path="/add"):
    """A POST as it is on the wire."""
    return b"POST %s HTTP/1.1\r\nHost: log\r\nContent-Length: %d\r\n\r\n%s" % (
        path.encode(), len(entry), entry)


class Answer:
    """Of one request."""

    def __init__(self, status, headers, body):
        self.status, self.body = status, body
        self.headers = {name.lower(): value for name, value in headers}

    @property
    def index(self):
        """What a 200 of /add says."""
        if self.status != 200 or not self.body.isdigit():
            raise AssertionError("no index: %r" % self)
        return int(self.body)

    def __repr__(self):
        return "%d %r %r" % (self.status, self.headers, self.body[:100])


class Raw:
    """A connection by hand."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.begun = b""  # received, and not yet used

    def send(self, content):
        self.socket.sendall(content)

    def answer(self):
        """The next answer; None if the connection was closed before it."""
        while b"\r\n\r\n" not in self.begun:
            part = self._receive()
            if not part:
                return None
            self.begun += part
        head, self.begun = self.begun.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        headers = [line.split(": ", 1) for line in lines]
        length = next((int(value) for name, value in headers if name == "Content-Length"), 0)
        while len(self.begun) < length:
            part = self._receive()
            if not part:
                return None
            self.begun += part
        body, self.begun = self.begun[:length], self.begun[length:]
        return Answer(int(first.split()[1]), headers, body)

    def wait_for_end(self):
        """Until the server has closed it, whatever comes before."""
        while self._receive():
            pass

    def _receive(self):
        try:
            return self.socket.recv(1 << 16)
        except ConnectionResetError:
            return b""

    def close(self):
        self.socket.close()


class Front:
    """A running bettyfe."""

    def __init__(self, test, mountpoint, *options):
        program = os.path.join(os.path.dirname(harness.PROGRAM), "bettyfe")
        self.test = test
        self.process = test.start([program, "--mount", mountpoint, "--listen", "127.0.0.1:0",
                                   *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        test.assertRegex(line, r"\Abettyfe: serves \S+: http://127\.0\.0\.1:\d+\n\Z")
        self.port = int(line.rpartition(":")[2])

    def connection(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self.test.addCleanup(connection.close)
        return connection

    def raw(self):
        raw = Raw(self.port)
        self.test.addCleanup(raw.close)
        return raw

    def raws(self, count):
        """As many connections as that, or as the limit for open files allows on both sides."""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return [self.raw() for _ in range(min(count, most // 2 - 200))]

    def ask(self, method, path, body=None, headers=None, connection=None):
        """One request, on a connection of its own if none is given."""
        mine = connection or self.connection()
        mine.request(method, path, body, headers or {})
        answer = mine.getresponse()
        answer = Answer(answer.status, answer.getheaders(), answer.read())
        if connection is None:
            mine.close()
        return answer

    def add(self, entry, connection=None):
        return self.ask("POST", "/add", entry, connection=connection)

    def get(self, path):
        return self.ask("GET", path)

    def memory(self):
        """The most that it ever had, in bytes."""
        with open("/proc/%d/status" % self.process.pid, encoding="utf-8") as file:
            line = next(line for line in file if line.startswith("VmHWM:"))
        return int(line.split()[1]) << 10

    def stop(self, seconds=10):
        """As an administrator does; its exit status, and what it said."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        return code, self.process.stderr.read().decode()


class FrontTest(harness.MountTest):
    """Has a mounted log, and a bettyfe over it."""

    OPTIONS = ()
    MOUNT_OPTIONS = ""

    def setUp(self):
        super().setUp()
        self.log = self.mount(options=self.MOUNT_OPTIONS, name="log")
        self.front = Front(self, self.log.path, *self.OPTIONS)

    def assert_answer(self, answer, status, **headers):
        """Pages of any site may read each of them."""
        self.assertEqual(answer.status, status, answer)
        headers.setdefault("access_control_allow_origin", "*")
        for name, value in headers.items():
            self.assertEqual(answer.headers.get(name.replace("_", "-")), value, answer)

    def published(self, size):
        """All entries, once there are so many: what was acknowledged is published soon after."""
        harness.wait_for(lambda: size <= self.log.checkpoint().size, "%d entries" % size)
        return self.log.entries()

    def assert_added(self, added):
        """Each (index, entry) that was acknowledged is there, at its index."""
        entries = self.published(1 + max((index for index, _ in added), default=-1))
        for index, entry in added:
            self.assertEqual(entries[index], entry, index)
        self.assertEqual(len({index for index, _ in added}), len(added))
        return entries
