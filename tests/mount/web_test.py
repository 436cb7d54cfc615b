#!/usr/bin/env python3
"""A log on the web: nginx and Caddy, as examples/ configures them, over a read-only mount.

The log grows meanwhile, through two other mounts of the store. Readers check each checkpoint that
they see, and all that it needs. For more of them:

    TLOGFS_WEB_CHECKPOINTS=10000 tests/mount/web_test.py path/to/tlogfs StaticTest.test_readers
"""

import gzip
import http.client
import os
import random
import threading
import time
import unittest
from email.utils import formatdate
from functools import partial

import harness
import web_servers
from reference_log import Checkpoint, ReferenceLog, signature_is_good, tile_path, tiles_of

CHECKPOINTS = int(os.environ.get("TLOGFS_WEB_CHECKPOINTS", "60"))  # for each reader
SERVERS = {"nginx": web_servers.Nginx, "caddy": web_servers.Caddy}

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
FOR_EVER = "public, max-age=31536000, immutable"
SOON = "Fri, 01 Jan 2100 00:00:00 GMT"

NOT_THERE = """/ /log /entries /entries/0 /add /index.html /favicon.ico /tile /tile/ /tile/0
    /tile/0/ /tile/entries /tile/entries/ /tile/0/002.p /tile/0/002.p/ /tile/0/003 /tile/0/002
    /tile/0/002.p/89 /tile/0/002.p/0 /tile/0/002.p/256 /tile/0/002.p/01 /tile/00/000 /tile/7/000
    /tile/8/000 /tile/64/000 /tile/0/1 /tile/0/0000 /tile/0/x000/001 /tile/data/000
    /checkpoint/ /vkey/ /tile/0/000/ /tile/0/002.p/88/ /tile/0/000.p/1/ //checkpoint /./checkpoint
    /tile/../checkpoint /tile/0/../0/000 /tile//0/000 /tile/0/./000 /tile/0/%2e%2e/0/000
    /tile%2f0%2f000 /%63heckpoint /tile/0/00%30 /tile/0/000%2f /CHECKPOINT /checkpoint;x
    /tile/0/..%2f..%2flog /tile\\0\\000""".split()
NO_PATHS = """/../checkpoint /..//checkpoint /%2e%2e/checkpoint /checkpoint%00
    /../../../../etc/passwd""".split()


class Published:
    """What holds over any mount. OPTIONS and KEEPS_OPEN say over which."""

    SECONDS = 60 + CHECKPOINTS / 10
    OPTIONS = ""
    KEEPS_OPEN = False

    def setUp(self):
        super().setUp()
        self.need(*SERVERS)
        os.chmod(self.folder, 0o755)
        self.writer = self.mount()
        self.store = self.writer.store
        self.log = ReferenceLog(b"entry %d" % number + b"." * (number % 50)
                                for number in range(600))
        self.writer.append(*self.log.entries)

    def serve(self):
        """The mount, and clients: (name, client), (name, client)."""
        mount = self.mount(self.store, self.OPTIONS + ",allow_other")
        clients = []
        for name, server in SERVERS.items():
            options = {"keeps_open": self.KEEPS_OPEN} if name == "nginx" else {}
            make = partial(server, self.folder, mount.path, **options)
            port, _ = web_servers.serve(self.start_server, make)
            client = web_servers.Client(port)
            self.addCleanup(client.connection.close)
            clients.append((name, client))
        return mount, clients

    def start_server(self, command):
        with open(self.path("servers.log"), "ab") as file:
            return self.start(command, stdout=file, stderr=file)

    def expect(self, answer, status, body=None, **wanted):
        """The headers that are wanted, and only once; those wanted as None must be absent."""
        found, headers, content = answer
        self.assertEqual(found, status, headers)
        for name, value in {"Access-Control-Allow-Origin": "*", **wanted}.items():
            values = headers.get_all(name.replace("_", "-"), [])
            self.assertEqual(values, [] if value is None else [value], name)
        if body is not None:
            self.assertEqual(content, body)

    def test_checkpoint_is_always_fetched_anew(self):
        mount, clients = self.serve()
        note = mount.read("checkpoint")
        modified = formatdate(os.stat(mount / "checkpoint").st_mtime, usegmt=True)
        wanted = {"Content_Type": TEXT, "Cache_Control": "no-cache", "ETag": None, "Vary": None,
                  "Last_Modified": None, "Accept_Ranges": None, "Content_Encoding": None,
                  "Content_Length": str(len(note))}
        for name, client in clients:
            with self.subTest(name):
                for asked in ({}, {"If_None_Match": '"x"'}, {"If_Modified_Since": SOON},
                              {"If_Modified_Since": modified},
                              {"If_None_Match": "*", "If_Modified_Since": SOON},
                              {"Range": "bytes=0-3"}, {"Range": "bytes=9999-"},
                              {"Accept_Encoding": "gzip"}, {"Cache_Control": "max-age=0"}):
                    self.expect(client.get("/checkpoint", **asked), 200, note, **wanted)
                self.expect(client.get("/checkpoint?x=/../y"), 200, note, **wanted)
                self.expect(client.get("/checkpoint", "HEAD"), 200, b"", **wanted)

    def test_tiles_are_cached_for_ever(self):
        _, clients = self.serve()
        tiles = {"tile/0/001.p/7": self.log.tile(0, 1, 7), **self.log.resources()}
        for name, client in clients:
            for path, content in tiles.items():
                with self.subTest(name=name, path=path):
                    self.check_tile(client, path, content)

    def check_tile(self, client, path, content):
        vary = "Accept-Encoding" if "entries" in path else None
        wanted = {"Content_Type": BYTES, "Cache_Control": FOR_EVER, "Vary": vary,
                  "Content_Encoding": None, "Content_Length": str(len(content))}
        get = partial(client.get, "/" + path)
        whole = get()
        self.expect(whole, 200, content, Accept_Ranges="bytes", **wanted)
        self.expect(get("HEAD"), 200, b"", **wanted)
        self.expect(get(Accept_Encoding="identity"), 200, content, **wanted)
        if vary:
            self.check_compressed(get, content)
        else:
            self.expect(get(Accept_Encoding="gzip"), 200, content, **wanted)
        for value, first, end in (("0-31", 0, 32), ("32-", 32, len(content)),
                                  ("-32", len(content) - 32, len(content)), ("5-5", 5, 6)):
            if 0 <= first < end <= len(content):
                self.expect(get(Range="bytes=" + value), 206, content[first:end], Vary=vary,
                            Content_Type=BYTES, Content_Encoding=None,
                            Content_Range=f"bytes {first}-{end - 1}/{len(content)}")
        self.expect(get(Range=f"bytes={len(content)}-"), 416, Cache_Control=None,
                    Content_Range=f"bytes */{len(content)}")
        for mine, theirs in (("ETag", "If_None_Match"), ("Last-Modified", "If_Modified_Since")):
            if mine in whole[1]:  # Caddy's compressed form has no ETag of its own
                self.expect(get(**{theirs: whole[1][mine]}), 304, b"", Cache_Control=FOR_EVER,
                            Vary=vary)

    def check_compressed(self, get, content):
        answer = get(Accept_Encoding="br, gzip")
        short = len(content) < 600
        if not short or "Content-Encoding" in answer[1]:
            self.expect(answer, 200, Content_Encoding="gzip", Content_Type=BYTES,
                        Cache_Control=FOR_EVER, Vary="Accept-Encoding")
            self.assertEqual(gzip.decompress(answer[2]), content)
            self.assertLess(len(answer[2]), len(content))
            self.assertFalse(answer[1].get("ETag", "W/").startswith('"'), "one ETag, two forms")
        proxied = get(Accept_Encoding="gzip", Via="1.1 proxy")
        self.assertEqual(proxied[1]["Content-Encoding"], answer[1]["Content-Encoding"])
        part = get(Accept_Encoding="gzip", Range=f"bytes=1-{len(content)}")
        if part[0] == 206:
            self.expect(part, 206, content[1:], Content_Encoding=None)
        else:
            self.expect(part, 200, Content_Range=None)
            self.assertEqual(gzip.decompress(part[2]), content)

    def test_everything_else_is_404(self):
        _, clients = self.serve()
        errors = {"Cache_Control": None, "ETag": None, "Content_Encoding": None, "Location": None,
                  "Last_Modified": None}
        for name, client in clients:
            for path in NOT_THERE:
                with self.subTest(name=name, path=path):
                    answer = client.get(path, Accept_Encoding="gzip")
                    self.expect(answer, 404, **errors)
                    self.assertRegex(answer[1]["Content-Type"], "^text/")
            for path in NO_PATHS:
                with self.subTest(name=name, path=path):
                    status, headers, _ = client.get(path)
                    self.assertEqual((status, headers["Cache-Control"]), (404, None))
            for path in ("/tile/0/003", "/tile/entries/003", "/"):
                self.expect(client.get(path, "HEAD"), 404, b"", **errors)
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                status, headers, _ = client.get("/tile/0/000", method, Content_Length="0")
                self.assertEqual((status, headers["Cache-Control"]), (405, None), (name, method))
                self.assertEqual(headers["Access-Control-Allow-Origin"], "*", (name, method))
                self.assertEqual(headers["Allow"], None if name == "nginx" else "GET, HEAD")
            self.expect(client.get("/vkey"), 200, self.vkey.encode() + b"\n", Content_Type=TEXT)

    def test_what_becomes_true_is_there_at_once(self):
        _, clients = self.serve()
        for size in range(601, 641):
            paths = ["/tile/0/002.p/%d" % (size - 512), "/tile/entries/002.p/%d" % (size - 512)]
            for name, client in clients:
                for path in paths:
                    self.assertEqual(client.get(path)[0], 404, (name, path))
            self.log.append(b"entry %d" % size)
            self.writer.append(self.log.entries[-1])
            for name, client in clients:
                _, _, note = client.get("/checkpoint")
                self.assertEqual(Checkpoint(note).root, self.log.root(), name)
                self.assertEqual(client.get(paths[0])[2], self.log.tile(0, 2, size - 512), name)
                self.assertEqual(client.get(paths[1])[2], self.log.bundle(2, size - 512), name)

    def test_rotten_bytes_are_an_error(self):
        """A response that is cut short, or 500: never one that looks whole."""
        self.writer.unmount()
        self.flip("hashes/0", 8192 + 50)
        self.flip("entries/0", len(self.log.bundle(0)) + 5)
        mount, clients = self.serve()
        for name, client in clients:
            for path in ("/tile/0/001", "/tile/entries/001"):
                for asked in ({}, {"Accept_Encoding": "gzip"}, {"Range": "bytes=32-95"}):
                    try:
                        status, headers, _ = client.get(path, **asked)
                    except (http.client.HTTPException, OSError):
                        continue
                    self.assertEqual((status, headers["Cache-Control"]), (500, None), (name, path))
                    self.assertEqual(headers["Access-Control-Allow-Origin"], "*", (name, path))
            self.assertEqual(client.get("/tile/0/000")[2], self.log.tile(0, 0))
        self.flip("hashes/0", 8192 + 50)
        self.flip("entries/0", len(self.log.bundle(0)) + 5)
        for name, client in clients:
            for path, content in self.log.resources().items():
                self.assertEqual(client.get("/" + path)[2], content, (name, path))
        self.assert_same_log(mount, self.log)

    def flip(self, name, offset):
        with open(os.path.join(self.store, name), "r+b", buffering=0) as file:
            byte = os.pread(file.fileno(), 1, offset)
            os.pwrite(file.fileno(), bytes([byte[0] ^ 4]), offset)

    def test_readers(self):
        """No 404 and no mismatch, while the writers append through two mounts."""
        _, clients = self.serve()
        readers = [Reader(name, client) for name, client in clients]
        writers = [Writer(mount, number) for number, mount in
                   enumerate((self.writer, self.writer, self.mount(self.store)))]
        for thread in (*writers, *readers):
            thread.start()
        for reader in readers:
            reader.join()
        for writer in writers:
            writer.stop = True
            writer.join()
        for thread in (*writers, *readers):
            if thread.error:
                raise thread.error
        for reader in readers:
            self.assertTrue(signature_is_good(reader.checkpoint, self.vkey), reader.name)
            print(f"{reader.name}: {CHECKPOINTS} checkpoints to size {reader.checkpoint.size}, "
                  f"{reader.requests} requests", flush=True)


class Catching(threading.Thread):
    """Keeps what went wrong for the test to raise."""

    def __init__(self):
        super().__init__(daemon=True)
        self.error = None

    def run(self):
        try:
            self.work()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


class Writer(Catching):
    def __init__(self, mount, number):
        super().__init__()
        self.mount, self.number, self.stop = mount, number, False

    def work(self):
        chance = random.Random(self.number)
        while not self.stop:
            self.mount.append(*(b"writer %d %d" % (self.number, chance.getrandbits(64))
                                for _ in range(chance.choice((1, 1, 2, 30)))))
            time.sleep(chance.random() * 0.01)


class Reader(Catching):
    """A client that keeps its own log, and compares each tile with what its entries say."""

    def __init__(self, name, client):
        super().__init__()
        self.name, self.client = name, client
        self.log = ReferenceLog()
        self.checkpoint = None
        self.seen = set()  # full tiles
        self.requests = 0

    def get(self, path):
        status, _, body = self.client.get("/" + path)
        self.requests += 1
        if status != 200:
            raise AssertionError(f"{self.name}: {path}: {status}")
        return body

    def work(self):
        count = 0
        while count < CHECKPOINTS:
            checkpoint = Checkpoint(self.get("checkpoint"))
            if checkpoint.size < len(self.log):
                raise AssertionError(f"{self.name}: {checkpoint.size} after {len(self.log)}")
            if self.checkpoint and checkpoint.size == len(self.log):
                continue
            self.read_entries(checkpoint.size)
            if self.log.root() != checkpoint.root:
                raise AssertionError(f"{self.name}: another root at {checkpoint.size}")
            self.read_tiles(checkpoint.size)
            self.checkpoint = checkpoint
            count += 1

    def read_entries(self, size):
        while len(self.log) < size:
            number, have = divmod(len(self.log), 256)
            width = min(256, size - 256 * number)
            bundle = self.get(tile_path("entries", number, width))
            entries = []
            while bundle:
                end = 2 + int.from_bytes(bundle[:2], "big")
                entries.append(bundle[2:end])
                bundle = bundle[end:]
            if len(entries) != width:
                raise AssertionError(f"{self.name}: bundle {number} has {len(entries)}")
            self.log.extend(entries[have:])

    def read_tiles(self, size):
        for tile in tiles_of(size):
            if tile in self.seen:
                continue
            if self.get(tile_path(*tile)) != self.log.tile(*tile):
                raise AssertionError(f"{self.name}: {tile_path(*tile)} is another at {size}")
            if tile[2] == 256:
                self.seen.add(tile)


class StaticTest(Published, harness.MountTest):
    OPTIONS = "static"

    def test_beside_the_default_site(self):
        mount = self.mount(self.store, "static,allow_other")
        make = partial(web_servers.Nginx, self.folder, mount.path, other_site=True)
        port, _ = web_servers.serve(self.start_server, make)
        client = web_servers.Client(port)
        self.addCleanup(client.connection.close)
        self.assertEqual(client.get("/checkpoint", Host="example.com")[2], b"other")
        self.expect(client.get("/checkpoint", Host="log.example.com"), 200,
                    mount.read("checkpoint"))


class ReadOnlyTest(Published, harness.MountTest):
    OPTIONS = "ro"
    KEEPS_OPEN = True

    def test_more_files_than_a_process_may_open(self):
        """... by itself, on Debian: nginx keeps them all."""
        _, clients = self.serve()
        paths = ["/" + tile_path(level, number, width) for level in ("0", "entries")
                 for number in (0, 1) for width in range(1, 257)]
        self.assertGreaterEqual(len(paths), 1024)
        for name, client in clients:
            failed = [path for path in paths if client.get(path)[0] != 200]
            self.assertEqual(failed, [], name)


if __name__ == "__main__":
    unittest.TestCase.maxDiff = 600
    harness.main()
