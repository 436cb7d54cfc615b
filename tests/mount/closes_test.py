#!/usr/bin/env python3
"""Whose close it is: programs of every kind that write a line in two parts, with children, threads
and other processes that hold the same open file and close it in between."""

import errno
import os
import socket
import subprocess
import sys
import threading
import time

import harness

LINES = 40
END = b"the end"

# Appends LINES lines, each in two writes, and END without a newline: `lines PATH HOW BETWEEN`.
#   HOW      it is opened: by `main`, or by a `thread` that ends at once; `+cloexec`: with O_CLOEXEC
#   BETWEEN  what happens between the two writes of each line
PROGRAM = r"""
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;
static int fd = -1, flags = O_WRONLY | O_APPEND;

static void* open_it(void* path) { fd = open(path, flags); return NULL; }
static void* run(void* words) { return system(words) == 0 ? NULL : words; }
static void* copy(void* unused) { return close(dup(fd)) == 0 ? NULL : &fd; }

static int in_threads(void* (*body)(void*), void* argument) {
  pthread_t threads[3];
  for (int i = 0; i < 3; ++i) pthread_create(&threads[i], NULL, body, argument);
  int failed = 0;
  for (int i = 0; i < 3; ++i) {
    void* result = NULL;
    pthread_join(threads[i], &result);
    failed |= result != NULL;
  }
  return failed;
}

static int waited(pid_t child) {
  int status = 1;
  return child < 0 || waitpid(child, &status, 0) != child || status != 0;
}

static int between(const char* what) {
  char* const words[] = {"true", NULL};
  pid_t child = 0;
  if (!strcmp(what, "system")) return run("true") != NULL;
  if (!strcmp(what, "threads")) return in_threads(run, "true");
  if (!strcmp(what, "copies")) return in_threads(copy, NULL) || copy(NULL) != NULL;
  if (!strcmp(what, "spawn")) {
    return posix_spawn(&child, "/bin/true", NULL, NULL, words, environ) || waited(child);
  }
  if (!strcmp(what, "vfork")) {
    if ((child = vfork()) == 0) { execv("/bin/true", words); _exit(1); }
    return waited(child);
  }
  if (!strcmp(what, "fork")) {
    if ((child = fork()) == 0) _exit(close(fd) != 0);
    return waited(child);
  }
  return 1;
}

int main(int count, char** words) {
  if (count != 4) return 2;
  if (strstr(words[2], "cloexec")) flags |= O_CLOEXEC;
  pthread_t opener;
  if (!strncmp(words[2], "thread", 6)) {
    if (pthread_create(&opener, NULL, open_it, words[1]) || pthread_join(opener, NULL)) return 3;
  } else {
    open_it(words[1]);
  }
  if (fd < 0) return 4;
  for (int i = 0; i < LINES; ++i) {
    if (dprintf(fd, "line %d, ", i) < 0 || between(words[3])) return 5;
    if (dprintf(fd, "whole\n") < 0) return 6;
  }
  if (dprintf(fd, "the end") < 0 || close(fd)) return 7;
  return 0;
}
"""

# The same, with the opening, the writes and the closes all made by the kernel's workers.
RING_PROGRAM = r"""
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct io_uring ring;

static int done(struct io_uring_sqe* sqe) {
  struct io_uring_cqe* cqe;
  io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
  if (io_uring_submit(&ring) != 1 || io_uring_wait_cqe(&ring, &cqe)) exit(3);
  const int result = cqe->res;
  io_uring_cqe_seen(&ring, cqe);
  return result;
}
static int put(int fd, const char* text) {
  struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  io_uring_prep_write(sqe, fd, text, strlen(text), -1);
  return done(sqe) != (int)strlen(text);
}
static int end(int fd) {
  struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  io_uring_prep_close(sqe, fd);
  return done(sqe);
}

int main(int count, char** words) {
  if (count != 2 || io_uring_queue_init(4, &ring, 0)) return 2;
  struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  io_uring_prep_openat(sqe, AT_FDCWD, words[1], O_WRONLY | O_APPEND, 0);
  const int fd = done(sqe);
  if (fd < 0) return 4;
  for (int i = 0; i < LINES; ++i) {
    char text[40];
    snprintf(text, sizeof text, "line %d, ", i);
    if (put(fd, text) || system("true") || end(dup(fd)) || put(fd, "whole\n")) return 5;
  }
  return put(fd, "the end") || end(fd) ? 6 : 0;
}
"""

# Is given an open `add` over the socket that is its standard input, and writes to it as above.
RECEIVE = """
import os, socket, sys
peer = socket.socket(fileno=0)
fd = socket.recv_fds(peer, 1, 1)[1][0]
for number in range(int(sys.argv[1])):
    os.write(fd, b'line %d, ' % number)
    os.system('true')
    os.close(os.dup(fd))
    os.write(fd, b'whole\\n')
os.write(fd, b'the end')
os.close(fd)
"""

# Opens it, hands it on, and ends or stays.
HAND_ON = """
import os, socket, sys, time
fd = os.open(sys.argv[1], os.O_WRONLY)
socket.send_fds(socket.socket(fileno=0), [b'x'], [fd])
if sys.argv[2] == 'stays':
    print('sent', flush=True)
    time.sleep(100)
"""


class ClosesTest(harness.MountTest):
    SECONDS = 120

    def compiled(self, name, source, *libraries):
        path = self.path(name)
        done = harness.run(["cc", "-x", "c", "-D_GNU_SOURCE", "-DLINES=%d" % LINES, "-pthread",
                            "-o", path, "-", *libraries], stdin=source.encode())
        self.assertEqual(done.code, 0, done)
        return path

    def entries_of(self, path):
        with open(os.path.join(path, "log"), "rb") as file:
            return file.read().splitlines()

    def assert_whole(self, path, *command):
        """The program adds its lines, each once and whole, and its end."""
        before = len(self.entries_of(path))
        done = harness.run([str(word) for word in command])
        self.assertEqual(done.code, 0, (command, done))
        self.assert_added(path, before, command)

    def assert_added(self, path, before, what=None):
        # The last close commits the end where it cannot be told who closes: then nobody waits.
        harness.wait_for(lambda: len(self.entries_of(path)) > before + LINES, "the end is there")
        self.assertEqual(self.entries_of(path)[before:],
                         [b"line %d, whole" % i for i in range(LINES)] + [END], what)

    def end_of(self, path):
        return self.entries_of(path)[-1]


class SameNamespaceTest(ClosesTest):
    def setUp(self):
        super().setUp()
        self.log = self.mount()
        self.add = self.log / "add"

    def test_children_threads_and_copies(self):
        """The close of the process that opened the file commits the end, and waits for it."""
        program = self.compiled("lines", PROGRAM)
        for opener in ("main", "thread", "main+cloexec", "thread+cloexec"):
            for between in ("system", "threads", "copies", "spawn", "vfork", "fork"):
                before = len(self.log.entries())
                done = harness.run([program, self.add, opener, between])
                self.assertEqual(done.code, 0, (opener, between, done))
                self.assertEqual(self.log.entries()[before:],
                                 [b"line %d, whole" % i for i in range(LINES)] + [END],
                                 (opener, between))

    def test_a_ring_that_writes_and_closes(self):
        """With io_uring it is a worker of the kernel that opens, writes and closes."""
        self.assert_whole(self.log.path, self.compiled("ring", RING_PROGRAM, "-luring"), self.add)

    def test_a_descriptor_that_is_handed_on(self):
        """To a process that is no relative of the opener, which ends before, or after all."""
        for opener in ("ends", "stays"):
            before = len(self.log.entries())
            ours, theirs = socket.socketpair()
            sender = self.start([sys.executable, "-c", HAND_ON, self.add, opener], stdin=theirs,
                                stdout=subprocess.PIPE)
            theirs.close()
            if opener == "ends":
                self.assertEqual(sender.wait(10), 0)
            else:
                self.assertEqual(sender.stdout.readline(), b"sent\n")
            with ours:
                done = harness.run(["true"])  # Its close would come from a child of ours, too.
                self.assertEqual(done.code, 0)
                receiver = self.start([sys.executable, "-c", RECEIVE, str(LINES)], stdin=ours)
            self.assertEqual(receiver.wait(30), 0)
            sender.kill()
            sender.wait(10)
            self.assert_added(self.log.path, before, opener)

    def test_a_shell_that_writes_to_a_descriptor_it_keeps(self):
        done = harness.run("exec 3>> '%s'; for i in 1 2 3; do printf 'a ' >&3; printf 'b\\n' >&3;"
                           "date +%%n >&3 3>&-; done; printf end >&3; exec 3>&-; tail -n 1 '%s'"
                           % (self.add, self.log / "log"))
        self.assertEqual(done.out, b"end\n", done)
        self.assertEqual([entry for entry in self.log.entries() if entry.strip()],
                         [b"a b"] * 3 + [b"end"])

    def test_the_openers_close_has_committed_when_it_returns(self):
        for number in range(20):
            done = harness.run("printf %d >> '%s'; tail -n 1 '%s'"
                               % (number, self.add, self.log / "log"))
            self.assertEqual(done.out, b"%d\n" % number)
            done = harness.run("{ printf a; printf %d | cat; } >> '%s'; tail -n 1 '%s'"
                               % (number, self.add, self.log / "log"))
            self.assertEqual(done.out, b"a%d\n" % number)

    def test_a_close_by_another_process_waits_for_nothing(self):
        """Not even for a commit that hangs: only the one who opened the file has to."""
        with open(self.add, "ab", buffering=0) as file:
            file.write(b"before\n")
            with self.locked_commits(self.log.store):
                waiting = threading.Thread(target=file.write, args=(b"waits\n",))
                waiting.start()
                for _ in range(20):
                    self.assertEqual(subprocess.run(["true"], close_fds=False, timeout=5,
                                                    stdout=file, check=False).returncode, 0)
                self.assertTrue(waiting.is_alive())
            waiting.join(20)
        self.assertEqual(self.log.entries(), [b"before", b"waits"])

    def test_a_child_that_goes_on_when_the_opener_has_closed(self):
        """The opener's close does not cut the line that the child is writing."""
        script = "printf 'line, '; read -r _; echo whole; printf end"
        for _ in range(5):
            with open(self.add, "ab", buffering=0) as file:
                child = self.start(["bash", "-c", script], stdin=subprocess.PIPE, stdout=file)
                time.sleep(0.3)
            child.communicate(b"\n", timeout=20)
            harness.wait_for(lambda: self.end_of(self.log.path) == END[4:], "the end is there")
            self.log.append(b"next")
        self.assertEqual(self.log.entries(), [b"line, whole", END[4:], b"next"] * 5)

    def test_a_child_that_has_ended_before_the_opener_closes(self):
        """It has written, and is not waited for: it cannot go on."""
        for number in range(20):
            with open(self.add, "ab", buffering=0) as file:
                child = self.start(["printf", "%d", str(number)], stdout=file)
                harness.wait_for(lambda: harness.state_of(child.pid) == "Z", "it has ended")
            self.assertEqual(self.end_of(self.log.path), b"%d" % number)

    def assert_closes_commit(self, count=100):
        for number in range(count):
            before = self.log.checkpoint().size
            descriptor = os.open(self.add, os.O_WRONLY)
            os.write(descriptor, b"%d" % number)
            os.close(descriptor)
            self.assertEqual(self.log.checkpoint().size, before + 1)
            self.assertEqual(self.end_of(self.log.path), b"%d" % number)

    def test_other_openings_of_the_opener_are_no_copies(self):
        """Of the same file; and of another log's, which has other numbers."""
        other = self.mount(self.init("other"))
        others = [os.open(log / name, os.O_WRONLY)
                  for log in (self.log, other) for name in ("add", "add.bundle")]
        self.assert_closes_commit()
        # Its order among those of another opening is that of the calls.
        for number in range(50):
            with open(self.add, "ab", buffering=0) as file:
                file.write(b"first %d" % number)
            os.write(others[0], b"second %d\n" % number)
        os.fsync(others[0])
        self.assertEqual(self.log.entries()[100:], [b"%s %d" % (word, number)
                         for number in range(50) for word in (b"first", b"second")])
        # Half a frame is an error, and copies are still told.
        descriptor = os.open(self.log / "add.bundle", os.O_WRONLY)
        os.write(descriptor, b"\0\5half")
        self.assert_errno(errno.EINVAL, os.close, descriptor)
        descriptor = os.open(self.add, os.O_WRONLY)
        os.write(descriptor, b"a ")
        os.close(os.dup(descriptor))
        os.write(descriptor, b"b\nc")
        os.close(descriptor)
        self.assertEqual(self.log.entries()[200:], [b"a b", b"c"])
        # An opening that was copied may be either: then the last close ends the line.
        os.close(os.dup(others[0]))
        with open(self.add, "ab", buffering=0) as file:
            file.write(b"last")
        harness.wait_for(lambda: self.end_of(self.log.path) == b"last", "the last close ends it")
        for descriptor in others:
            os.close(descriptor)

    def test_a_writer_that_is_killed_in_a_commit_that_hangs(self):
        """The whole line is on its way, and the half one is dropped."""
        script = "import os, sys; os.write(os.open(sys.argv[1], os.O_WRONLY), b'whole\\nhalf')"
        with self.locked_commits(self.log.store):
            writer = self.start([sys.executable, "-c", script, self.add])
            time.sleep(1)
            self.assertIsNone(writer.poll())
            writer.kill()
            writer.wait(5)
        self.log.append(b"next")
        self.assertEqual(self.log.entries(), [b"whole", b"next"])

    def test_a_killed_writers_half_line_is_dropped_and_no_other(self):
        """A child's, and one's own; not what a killed child found when it came."""
        for script in ("printf 'half of a killed one'; kill -9 $$",
                       "bash -c 'printf half; kill -9 $$'; kill -9 $$"):
            harness.run(["bash", "-c", "exec >> '%s'; %s" % (self.add, script)])
        harness.run("{ printf kept; bash -c 'kill -9 $$'; } >> '%s'" % self.add)
        self.log.append(b"last")
        self.assertEqual(self.log.entries(), [b"kept", b"last"])


class ContainerTest(ClosesTest):
    """The daemon has a pid namespace of its own, as in a container, and the writers are outside."""

    def contained(self, *proc):
        store, point = self.init(), self.path("point")
        os.mkdir(point)
        for words in (["--bind", point, point], ["--make-shared", point]):
            self.assertEqual(harness.run(["mount", *words]).code, 0)
        self.start(["unshare", "-p", "-f", "-m", "--propagation", "unchanged", *proc,
                    harness.PROGRAM, "mount", store, point, "-f"])
        harness.wait_for(lambda: os.path.exists(os.path.join(point, "log")), "it is mounted here")
        return point

    def test_writers_outside(self):
        """With a /proc of its own, and with one that shows other processes under the same ids."""
        program = self.compiled("lines", PROGRAM)
        path = self.contained("--mount-proc")
        add = os.path.join(path, "add")
        for opener, between in (("main", "system"), ("thread", "spawn"), ("main", "copies")):
            self.assert_whole(path, program, add, opener, between)
        # What a killed writer left cannot be told from what another one will go on with.
        before = len(self.entries_of(path))
        harness.run("bash -c 'printf \"half of a killed writer\"; kill -9 $$' >> '%s'" % add)
        harness.wait_for(lambda: len(self.entries_of(path)) > before, "the last close ends it")
        self.assertEqual(self.end_of(path), b"half of a killed writer")
        self.assertEqual(harness.run(["umount", path]).code, 0)

    def test_writers_outside_can_be_killed_while_a_commit_hangs(self):
        """All whose line can still be taken back, and without a trace; the first one waits."""
        path = self.contained("--mount-proc")
        add = os.path.join(path, "add")
        with self.locked_commits(self.path("store")):
            writers = []
            for number in range(5):
                writers.append(self.start(["bash", "-c", "echo %d >> '%s'" % (number, add)]))
                time.sleep(0.5)
            for writer in writers:
                self.assertIsNone(writer.poll())
                writer.kill()
            for writer in writers[1:]:
                writer.wait(5)
            self.assertIsNone(writers[0].poll())
        writers[0].wait(5)
        self.assertEqual(self.entries_of(path), [b"0"])
        self.assertEqual(harness.run(["umount", path]).code, 0)

    def test_a_proc_of_another_namespace_is_not_believed(self):
        program = self.compiled("lines", PROGRAM)
        path = self.contained()
        add = os.path.join(path, "add")
        self.assert_whole(path, program, add, "main", "system")
        # In the daemon's namespace, and one below it: known, but not with what /proc says.
        daemon = harness.daemons_below(self.folder)
        inner = ["nsenter", "-t", str(max(daemon)), "-p"]
        for opener in ("main", "thread"):
            self.assert_whole(path, *inner, program, add, opener, "system")
            self.assert_whole(path, *inner, "unshare", "-p", "-f", program, add, opener, "system")
        self.assertEqual(harness.run(["umount", path]).code, 0)


if __name__ == "__main__":
    harness.main()
