#!/usr/bin/env python3
"""Tessera's testdata/log, made again through the mount: 15 entries, one at a time, with its key.

What is published of it (roots, signatures, bundles) is repeated here; tests/vectors names the
source. All else is compared with this folder's own RFC 6962.
"""

import os

import harness
from reference_log import ReferenceLog, tile_path

SKEY = ("PRIVATE+KEY+example.com/log/testdata+33d7b496"
        "+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg")
VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
ENTRIES = (b"one two three four five six seven eit nain ten ileven twelf threeten fourten fivten"
           .split())
ROOTS = {0: b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
         1: b"0Nc2CrefWKseHj/mStd+LqC8B+NrX0btIiPt2SmN+ek=",
         2: b"T1X2GdkhUjV3iyufF9b0kVsWFxIU0VI4EpNml2Teci4=",
         15: b"rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs="}
SIGNATURES = {
    0: (b"M9e0lhxJACzE1KoUdqKuPa+9p6R7dSW8BlEvrg/noo8FkGg6PbJoRNOcdjqjOq89wVvTA60eubCc4oufo5Bv"
        b"IVEgtQc="),
    15: (b"M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/uEWP6zdkdIQzd/fmwlM/dlP"
         b"WF74ewI="),
}


class GoldenTest(harness.MountTest):
    ORIGIN = "example.com/log/testdata"

    def test_the_published_log_is_made_again_byte_for_byte(self):
        with open(os.open(self.path("skey"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(SKEY + "\n")
        store = self.path("store")
        done = harness.run([harness.PROGRAM, "init", store, "--origin", self.ORIGIN, "--key",
                            self.path("skey")])
        self.assertEqual(done.code, 0, done)
        self.assertIn(VKEY.encode(), done.out)
        mount = self.mount(store)
        self.assertEqual(mount.read("vkey"), VKEY.encode() + b"\n")
        log = ReferenceLog()
        for size in range(16):
            if size:
                log.append(ENTRIES[size - 1])
                mount.append(ENTRIES[size - 1])
            self.assert_same_log(mount, log)
            note = mount.read("checkpoint")
            lines = note.split(b"\n")
            self.assertEqual(lines[:2], [b"example.com/log/testdata", b"%d" % size])
            if size in ROOTS:
                self.assertEqual(lines[2], ROOTS[size])
            self.assertEqual(lines[3], b"")
            self.assertTrue(lines[4].startswith("— example.com/log/testdata M9e0l".encode()))
            if size in SIGNATURES:
                self.assertEqual(lines[4].split(b" ")[2], SIGNATURES[size])
            self.assertEqual(lines[5:], [b""])
        # Every partial tile and bundle that was ever true is still there: 30 resources.
        for width in range(1, 16):
            self.assertEqual(mount.read(tile_path(0, 0, width)), log.tile(0, 0, width))
            self.assertEqual(mount.read(tile_path("entries", 0, width)), log.bundle(0, width))
        self.assertEqual(mount.read("tile/entries/000.p/3").hex(),
                         "00036f6e65" "000374776f" "00057468726565")
        mount.unmount()
        self.assert_sound(store)


if __name__ == "__main__":
    harness.main()
