#!/usr/bin/env python3
"""What other users get from a mount, where the key can be seen, and what planted files do."""

import base64
import contextlib
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys

import harness

NOBODY = 65534
AS_NOBODY = ["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups"]
UNIT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    "..", "..", "examples", "tlogfs@.service")

# Writes half a line, then sleeps with the file open.
HALF_A_LINE = """
import os, sys, time
os.write(os.open(sys.argv[1], os.O_WRONLY), b'half')
print('asleep', flush=True)
time.sleep(100)
"""

# What needs a mount namespace: in it systemd would hide the mount from everybody else.
NAMESPACE_OPTIONS = """ProtectSystem ProtectHome ProtectProc ProcSubset ProtectKernelTunables
    ProtectKernelModules ProtectKernelLogs ProtectControlGroups ProtectHostname PrivateTmp
    PrivateDevices PrivateMounts PrivateNetwork PrivateUsers PrivateIPC ReadWritePaths ReadOnlyPaths
    InaccessiblePaths ExecPaths NoExecPaths BindPaths BindReadOnlyPaths TemporaryFileSystem
    RootDirectory RootImage MountFlags MountImages MountAPIVFS DynamicUser LogNamespace
    NetworkNamespacePath IPCNamespacePath""".split()


class SecurityTest(harness.MountTest):
    SECONDS = 120

    def setUp(self):
        super().setUp()
        os.chmod(self.folder, 0o755)

    def nobody(self, script):
        return harness.run(AS_NOBODY + ["sh", "-c", script])

    def let_users_mount(self):
        """As udev sets it up; some containers have it for root alone."""
        mode = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
        if mode & 0o006 != 0o006:
            os.chmod("/dev/fuse", 0o666)
            self.addCleanup(os.chmod, "/dev/fuse", mode)

    def nobodys_folder(self, name):
        os.mkdir(self.path(name))
        os.chown(self.path(name), NOBODY, NOBODY)
        return self.path(name)

    def mount_as_nobody(self, options="", store="store"):
        """Through fusermount3, as users without rights do: the store and the mountpoint."""
        self.let_users_mount()
        if not os.path.exists(self.path("home")):
            self.nobodys_folder("home")
        store, point = self.path("home/" + store), self.path("home/point")
        done = self.nobody("mkdir -p '%s'; test -e '%s' || '%s' init '%s' --origin example.com/log"
                           % (point, store, harness.PROGRAM, store))
        self.assertEqual(done.code, 0, done)
        done = self.nobody("'%s' mount '%s' '%s' %s" % (harness.PROGRAM, store, point, options))
        return done, store, point


class OtherUsersTest(SecurityTest):
    def test_without_allow_other_nobody_else_gets_in(self):
        mount = self.mount(options="mode=0666,umask=0")
        for command in ("ls", "stat .", "cat checkpoint", "cat log", "echo x >> add",
                        "stat entries/0"):
            done = self.nobody("cd '%s' && %s" % (mount.path, command))
            self.assertNotEqual(done.code, 0, command)
        for name in ("", "/checkpoint", "/tile", "/no-such-name"):
            done = self.nobody("stat '%s%s'" % (mount.path, name))
            self.assertIn(b"Permission denied", done.err, name)
        self.assertEqual(mount.checkpoint().size, 0)

    def test_what_a_user_mounts_is_closed_to_root(self):
        done, store, point = self.mount_as_nobody()
        self.assertEqual(done.code, 0, done)
        self.assert_errno(13, os.listdir, point)
        self.assert_errno(13, open, point + "/checkpoint", "rb")
        self.assert_errno(13, open, point + "/add", "wb")
        done = self.nobody("cd '%s' && echo mine >> add && cat log && stat -c '%%u %%g' ." % point)
        self.assertEqual((done.code, done.out), (0, b"mine\n%d %d\n" % (NOBODY, NOBODY)), done)
        done = self.nobody("fusermount3 -u '%s'" % point)
        self.assertEqual(done.code, 0, done)
        harness.wait_for(lambda: not harness.daemons_below(self.folder), "the daemon has ended")
        self.assertEqual(self.nobody("'%s' check '%s'" % (harness.PROGRAM, store)).code, 0)

    def test_a_user_may_not_let_others_in_unless_the_administrator_says_so(self):
        with open("/etc/fuse.conf", encoding="utf-8") as file:
            if re.search(r"^\s*user_allow_other", file.read(), re.MULTILINE):
                self.skipTest("the administrator says so")
        done, _, point = self.mount_as_nobody("-o allow_other")
        self.assertEqual(done.code, 1, done)
        self.assertIn(b"user_allow_other", done.err)
        self.assertIsNone(harness.connection_of(point))

    def test_with_allow_other_the_modes_decide(self):
        """(options, may list, may read, may append), for user and group 65534."""
        store = self.init()
        for options, *expected in (
                ("", True, True, False),
                ("mode=0622", True, True, True),
                ("mode=0620", True, True, False),
                ("mode=0620,gid=65534", True, True, True),
                ("mode=0602,gid=65534", True, True, False),  # The first class that fits decides.
                ("uid=65534", True, True, True),
                ("uid=65534,mode=0066", True, True, False),
                ("umask=077,mode=0666", False, False, False),
                ("umask=077,uid=65534", True, True, True),
                ("umask=004,mode=0602", False, False, True),
                ("umask=027,gid=65534", True, True, False)):
            mount = self.mount(store, "allow_other," + options, name="point")
            found = [self.nobody("%s '%s/%s'" % (command, mount.path, name)).code == 0
                     for command, name in (("ls", ""), ("cat", "checkpoint"), ("echo >>", "add"))]
            self.assertEqual(found, expected, options)
            # Whoever may append may not do anything else to the file, or beside it. Its owner's
            # chmod(1) is taken, and changes nothing.
            before = os.stat(mount / "add")
            owns = "uid=" in options
            for command in ("chmod 777 add", "chown 65534 add", "rm -f add", "mv add b",
                            "mkdir d", "ln checkpoint c", "echo >> checkpoint"):
                done = self.nobody("cd '%s' && %s" % (mount.path, command))
                taken = owns and command in ("chmod 777 add", "chown 65534 add")
                self.assertEqual(done.code == 0, taken and expected[0], (options, command))
            self.assertEqual(os.stat(mount / "add"), before)
            mount.unmount()


class KeyTest(SecurityTest):
    def forms(self, store):
        """The key as it is written, and as it is in memory."""
        with open(os.path.join(store, "key"), "rb") as file:
            text = file.read().strip()
        encoded = text.split(b"+", 4)[4]
        seed = base64.b64decode(encoded)[1:]
        self.assertEqual(len(seed), 32)
        return [encoded, seed, seed.hex().encode(), base64.b64encode(seed).rstrip(b"=")]

    def assert_hidden(self, forms, content, where):
        for form in forms:
            self.assertFalse(form in content, where)

    def test_no_name_of_a_mount_shows_it(self):
        store = self.init()
        forms = self.forms(store)
        for options in ("", "ro"):
            mount = self.mount(store, options)
            if not options:
                mount.append(*(b"%d" % number for number in range(300)))
            seen = 0
            for folder, folders, files in os.walk(mount.path):
                for name in folders + files:
                    path = os.path.join(folder, name)
                    self.assertEqual(os.listxattr(path), [])
                    if name in files:
                        self.assert_hidden(forms, mount.read(path), path)
                        seen += 1
            self.assertGreater(seen, 300)
            for name in ("key", "journal", "lock", "config", "store", ".key", "tile/key"):
                self.assert_errno(2, os.stat, mount / name)
            for path in ("/proc/%d/cmdline" % mount.daemon.pid, "/proc/self/mountinfo",
                         "/proc/%d/environ" % mount.daemon.pid):
                with open(path, "rb") as file:
                    self.assert_hidden(forms, file.read(), path)
            mount.unmount()
            self.assertEqual(mount.said(), "")

    def test_errors_quote_nothing_of_it(self):
        store = self.init()
        key = os.path.join(store, "key")
        forms = self.forms(store)
        with open(key, "rb") as file:
            text = file.read()
        broken = self.path("broken")
        for content in (text[:-1], text + b"x\n", text.replace(b"+", b"-", 1), text * 2,
                        text.replace(b"log+", b"log+0", 1), text.replace(b"/log", b"/other")):
            for path in (key, broken):
                with open(path, "wb") as file:
                    file.write(content)
                os.chmod(path, 0o600)
            for words in (["mount", store, self.nobodys_folder("point")],
                          ["init", self.path("new"), "--origin", self.ORIGIN, "--key", broken]):
                done = harness.run([harness.PROGRAM, *words])
                if content != text[:-1] or words[0] == "mount":
                    self.assert_one_line(done)
                self.assert_hidden(forms, done.out + done.err, words)
                shutil.rmtree(words[1] if words[0] == "init" else words[2], ignore_errors=True)

    def test_its_text_does_not_stay_in_memory(self):
        """The daemon needs the 32 bytes, and nothing that they were read from."""
        mount = self.mount()
        mount.append(b"one")
        text, seed, *others = self.forms(mount.store)
        found = {form: 0 for form in (text, seed, *others)}
        with open("/proc/%d/maps" % mount.daemon.pid, encoding="utf-8") as maps, \
                open("/proc/%d/mem" % mount.daemon.pid, "rb", buffering=0) as memory:
            for line in maps:
                span, rights = line.split()[:2]
                begin, end = (int(number, 16) for number in span.split("-"))
                if rights.startswith("rw") and end - begin < 1 << 30:  # less a sanitizer's own
                    memory.seek(begin)
                    content = memory.read(end - begin) or b""
                    for form in found:
                        found[form] += content.count(form)
        self.assertGreater(found[seed], 0)  # It has been looked for in the right places.
        self.assertEqual([found[form] for form in (text, *others)], [0] * 3)

    def die_with_core(self, command, ready, number):
        """Whether a core file was written."""
        limit = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (limit[1], limit[1]))
        try:
            process = self.start(command, cwd=self.nobodys_folder("cores"))
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, limit)
        harness.wait_for(lambda: ready(process), "it runs")
        process.send_signal(number)
        _, status = os.waitpid(process.pid, 0)
        process.returncode = -os.WTERMSIG(status)
        cores = os.listdir(self.path("cores"))
        shutil.rmtree(self.path("cores"))
        self.assertTrue(os.WIFSIGNALED(status))
        return os.WCOREDUMP(status) or bool(cores)

    def test_a_daemon_that_crashes_leaves_no_core(self):
        store, point = self.init(), self.nobodys_folder("point")
        if not self.die_with_core(["sleep", "100"],
                                  lambda process: os.readlink("/proc/%d/exe" % process.pid)
                                  .endswith(("sleep", "coreutils")), signal.SIGSEGV):
            self.skipTest("nothing leaves cores here")
        for number in (signal.SIGABRT, signal.SIGQUIT):
            dumped = self.die_with_core([harness.PROGRAM, "mount", store, point, "-f"],
                                        lambda _: harness.connection_of(point), number)
            self.assertFalse(dumped, number)
            harness.forget_mountpoint(point)

    def test_another_process_of_the_user_cannot_look_into_the_daemon(self):
        done, _, point = self.mount_as_nobody()
        self.assertEqual(done.code, 0, done)
        daemon = harness.daemons_below(self.folder)[0]
        for name in ("mem", "maps", "environ", "fd/0"):
            done = self.nobody("head -c 1 /proc/%d/%s" % (daemon, name))
            self.assertNotEqual(done.code, 0, name)
        self.assertEqual(os.stat("/proc/%d/environ" % daemon).st_uid, 0)
        self.assertEqual(self.nobody("fusermount3 -u '%s'" % point).code, 0)


class DaemonTest(SecurityTest):
    def settings(self):
        """The [Service] of the unit in examples/."""
        with open(UNIT, encoding="utf-8") as file:
            lines = file.read().partition("[Service]")[2].partition("\n[")[0].splitlines()
        return dict(line.split("=", 1) for line in lines if re.match("[A-Z].*=", line))

    def test_it_holds_nothing_of_who_started_it(self):
        store, point = self.init(), self.nobodys_folder("point")
        read_end, write_end = os.pipe()
        done = subprocess.run([harness.PROGRAM, "mount", store, point], cwd=self.path("store"),
                              pass_fds=(write_end, 0), check=False, timeout=30)
        os.close(write_end)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(os.read(read_end, 1), b"")  # The daemon has no end of the pipe.
        os.close(read_end)
        daemon = "/proc/%d/" % harness.daemons_below(self.folder)[0]
        self.assertEqual(os.readlink(daemon + "cwd"), "/")
        for descriptor in os.listdir(daemon + "fd"):
            target = os.readlink(daemon + "fd/" + descriptor)
            self.assertRegex(target, r"\A(/dev/null|/dev/fuse|anon_inode:.*|%s/.*|%s)\Z"
                             % (store, store))
        self.assertEqual(harness.run(["umount", point]).code, 0)

    def test_the_capabilities_of_the_example_unit_are_enough(self):
        """And no more than enough: without the second one, a killed writer cannot be told."""
        os.chmod(self.folder, 0o755)
        names = self.settings()["CapabilityBoundingSet"].replace("CAP_", "").lower().split()
        self.assertEqual(sorted(names), ["sys_admin", "sys_ptrace"])
        for capabilities, expected in ((names, b"whole\n"), (names[:1], b"whole\nhalf\n")):
            store, point = self.init("store%d" % len(capabilities)), self.path("point")
            os.makedirs(point, exist_ok=True)
            daemon = self.start(["setpriv", "--no-new-privs", "--bounding-set=-all," + ",".join(
                "+" + name for name in capabilities), harness.PROGRAM, "mount", store, point, "-f",
                "-o", "allow_other,mode=0622"])
            harness.wait_for(lambda: harness.connection_of(point), "mounted")
            self.assertEqual(self.nobody("echo whole >> '%s/add'" % point).code, 0)
            writer = self.start(AS_NOBODY + [sys.executable, "-c", HALF_A_LINE, point + "/add"],
                                stdout=subprocess.PIPE)
            self.assertEqual(writer.stdout.readline(), b"asleep\n")
            writer.kill()
            writer.wait(10)
            daemon.terminate()
            self.assertEqual(daemon.wait(20), 0)
            self.assertIsNone(harness.connection_of(point))
            again = self.mount(store, "ro")
            self.assertEqual(again.read("log"), expected, capabilities)

    def test_the_example_unit_does_not_hide_its_mount(self):
        for name in NAMESPACE_OPTIONS:
            self.assertNotIn(name, self.settings())


class StoreFilesTest(SecurityTest):
    def test_modes_whatever_the_umask(self):
        """At most 0644 and 0755; the writer's own files 0600; and its owner can always use it."""
        self.let_users_mount()
        parent = self.nobodys_folder("parent")
        for umask in (0, 0o022, 0o027, 0o077, 0o177, 0o777):
            store, point = "%s/store%o" % (parent, umask), "%s/point%o" % (parent, umask)
            done = self.nobody("mkdir -p '%s'; umask %o; '%s' init '%s' --origin example.com/log"
                               % (point, umask, harness.PROGRAM, store))
            self.assertEqual(done.code, 0, done)
            done = self.nobody("umask %o; '%s' mount '%s' '%s' && echo x >> '%s/add' && "
                               "fusermount3 -u '%s'" % (umask, harness.PROGRAM, store, point, point,
                                                        point))
            self.assertEqual(done.code, 0, (umask, done))
            harness.wait_for(lambda: not harness.daemons_below(self.folder), "it has ended")
            for folder, _, files in os.walk(store):
                mode = stat.S_IMODE(os.stat(folder).st_mode)
                self.assertEqual(mode, 0o755 & ~(umask & 0o77), folder)
                for name in files:
                    most = 0o600 if name in ("key", "journal", "lock") else 0o644
                    mode = stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)
                    self.assertEqual(mode, most & ~(umask & 0o77), name)

    @contextlib.contextmanager
    def planted(self, path, plant):
        """Something else in a file's or directory's place: it was moved to `outside`."""
        outside = self.path("outside")
        os.rename(path, outside)
        try:
            plant(outside, path)
            yield
            if os.path.isdir(path) and not os.path.islink(path):
                os.rmdir(path)
            else:
                os.unlink(path)
        finally:
            os.rename(outside, path)

    def names_of(self, store):
        for folder, folders, files in os.walk(store):
            for name in folders + files:
                yield os.path.relpath(os.path.join(folder, name), store)

    def test_nothing_but_files_and_directories_is_opened(self):
        """A link to the right file is as bad as any. Nothing hangs, nothing is written through."""
        store, point = self.init(), self.nobodys_folder("point")
        mount = self.mount(store)
        mount.append(*(b"%d" % number for number in range(300)))
        note = self.path("note")
        shutil.copyfile(mount / "checkpoint", note)
        mount.unmount()
        content = "cd '%s'; find . -type f | sort | xargs sha256sum" % store
        before = harness.run(content).out
        checkpoint, program = note, harness.PROGRAM
        plants = {"link": os.symlink, "FIFO": lambda _, path: os.mkfifo(path),
                  "directory": lambda _, path: os.mkdir(path),
                  "broken link": lambda _, path: os.symlink("nowhere", path)}
        for name in sorted(self.names_of(store)):
            path = os.path.join(store, name)
            for kind, plant in plants.items():
                if kind == "directory" and os.path.isdir(path):
                    continue
                with self.planted(path, plant):
                    for words in (["mount", store, point], ["mount", store, point, "-o", "ro"],
                                  ["check", store], ["adopt", store, "--newest", checkpoint]):
                        if name in ("key", "journal", "lock") and "ro" in words or (
                                name == "key" and "check" in words):
                            continue  # It does without them.
                        done = harness.run([program, *words], seconds=10)
                        self.assertNotEqual(done.code, 0, (name, kind, words))
                        self.assertLessEqual(done.err.count(b"\n"), 1, (name, kind, done))
                        self.assertIsNone(harness.connection_of(point))
                    self.assertFalse(os.path.lexists(os.path.join(store, "nowhere")))
        self.assertEqual(harness.run(content).out, before)
        self.mount(store).append(b"goes on")


if __name__ == "__main__":
    harness.main()
