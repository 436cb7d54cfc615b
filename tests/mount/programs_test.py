#!/usr/bin/env python3
"""Programs that write files, with `add` as the file: each entry once, and exit status 0; or they
fail and have added nothing."""

import logging
import logging.handlers
import os
import shutil

import harness

# Writes lines 0 to 9 in all ways that a program of the language has; "from" has two lines.
PERL = r"""
use strict; use warnings; use Fcntl qw(:flock :seek); use File::Copy; use IO::File;
my $add = shift;
open(my $f, "+<", $add) or die $!; seek($f, 0, SEEK_END) or die $!; print $f "0\n" or die $!;
defined(tell $f) && close($f) or die $!;
open($f, ">>", $add) or die $!; flock($f, LOCK_EX) or die $!; seek($f, 0, SEEK_END) or die $!;
print $f "1\n"; truncate($f, 0) or die $!; flock($f, LOCK_UN) or die $!; close($f) or die $!;
open($f, "+>", $add) or die $!; print $f "2\n"; seek($f, 0, 0) or die $!;
<$f> =~ /^2 / or die "no receipt"; close($f) or die $!;
open($f, "+>>", $add) or die $!; syswrite($f, "3\n") or die $!; close($f) or die $!;
my $io = IO::File->new($add, O_WRONLY | O_CREAT | O_APPEND) or die $!; $io->autoflush(1);
print $io "4\n"; $io->sync or die $!; $io->close or die $!;
copy("from", $add) or die $!; chmod(0644, $add) or die $!; utime(1, 1, $add) or die $!;
open($f, ">:encoding(UTF-8)", $add) or die $!; print $f "7\n8\n9\n"; close($f) or die $!;
"""
TCL = r"""
set add [lindex $argv 0]
foreach {mode line} {a 0 a+ 1 r+ 2 w 3 w+ 4} {
  set f [open $add $mode]; seek $f 0 end; puts $f $line; flush $f; tell $f; close $f
}
file attributes $add -permissions 0644; file mtime $add 1
set f [open $add {WRONLY APPEND}]; set from [open from]; fcopy $from $f; close $f
set f [open $add r+]; chan truncate $f 0; puts $f 7; close $f
set f [open $add a]; fconfigure $f -buffering line; puts $f 8; puts $f 9; close $f
"""
RUBY = r"""
require "fileutils"; require "logger"; require "stringio"
add = ARGV[0]
File.open(add, "a") { |f| f.puts 0; f.tell; f.flock(File::LOCK_EX) }
File.open(add, "r+") { |f| f.seek(0, IO::SEEK_END); f.puts 1; f.flush; f.pos }
File.write(add, "2\n", 100); File.write(add, "3\n", mode: "a")
File.open(add, "w") { |f| f.pwrite("4\n", 1 << 30); f.truncate(0); f.fsync }
FileUtils.cp("from", add, preserve: true)
logger = Logger.new(add, 3, 1 << 20); logger.formatter = proc { |_, _, _, m| "#{m}\n" }
logger.info(7); logger.info(8); logger.close
IO.copy_stream(StringIO.new("9\n"), add)
"""
PHP = r"""
<?php
function must($done) { if ($done === false) exit(1); return $done; }
set_error_handler(function ($n, $message) { echo $message; exit(1); });
$add = $argv[1];
must(file_put_contents($add, "0\n", FILE_APPEND | LOCK_EX));
must(file_put_contents($add, "1\n", LOCK_EX));
$f = must(fopen($add, "c+")); must(flock($f, LOCK_EX)); must(ftruncate($f, 0)); must(rewind($f));
must(fwrite($f, "2\n")); must(fflush($f)); must(fclose($f));
$f = new SplFileObject($add, "a+"); $f->fwrite("3\n"); $f->ftell();
must(error_log("4\n", 3, $add));
must(copy("from", $add)); must(touch($add, 1)); must(chmod($add, 0644));
$f = must(fopen($add, "r+")); must(fseek($f, 0, SEEK_END) === 0); must(fwrite($f, "7\n8\n"));
must(fclose($f));
must(file_put_contents($add, "9\n"));
"""
LUA = r"""
local number = 0
for _, mode in ipairs{"a", "a+", "r+", "w", "w+"} do
  for _, way in ipairs{"full", "line"} do
    local f = assert(io.open(arg[1], mode)); assert(f:setvbuf(way)); assert(f:seek("end"))
    assert(f:write(number, "\n")); assert(f:seek("cur")); assert(f:close()); number = number + 1
  end
end
"""
NODE = r"""
const fs = require("fs"), add = process.argv[2];
const fd = fs.openSync(add, "r+");
fs.writeSync(fd, "0\n", 0); fs.writeSync(fd, "1\n", 1000); fs.ftruncateSync(fd, 2);
fs.futimesSync(fd, 1, 1); fs.fchmodSync(fd, 0o644); fs.closeSync(fd);
fs.appendFileSync(add, "2\n"); fs.writeFileSync(add, "3\n", {flag: "r+"});
fs.appendFileSync(add, "4\n", {flush: true}); fs.copyFileSync("from", add);
const stream = (options, text) => new Promise((done, failed) => {
  const out = fs.createWriteStream(add, options);
  out.on("error", failed); out.on("close", done); out.end(text);
});
(async () => {
  await stream({flags: "r+", start: 4096}, "7\n");
  await stream({flags: "a"}, "8\n");
  await fs.promises.writeFile(add, "9\n");
})();
"""
GO = r"""
package main

import ("io"; "log"; "os"; "syscall"; "time")

func check(err error) { if err != nil { log.Fatal(err) } }
func main() {
	add := os.Args[1]
	f, err := os.OpenFile(add, os.O_RDWR|os.O_CREATE, 0o644); check(err)
	_, err = f.WriteAt([]byte("0\n"), 1000); check(err)
	_, err = f.Seek(0, io.SeekEnd); check(err)
	_, err = f.WriteString("1\n"); check(err)
	check(f.Truncate(3)); check(f.Chmod(0o600)); check(f.Sync()); check(f.Close())
	check(os.Chtimes(add, time.Unix(1, 0), time.Unix(1, 0)))
	a, err := os.OpenFile(add, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644); check(err)
	check(syscall.Flock(int(a.Fd()), syscall.LOCK_EX))
	log.New(a, "", 0).Print("2\n3\n4")
	_, err = a.Seek(0, io.SeekCurrent); check(err)
	from, err := os.Open("from"); check(err)
	_, err = io.Copy(a, from); check(err); check(a.Close())
	check(os.WriteFile(add, []byte("7\n8\n9\n"), 0o644))
}
"""
JAVA = r"""
import java.io.*; import java.nio.*; import java.nio.channels.*; import java.nio.file.*;
import static java.nio.file.StandardOpenOption.*;
public class Writes {
  static ByteBuffer line(int number) { return ByteBuffer.wrap((number + "\n").getBytes()); }
  public static void main(String[] args) throws Exception {
    var add = Path.of(args[0]); var from = Path.of("from");
    try (var file = new RandomAccessFile(args[0], "rw")) {
      file.seek(file.length()); file.writeBytes("0\n"); file.setLength(0); file.getFD().sync();
    }
    try (var channel = FileChannel.open(add, WRITE, CREATE)) {
      channel.position(channel.size()); channel.write(line(1)); channel.write(line(2), 12345);
      try (var lock = channel.tryLock()) { channel.write(line(3)); }
      channel.truncate(0); channel.force(true);
    }
    try (var channel = AsynchronousFileChannel.open(add, WRITE)) {
      channel.write(line(4), 1 << 20).get();
    }
    try (var channel = FileChannel.open(add, WRITE); var in = FileChannel.open(from, READ)) {
      channel.transferFrom(in, channel.size(), in.size());
    }
    try (var writer = new FileWriter(args[0], true)) { writer.write("7\n"); }
    Files.writeString(add, "8\n", APPEND);
    try (var out = new PrintWriter(new FileOutputStream(args[0]))) { out.println("9"); }
  }
}
"""
LOG4J = r"""
import org.apache.logging.log4j.*;
public class Logs {
  public static void main(String[] args) {
    for (int i = 0; i < 10; i++) LogManager.getLogger("test").info(i);
    LogManager.shutdown();
  }
}
"""
# One file has one appender: three that write the same have three names for it.
LOG4J_CONFIG = """<Configuration status="warn"><Appenders>
<File name="1" fileName="{0}/add" locking="true"><PatternLayout pattern="%m%n"/></File>
<RandomAccessFile name="2" fileName="{0}/./add"><PatternLayout pattern="%m%n"/></RandomAccessFile>
<RollingRandomAccessFile name="3" fileName="{0}/././add" filePattern="{0}.%i">
<PatternLayout pattern="%m%n"/><SizeBasedTriggeringPolicy size="1 GB"/></RollingRandomAccessFile>
</Appenders><Loggers><Root level="info"><AppenderRef ref="1"/><AppenderRef ref="2"/>
<AppenderRef ref="3"/></Root></Loggers></Configuration>"""
LOGBACK = r"""
public class Logs {
  public static void main(String[] args) {
    var logger = org.slf4j.LoggerFactory.getLogger("test");
    for (int i = 0; i < 10; i++) logger.info("" + i);
    ((ch.qos.logback.classic.LoggerContext) org.slf4j.LoggerFactory.getILoggerFactory()).stop();
  }
}
"""
LOGBACK_CONFIG = """<configuration><appender name="add" class="ch.qos.logback.core.FileAppender">
<file>%s</file><prudent>true</prudent><encoder><pattern>%%m%%n</pattern></encoder></appender>
<root><appender-ref ref="add"/></root></configuration>"""


class ProgramsTest(harness.MountTest):
    def setUp(self):
        super().setUp()
        self.log = self.mount()
        self.add = self.log / "add"
        self.length = 0
        self.put("from", "5\n6\n")

    def put(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def run_here(self, command, seconds=60):
        """A program, or a script with $ADD, in the test's folder."""
        words = ["bash", "-c", command] if isinstance(command, str) else command
        return harness.run(["env", "-C", self.folder, "ADD=" + self.add, *words], seconds)

    def added(self):
        """The lines that came since the last time."""
        text = self.log.read("log")[self.length:].decode()
        self.length += len(text)
        return text.splitlines()

    def appends(self, command, *entries):
        done = self.run_here(command)
        self.assertEqual((done.code, self.added()), (0, list(entries)), (command, done))

    def appends_ten(self, command):
        self.appends(command, *map(str, range(10)))


class ToolsTest(ProgramsTest):
    COMMANDS = """cp from $ADD; cp -p from $ADD; cp -a from $ADD; cp -f from $ADD; cp -u from $ADD
        cp --preserve=all from $ADD; cp --sparse=always from $ADD; cp --reflink=auto from $ADD
        cat from > $ADD; cat from >> $ADD; cat from 1<> $ADD; tee $ADD < from; tee -a $ADD < from
        dd if=from of=$ADD; dd if=from of=$ADD oflag=append conv=notrunc
        dd if=from of=$ADD seek=5 conv=notrunc; dd if=from of=$ADD bs=1 seek=7 conv=fsync
        dd if=from of=$ADD oflag=dsync; dd if=from of=$ADD oflag=direct
        rsync -a --inplace from $ADD; rsync --append from $ADD; rsync --append-verify from $ADD
        rsync -aAX --inplace from $ADD; rsync -a --inplace --no-whole-file from $ADD
        rsync -a --inplace --preallocate from $ADD; rsync -aS --inplace from $ADD
        awk '{ print >> ENVIRON["ADD"] }' from; sed -n "w $ADD" from; sort -o $ADD from
        uniq from $ADD; split -l 1 --filter='cat >> $ADD' from; curl -s -o $ADD file://$PWD/from
        curl -s -C - -o $ADD file://$PWD/from; tar -c from | tar -xO > $ADD
        printf 'all:\\n\\t@cat from >> $$ADD' | make -s -f -"""

    def test_what_copies_and_appends(self):
        self.need("rsync", "curl")
        for command in self.commands(self.COMMANDS):
            self.appends("set -e -o pipefail; " + command, "5", "6")

    def commands(self, text):
        return [command.strip() for line in text.splitlines() for command in line.split("; ")]

    def test_a_source_with_attributes_and_an_access_list(self):
        """What cannot be kept is no failure: the bytes are in, and would be sent again."""
        self.need("setfattr", "setfacl", "rsync")
        if self.run_here("setfattr -n user.x -v 1 from && setfacl -m u:1:r from").code != 0:
            self.skipTest("no attributes in " + self.folder)
        for command in ("cp -p", "cp -a", "cp --preserve=all", "cp --preserve=xattr",
                        "rsync -aAX --inplace", "rsync -aXX --inplace"):
            self.appends(command + " from $ADD", "5", "6")
        shutil.copy2(self.path("from"), self.add)
        self.assertEqual(self.added(), ["5", "6"])

    def test_what_changes_nothing(self):
        self.need("setfacl", "setfattr")
        for command in self.commands("""truncate -s 0 $ADD; truncate -s 1M $ADD; : > $ADD
                touch $ADD; touch -d 2001-01-01 $ADD; chmod 777 $ADD; chown 1:1 $ADD
                fallocate -l 1M $ADD; flock $ADD true; setfattr -n user.x -v 1 $ADD
                setfacl -m u:1:rw $ADD; setfacl -b $ADD; cp -n from $ADD; sync $ADD"""):
            self.appends(command)

    def test_what_replaces_the_file_fails_and_adds_nothing(self):
        self.need("rsync")
        for command in self.commands("""install from $ADD; mv from $ADD; ln -f from $ADD
                cp --remove-destination from $ADD; cp --backup from $ADD; rsync -a from $ADD
                sed -i s/x/y/ $ADD; set -C && echo > $ADD; rm -f $ADD; mv $ADD $ADD.1; ln $ADD other
                tar -c --transform=s/from/add/ from | tar -x -C $(dirname $ADD)"""):
            done = self.run_here(command)
            self.assertNotEqual(done.code, 0, command)
            self.assertEqual(self.added(), [], command)
        self.assertTrue(os.path.exists(self.path("from")))

    def test_editors(self):
        self.need("vim", "ed", installed=False)
        self.appends(r"printf 'a\nx\n.\nw %s\nW %s\nq\n' $ADD $ADD | ed -s", "x", "x")
        self.appends("vim -es -u NONE -c 'e from' -c 'w! %s' -c 'w >> %s' -c q" % (
            self.add, self.add), "5", "6", "5", "6")
        self.appends("vim -es -u NONE -c 'e %s' -c 's/^/x/' -c 'wq!'" % self.add, "x")


class PythonTest(ProgramsTest):
    def test_every_mode(self):
        for mode in ("r+", "w", "w+", "a", "a+"):
            with open(self.add, mode, encoding="utf-8") as file:
                print("text", file=file)
                file.seek(0, os.SEEK_END)
                file.tell()
                print("more", file=file)
            with open(self.add, mode + "b", buffering=0) as file:
                self.assertTrue(file.seekable())
                file.write(b"bytes\n")
                file.truncate()
            self.assertEqual(self.added(), ["text", "more", "bytes"], mode)
        for mode in ("x", "xb", "x+"):
            with self.assertRaises(FileExistsError):
                open(self.add, mode)

    def test_shutil(self):
        for copy in (shutil.copy, shutil.copy2, shutil.copyfile):
            copy(self.path("from"), self.add)
            self.assertEqual(self.added(), ["5", "6"])
        with self.assertRaises(OSError):
            shutil.move(self.path("from"), self.log.path)
        self.assertEqual(self.added(), [])

    def test_logging(self):
        """A rotating handler finds the file empty each time, and does not rotate."""
        handlers = logging.handlers
        for make, options in ((logging.FileHandler, {}), (logging.FileHandler, {"mode": "w"}),
                              (logging.FileHandler, {"delay": True}),
                              (handlers.RotatingFileHandler, {"maxBytes": 100, "backupCount": 2}),
                              (handlers.WatchedFileHandler, {}),
                              (handlers.TimedRotatingFileHandler, {"when": "midnight"})):
            logger = logging.Logger("test")
            logger.addHandler(make(self.add, encoding="utf-8", **options))
            for number in range(30):
                logger.warning("message %d", number)
            logger.handlers[0].close()
            self.assertEqual(self.added(), ["message %d" % number for number in range(30)], make)


class LanguagesTest(ProgramsTest):
    """Each appends 0 to 9 in all of its ways; what fails ends the program."""

    def writes(self, source, name, *command):
        self.appends_ten([*command, self.put(name, source.lstrip()), self.add])

    def test_perl(self):
        self.writes(PERL, "writes.pl", self.need("perl"))

    def test_tcl(self):
        self.writes(TCL, "writes.tcl", self.need("tclsh"))

    def test_ruby(self):
        self.writes(RUBY, "writes.rb", self.need("ruby"))

    def test_php(self):
        self.writes(PHP, "writes.php", self.need("php"))

    def test_lua(self):
        self.writes(LUA, "writes.lua", self.need("lua5.4"))

    def test_node(self):
        self.writes(NODE, "writes.js", self.need("node", installed=False))

    def test_go(self):
        source = self.put("writes.go", GO.lstrip())
        self.appends_ten(["env", "GOFLAGS=-mod=mod", "GOPROXY=off", self.need("go"), "run", source,
                          self.add])

    def test_java(self):
        self.writes(JAVA, "Writes.java", self.need("java", installed=False))


class JavaLoggersTest(ProgramsTest):
    JARS = "/usr/share/java/"

    def logs(self, times, source, jars, *options):
        java = self.need("java", installed=False)
        jars = [self.JARS + jar for jar in jars]
        self.need(*jars)
        self.appends([java, "-cp", ":".join(jars), *options, self.put("Logs.java", source)],
                     *(str(number) for number in range(10) for _ in range(times)))

    def test_log4j(self):
        config = self.put("log4j2.xml", LOG4J_CONFIG.format(self.log.path))
        self.logs(3, LOG4J, ["log4j-api.jar", "log4j-core.jar"],
                  "-Dlog4j2.configurationFile=" + config)

    def test_logback(self):
        """In its prudent mode it takes a lock and goes to the end of the file, each time."""
        config = self.put("logback.xml", LOGBACK_CONFIG % self.add)
        self.logs(1, LOGBACK, ["logback-classic.jar", "logback-core.jar", "slf4j-api.jar"],
                  "-Dlogback.configurationFile=" + config)


if __name__ == "__main__":
    harness.main()
