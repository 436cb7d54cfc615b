#!/usr/bin/env python3
"""Appending as people do it: shells, pipes, programs that cut lines, signals, and bad input."""

import errno
import itertools
import os
import random
import time

import harness
from reference_log import ReferenceLog, leaf_hash


class AppendTest(harness.MountTest):
    def setUp(self):
        super().setUp()
        self.log = self.mount()

    def shell(self, script, seconds=30):
        """Runs a bash script in the mount's folder."""
        done = harness.run("cd '%s' && %s" % (self.log.path, script), seconds)
        self.assertEqual(done.code, 0, done)
        return done.out

    def open_add(self):
        return open(self.log / "add", "r+b", buffering=0)

    def assert_entries(self, *entries):
        self.assertEqual(self.log.entries(), list(entries))


class ShellTest(AppendTest):
    def test_echo_appends_one_entry(self):
        self.shell("echo 'x  y' >> add")
        self.assert_entries(b"x  y")

    def test_truncation_is_taken_as_appending(self):
        self.shell("echo a > add; echo b > add; : > add; truncate -s 0 add")
        self.assert_entries(b"a", b"b")

    def test_a_line_in_parts_from_several_processes_is_one_entry(self):
        """The children close the descriptor too; only its opener's close ends an entry."""
        self.shell("{ printf 'a '; date +%Y | tr -d '\\n'; /bin/echo -n ' b'; echo; } >> add")
        self.assert_entries(b"a %s b" % time.strftime("%Y").encode())

    def test_two_programs_in_one_redirection_are_two_entries(self):
        self.shell("{ /bin/echo one; /bin/echo two; } >> add; ( echo three; echo four ) >> add")
        self.assert_entries(b"one", b"two", b"three", b"four")

    def test_printf_of_lines_and_empty_lines(self):
        self.shell("printf 'a\\nb\\n' >> add; printf '\\n\\nc\\n' >> add; echo >> add")
        self.assert_entries(b"a", b"b", b"", b"", b"c", b"")

    def test_an_unterminated_last_line_is_committed_by_the_openers_close(self):
        self.shell("printf 'no newline' >> add; printf 'x\\ny' > ../f; cat ../f >> add")
        self.shell("( printf half; ) >> add; cp ../f add; dd if=../f of=add status=none")
        self.assert_entries(b"no newline", b"x", b"y", b"half", b"x", b"y", b"x", b"y")

    def test_a_background_child_that_ends_does_not_end_the_line(self):
        self.shell("{ printf 'one'; sleep 0.1 & sleep 0.3; wait; printf ' line'; sleep 0; echo; }"
                   " >> add")
        self.assert_entries(b"one line")

    def test_a_background_child_may_finish_the_line_after_the_opener_is_gone(self):
        self.shell("( printf 'from '; ( sleep 0.3; echo child ) & ) >> add")
        harness.wait_for(lambda: self.log.checkpoint().size, "the child's line")
        self.assertEqual(self.log.entries()[-1][-5:], b"child")

    def test_a_loop_appends_in_order(self):
        self.shell("for i in {1..200}; do echo $i >> add; done")
        self.assert_entries(*[b"%d" % i for i in range(1, 201)])

    def test_many_lines_by_every_usual_tool(self):
        """Each of them cuts the text elsewhere: at 4, 8, 64 or 128 KiB, at 1 MiB."""
        self.shell("seq 1 30000 > ../f; seq 1 30000 >> add; cat ../f >> add; cat ../f | cat >> add;"
                   "tee -a add < ../f > /dev/null; dd if=../f of=add bs=64k status=none;"
                   "dd if=../f of=add bs=1M oflag=append conv=notrunc status=none; cp ../f add;"
                   "sed -u 's/^/u/' < <(head -300 ../f) >> add; awk '{print}' ../f >> add")
        lines = [b"%d" % i for i in range(1, 30001)]
        expected = ReferenceLog(lines * 7 + [b"u" + line for line in lines[:300]] + lines)
        self.assertEqual(self.log.checkpoint().root, expected.root())
        self.assertEqual(self.log.read("log"), expected.text())

    def test_copies_that_the_kernel_makes(self):
        """sendfile(2), splice(2) and copy_file_range(2), also within the mount."""
        with open(self.path("f"), "w+b") as source, self.open_add() as add:
            source.write(b"one\ntwo\n")
            source.flush()
            self.assertEqual(os.sendfile(add.fileno(), source.fileno(), 0, 8), 8)
            out, into = os.pipe()
            os.write(into, b"three\n")
            self.assertEqual(os.splice(out, add.fileno(), 6), 6)
            os.close(out)
            os.close(into)
        with open(self.log / "log", "rb") as log, self.open_add() as add:
            self.assertEqual(os.copy_file_range(log.fileno(), add.fileno(), 8), 8)
        self.shell("cp tile/entries/000.p/5 add.bundle")
        self.assert_entries(*[b"one", b"two", b"three", b"one", b"two"] * 2)

    def test_receipts_in_bash(self):
        """The index and the leaf hash come back on the descriptor that appended."""
        self.log.append(b"before")
        out = self.shell("exec 3<>add; for word in hi '' there; do echo \"$word\" >&3;"
                         "read -r index hash <&3; echo \"$index $hash\"; done")
        expected = [b"%d %s" % (i, leaf_hash(entry).hex().encode())
                    for i, entry in ((1, b"hi"), (2, b""), (3, b"there"))]
        self.assertEqual(out.splitlines(), expected)

    def test_appended_is_published_when_the_shell_is_done(self):
        for size in range(1, 50):
            out = self.shell("echo x >> add; sed -n 2p checkpoint")
            self.assertEqual(out, b"%d\n" % size)


class ContentTest(AppendTest):
    def test_bytes_are_kept_as_they_are(self):
        entries = [b"\0", b"a\0b", b"\r", b"dos line\r", b"\xff\xfe", b"\xc3", b" \t ", b"\x1b[0m",
                   bytes(byte for byte in range(256) if byte != 10)]
        self.log.append(*entries)
        self.assert_entries(*entries)
        self.assertEqual(self.log.read("log"), b"".join(entry + b"\n" for entry in entries))

    def test_lengths_up_to_65535(self):
        entries = [b"a" * length for length in (0, 1, 255, 256, 4095, 4096, 65534, 65535, 0)]
        self.log.append(*entries)
        self.assert_entries(*entries)
        self.assert_sound(self.log.store)

    def test_an_overlong_line_is_refused_alone(self):
        descriptor = os.open(self.log / "add", os.O_WRONLY | os.O_APPEND)
        self.assert_errno(errno.EFBIG, os.write, descriptor, b"x" * 65536 + b"\n")
        self.assertEqual(os.write(descriptor, b"good\n"), 5)
        os.close(descriptor)
        self.assert_entries(b"good")

    def test_an_overlong_line_among_good_ones(self):
        """The count says what was taken before it; the next write is told."""
        descriptor = os.open(self.log / "add", os.O_WRONLY | os.O_APPEND)
        text = b"one\n" + b"x" * 70000 + b"\ntwo\n"
        self.assertEqual(os.write(descriptor, text), 4)
        self.assert_errno(errno.EFBIG, os.write, descriptor, text[4:-4])
        self.assertEqual(os.write(descriptor, b"two\n"), 4)
        os.close(descriptor)
        self.assert_entries(b"one", b"two")

    def test_an_overlong_line_in_pieces_is_discarded_through_its_newline(self):
        descriptor = os.open(self.log / "add", os.O_WRONLY | os.O_APPEND)
        refused = 0
        for piece in (b"x" * 40000, b"x" * 40000, b"x" * 40000, b"tail\n", b"good\n"):
            try:
                os.write(descriptor, piece)
            except OSError as error:
                self.assertEqual(error.errno, errno.EFBIG)
                refused += 1
        os.close(descriptor)
        self.assertGreater(refused, 0)
        self.assert_entries(b"good")

    def test_text_and_newline_in_separate_writes(self):
        descriptor = os.open(self.log / "add", os.O_WRONLY | os.O_APPEND)
        for number in range(100):
            os.write(descriptor, b"%d" % number)
            os.write(descriptor, b"\n")
        os.close(descriptor)
        self.assert_entries(*[b"%d" % number for number in range(100)])

    def test_lines_cut_anywhere_and_gathered_writes(self):
        lines = [b"line %d %s" % (i, b"." * (i % 97)) for i in range(4000)]
        text = b"".join(line + b"\n" for line in lines)
        with open(self.log / "add", "ab", buffering=0) as file:
            for start in range(0, len(text), 4096):
                file.write(text[start:start + 4096])
        with open(self.log / "add", "ab", buffering=4096) as file:
            file.writelines(line + b"\n" for line in lines)
        descriptor = os.open(self.log / "add", os.O_WRONLY)
        for start in range(0, len(lines), 500):  # misaligned buffers: split by the kernel
            parts = [part for line in lines[start:start + 500] for part in (line, b"\n")]
            self.assertEqual(os.writev(descriptor, parts), sum(map(len, parts)))
        os.close(descriptor)
        self.assert_entries(*lines * 3)


class BundleTest(AppendTest):
    def test_cat_of_a_bundle_copies_256_entries(self):
        """Bytes that a line cannot hold survive; a copied log has the same root."""
        entries = [b"%d\n\nwith newlines" % i for i in range(600)] + [b"", b"\n"]
        frames = b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
        self.log.write("add.bundle", frames)
        self.assert_entries(*entries)
        self.assertEqual(self.log.read("entries/1"), entries[1])
        other = self.mount(self.init("other"))
        self.shell("cat tile/entries/000 >> '%s'" % (other / "add.bundle"))
        self.assertEqual(other.checkpoint().size, 256)
        self.assertEqual(other.read("tile/0/000"), self.log.read("tile/0/000"))
        self.shell("cat tile/entries/001 tile/entries/002.p/90 > '%s'" % (other / "add.bundle"))
        self.assertEqual(other.checkpoint().root, self.log.checkpoint().root)

    def test_frames_straddle_writes(self):
        chance = random.Random(2)
        entries = [chance.randbytes(chance.choice((0, 1, 5, 300))) for _ in range(500)]
        entries += [b"L" * 65535, b"end"]
        frames = b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
        descriptor = os.open(self.log / "add.bundle", os.O_WRONLY)
        start = 0
        while start < len(frames):
            length = chance.choice((1, 2, 3, 50, 1000))
            start += os.write(descriptor, frames[start:start + length])
        os.close(descriptor)
        self.assert_entries(*entries)

    def test_an_incomplete_last_frame_is_einval_at_close_and_adds_nothing(self):
        for cut in (b"\0", b"\0\5", b"\0\5four"):
            descriptor = os.open(self.log / "add.bundle", os.O_WRONLY)
            os.write(descriptor, b"\0\4good" + cut)
            self.assert_errno(errno.EINVAL, os.close, descriptor)
        self.assert_entries(b"good", b"good", b"good")


class ReceiptsTest(AppendTest):
    def test_receipts_of_many_in_order(self):
        """Indexes and leaf hashes as RFC 6962 says, then the end of the file."""
        entries = [b"receipt %d" % i for i in range(700)]
        for name in ("add", "add.bundle"):
            first = self.log.checkpoint().size
            with open(self.log / name, "r+b", buffering=0) as file:
                for start in range(0, 700, 100):
                    part = entries[start:start + 100]
                    text = [entry + b"\n" if name == "add" else
                            len(entry).to_bytes(2, "big") + entry for entry in part]
                    harness.write_all(file, b"".join(text))
                got = b"".join(iter(lambda: file.read(1000), b""))
            expected = b"".join(b"%d %s\n" % (first + i, leaf_hash(entry).hex().encode())
                                for i, entry in enumerate(entries))
            self.assertEqual(got, expected)

    def test_receipts_are_for_this_open_file_alone(self):
        with self.open_add() as one, self.open_add() as two:
            one.write(b"1\n")
            two.write(b"2\n3\n")
            one.write(b"4\n")
            self.assertEqual([line.split()[0] for line in two.read(4096).splitlines()],
                             [b"1", b"2"])
            self.assertEqual([line.split()[0] for line in one.read(4096).splitlines()],
                             [b"0", b"3"])
            self.assertEqual(one.read(4096), b"")

    def test_receipts_nobody_reads_are_dropped_and_counted(self):
        """Room for receipts is bounded; `lost N` says how many are missing, at their place."""
        count = 300000
        with self.open_add() as file:
            for start in range(0, count, 10000):
                harness.write_all(file, b"".join(b"%d\n" % i for i in range(start, start + 10000)))
            got = b"".join(iter(lambda: file.read(1 << 20), b"")).splitlines()
            file.write(b"after\n")
            after = b"%d %s\n" % (count, leaf_hash(b"after").hex().encode())
            self.assertEqual(file.read(100), after)
        next_index = 0
        lost = 0
        for line in got:
            word, value = line.split()
            if word == b"lost":
                lost += int(value)
                next_index += int(value)
            else:
                self.assertEqual((int(word), value.decode()),
                                 (next_index, leaf_hash(b"%d" % next_index).hex()))
                next_index += 1
        self.assertEqual(next_index, count)
        self.assertGreater(lost, 0)


class DurabilityTest(AppendTest):
    def test_close_and_fsync_return_once_the_checkpoint_covers_the_entry(self):
        with open(self.log / "add", "ab", buffering=0) as file:
            for number in range(0, 200, 2):
                file.write(b"%d\n" % number)
                (os.fsync if number % 4 else os.fdatasync)(file.fileno())
                self.assertEqual(self.log.checkpoint().size, number + 1)
                self.assertEqual(self.log.read("entries/%d" % number), b"%d" % number)
                self.log.append(b"by close")
                self.assertEqual(self.log.checkpoint().size, number + 2)

    def test_what_write_acknowledged_survives_a_kill_of_the_daemon(self):
        descriptor = os.open(self.log / "add", os.O_WRONLY | os.O_APPEND)
        for number in range(50):
            os.write(descriptor, b"%d\n" % number)
        self.log.daemon.kill()
        self.log.daemon.wait()
        self.assert_errno(errno.ENOTCONN, os.write, descriptor, b"late\n")
        self.assert_errno(errno.ENOTCONN, os.close, descriptor)
        again = self.mount(self.log.store)
        self.assertEqual(again.entries()[:50], [b"%d" % number for number in range(50)])
        again.append(b"goes on")
        self.assertEqual(again.entries()[-1], b"goes on")

    def test_order_of_appends_one_after_another(self):
        """If one returned before the other began, its index is lower, through any open file."""
        files = [open(self.log / "add", "ab", buffering=0) for _ in range(5)]
        for number, file in zip(range(300), itertools.cycle(files)):
            file.write(b"%d\n" % number)
        for file in files:
            file.close()
        self.assert_entries(*[b"%d" % number for number in range(300)])


if __name__ == "__main__":
    harness.main()
