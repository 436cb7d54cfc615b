#!/usr/bin/env python3
"""mount(8), fstab(5) and the options of -o."""

import os
import shutil
import stat
import time

import harness

HELPER = "/sbin/mount.tlogfs"


class HelperTest(harness.PointTest):
    """As mount(8) and fstab(5) start it, through mount.tlogfs."""

    OPTIONS = "rw,nofail,_netdev,user,noatime,nodev,nosuid,noexec"

    def setUp(self):
        super().setUp()
        if not os.path.lexists(HELPER):
            os.symlink(os.path.abspath(shutil.which(harness.PROGRAM)), HELPER)
            self.addCleanup(os.unlink, HELPER)
        elif not os.path.samefile(HELPER, harness.PROGRAM):
            self.skipTest(HELPER + " is another program")

    def assert_mounts(self, *command):
        done = harness.run(["mount", *command])
        self.assertEqual((done.code, done.err), (0, b""), done)
        self.assert_answers()

    def test_mount_t_tlogfs(self):
        self.assert_mounts("-t", "tlogfs", self.store, self.point, "-o", self.OPTIONS)
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            line = next(line for line in table if self.point in line.split(" "))
        for word in ("noatime", "nodev", "nosuid", "noexec", " fuse.tlogfs ", self.store):
            self.assertIn(word, line)
        self.assertEqual(harness.run("echo x >> '%s/add'" % self.point).code, 0)
        self.assert_unmounts()
        self.assert_mounts("-n", "-v", "-t", "tlogfs", self.store, self.point, "-o", "ro")
        self.assertNotIn("add", os.listdir(self.point))
        self.assert_unmounts()

    def test_mount_o_static(self):
        """mount(8) passes `rw` with it, which does not undo it."""
        self.assert_mounts("-t", "tlogfs", self.store, self.point, "-o", "static,nofail")
        self.assertEqual(sorted(os.listdir(self.point)), ["checkpoint", "tile", "vkey"])
        self.assertNotEqual(os.statvfs(self.point).f_flag & os.ST_RDONLY, 0)
        self.assert_unmounts()

    def test_a_line_of_fstab(self):
        table = self.path("fstab")
        with open(table, "w", encoding="utf-8") as file:
            file.write("%s %s tlogfs noauto,%s,x-systemd.automount,mode=0622 0 0\n"
                       % (self.store, self.point, self.OPTIONS))
        self.assert_mounts("-T", table, self.point)
        self.assertEqual(stat.S_IMODE(os.stat(self.point + "/add").st_mode), 0o622)
        self.assert_unmounts()

    def test_the_helpers_own_arguments(self):
        done = harness.run([HELPER, self.store, self.point, "-f", "-s", "-n", "-v", "-o", "ro"])
        self.assertEqual((done.code, harness.connection_of(self.point)), (0, None), done)
        done = harness.run([HELPER, self.store, self.point, "-s", "-n", "-o", self.OPTIONS])
        self.assertEqual(done.code, 0, done)
        self.assert_answers()
        refused = harness.run([HELPER, self.store, self.point, "-o", "rw,remount,ro"])
        self.assert_one_line(refused)
        self.assert_answers()
        self.assert_unmounts()


class OptionsTest(harness.PointTest):
    def modes(self, options):
        mount = self.mount(self.store, options)
        mount.append(b"x")
        found = {name: stat.S_IMODE(os.stat(mount / name).st_mode)
                 for name in ("", "add", "add.bundle", "checkpoint", "tile", "log")}
        self.status = os.stat(mount / "checkpoint")
        mount.unmount()
        return found

    def test_modes_and_owners(self):
        default = self.modes("")
        self.assertEqual(default, {"": 0o555, "add": 0o600, "add.bundle": 0o600,
                                   "checkpoint": 0o444, "tile": 0o555, "log": 0o444})
        self.assertEqual((self.status.st_uid, self.status.st_gid), (os.getuid(), os.getgid()))
        given = self.modes("mode=0622,uid=1234,gid=2345")
        self.assertEqual(given, {**default, "add": 0o622, "add.bundle": 0o622})
        self.assertEqual((self.status.st_uid, self.status.st_gid), (1234, 2345))
        self.assertEqual(self.modes("umask=027,mode=0666"),
                         {"": 0o550, "add": 0o640, "add.bundle": 0o640, "checkpoint": 0o440,
                          "tile": 0o550, "log": 0o440})

    def test_permissions_are_the_access_control(self):
        """Somebody else may read or append as the modes say, and only that."""
        os.chmod(self.folder, 0o755)
        mount = self.mount(self.store, "allow_other,mode=0602,umask=004")

        def other(script):
            return harness.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                "sh", "-c", "cd '%s' && %s" % (mount.path, script)]).code
        self.assertEqual(other("echo x >> add"), 0)
        self.assertNotEqual(other("cat checkpoint"), 0)
        self.assertNotEqual(other("read line < add"), 0)
        mount.unmount()
        mount = self.mount(self.store, "allow_other")
        self.assertEqual(other("cat checkpoint"), 0)
        self.assertNotEqual(other("echo x >> add"), 0)
        self.assertEqual(mount.entries(), [b"x"])

    def test_async_writes_are_durable_at_close_and_fsync(self):
        mount = self.mount(self.store, "async")
        with open(mount / "add", "ab", buffering=0) as file:
            for number in range(1000):
                file.write(b"%d\n" % number)
            os.fsync(file.fileno())
            self.assertEqual(mount.checkpoint().size, 1000)
            file.write(b"1000\n")
        self.assertEqual(mount.entries(), [b"%d" % number for number in range(1001)])

    def test_checkpoint_interval_makes_fsync_wait_and_nothing_else(self):
        """Many commits, few checkpoints; what fsync(2) returned for is published all the same."""
        mount = self.mount(self.store, "checkpoint_interval=400")
        mount.append(b"first")
        with open(mount / "add", "ab", buffering=0) as file:
            seen = set()
            start = time.monotonic()
            for number in range(100):
                file.write(b"%d\n" % number)
                seen.add(mount.checkpoint().size)
            self.assertLess(time.monotonic() - start, 0.4 * len(seen))
            self.assertLess(len(seen), 10)
            os.fsync(file.fileno())
            self.assertEqual(mount.checkpoint().size, 101)

    def test_a_close_does_not_wait_for_the_timer(self):
        """Shells append at the speed of the flush, and children start, whatever the interval."""
        mount = self.mount(self.store, "checkpoint_interval=30000")
        add = mount / "add"
        mount.append(b"published at once")
        start = time.monotonic()
        done = harness.run("for i in {1..50}; do echo $i >> '%s'; printf half >> '%s'; done;"
                           "exec 3>> '%s'; echo whole >&3; printf more >&3; date; exec 3>&-"
                           % (add, add, add))
        self.assertEqual(done.code, 0, done)
        self.assertLess(time.monotonic() - start, 10)
        self.assertLess(mount.checkpoint().size, 103)
        mount.unmount()
        entries = self.mount(self.store).entries()
        self.assertEqual(entries[1:], [word for number in range(1, 51)
                                       for word in (b"%d" % number, b"half")] + [b"whole", b"more"])

    def test_a_close_waits_until_its_entries_are_durable(self):
        """With `async`, too, and for the last line's end: they survive a kill of the daemon."""
        mount = self.mount(self.store, "async,checkpoint_interval=30000")
        lines = [b"%d" % number for number in range(5000)]
        with open(mount / "add", "ab", buffering=0) as file:
            for line in lines:
                file.write(line + b"\n")
            file.write(b"half")
        mount.daemon.kill()
        mount.daemon.wait()
        self.assertEqual(self.mount(self.store).entries(), lines + [b"half"])


if __name__ == "__main__":
    harness.main()
