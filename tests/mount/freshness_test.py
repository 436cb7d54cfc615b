#!/usr/bin/env python3
"""A changed `checkpoint` is never taken for an unchanged one: its mtime tells versions apart to all
who copy or serve it, whatever the clock does.

  freshness_test.py path/to/tlogfs [Class.test]
"""

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import harness
import web_servers

# Steps the wall clock of one program: by as many seconds as a file says.
SHIFT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec* now) {
  int (*real)(clockid_t, struct timespec*) = dlsym(RTLD_NEXT, "clock_gettime");
  const int result = real(id, now);
  FILE* const file = id == CLOCK_REALTIME ? fopen(getenv("SHIFT_FILE"), "r") : NULL;
  long seconds = 0;
  if (file != NULL) {
    if (fscanf(file, "%ld", &seconds) == 1) now->tv_sec += seconds;
    fclose(file);
  }
  return result;
}
"""
DAY = 86400


class FreshnessTest(harness.MountTest):
    SECONDS = 120

    def write(self, name, content):
        """At once, so that who reads it sees all of it."""
        with open(self.path(name + ".new"), "w", encoding="utf-8") as file:
            file.write(content)
        os.rename(self.path(name + ".new"), self.path(name))

    def mount_with_a_clock(self):
        """A writing mount; step() steps its clock."""
        self.write("shift.c", SHIFT)
        done = harness.run(["cc", "-shared", "-fPIC", "-o", self.path("shift.so"),
                            self.path("shift.c"), "-ldl"])
        self.assertEqual(done.code, 0, done)
        self.step(0)
        variables = {"LD_PRELOAD": self.path("shift.so"), "SHIFT_FILE": self.path("shift")}
        os.environ.update(variables)
        try:
            return self.mount()
        finally:
            for name in variables:
                del os.environ[name]

    def step(self, seconds):
        self.write("shift", "%d\n" % seconds)

    def copy(self, mount):
        """As mirrors do, in a loop. The copy's checkpoint."""
        done = harness.run(["rsync", "-a", mount.path + "/", self.path("replica")])
        self.assertEqual(done.code, 0, done)
        with open(self.path("replica/checkpoint"), "rb") as file:
            return file.read()


class MtimeTest(FreshnessTest):
    def test_it_is_later_for_each_version_and_the_same_in_all_mounts(self):
        writers = [self.mount()]
        store = writers[0].store
        writers.append(self.mount(store))
        readers = [self.mount(store, "ro"), self.mount(store, "static")]
        last = 0
        for number in range(300):
            begin = time.time_ns()
            writers[number % 2].append(b"entry %d" % number)
            end = time.time_ns()
            times = {os.stat(mount / "checkpoint").st_mtime_ns for mount in writers + readers}
            self.assertEqual(len(times), 1)
            mtime = times.pop()
            self.assertLess(last // 1000, mtime // 1000)
            self.assertTrue(begin <= mtime <= end, (begin, mtime, end))
            last = mtime
        # It settles, and another mount begins with what it is then.
        harness.wait_for(lambda: os.stat(readers[1] / "checkpoint").st_mtime_ns != last, "settled")
        settled = os.stat(readers[1] / "checkpoint")
        self.assertEqual(settled.st_mtime_ns, (last // 10**9 + 1) * 10**9)
        self.assertEqual(settled.st_ctime_ns, last)
        for writer in writers:
            writer.unmount()
        again = self.mount(store)
        self.assertEqual(os.stat(again / "checkpoint").st_mtime_ns, settled.st_mtime_ns)
        self.assertEqual(os.stat(readers[0] / "checkpoint").st_mtime_ns, settled.st_mtime_ns)

    def test_it_goes_on_over_steps_of_the_clock(self):
        mount = self.mount_with_a_clock()
        last = 0
        for shift in (0, DAY, 0, -DAY, 10, 2 * DAY, 0):
            self.step(shift)
            for number in range(20):
                mount.append(b"%d: %d" % (shift, number))
                mtime = os.stat(mount / "checkpoint").st_mtime_ns
                self.assertLess(last // 1000, mtime // 1000)
                last = mtime

    def test_times_of_entries_recover(self):
        """After a clock that was 4 seconds ahead, half as long again."""
        mount = self.mount_with_a_clock()
        self.step(4)
        mount.append(b"ahead")
        self.step(0)
        names = iter(range(1, 1000))

        def ahead():
            number = next(names)
            mount.append(b"right")
            time.sleep(0.2)
            return os.stat(mount / ("entries/%d" % number)).st_mtime - time.time()
        self.assertGreater(ahead(), 2)
        before = 0
        harness.wait_for(lambda: ahead() < 0, "the time of the newest entry is right")
        for number in range(next(names) - 1):
            mtime = os.stat(mount / ("entries/%d" % number)).st_mtime
            self.assertLessEqual(before, mtime)
            before = mtime


@harness.unittest.skipUnless(shutil.which("rsync"), "no rsync")
class RsyncTest(FreshnessTest):
    """rsync -a compares length and whole seconds."""

    def test_a_loop_misses_no_version_for_long(self):
        mount = self.mount()
        mount.append(*(b"entry %d" % number for number in range(1000)))
        for burst in range(4):
            self.copy(mount)
            for number in range(3):  # of one length, and mostly in one second
                mount.append(b"%d, %d" % (burst, number))
                self.copy(mount)
            newest = mount.read("checkpoint")
            harness.wait_for(lambda: self.copy(mount) == newest, "the replica has it", 4)

    def test_nor_after_a_clock_that_was_ahead(self):
        mount = self.mount_with_a_clock()
        mount.append(*(b"entry %d" % number for number in range(1000)))
        self.step(DAY)
        mount.append(b"ahead")
        mount.append(b"ahead")
        self.step(0)
        newest = mount.read("checkpoint")
        self.copy(mount)
        harness.wait_for(lambda: self.copy(mount) == newest, "the replica has it", 4)
        for number in range(3):
            time.sleep(1.1)
            mount.append(b"right %d" % number)
            self.assertEqual(self.copy(mount), mount.read("checkpoint"))
        for number in range(30):
            mount.append(b"burst %d" % number)
            self.copy(mount)
        newest = mount.read("checkpoint")
        harness.wait_for(lambda: self.copy(mount) == newest, "the replica has it", 4)


APACHE = """ServerName localhost
PidFile {folder}/apache.pid
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
DocumentRoot {root}
ErrorLog {folder}/apache.log
"""
LIGHTTPD = """server.document-root = "{root}"
server.port = {port}
server.bind = "127.0.0.1"
server.modules = ()
server.stat-cache-engine = "disable"  # It keeps what stat(2) said for a second or two.
mimetype.assign = ("" => "text/plain")
"""


class PlainServersTest(FreshnessTest):
    """Servers without a word about logs in their configuration, over a mount."""

    def serve(self, template, command, root):
        port = web_servers.free_port()
        self.write("config", template.format(
            folder=self.folder, port=port, root=root, modules="/usr/lib/apache2/modules"))
        self.start([*command, self.path("config")], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
        url = "http://127.0.0.1:%d/checkpoint" % port

        def get(**headers):
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            try:
                with urllib.request.urlopen(urllib.request.Request(url, headers=names)) as answer:
                    return answer.read(), answer.headers
            except urllib.error.HTTPError as error:
                with error:
                    self.assertEqual(error.code, 304)
                    return None, error.headers
        harness.wait_for(lambda: self.answers(get), "the server answers")
        return get

    @staticmethod
    def answers(get):
        try:
            return get()
        except urllib.error.URLError:
            return None

    def check(self, template, command):
        mount = self.mount()
        mount.append(*(b"entry %d" % number for number in range(1000)))
        get = self.serve(template, command, self.mount(mount.store, "static").path)
        for number in range(100):
            note, headers = get()
            self.assertEqual(note, mount.read("checkpoint"))
            mount.append(b"more %d" % number)
            changed, _ = get(If_None_Match=headers["ETag"])
            self.assertEqual(changed, mount.read("checkpoint"))
        # Last-Modified has whole seconds: in the end it tells, too.
        note, headers = get()
        mount.append(b"last")
        newest = mount.read("checkpoint")
        harness.wait_for(lambda: get(If_Modified_Since=headers["Last-Modified"])[0] == newest,
                         "the change is told", 4)

    @harness.unittest.skipUnless(shutil.which("apache2", path=web_servers.SEARCH), "no apache2")
    def test_apache(self):
        self.check(APACHE, [shutil.which("apache2", path=web_servers.SEARCH), "-X", "-d",
                            self.folder, "-f"])

    @harness.unittest.skipUnless(shutil.which("lighttpd", path=web_servers.SEARCH), "no lighttpd")
    def test_lighttpd(self):
        self.check(LIGHTTPD, [shutil.which("lighttpd", path=web_servers.SEARCH), "-D", "-f"])


if __name__ == "__main__":
    harness.main()
