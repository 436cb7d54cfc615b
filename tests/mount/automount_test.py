#!/usr/bin/env python3
"""Mounting where others mount: by automount(8), fstab(5), in user namespaces and containers."""

import os
import signal
import time

import harness


class AutofsTest(harness.NamespaceTest):
    """Under a real automount(8), whose kernel side lets nobody through to the mountpoint until the
    mount is there, but its own process group."""

    def start_automount(self, timeout=60, options="-fstype=tlogfs"):
        if not os.path.exists("/usr/sbin/automount"):
            self.skipTest("automount is not installed")
        self.succeeds("mkdir -p auto; echo 'log %s :%s' >map; "
                      "echo '%s/auto %s/map --timeout=%d' >master"
                      % (options, self.store, self.folder, self.folder, timeout))
        # A process group of its own, as a service has it.
        self.automount = self.start(self.command("exec automount -f '%s/master'" % self.folder))
        harness.wait_for(lambda: " autofs " in self.mounts_here() or self.automount.poll(),
                         "autofs", 20)
        if self.automount.poll():
            if os.environ.get("TLOGFS_REQUIRE_MOUNT") == "1":
                self.fail("automount ended")
            self.skipTest("automount does not run here")
        self.addCleanup(self.stop_automount)

    def stop_automount(self):
        # Who hangs at the mountpoint would keep it from ending.
        self.automount.send_signal(signal.SIGTERM)
        end = time.monotonic() + 10
        while self.automount.poll() is None and time.monotonic() < end:
            time.sleep(0.05)

    def test_the_first_access_mounts(self):
        self.start_automount()
        self.assertIn("checkpoint\n", self.succeeds("timeout -s KILL 20 ls auto/log"))
        self.succeeds("echo one >>auto/log/add")
        (daemon,) = harness.daemons_below(self.folder)
        self.assertNotEqual(os.getpgid(daemon), os.getpgid(self.automount.pid))
        self.assertEqual(os.getsid(daemon), daemon)
        self.succeeds("umount auto/log")
        self.assertEqual(harness.daemons_below(self.folder), [])
        self.assertEqual(self.succeeds("timeout -s KILL 20 cat auto/log/log"), "one\n")

    def test_many_at_once_are_one_mount(self):
        self.start_automount()
        self.succeeds("""
            for writer in $(seq 20); do echo $writer >>auto/log/add & done
            wait
            [[ $(sort -n auto/log/log) == $(seq 20) ]]""")
        self.assertEqual(len(harness.daemons_below(self.folder)), 1)

    def test_an_idle_mount_expires_and_comes_back(self):
        self.start_automount(timeout=1)
        for count in (1, 2):
            self.succeeds("echo x >>auto/log/add")
            harness.wait_for(lambda: " fuse.tlogfs " not in self.mounts_here(), "expired", 20)
            harness.wait_for(lambda: not harness.daemons_below(self.folder), "its daemon has ended")
            self.assertIn("sound: %d " % count, self.succeeds("$program check store"))

    def test_a_failed_mount_is_an_error_and_not_a_hang(self):
        self.start_automount(options="-fstype=tlogfs,sparkling")
        self.assertNotEqual(self.inside("timeout -s KILL 20 ls auto/log").code, 137)
        self.assertEqual(harness.daemons_below(self.folder), [])


class SystemdTest(harness.NamespaceTest):
    """As x-systemd.automount of fstab(5), by a systemd that is process 1 of a container."""

    SECONDS = 120
    UNIT = """[Unit]
DefaultDependencies=no
Requires=local-fs.target
After=local-fs.target
[Service]
Type=oneshot
ExecStart=/bin/bash -x %(folder)s/script
StandardOutput=file:%(folder)s/out
StandardError=file:%(folder)s/trace
ExecStopPost=/bin/systemctl --force --force poweroff
"""
    SCRIPT = """cd %(folder)s
unit=$(systemd-escape -p --suffix=mount %(folder)s/point)
timeout -s KILL 20 ls point
echo one >>point/add
for i in $(seq 200); do [[ $(systemctl is-active $unit) == inactive ]] && break; sleep 0.1; done
echo "expired: $(pgrep -c mount.tlogfs) daemons"
cat point/log
systemctl stop $unit
echo "stopped: $(pgrep -c mount.tlogfs) daemons"
"""

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text % {"folder": self.folder})

    def test_it_mounts_expires_and_stops(self):
        for needed in ("/usr/bin/systemd-nspawn", "/dev/autofs"):
            if not os.path.exists(needed):
                self.skipTest("no " + needed)
        self.write("unit", self.UNIT)
        self.write("script", self.SCRIPT)
        self.write("fstab", "%(folder)s/store %(folder)s/point tlogfs"
                   " x-systemd.automount,x-systemd.idle-timeout=1 0 0\n")
        done = self.inside(
            "exec systemd-nspawn -D / --volatile=yes --register=no --keep-unit --capability=all"
            " --machine=tlogfs-%d --bind=/dev/fuse --bind=/dev/autofs --bind=$PWD"
            " --bind-ro=$program --bind-ro=$PWD/fstab:/etc/fstab"
            " --bind-ro=$PWD/unit:/etc/systemd/system/test.service -b systemd.unit=test.service"
            % os.getpid(), 100)
        if not os.path.exists(self.path("out")):
            self.skipTest("systemd does not start here: %r" % done)
        with open(self.path("out"), encoding="utf-8") as out:
            self.assertEqual(out.read().split("\n"), [
                "add", "add.bundle", "checkpoint", "entries", "log", "tile", "vkey",
                "expired: 0 daemons", "one", "stopped: 0 daemons", ""], done)
        self.assert_sound(self.store)


class PlacesTest(harness.NamespaceTest):
    def test_a_second_mount_on_a_mountpoint_is_refused(self):
        """One umount would leave the other one there. For every kind of either."""
        for first in ("rw", "ro", "static"):
            self.succeeds("$program mount $PWD/store point -o " + first)
            for second in ("rw", "ro", "static"):
                done = self.inside("$program mount $PWD/store point -o " + second)
                self.assertEqual(done.code, 1, done)
                self.assert_one_line(done)
                self.assertIn(b"already", done.err)
            self.assertEqual(len(harness.daemons_below(self.folder)), 1)
            self.succeeds("umount point; ! mountpoint -q point")

    def test_of_many_mounts_at_one_moment_one_succeeds(self):
        for _ in range(5):
            children = [self.start(self.command("exec $program mount store point" + options),
                                   stderr=-1) for options in ("", " -o ro", "", " -o static") * 2]
            said = [child.communicate(timeout=30)[1] for child in children]
            self.assertEqual(sorted(child.returncode for child in children), [0] + [1] * 7, said)
            self.assertEqual(sorted(text.count(b"mounted there already\n") for text in said),
                             [0] + [1] * 7)
            self.succeeds("umount point; ! mountpoint -q point")

    def test_another_filesystems_mountpoint_may_be_mounted_over(self):
        self.succeeds("mount -t tmpfs none point; $program mount $PWD/store point; umount point;"
                      "mountpoint -q point; ! test -e point/checkpoint")

    def test_mount_a_mounts_once(self):
        self.succeeds("mkdir 'a web'; ln -s store link")
        with open(self.path("fstab"), "w", encoding="utf-8") as file:
            file.write("%s %s tlogfs nofail 0 0\n" % (self.store, self.point) +
                       "%s %s tlogfs static,nofail 0 0\n" % (self.path("link"),
                                                             self.path("a\\040web")))
        for _ in range(3):
            self.succeeds("mount -a -T fstab")
            self.assertEqual(len(harness.daemons_below(self.folder)), 2)
        self.succeeds("echo x >>point/add; cmp 'a web/checkpoint' point/checkpoint")
        self.succeeds("umount point 'a web'")
        self.assertEqual(harness.daemons_below(self.folder), [])

    def test_a_plain_file_that_the_mount_hides_is_worth_a_warning(self):
        for name in ("add", "add.bundle"):
            self.succeeds("echo lost >point/%s" % name)
            done = self.inside("mount -t tlogfs '%s' '%s'" % (self.store, self.point))
            self.assertEqual(done.code, 0, done)
            self.assertRegex(done.err.decode(),
                             r"\Atlogfs: mount: \S+/point/%s: a plain file, [^\n]+\n\Z" % name)
            self.succeeds("umount point; rm point/%s" % name)
        self.succeeds("mkdir point/add; $program mount $PWD/store point; umount point")

    def test_a_mount_that_fails_says_nothing_of_what_it_would_hide(self):
        self.succeeds("echo lost >point/add; mkdir none")
        self.assert_one_line(self.inside("mount -t tlogfs '%s' '%s'"
                                         % (self.path("none"), self.point)))

    def test_in_a_user_namespace(self):
        self.succeeds("""
            unshare -Ur -m bash -ec '
                "$program" mount $PWD/store point
                echo x >>point/add
                ! "$program" mount $PWD/store point 2>/dev/null
                umount point
                "$program" mount $PWD/store point -o static
                grep -qx 1 point/checkpoint
                kill -9 $(pgrep -f "^$program mount $PWD/store point")
                "$program" mount $PWD/store point
                umount point'""")
        self.assertEqual(harness.daemons_below(self.folder), [])
        self.assert_sound(self.store)

    def test_from_inside_a_container_onto_a_shared_folder(self):
        """The mount and its unmounting cross over, whichever side does which."""
        self.succeeds("mkdir shared; mount --bind shared shared; mount --make-shared shared;"
                      "mkdir shared/log")
        self.succeeds("unshare -m --propagation unchanged -p -f --mount-proc "
                      "$program mount $PWD/store shared/log -f >&- 2>&- &")
        harness.wait_for(lambda: self.inside("test -e shared/log/checkpoint").code == 0, "mounted")
        self.succeeds("echo x >>shared/log/add; umount shared/log")
        self.assertEqual(harness.daemons_below(self.folder), [])
        self.assert_sound(self.store)


if __name__ == "__main__":
    harness.main()
