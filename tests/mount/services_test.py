#!/usr/bin/env python3
"""Daemons that log into `add`, servers that take uploads for it, and filesystems over the mount:
each line once, also when they open their log again, and what they send at offsets."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess

import harness
from web_servers import free_port

SFTP_SERVER = "/usr/lib/openssh/sftp-server"
APACHE_MODULES = "/usr/lib/apache2/modules"

SUPERVISORD = """[supervisord]
nodaemon=true
user=root
logfile={add}
pidfile={folder}/pid
[program:say]
command=/bin/sh -c 'echo child 0; echo child 1 >&2; sleep 0.1; echo child 2'
startsecs=0
autorestart=false
stdout_logfile={add}
redirect_stderr=true
"""
APACHE = """ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
ErrorLog {add}
CustomLog {add} "line=%r"
DocumentRoot {folder}
User nobody
Group nogroup
"""
NGINX = """user nobody nogroup; pid {folder}/pid; error_log {add} notice; daemon off;
worker_processes 2; events {{ }}
http {{ log_format line 'line=$request'; access_log {add} line; {paths}
server {{ listen 127.0.0.1:{port}; root {folder}; }} }}
"""
SAMBA = """[global]
server role = standalone server
interfaces = 127.0.0.1/8
bind interfaces only = yes
smb ports = {port}
map to guest = Bad User
guest account = nobody
disable spoolss = yes
load printers = no
disable netbios = yes
{folders}
[log]
path = {mount}
guest ok = yes
read only = no
"""
RSYNCD = """port = {port}
address = 127.0.0.1
use chroot = no
log file = {folder}/rsyncd.log
[log]
path = {mount}
read only = no
uid = root
gid = root
"""
LOGROTATE = """{add} {{
  copytruncate
  rotate 3
  olddir {folder}
}}
"""


class ServicesTest(harness.MountTest):
    MODE = "0622"

    def setUp(self):
        super().setUp()
        os.chmod(self.folder, 0o755)
        self.log = self.mount(options="allow_other,mode=" + self.MODE)
        self.add = self.log / "add"

    def put(self, name, text, **values):
        values.update(add=self.add, folder=self.folder, mount=self.log.path)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text.format(**values))
        os.chmod(self.path(name), 0o440)
        return self.path(name)

    def serve(self, *command):
        """A daemon in the foreground, whose complaints are kept."""
        with open(self.path("out"), "wb") as out:
            return self.start(list(command), cwd=self.folder, stdout=out, stderr=out)

    def said(self):
        with open(self.path("out"), "rb") as file:
            return file.read().decode(errors="replace")

    def lines(self, part=""):
        """What was logged and has this in it."""
        return [line for line in self.log.read("log").decode().splitlines() if part in line]

    def wait_for_lines(self, part, *lines):
        """Exactly these lines have this in them."""
        with contextlib.suppress(AssertionError):  # What is missing is told below.
            harness.wait_for(lambda: len(self.lines(part)) >= len(lines), "all lines")
        self.assertEqual(self.lines(part), list(lines), self.said())

    def ends(self, child, number=signal.SIGTERM):
        child.send_signal(number)
        self.assertEqual(child.wait(20), 0, self.said())

    def succeeds(self, command, cwd=None):
        done = harness.run(["env", "-C", cwd or self.folder, *command])
        self.assertEqual(done.code, 0, (command, done))
        return done.out.decode()


class DaemonsTest(ServicesTest):
    def test_supervisord_and_its_children(self):
        child = self.serve(self.need("supervisord"), "-c", self.put("conf", SUPERVISORD))
        self.wait_for_lines("child ", "child 0", "child 1", "child 2")
        harness.wait_for(lambda: self.lines("exited: say"), "the child has ended")
        child.send_signal(signal.SIGUSR2)  # opens its logs again
        harness.wait_for(lambda: self.lines("supervisord logreopen"), "it has")
        self.ends(child)
        for part in ("supervisord started", "spawned: 'say'", "exited: say", "logreopen",
                     "received SIGTERM"):
            self.assertEqual(len(self.lines(part)), 1, (part, self.lines()))

    def test_sudo(self):
        sudo = self.need("sudo")
        sudoers = self.put("sudoers", "Defaults logfile={add}, !syslog, loglinelen=0\n"
                           "root ALL=(ALL) NOPASSWD: ALL\n")
        script = 'mount --bind "$1" /etc/sudoers && for i in 0 1 2; do "$2" -n true $i; done'
        self.succeeds(["unshare", "-m", "sh", "-ec", script, "sh", sudoers, sudo])
        found = [line.partition("COMMAND=")[2].split() for line in self.lines()]
        self.assertEqual([words[1:] for words in found], [["0"], ["1"], ["2"]])

    def answered(self, port, numbers):
        for number in numbers:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/none/%d" % number)
            connection.getresponse().read()
            connection.close()

    def logs_requests(self, port, child):
        """Before and after its log was opened again."""
        def listens():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 10).close()
                return True
            return child.poll() is not None
        harness.wait_for(listens, "the server listens")
        self.answered(port, range(20))
        child.send_signal(signal.SIGUSR1)
        self.answered(port, range(20, 40))
        part = "line=GET /none/"
        harness.wait_for(lambda: len(self.lines(part)) >= 40, "all requests")
        requests = [part + "%d HTTP/1.1" % number for number in range(40)]
        self.assertEqual(sorted(self.lines(part)), sorted(requests), self.said())  # by threads
        self.ends(child)

    def test_nginx(self):
        nginx = self.need("nginx")
        port = free_port()
        paths = "".join("%s_temp_path %s/%s; " % (name, self.folder, name) for name in (
            "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = self.put("nginx.conf", NGINX, port=port, paths=paths)
        self.logs_requests(port, self.serve(nginx, "-e", self.add, "-c", config))
        self.assertEqual(self.lines("Permission denied"), [])

    def test_apache(self):
        apache = self.need("apache2")
        port = free_port()
        config = self.put("apache.conf", APACHE, port=port, modules=APACHE_MODULES)
        self.logs_requests(port, self.serve(apache, "-f", config, "-DFOREGROUND"))

    def test_dnsmasq(self):
        """It gives its log to the user that it becomes."""
        port = free_port()
        child = self.serve(self.need("dnsmasq"), "-k", "-C", "/dev/null", "-p", str(port), "-u",
                           "nobody", "--listen-address=127.0.0.1", "--bind-interfaces",
                           "--no-resolv", "--log-queries", "--log-facility=" + self.add,
                           "--pid-file=" + self.path("pid"), "--address=/test/127.0.0.3")
        harness.wait_for(lambda: self.lines("started"), "it has started")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            for number in range(10):
                name = b"n%d" % number
                question = b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"%c%s\4test\0" % (len(name), name)
                client.sendto(question + b"\0\1\0\1", ("127.0.0.1", port))
                client.recv(1000)
                if number == 4:
                    child.send_signal(signal.SIGUSR2)  # opens its log again
        harness.wait_for(lambda: self.lines("query[A] n9"), "all queries")
        found = [line.split()[-3] for line in self.lines("query[A]")]
        self.assertEqual(found, ["n%d.test" % number for number in range(10)])
        self.ends(child)

    def test_logrotate_copies_and_truncates(self):
        """It finds nothing to copy, and who has the file open goes on."""
        logrotate = self.need("logrotate")
        config = self.put("rotate", LOGROTATE)
        with open(self.add, "a", buffering=1, encoding="utf-8") as file:
            for number in range(3):
                print(number, file=file)
                self.succeeds([logrotate, "-f", "-s", self.path("state"), config])
        self.assertEqual(self.lines(), ["0", "1", "2"])
        self.assertEqual(os.path.getsize(self.path("add.1")), 0)


class UploadsTest(ServicesTest):
    MODE = "0666"  # Samba opens a file that is put there for reading, too.

    def setUp(self):
        super().setUp()
        self.numbers = [str(number) for number in range(300000)]
        self.big = self.put("big", "\n".join(self.numbers) + "\n")
        self.small = self.put("small", "one\ntwo\n")

    def test_sftp(self):
        self.need("sftp", SFTP_SERVER)
        commands = self.put("commands", "put {folder}/small {add}\nreput {folder}/small {add}\n"
                            "put -p {folder}/small {add}\nput -f {folder}/big {add}\n"
                            "chmod 600 {add}\n")
        self.succeeds(["sftp", "-q", "-b", commands, "-D", SFTP_SERVER])
        self.assertEqual(self.lines(), ["one", "two"] * 3 + self.numbers)

    def test_rsync_daemon(self):
        rsync = self.need("rsync")
        port = free_port()
        config = self.put("rsyncd.conf", RSYNCD, port=port)
        child = self.serve(rsync, "--daemon", "--no-detach", "--config=" + config)
        address = "rsync://127.0.0.1:%d/log/add" % port
        harness.wait_for(lambda: child.poll() is not None or harness.run(
            [rsync, address.removesuffix("/log/add")]).code == 0, "it answers")
        for how in (["-a", "--inplace"], ["--append"], ["--append-verify"]):
            self.succeeds([rsync, *how, self.small, address])
        self.assertEqual(self.lines(), ["one", "two"] * 3)

    def test_samba(self):
        smbd, smbclient = self.need("smbd", "smbclient")
        port = free_port()
        names = ("private dir", "lock directory", "state directory", "cache directory",
                 "pid directory", "ncalrpc dir")
        for name in names:
            os.mkdir(self.path(name))
            os.chmod(self.path(name), 0o755)
        folders = "\n".join("%s = %s" % (name, self.path(name)) for name in names)
        config = self.put("smb.conf", SAMBA, port=port, folders=folders)
        child = self.serve(smbd, "-F", "--no-process-group", "--debug-stdout", "-s", config)

        def client(commands):
            return harness.run(["env", "-C", self.folder, smbclient, "-s", config, "-N", "-p",
                                str(port), "//127.0.0.1/log", "-c", commands])
        harness.wait_for(lambda: client("ls").code == 0 or child.poll() is not None, "it answers")
        done = client("put small add; put small add; reput small add; put big add; get log got")
        self.assertEqual(done.code, 0, (done, self.said()))
        self.assertEqual(self.lines(), ["one", "two"] * 3 + self.numbers)
        with open(self.path("got"), "rb") as file:
            self.assertEqual(file.read(), self.log.read("log"))
        self.assertIn(b"NT_STATUS_", client("del add").out + client("mkdir new").out)


class StackedTest(ServicesTest):
    """A filesystem over the mount, that writes what it is given at the offsets that it is given."""

    def stack(self, *command):
        over = self.path("over")
        os.mkdir(over)
        child = self.serve(*command, self.log.path, over)
        harness.wait_for(lambda: harness.connection_of(over) or child.poll() is not None, "mounted")
        self.assertIsNone(child.poll(), self.said())
        return over

    def appends(self, *command):
        over = self.stack(*command)
        self.put("from", "one\ntwo\n")
        expected = []
        for script, *entries in (
                ("seq 3000 >> add", *map(str, range(1, 3001))), ("echo x > add", "x"),
                ("cp -p ../from add", "one", "two"), ("printf 'the tail' >> add", "the tail"),
                ("exec 5>> add; echo 1 >&5; echo 2 >&5", "1", "2"),
                ("dd if=../from of=add seek=9 conv=notrunc,fsync status=none", "one", "two"),
                ("chmod 600 add; touch add; truncate -s 0 add",)):
            self.succeeds(["bash", "-ec", script], cwd=over)
            expected += entries
            self.wait_for_lines("", *expected)  # Its close may not wait for ours.
        for name in ("tile/0/000", "tile/entries/009", "entries/7", "vkey"):
            with open(os.path.join(over, name), "rb") as file:
                self.assertEqual(file.read(), self.log.read(name), name)

    def test_bindfs(self):
        self.appends(self.need("bindfs"), "-f")

    def test_mergerfs(self):
        self.appends(self.need("mergerfs"), "-f")

    def test_overlayfs(self):
        """What is written goes to the upper layer; the log stays."""
        for name in ("over", "upper", "work"):
            os.mkdir(self.path(name))
        layers = ",".join("%sdir=%s" % (name, self.path(name)) for name in ("upper", "work"))
        done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=%s,%s" % (
            self.log.path, layers), self.path("over")], capture_output=True, check=False)
        if done.returncode != 0:
            self.skipTest("no overlayfs here")
        self.succeeds(["bash", "-ec", "echo x >> add; cmp vkey '%s'" % (self.log / "vkey")],
                      cwd=self.path("over"))
        self.assertEqual(self.lines(), [])


if __name__ == "__main__":
    harness.main()
