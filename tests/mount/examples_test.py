#!/usr/bin/env python3
"""The scripts of examples/ that publish, copy, verify and watch a log, as their users run them.

  examples_test.py path/to/tlogfs [Class.test]       verify_checkpoint lies beside the program
"""

import os
import re
import shutil
import signal
import subprocess
import time

import harness

EXAMPLES = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../examples"))


class ExamplesTest(harness.MountTest):
    def setUp(self):
        super().setUp()
        self.log = self.mount()
        programs = os.path.dirname(shutil.which(harness.PROGRAM))
        self.environment = {
            "M": self.log.path, "V": self.vkey,
            "PATH": "%s:%s:%s" % (EXAMPLES, os.path.abspath(programs), os.environ["PATH"])}

    def run_shell(self, script, seconds=30):
        return harness.run("cd '%s' && set -o pipefail && %s" % (self.folder, script), seconds,
                           environment=self.environment)

    def shell(self, script):
        """Runs a bash script in the test's folder, with the mount as $M, its key as $V."""
        done = self.run_shell(script)
        self.assertEqual((done.code, done.err), (0, b""), done)
        return done.out

    def assert_refuses(self, script, why):
        """Exit status 1, and a line that says why."""
        done = self.run_shell(script)
        self.assertEqual(done.code, 1, done)
        self.assertRegex(done.err.decode(), r"\A[^\n]*%s[^\n]*\n\Z" % why)

    def refuses_key(self, script):
        """As the log is not that of $OTHER, a key of the same name."""
        if "OTHER" not in self.environment:
            done = harness.run([harness.PROGRAM, "init", self.path("foreign"), "--origin",
                                self.ORIGIN])
            self.environment["OTHER"] = done.out.decode().split()[-1]
        done = self.run_shell(script)
        self.assertEqual((done.code, done.out), (1, b""), done)
        self.assertIn(b"verify_checkpoint: ", done.err)

    def start_gated(self, program, command):
        """Starts a command that stands still when it has run `program` for the first time, whose
        output it gets when the folder's `go` is there."""
        os.mkdir(self.path("gate"))
        real = shutil.which(program, path=self.environment["PATH"])
        self.write("gate/" + program, b"""#!/bin/bash
            if [[ -e '%(gate)s/first' ]]; then exec '%(real)s' "$@"; fi
            touch '%(gate)s/first'
            out=$('%(real)s' "$@"; echo $?; touch '%(gate)s/done')
            until [[ -e '%(gate)s/go' ]]; do sleep 0.02; done
            head -n -1 <<<"$out"
            exit "$(tail -n 1 <<<"$out")"
            """ % {b"gate": self.path("gate").encode(), b"real": real.encode()})
        os.chmod(self.path("gate/" + program), 0o755)
        self.environment["PATH"] = self.path("gate") + ":" + self.environment["PATH"]
        child = self.start_shell(command)
        harness.wait_for(lambda: os.path.exists(self.path("gate/done")), program + " has run")
        return child

    def start_shell(self, command):
        return self.start(["bash", "-c", command], cwd=self.folder,
                          env={**os.environ, **self.environment})

    def overlap(self, program, command):
        """Runs it twice: the first reads 300 entries, and ends after the second has had a second's
        time, and 600."""
        self.shell("seq 300 >> $M/add")
        first = self.start_gated(program, command)
        self.shell("seq 300 >> $M/add")
        second = self.start_shell(command)
        time.sleep(1)
        self.write("gate/go", b"")
        self.assertEqual((first.wait(20), second.wait(20)), (0, 0))

    def traced(self, command):
        """What it synced and renamed: the calls, and what strace says of their arguments."""
        self.shell("strace -f -y -e trace=fsync,rename,renameat,renameat2 -o trace " + command)
        return re.findall(r"^\d+ +(\w+)\((.*)\) += 0$", self.read("trace").decode(), re.M)

    def script(self, name, *arguments, **options):
        return self.start([os.path.join(EXAMPLES, name), *arguments],
                          env={**os.environ, **self.environment}, **options)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)


class ReleaseTest(ExamplesTest):
    def setUp(self):
        super().setUp()
        self.shell("mkdir release; seq 700 >> $M/add; cd release; echo one > a.tar;"
                   "echo two > b.deb; echo 3 > 'with space'; log_release $M * > ../LIST")

    def test_sha256sum_says_the_same(self):
        entries = self.log.entries()[700:]
        self.assertEqual(b"".join(b"%s\n" % entry for entry in entries),
                         self.shell("cd release; sha256sum *"))
        self.assertEqual(self.read("LIST").splitlines(),
                         [b"%d %s" % (700 + i, entry) for i, entry in enumerate(entries)])
        self.shell("cd release; sha256sum * >> $M/add; tail -n 3 $M/log | sha256sum --quiet -c")

    def test_a_downloader_verifies(self):
        self.shell("echo more >> $M/add; cp -r release download")
        verified = b"a.tar: is entry 700\nb.deb: is entry 701\nwith space: is entry 702\n"
        self.assertEqual(self.shell("cd download; verify_release $V $M ../LIST *"), verified)
        self.shell("mirror $M mirror")
        self.assertEqual(self.shell("cd download; verify_release $V ../mirror ../LIST *"), verified)
        self.assertEqual(self.shell("cd download; grep -anxF \"$(sha256sum b.deb)\" $M/log"),
                         b"702:" + self.log.read("entries/701") + b"\n")

    def test_and_notices(self):
        self.shell("cp -r release download; echo virus >> download/b.deb")
        self.assert_refuses("cd download; verify_release $V $M ../LIST b.deb", "not as in")
        self.shell("sed -i 's/^701 .*/701 '\"$(cd download; sha256sum b.deb)\"/ LIST")
        self.assert_refuses("cd download; verify_release $V $M ../LIST b.deb", "not in the log")

    def test_the_key_alone_is_believed(self):
        """A mirror, a list and a file that all say the same, of a hash that is not in the log; and
        a log of somebody else."""
        self.shell("cp -r release download; mirror $M mirror; chmod -R u+w mirror")
        self.assertEqual(self.shell("cd download; verify_release $V ../mirror ../LIST b.deb"),
                         b"b.deb: is entry 701\n")
        self.refuses_key("cd download; verify_release $OTHER ../mirror ../LIST b.deb")
        self.shell("good=$(sha256sum <download/b.deb); echo virus >> download/b.deb;"
                   "bad=$(sha256sum <download/b.deb); sed -i \"s/${good% *}/${bad% *}/\""
                   " LIST mirror/tile/entries/002.p/*;"
                   "grep -aq \"${bad% *}\" mirror/tile/entries/002.p/*")
        done = self.run_shell("cd download; verify_release $V ../mirror ../LIST b.deb")
        self.assertEqual((done.code, done.out), (1, b""), done)
        self.assertRegex(done.err.decode(), r"\Averify_checkpoint: [^\n]+\n"
                         r"verify_release: b.deb: not in the log\n\Z")

    def test_without_files(self):
        for script in ("log_release $M", "verify_release $V $M LIST"):
            done = self.run_shell("echo x | " + script)
            self.assertEqual((done.code, done.out), (2, b""), done)
            self.assertRegex(done.err.decode(), r"\Ausage: %s " % script.split()[0])

    def test_where_nothing_is_mounted(self):
        self.shell("mkdir empty")
        self.assert_refuses("cd release; log_release ../empty *", "no log is mounted")
        self.assertEqual(os.listdir(self.path("empty")), [])


class WitnessTest(ExamplesTest):
    def witness(self):
        return self.shell("witness $V $M kept")

    def test_follows_a_log_that_grows(self):
        for size in (0, 1, 255, 256, 257, 600, 600, 70000):
            self.log.append(*[b"x"] * (size - self.log.checkpoint().size))
            self.assertEqual(self.witness(), b"")
            self.assertEqual(self.read("kept"), self.log.read("checkpoint"))

    def test_runs_that_overlap(self):
        self.overlap("verify_checkpoint", "witness $V $M kept")
        self.assertEqual(self.read("kept"), self.log.read("checkpoint"))
        self.assertFalse(os.path.exists(self.path("kept.new")))

    def test_what_is_kept_is_on_the_disk(self):
        calls = self.traced("witness $V $M kept")
        self.assertEqual([name[:6] for name, _ in calls], ["fsync", "rename", "fsync"])
        self.assertIn(self.path("kept.new"), calls[0][1])
        self.assertIn("<%s>" % self.folder, calls[2][1])

    def test_silence_is_never_a_full_disk(self):
        self.assert_refuses("verify_checkpoint $V $M >/dev/full", "cannot be written")
        self.shell("ln -s /dev/full kept.new")
        self.assert_refuses("witness $V $M kept", "cannot be written")

    def test_a_foreign_key_is_noticed(self):
        self.refuses_key("witness $OTHER $M kept")
        self.assertFalse(os.path.exists(self.path("kept")))
        self.witness()
        self.refuses_key("witness $OTHER $M kept")

    def test_an_older_state_is_noticed(self):
        """A copy of the tree that was taken before: signed, sound, and older."""
        self.shell("seq 300 >> $M/add; mirror $M older; seq 300 >> $M/add")
        self.witness()
        kept = self.read("kept")
        self.assert_refuses("witness $V older kept", "300 entries that had 600")
        self.assertEqual(self.read("kept"), kept)

    def test_another_history_is_noticed(self):
        """Two logs with one key: each is sound, and together they are a fork."""
        self.shell("seq 300 >> $M/add")
        self.witness()
        self.log.unmount()
        self.shell("mkdir other; '%s' init other/store --origin example.com/log --key store/key"
                   % harness.PROGRAM)
        fork = self.mount(self.path("other/store"))
        fork.append(*[b"%d" % number for number in range(1000)])
        self.assert_refuses("witness $V %s kept" % fork.path, "verify_checkpoint: ")

    def test_a_changed_tile_or_signature_is_noticed(self):
        self.shell("seq 300 >> $M/add; witness $V $M kept; seq 300 >> $M/add; mirror $M mirror;"
                   "cp mirror/tile/0/001 good")
        self.shell("printf x | dd of=mirror/tile/0/001 bs=1 seek=2000 conv=notrunc status=none")
        self.assert_refuses("witness $V mirror kept", "verify_checkpoint: ")
        self.shell("cp good mirror/tile/0/001; witness $V mirror kept; sed -i 2s/600/601/"
                   " mirror/checkpoint")
        self.assert_refuses("witness $V mirror kept", "verify_checkpoint: ")

    def test_with_each_new_checkpoint(self):
        """The watcher runs the witness; the mount may go away and come back meanwhile."""
        watcher = self.script("each_checkpoint", self.log.path, "witness", self.vkey,
                              self.log.path, self.path("kept"))

        def is_kept():
            return os.path.exists(self.path("kept")) and (
                self.read("kept") == self.log.read("checkpoint"))
        harness.wait_for(is_kept, "the first one")
        self.log.append(b"more")
        harness.wait_for(is_kept, "the second one")
        self.log.unmount()
        time.sleep(1.2)
        self.log = self.mount(self.log.store, name=os.path.basename(self.log.path))
        self.log.append(b"and more")
        harness.wait_for(is_kept, "the third one")
        self.assertIsNone(watcher.poll())

    def test_a_command_that_fails_as_the_mount_goes_away(self):
        self.write("command", b"""if [[ -e again ]]; then cat >seen; [[ ! -e fail ]]; exit; fi
                                  touch again; umount "$M"; exit 1""")
        watcher = self.start_shell("each_checkpoint $M bash command")
        harness.wait_for(lambda: os.path.exists(self.path("again")), "the command")
        self.log.wait()
        self.log = self.mount(self.log.store, name=os.path.basename(self.log.path))
        harness.wait_for(lambda: os.path.exists(self.path("seen")) and (
            self.read("seen") == self.log.read("checkpoint")), "the second attempt")
        self.assertIsNone(watcher.poll())
        self.write("fail", b"")
        self.log.append(b"more")
        self.assertEqual(watcher.wait(10), 1)


class MountpointTest(ExamplesTest):
    def test_chattr_keeps_plain_files_out(self):
        """An immutable mountpoint takes no file while nothing is mounted, and a mount as ever."""
        point = self.path("protected")
        os.mkdir(point)
        if harness.run(["chattr", "+i", point]).code != 0:
            self.skipTest("no chattr here")
        try:
            done = self.run_shell("echo lost >> protected/add")
            self.assertEqual((done.code, os.listdir(point)), (1, []), done)
            log = self.mount(self.log.store, name="protected")
            self.shell("echo kept >> protected/add")
            self.assertEqual(log.entries(), [b"kept"])
            log.unmount()
        finally:
            harness.run(["chattr", "-i", point])


class FollowTest(ExamplesTest):
    """What examples/README.md says of tail(1)."""

    def test_tail_F_checkpoint(self):
        """Each version, whole, and on stderr that it is another file."""
        with open(self.path("out"), "wb") as out, open(self.path("err"), "wb") as err:
            self.start(["tail", "-n", "+1", "-s", "0.1", "-F", self.log / "checkpoint"],
                       stdout=out, stderr=err, env={**os.environ, "LC_ALL": "C.UTF-8"})
        notes = []
        for number in range(4):
            notes.append(self.log.read("checkpoint"))
            harness.wait_for(lambda: self.read("out") == b"".join(notes), "version %d" % number)
            self.log.append(b"more")
        self.assertIn(b"has been replaced;  following new file", self.read("err"))

    def test_tail_f_log_into_a_loop(self):
        self.log.append(b"sshd: Failed password for root")  # Before: not told.
        script = ("tail -n 0 -s 0.1 -f $M/log | grep --line-buffered 'Failed password' |"
                  "while IFS= read -r line; do echo \"alarm: $line\"; done")
        loop = self.start(["bash", "-c", script], stdout=subprocess.PIPE,
                          env={**os.environ, **self.environment})
        time.sleep(0.5)
        self.log.append(b"sshd: Accepted password for alice", b"sshd: Failed password for bob")
        self.assertEqual(loop.stdout.readline(), b"alarm: sshd: Failed password for bob\n")

    def test_tail_F_of_a_growing_file_into_add(self):
        """Also when the file is rotated."""
        self.write("some.log", b"one\ntwo\n")
        self.start(["bash", "-c", "tail -n +1 -s 0.1 -F '%s' >> $M/add" % self.path("some.log")],
                   env={**os.environ, **self.environment}, stderr=subprocess.DEVNULL)
        harness.wait_for(lambda: self.log.checkpoint().size == 2, "two lines")
        os.rename(self.path("some.log"), self.path("some.log.1"))
        self.write("some.log", b"three\n")
        harness.wait_for(lambda: self.log.checkpoint().size == 3, "the new file's line")
        self.assertEqual(self.log.entries(), [b"one", b"two", b"three"])


class PackagesTest(ExamplesTest):
    def test_no_policy_is_left_behind(self):
        """Ctrl-C while apt-get works; in a /usr/sbin of the test's own."""
        self.write("apt-get", b"#!/bin/sh\nls /usr/sbin >during\nexec sleep 60\n")
        os.chmod(self.path("apt-get"), 0o755)
        self.environment["PATH"] = self.folder + ":" + os.environ["PATH"]
        shell = self.start(["unshare", "--mount", "bash", "-c", """
            trap : INT; mount -t tmpfs none /usr/sbin || exit
            bash -c 'source "$0/packages"; quiet_apt update; echo went on >after' "$0"
            ls /usr/sbin >>after""", EXAMPLES], cwd=self.folder,
                           env={**os.environ, **self.environment})
        harness.wait_for(lambda: os.path.exists(self.path("during")) and self.read("during"),
                         "apt-get works")
        os.killpg(shell.pid, signal.SIGINT)
        self.assertEqual(shell.wait(10), 0)
        self.assertEqual((self.read("during"), self.read("after")), (b"policy-rc.d\n", b""))


class UnitsTest(ExamplesTest):
    """What systemd makes of the units, and of the lines for fstab in examples/README.md."""

    GENERATOR = "/lib/systemd/system-generators/systemd-fstab-generator"

    def verify_units(self, *paths):
        done = harness.run(["systemd-analyze", "verify", "--man=no", *paths])
        complaints = [line for line in done.err.decode().splitlines()
                      if any(os.path.basename(path) in line for path in paths)
                      and "is not executable" not in line]  # They are not installed here.
        self.assertEqual(complaints, [], done)

    def test_units(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("no systemd-analyze")
        shutil.copy(os.path.join(EXAMPLES, "tlogfs@.service"), self.path("tlogfs@example.service"))
        self.verify_units(os.path.join(EXAMPLES, "journal-into-log.service"),
                          self.path("tlogfs@example.service"))

    def test_fstab_with_automount(self):
        if not os.path.exists(self.GENERATOR):
            self.skipTest("no systemd")
        with open(os.path.join(EXAMPLES, "README.md"), encoding="utf-8") as file:
            line = re.search(r"^ +(/\S+ +/srv/log +tlogfs .*automount.*)$", file.read(), re.M)[1]
        self.write("fstab", line.encode() + b"\n")
        units = self.path("units")
        os.mkdir(units)
        done = harness.run([self.GENERATOR, units, units, units],
                           environment={"SYSTEMD_FSTAB": self.path("fstab")})
        self.assertEqual(done.code, 0, done)
        self.assertIn("Where=/srv/log", self.read("units/srv-log.automount").decode())
        mount = self.read("units/srv-log.mount").decode()
        self.assertIn("Type=tlogfs\n", mount)
        self.verify_units(os.path.join(units, "srv-log.automount"),
                          os.path.join(units, "srv-log.mount"))
        options = re.search(r"^Options=(.*)$", mount, re.M)[1]
        self.mount(self.log.store, options=options, name="automounted")


if __name__ == "__main__":
    harness.main()
