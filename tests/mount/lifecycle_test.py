#!/usr/bin/env python3
"""Mounting, unmounting, and what can go wrong in between: as administrators use the program."""

import errno
import os
import signal
import threading
import time

import harness
from reference_log import ReferenceLog


class MountingTest(harness.PointTest):
    def test_mount_returns_when_the_mount_answers(self):
        """And lets go of the caller's pipes and folder, as a daemon must."""
        for _ in range(5):
            done = self.program("mount", self.store, self.point)
            self.assertEqual((done.code, done.out, done.err), (0, b"", b""), done)
            self.assert_answers()
            self.assertEqual(harness.run("echo x >> '%s/add'" % self.point).code, 0)
            (daemon,) = harness.daemons_below(self.folder)
            self.assertEqual(os.readlink("/proc/%d/cwd" % daemon), "/")
            self.assertNotEqual(os.getsid(daemon), os.getsid(0))
            self.assert_unmounts()
        self.assert_sound(self.store)

    def test_relative_paths_and_odd_names(self):
        odd = "it's a, store \\ with\tblanks"
        self.init(odd)
        os.mkdir(self.path("mount, point"))
        done = harness.run(["bash", "-c", 'cd "$1" && "$0" mount "$2" "mount, point"',
                            harness.PROGRAM, self.folder, odd])
        self.assertEqual(done.code, 0, done)
        with open(self.path("mount, point/checkpoint"), "rb") as file:
            self.assertTrue(file.read().startswith(self.ORIGIN.encode()))
        self.assertEqual(harness.run(["umount", self.path("mount, point")]).code, 0)

    def test_what_cannot_be_mounted_is_refused_in_one_line(self):
        plain = self.path("plain")
        os.mkdir(plain)
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        for words in ((self.path("none"), self.point), (plain, self.point),
                      (self.path("file"), self.point), (self.store, self.path("none")),
                      (self.store, self.path("file")),
                      (self.store, self.point, "-o", "sparkling"),
                      (self.store, self.point, "-o", "uid=me"),
                      (self.store, self.point, "-o", "umask=8"),
                      (self.store, self.point, "-o", "checkpoint_interval=soon"),
                      (self.store, self.point, "-o", "remount,ro"), (self.store,)):
            self.assert_one_line(self.program("mount", *words))
            self.assertIsNone(harness.connection_of(self.point), words)
        self.assertEqual(os.listdir(plain), [])

    def test_a_lock_on_the_mountpoint_keeps_nobody_from_mounting(self):
        """Any user who can read the directory can take it."""
        os.chmod(self.folder, 0o755)
        holder = self.start(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                             "flock", self.point, "sh", "-c", "echo; exec sleep 100"], stdout=-1)
        holder.stdout.readline()
        done = self.program("mount", self.store, self.point)
        self.assertEqual((done.code, done.err), (0, b""), done)
        self.assertIsNone(holder.poll())
        self.assert_unmounts()

    def test_a_second_mount_does_not_wait_for_a_stopped_daemon(self):
        self.assertEqual(self.program("mount", self.store, self.point).code, 0)
        (daemon,) = harness.daemons_below(self.folder)
        os.kill(daemon, signal.SIGSTOP)
        done = self.program("mount", self.store, self.point)
        self.assert_one_line(done)
        self.assertIn(b"a log is mounted there already", done.err)
        # The process that was refused says so just before it ends.
        harness.wait_for(lambda: harness.daemons_below(self.folder) == [daemon], "only one is left")
        os.kill(daemon, signal.SIGCONT)
        self.assert_answers()
        self.assert_unmounts()

    def test_a_store_under_its_own_mountpoint_is_refused(self):
        """Its daemon would wait for itself for ever."""
        self.assert_one_line(self.program("mount", self.store, self.store))
        self.assert_one_line(self.program("mount", self.store, self.folder))

    def test_a_second_init_is_refused_and_changes_nothing(self):
        before = harness.run("cd '%s'; find . -type f -print0 | sort -z | xargs -0 sha256sum"
                             % self.store).out
        self.assert_one_line(self.program("init", self.store, "--origin", "example.com/other"))
        after = harness.run("cd '%s'; find . -type f -print0 | sort -z | xargs -0 sha256sum"
                            % self.store).out
        self.assertEqual(after, before)

    def test_a_key_that_others_can_read_is_refused(self):
        os.chmod(os.path.join(self.store, "key"), 0o644)
        self.assert_one_line(self.program("mount", self.store, self.point))
        self.mount(self.store, options="ro").unmount()


class EndingTest(harness.PointTest):
    def test_a_mountpoint_left_by_a_killed_daemon_is_cleared_by_mounting_again(self):
        mount = self.mount(self.store, name="point")
        mount.append(b"one")
        mount.daemon.kill()
        mount.daemon.wait()
        time.sleep(0.2)  # The kernel trusts the root's attributes for half as long.
        self.assert_errno(errno.ENOTCONN, os.stat, self.point)
        done = self.program("mount", self.store, self.point)
        self.assertEqual(done.code, 0, done)
        self.assert_answers()
        self.assertEqual(harness.run("echo two >> '%s/add'" % self.point).code, 0)
        with open(os.path.join(self.point, "log"), "rb") as file:
            self.assertEqual(file.read(), b"one\ntwo\n")
        self.assert_unmounts()
        self.assertIsNone(harness.connection_of(self.point))

    def test_sigterm_under_load_answers_everybody_and_loses_nothing(self):
        """Each write returns, with success or an error; what succeeded is in the log, once."""
        mount = self.mount(self.store)
        acknowledged = []

        def write(name):
            try:
                with open(mount / "add", "ab", buffering=0) as file:
                    for number in range(10**6):
                        line = b"%d %d" % (name, number)
                        file.write(line + b"\n")
                        acknowledged.append(line)
            except OSError:
                pass
        threads = [threading.Thread(target=write, args=(name,)) for name in range(16)]
        for thread in threads:
            thread.start()
        harness.wait_for(lambda: len(acknowledged) > 500, "load")
        mount.stop()
        for thread in threads:
            thread.join(10)
            self.assertFalse(thread.is_alive())
        self.assertIsNone(harness.connection_of(mount.path))
        self.assert_sound(self.store)
        again = self.mount(self.store)
        entries = again.entries()
        self.assertEqual(len(entries), len(set(entries)))
        self.assertLessEqual(set(acknowledged), set(entries))
        self.assert_same_log(again, ReferenceLog(entries))

    def test_a_killed_mount_does_not_disturb_another_one_of_the_same_store(self):
        """Its locks go with it, and the other one finishes what it had begun."""
        survivor = self.mount(self.store)
        acknowledged = []
        failures = []
        stop = threading.Event()

        def write(mount, name):
            try:
                with open(mount / "add", "ab", buffering=0) as file:
                    for number in range(10**6):
                        line = b"%s %d" % (name, number)
                        file.write(line + b"\n")
                        acknowledged.append(line)
                        if stop.is_set() and mount is survivor:
                            return
            except OSError:
                if mount is survivor:
                    failures.append(name)
        threads = [threading.Thread(target=write, args=(survivor, b"survivor"))]
        threads[0].start()
        for number in range(8):
            mount = self.mount(self.store)
            for writer in range(2):
                name = b"killed %d %d" % (number, writer)
                threads.append(threading.Thread(target=write, args=(mount, name)))
                threads[-1].start()
            harness.wait_for(lambda: any(line.startswith(name) for line in acknowledged[-50:]),
                             "both append")
            time.sleep(0.01 * number)
            mount.abort()
        stop.set()
        for thread in threads:
            thread.join(10)
        self.assertEqual(failures, [])
        entries = survivor.entries()
        self.assertEqual(len(entries), len(set(entries)))
        self.assertLessEqual(set(acknowledged), set(entries))
        self.assert_same_log(survivor, ReferenceLog(entries))
        survivor.unmount()
        self.assert_sound(self.store)

    def test_umount_waits_for_open_files_and_a_lazy_one_for_their_close(self):
        mount = self.mount(self.store)
        with open(mount / "add", "ab", buffering=0) as file:
            busy = harness.run(["umount", mount.path])
            self.assertNotEqual(busy.code, 0)
            self.assertEqual(harness.run(["umount", "-l", mount.path]).code, 0)
            file.write(b"still here\n")
            os.fsync(file.fileno())
            self.assertIsNone(mount.daemon.poll())
        mount.wait()
        self.assertEqual(self.mount(self.store).entries(), [b"still here"])

    def test_sigint_and_sigterm_end_it_with_success(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            mount = self.mount(self.store)
            mount.daemon.send_signal(number)
            mount.wait()
            self.assertIsNone(harness.connection_of(mount.path))
            self.assertEqual(mount.said(), "")


if __name__ == "__main__":
    harness.main()
