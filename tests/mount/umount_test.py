#!/usr/bin/env python3
"""umount(8), with the log's helper: the store is at rest when it returns."""

import os
import signal
import threading
import time

import harness


ROUNDS = int(os.environ.get("TLOGFS_UMOUNT_ROUNDS", "30"))


class UmountTest(harness.NamespaceTest):
    SECONDS = 60 + ROUNDS

    def mount_inside(self, options="", store="store", point="point"):
        self.succeeds("mount -t tlogfs '%s' '%s'%s" % (self.path(store), self.path(point),
                                                       options and " -o " + options))
        return harness.daemons_below(self.folder)

    def assert_ended(self):
        self.assertEqual(harness.daemons_below(self.folder), [])

    def assert_busy(self, command):
        """Refused as umount(8)'s users know it."""
        done = self.inside(command)
        self.assertEqual(done.code, 32, done)
        self.assertRegex(done.err.decode(), r"\Atlogfs: umount [^\n]+: target is busy\n\Z")

    def test_the_daemon_has_ended_when_umount_returns(self):
        for options in ("", "ro", "static", "async,checkpoint_interval=10000"):
            self.mount_inside(options)
            if options in ("", "async,checkpoint_interval=10000"):
                self.succeeds("seq 5000 > all; exec 3>>point/add; cat all >&3")
            self.succeeds("umount point")
            self.assert_ended()
            # Of an absolute path umount(8) asks less, if root asks.
            self.mount_inside(options)
            self.succeeds("umount '%s'" % self.point)
            self.assert_ended()
            self.assertFalse(self.is_noted())
        for name in ("umount -v", "umount -nf", "umount.tlogfs", "umount.fuse.tlogfs -v"):
            self.mount_inside()
            self.assertEqual(self.inside(name + " point").code, 0)
            self.assert_ended()
        self.succeeds("mount -t fuse.tlogfs '%s' '%s'; umount point" % (self.store, self.point))
        self.assert_ended()
        self.assert_sound(self.store)

    def is_noted(self):
        """In what umount(8) reads."""
        with open("/run/mount/utab", encoding="utf-8") as notes:
            return "TARGET=%s " % self.point in notes.read()

    def test_a_daemon_that_a_signal_ends_takes_its_note_away(self):
        self.mount_inside()
        self.assertTrue(self.is_noted())
        (daemon,) = harness.daemons_below(self.folder)
        os.kill(daemon, signal.SIGTERM)
        harness.wait_for(lambda: not harness.daemons_below(self.folder), "it has ended")
        self.assertFalse(self.is_noted())

    def test_in_another_mount_namespace(self):
        other = self.start(["unshare", "-m", "sh", "-c", "echo; exec sleep 100"], stdout=-1)
        other.stdout.readline()
        there = "-N /proc/%d/ns/mnt" % other.pid
        self.succeeds("mount -t tlogfs %s '%s' '%s'" % (there, self.store, self.point))
        self.assertEqual(self.mounts_here().count("fuse.tlogfs"), 0)
        self.assertEqual(len(harness.daemons_below(self.folder)), 1)
        self.succeeds("umount %s '%s'" % (there, self.point))
        self.assert_ended()

    def test_what_is_only_read_can_be_made_read_only_instead(self):
        self.mount_inside()
        self.succeeds("exec 3<point/checkpoint; umount -r point; cat point/checkpoint >/dev/null;"
                      "! { echo x >>point/add; } 2>/dev/null")
        self.succeeds("umount point")
        self.assert_ended()

    def test_the_disk_below_can_be_unmounted_next(self):
        """Where the store lies on it, after appends by many, in a row."""
        self.succeeds("truncate -s 128M image && mkfs.ext4 -q -m 0 image && mkdir disk log &&"
                      "mount -o loop image disk && $program init disk/store"
                      " --origin example.com/disk >/dev/null")
        try:
            for number in range(ROUNDS):
                self.succeeds("""
                    mount -t tlogfs "$PWD/disk/store" "$PWD/log"
                    for writer in 1 2 3 4; do
                        for line in $(seq %d); do echo $writer $line >>log/add; done &
                    done
                    wait
                    umount %s && umount disk && mount -o loop image disk"""
                              % (number % 7, ("log", "$PWD/log", "./log")[number % 3]))
            self.assertIn("sound", self.succeeds("$program check disk/store"))
        finally:
            self.inside("umount log; umount disk")

    def test_a_busy_mount_stays_and_a_lazy_umount_returns_at_once(self):
        for tell in ("", "mount -t fusectl none /sys/fs/fuse/connections;"):
            self.succeeds(tell + "true")
            (daemon,) = self.mount_inside()
            user = self.start(self.command("exec 3>>point/add; echo; read; echo late >&3"),
                              stdin=-1, stdout=-1)
            user.stdout.readline()
            self.assert_busy("umount point")
            self.assert_busy("umount -r point")
            self.assertEqual(harness.daemons_below(self.folder), [daemon])
            self.succeeds("umount -l point", seconds=8)
            self.assertEqual(harness.daemons_below(self.folder), [daemon])
            user.communicate(b"\n")
            harness.wait_for(lambda: not harness.daemons_below(self.folder), "it has ended")
        self.mount_inside("ro")
        self.assertEqual(self.succeeds("umount -l point; $program check store")[:15],
                         "sound: 2 entrie")
        self.assert_ended()

    def test_who_is_mounted_elsewhere_goes_on(self):
        """A second name, or another namespace: umount has nothing to wait for."""
        for tell in ("", "mount -t fusectl none /sys/fs/fuse/connections;"):
            self.succeeds(tell + "mkdir -p second")
            self.mount_inside()
            self.succeeds("mount --bind point second; umount point; echo x >>second/add")
            self.succeeds("umount second")
            self.assert_ended()
            (daemon,) = self.mount_inside()
            other = self.start(self.command("unshare -m bash -c 'echo; read; cat point/log'"),
                               stdin=-1, stdout=-1)
            other.stdout.readline()
            self.succeeds("umount point", seconds=8)
            self.assertEqual(harness.daemons_below(self.folder), [daemon])
            self.assertRegex(other.communicate(b"\n")[0].decode(), r"^(x\n)+$")
            harness.wait_for(lambda: not harness.daemons_below(self.folder), "it has ended")

    def test_two_daemons_of_one_store_end_one_by_one(self):
        self.succeeds("mkdir second")
        (first,) = self.mount_inside()
        (second,) = set(self.mount_inside(point="second")) - {first}
        self.succeeds("echo 1 >>point/add; echo 2 >>second/add; umount point")
        self.assertEqual(harness.daemons_below(self.folder), [second])
        self.succeeds("echo 3 >>second/add; umount second")
        self.assert_ended()

    def test_it_waits_for_a_slow_daemon_and_can_be_interrupted(self):
        (daemon,) = self.mount_inside()
        os.kill(daemon, signal.SIGSTOP)
        umounts = [self.start(self.command("exec /sbin/umount.tlogfs point"))]
        harness.wait_for(lambda: self.point not in self.mounts_here(), "unmounted")
        time.sleep(0.2)
        self.assertIsNone(umounts[0].poll())
        umounts[0].send_signal(signal.SIGINT)
        self.assertEqual(umounts[0].wait(10), -signal.SIGINT)
        os.kill(daemon, signal.SIGCONT)
        harness.wait_for(lambda: not harness.daemons_below(self.folder), "it has ended")
        (daemon,) = self.mount_inside()
        os.kill(daemon, signal.SIGSTOP)
        timer = threading.Timer(1, os.kill, (daemon, signal.SIGCONT))
        timer.start()
        start = time.monotonic()
        self.succeeds("umount point")
        self.assertGreater(time.monotonic() - start, 0.5)
        self.assert_ended()
        timer.join()

    def test_a_killed_daemon_is_not_waited_for(self):
        (daemon,) = self.mount_inside()
        os.kill(daemon, signal.SIGKILL)
        self.succeeds("umount point")
        (daemon,) = self.mount_inside()
        os.kill(daemon, signal.SIGSTOP)
        timer = threading.Timer(0.5, os.kill, (daemon, signal.SIGKILL))
        timer.start()
        self.succeeds("umount point")
        timer.join()
        self.assert_ended()

    USER = "setpriv --reuid=1 --regid=1 --clear-groups "

    def let_the_user_mount(self):
        os.chmod(self.folder, 0o755)
        self.succeeds("mknod -m 666 fuse c 10 229; mount --bind fuse /dev/fuse;"
                      "chown -R 1:1 store point")

    def test_another_user_waits_as_well(self):
        """By fusermount3, as umount(8) drops its rights before it calls the helper."""
        self.let_the_user_mount()
        self.succeeds(self.USER + "$program mount store point")
        self.succeeds(self.USER + "sh -c 'echo x >>point/add; umount point'")
        self.assert_ended()

    def assert_not_waited_for(self, command, why):
        """It unmounts, and says in one line that the store may not be at rest."""
        start = time.monotonic()
        done = self.inside(command)
        self.assertLess(time.monotonic() - start, 15)
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.err.decode(), r"\Atlogfs: umount point: unmounted, but the store may"
                         r" not be at rest: %s\n\Z" % why)
        self.assertNotIn(self.point, self.mounts_here())

    def test_another_users_stopped_daemon_holds_nobody_up(self):
        """Nor a stopped one of one's own, with -f and -l."""
        self.let_the_user_mount()
        self.succeeds("mount -t fusectl none /sys/fs/fuse/connections")
        for user, options in ((self.USER, ""), (self.USER, "-f"), ("", "-l"), ("", "-f")):
            self.succeeds(user + '$program mount "$PWD/store" "$PWD/point"')
            (daemon,) = harness.daemons_below(self.folder)
            os.kill(daemon, signal.SIGSTOP)
            self.assert_not_waited_for("/sbin/umount.tlogfs %s point" % options,
                                       "process %d has not ended within 10 s" % daemon)
            os.kill(daemon, signal.SIGCONT)
            harness.wait_for(lambda: not harness.daemons_below(self.folder), "it has ended")

    def test_a_proc_of_another_pid_namespace_is_not_believed(self):
        """The daemon's id in it is another process's here, which was waited for."""
        (daemon,) = self.mount_inside()
        self.assert_not_waited_for("""exec unshare -p -f --kill-child bash -c '
            echo %d >/proc/sys/kernel/ns_last_pid; sleep 100 &
            [[ $! == %d ]] || exit 9; umount.tlogfs point'""" % (daemon - 1, daemon),
                                   "/proc does not show which process serves it")
        harness.wait_for(lambda: not harness.daemons_below(self.folder), "it has ended")

    def test_a_path_that_leads_elsewhere_by_then_is_not_followed(self):
        """To another filesystem, which root may unmount and who moved the directory may not."""
        self.need("strace")
        self.succeeds("mkdir -p victim/log; mount -t tmpfs victim victim/log")
        for dead in (False, True):
            self.succeeds("rm -rf user moved; mkdir -p user/log")
            self.succeeds('$program mount "$PWD/store" "$PWD/user/log"')
            (daemon,) = harness.daemons_below(self.folder)
            command = "umount.tlogfs"
            if dead:
                os.kill(daemon, signal.SIGKILL)
                harness.wait_for(lambda: not harness.daemons_below(self.folder), "it has ended")
                command = "mount.tlogfs nowhere"
            root = self.start(self.command(
                "exec strace -f -o trace -e trace=umount2 -e inject=umount2:delay_enter=2000000 "
                "/sbin/%s user/log" % command), stderr=-1)
            harness.wait_for(lambda: os.path.exists(self.path("trace"))
                             and os.path.getsize(self.path("trace")), "it is about to unmount")
            self.succeeds("rm trace; mv user moved; ln -s victim user")
            said = root.communicate(timeout=30)[1]
            self.assertIn("/victim/log tmpfs ", self.mounts_here(), said)
            self.assertNotIn("fuse.tlogfs", self.mounts_here(), said)
            self.assertEqual(root.returncode, 1 if dead else 0, said)
            self.succeeds("rm user")
        self.assert_ended()

    def test_what_is_no_log_is_left_alone(self):
        self.succeeds("mount -t tmpfs none point")
        for words in ("point", "store", "nowhere", "-x point", ""):
            done = self.inside("/sbin/umount.tlogfs " + words)
            self.assertEqual(done.code, 32, done)
            self.assert_one_line(done)
        self.assertIn(self.point, self.mounts_here())


if __name__ == "__main__":
    harness.main()
