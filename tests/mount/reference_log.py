"""A second, independent log: RFC 6962 hashing, tlog-tiles paths and signed notes, in plain Python.

The mount's bytes are compared with what this computes from the entries alone. Nothing here is
shared with the product, and it favours plainness over speed.
"""

import base64
import hashlib
import os
import subprocess
import tempfile


def leaf_hash(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def merkle_tree_hash(leaves):
    """MTH of RFC 6962 section 2.1, word for word: the oracle of ReferenceLog itself."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return node_hash(merkle_tree_hash(leaves[:split]), merkle_tree_hash(leaves[split:]))


class ReferenceLog:
    """Entries, and the roots of all complete subtrees: nodes[k][i] covers [i*2^k, (i+1)*2^k)."""

    def __init__(self, entries=()):
        self.entries = []
        self.nodes = [[]]
        self.extend(entries)

    def __len__(self):
        return len(self.entries)

    def append(self, entry):
        self.entries.append(entry)
        node = leaf_hash(entry)
        level = 0
        self.nodes[0].append(node)
        while len(self.nodes[level]) % 2 == 0:
            node = node_hash(self.nodes[level][-2], node)
            level += 1
            if level == len(self.nodes):
                self.nodes.append([])
            self.nodes[level].append(node)

    def extend(self, entries):
        for entry in entries:
            self.append(entry)

    def root(self, size=None):
        """The root of the first `size` entries, from the complete subtrees that they consist of."""
        size = len(self) if size is None else size
        if size == 0:
            return hashlib.sha256(b"").digest()
        root = None
        for level in range(size.bit_length()):
            if size >> level & 1:
                node = self.nodes[level][(size >> level) - 1]
                root = node if root is None else node_hash(node, root)
        return root

    def tile(self, level, number, width=256):
        return b"".join(self.nodes[8 * level][256 * number:256 * number + width])

    def bundle(self, number, width=256):
        entries = self.entries[256 * number:256 * number + width]
        return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)

    def resources(self, size=None):
        """{path: bytes} of all that a client of this size may ask for, the checkpoint excepted."""
        size = len(self) if size is None else size
        found = {}
        for level, number, width in tiles_of(size):
            found[tile_path(level, number, width)] = self.tile(level, number, width)
            if level == 0:
                found[tile_path("entries", number, width)] = self.bundle(number, width)
        return found

    def text(self):
        """What `log` says."""
        return b"".join(entry + b"\n" for entry in self.entries)


def tiles_of(size):
    """(level, number, width) of all tiles of a log of this size; partial ones have width < 256."""
    level = 0
    while size >> (8 * level):
        hashes = size >> (8 * level)
        for number in range(hashes // 256):
            yield level, number, 256
        if hashes % 256:
            yield level, hashes // 256, hashes % 256
        level += 1


def numbered(number):
    """1234067 -> x001/x234/067."""
    groups = ["%03d" % (number % 1000)]
    while number >= 1000:
        number //= 1000
        groups.insert(0, "x%03d" % (number % 1000))
    return "/".join(groups)


def tile_path(level, number, width=256):
    path = "tile/%s/%s" % (level, numbered(number))
    return path if width == 256 else "%s.p/%d" % (path, width)


class Checkpoint:
    """A signed note that is a checkpoint, taken apart strictly."""

    def __init__(self, note):
        text, separator, signatures = note.rpartition(b"\n\n")
        if not separator or not signatures.endswith(b"\n"):
            raise ValueError("not a note: %r" % note)
        self.note = note
        self.text = text + b"\n"
        self.signatures = signatures.decode().splitlines()
        lines = self.text.decode().splitlines()
        if len(lines) != 3 or str(int(lines[1])) != lines[1]:
            raise ValueError("not a checkpoint: %r" % note)
        self.origin = lines[0]
        self.size = int(lines[1])
        self.root = base64.b64decode(lines[2], validate=True)
        if len(self.root) != 32 or base64.b64encode(self.root).decode() != lines[2]:
            raise ValueError("not a root: %r" % lines[2])


ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")  # DER, before the 32 bytes of the key


def signature_is_good(checkpoint, vkey):
    """Whether the log's own Ed25519 signature is there and verifies, by the openssl program."""
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    known = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    if key[0] != 1 or known.hex() != key_id:
        return False
    for line in checkpoint.signatures:
        dash, signer, blob = line.split(" ")
        blob = base64.b64decode(blob, validate=True)
        if dash != "\u2014" or signer != name or blob[:4] != known:
            continue
        with tempfile.TemporaryDirectory(prefix="tlogfs-") as folder:
            paths = {}
            for part, content in (("key", ED25519_PREFIX + key[1:]), ("text", checkpoint.text),
                                  ("signature", blob[4:])):
                paths[part] = os.path.join(folder, part)
                with open(paths[part], "wb") as file:
                    file.write(content)
            done = subprocess.run(
                ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey",
                 paths["key"], "-sigfile", paths["signature"], "-in", paths["text"]],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=10, check=False)
            return done.returncode == 0
    return False
