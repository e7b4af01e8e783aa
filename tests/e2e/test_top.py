"""dhatctl top: on a terminal, typed at and looked at; and into a pipe."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pyte
import pytest

import wire
from conftest import BUILD, DEADLINE, until


class Terminal:
    """A program on a terminal of its own, and what its screen shows."""

    def __init__(self, argv, directory, columns=80, lines=24, says=None, **env):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.fd, self.other = pty.openpty()
        self.resize(columns, lines)
        if says:  # the screen is another
            self.say_size(says)
        self.before = termios.tcgetattr(self.other)
        self.proc = subprocess.Popen([str(a) for a in argv], stdin=self.other, stdout=self.other, stderr=self.other,
                                     cwd=directory, start_new_session=True,
                                     env=os.environ | {"TERM": "xterm", "LC_ALL": "C"} | env)

    def resize(self, columns, lines):
        self.screen.resize(lines, columns)
        self.say_size((columns, lines))

    def say_size(self, size):
        fcntl.ioctl(self.other, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        if hasattr(self, "proc"):
            self.proc.send_signal(signal.SIGWINCH)

    def read(self):
        while select.select([self.fd], [], [], 0.01)[0]:
            data = os.read(self.fd, 65536)
            self.raw += data
            self.stream.feed(data)
        return "\n".join(line.rstrip() for line in self.screen.display)

    def shows(self, pattern):
        """Wait until the screen matches; what it shows then."""
        end = time.monotonic() + DEADLINE
        while True:
            text = self.read()
            if re.search(pattern, text, re.M):
                return text
            assert time.monotonic() < end and self.proc.poll() is None, f"no {pattern!r} on\n{text}"

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def ends(self):
        """Its exit status; the terminal has to be as it was, on its first screen, with a cursor."""
        until(lambda: (self.read(), self.proc.poll() is not None)[1], "dhatctl top to end")
        self.read()
        assert termios.tcgetattr(self.other) == self.before
        assert self.raw.rindex(b"\x1b[?1049l") > self.raw.rindex(b"\x1b[?1049h")
        assert not self.screen.cursor.hidden
        return self.proc.returncode

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        os.close(self.fd)
        os.close(self.other)


@pytest.fixture
def terminal(tmp_path, socket_path):
    opened = []

    def start(*args, **options):
        opened.append(Terminal([BUILD / "dhatctl", "top", "--socket", socket_path, *args], tmp_path, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def stacks(target, daemon):
    """A watched program that allocates 16 bytes at stacks of their own when told to; and its dhatd."""
    program = target("many_stacks")
    program.expect("ready")
    return program, daemon("attach", "--pid", program.pid)


def allocate(program, line):
    """What the program's own book says afterwards."""
    lines = program.out.count("\n")
    program.say(line)
    until(lambda: program.out.count("\n") > lines)
    return json.loads(program.out.splitlines()[-1])


def test_into_a_pipe_numbers_are_exact(stacks, target, socket_path):
    program, _ = stacks
    allocate(program, "alloc 20")
    looks = target(str(BUILD / "dhatctl"), "top", "--socket", socket_path, "--json", "--every", "0.1", "--by", "stack",
                   "--depth", "0", "--top", "5000")

    def look(blocks):
        """What the latest line says, once that is of so much growth."""
        def found():
            line = looks.out.rpartition("\n")[0].rpartition("\n")[2]  # the last one that is whole
            return f'"grown_bytes":{16 * blocks},"grown_for' in line and json.loads(line)
        return until(found, f"{blocks} blocks of growth")

    assert look(0)["row_count"] == 20
    for line, grown in ("alloc 150", 150), ("again 70", 220), ("alloc 1", 221):
        book = allocate(program, line)
        seen = look(grown)
        assert seen["verdict"] == "exact" and seen["row_count"] == min(len(seen["rows"]), 5000)
        assert sum(row["grown_blocks"] for row in seen["rows"]) == grown
        assert sum(row["live_bytes"] for row in seen["rows"]) == book["total_bytes"] == \
            seen["live_bytes"] - seen["before_bytes"]
        assert sum(row["total_blocks"] for row in seen["rows"]) == book["total_blocks"]
    # the first 20 stacks had a block before the first look, and the first 70 have one more
    assert sorted({(row["live_blocks"], row["grown_blocks"]) for row in seen["rows"]}) == [(1, 1), (2, 1), (2, 2)]
    program.stop()
    assert looks.wait() == 0 and '"state":"killed"' in looks.out.splitlines()[-1]


def test_lists(stacks, ctl):
    program, _ = stacks
    allocate(program, "alloc 30")
    text = ctl("top", "--batch", "--count", "2", "--every", "0.1", "--sort", "live").out
    first, second = text.split("\n\n")
    for frame in first, second:
        assert re.search(r"^\S+  many_stacks \(pid \d+\), watched for .*; exact$", frame, re.M)
        assert re.search(r"^ +LIVE +GROWTH .*WHERE\n +480 B +0 +0 +0 +30 .* walk  .*many_stacks.c:\d+$", frame, re.M), frame
    assert ctl("top", "--every", "0", ok=False).status == 2
    assert "there are live, growth" in ctl("top", "--sort", "size", ok=False).err


def test_only_what_has_changed_is_sent(stacks, socket_path):
    program, _ = stacks

    def ask(since=0, generation=0, known=0):
        """The head's view, and the numbers of points and frames that came."""
        seen = b"".join(wire.number_field(i + 1, n) for i, n in enumerate((since, generation, known)))
        numbers, frames, head = [], 0, {}
        with wire.Peer(socket_path) as peer:
            peer.send(wire.frame(wire.request(wire.SNAPSHOT, wire.message_field(10, seen))))
            while "end" not in head:
                for kind, part in wire.fields(peer.response()[4]):
                    if kind == 1:
                        head |= dict(wire.fields(part))
                    frames += len(wire.fields(part)) if kind == 2 else 0
                    numbers += [dict(wire.fields(point))[40] for _, point in wire.fields(part)] if kind == 3 else []
                    head |= {"end": True} if kind == 4 else {}
        return dict(wire.fields(head[4]))[9], dict(wire.fields(head[40])), numbers, frames

    allocate(program, "alloc 3000")
    since, view, numbers, frames = ask()
    assert numbers == list(range(1, view[3] + 1)) and view[3] >= 3000 and frames > 4 and 2 not in view
    _, quiet, numbers, frames = ask(since, view[1], view[3])
    assert (quiet[2], quiet[3], numbers, frames) == (1, view[3], [], 0)
    allocate(program, "again 7")
    _, some, numbers, frames = ask(since, quiet[1], quiet[3])
    assert len(numbers) == 7 and frames == 0 and max(numbers) <= view[3]
    _, earlier, numbers, _ = ask(since, view[1], view[3])  # another viewer, who was not there meanwhile
    assert len(numbers) == 7 and earlier[1] == some[1] + 1
    allocate(program, "alloc 5")
    _, more, numbers, frames = ask(since, earlier[1], view[3])
    assert numbers == list(range(view[3] + 1, view[3] + 6)) and 0 < frames < 20
    _, other, numbers, _ = ask(since + 1, more[1], more[3])  # of another watch: all of it
    assert len(numbers) == more[3] and 2 not in other


def test_keys(stacks, terminal, ctl, tmp_path):
    program, _ = stacks
    allocate(program, "alloc 1000")
    top = terminal("--every", "0.1", "--depth", "0")
    text = top.shows(r"^ +LIVE +GROWTH +A MINUTE +ALLOCS/S  WHERE\n15\.6 KiB +0 +0 +0  walk  ")
    assert re.match(r"many_stacks \(pid \d+\), watched for .* exact\n", text)
    allocate(program, "again 1000")
    top.shows(r"^31\.2 KiB \+15\.6 KiB .* walk  ")
    top.type("r")
    top.shows(r"^31\.2 KiB \+15\.6 KiB .* walk  (.*\n)+Names are looked up anew")
    top.type("b")
    top.shows(r"^31\.2 KiB +0 .* walk  ")
    top.type("g")  # files
    top.shows(r"^1 file by growth(.*\n)+31\.2 KiB .*many_stacks\.c$")
    top.type("GGG")  # stacks
    top.shows(r"^1,?\d* stacks by growth(.*\n)+ +32 B .*(walk|zero) ← ")
    top.type("s")  # by allocations a second
    top.shows(r"by allocations a second")
    top.type("\x1b[B\x1b[B\r")  # down, down, Enter
    top.shows(r"^32 B live in 2 blocks; no growth since (.*\n)+ +1\. 32 bytes live in 2 blocks")
    top.type(4 * "\x1b[6~")  # page down
    top.shows(r"^ +main +.*many_stacks\.c:\d+$")
    top.type("q/")
    top.shows("Filter")
    top.type("no such*\r")
    top.shows("No stack matches")
    top.type("/\x15\r")
    top.shows(r"^ +32 B ")
    top.type("?")
    top.shows(r"^The numbers are exact.*\nKeys$")
    top.type("qw")
    name = re.search(r"Written to (\S+\.dhat)", top.shows("Written to "))[1]
    assert ctl("stats", tmp_path / name, "--json").json()["totals"]["live_blocks"] >= 2000
    top.type(" ")
    top.shows("FROZEN")
    top.type("w")  # of what is now, not of what is shown
    again = re.search(r"Written to (\S+\.dhat)", top.shows(rf"Written to (?!{re.escape(name)})"))[1]
    assert (tmp_path / again).exists()
    allocate(program, "again 10")
    top.type(" ")
    top.shows(r"^(?!.*FROZEN).*by allocations a second; ")
    top.type("q")
    assert top.ends() == 0


@pytest.mark.parametrize("columns,lines", [(80, 24), (200, 50)])
def test_marks(stacks, ctl, terminal, columns, lines):
    """What is allocated since and lives, block by block, whoever made the mark."""
    program, _ = stacks
    allocate(program, "alloc 20")
    top = terminal("--by", "object", columns=columns, lines=lines)
    top.shows(r"^ +320 B ")
    top.type("d")
    top.shows(r"^There is no mark: m makes one")
    top.type("m")
    top.shows(r"^Marked top-1")
    allocate(program, "again 3")
    top.shows(r"^Live .*; \+48 B since top-1(.*\n)+ +LIVE +SINCE .*\n +368 B +\+48 B ")
    ctl("mark", "late")
    allocate(program, "again 2")
    top.shows(r"^ +400 B +\+80 B ")
    top.type("d")
    top.shows(r"^Live .*; \+32 B since late(.*\n)+ +400 B +\+32 B ")
    ctl("mark", "--remove", "top-1")  # and all is asked for anew
    allocate(program, "again 1")
    top.shows(r"^Live .*; \+48 B since late(.*\n)+ +416 B +\+48 B ")
    top.type("d")
    top.shows(r"^Live .*; \+96 B since \d\d:(.*\n)+ +LIVE +GROWTH .*\n +416 B +\+96 B ")
    top.type("q")
    assert top.ends() == 0


def test_wide_narrow_and_small(stacks, terminal):
    program, _ = stacks
    allocate(program, "alloc 50")
    top = terminal("--by", "function", columns=200, lines=50)
    text = top.shows(r"LIVE +GROWTH +A MINUTE +ALLOCS/S +BLOCKS +TOTAL +LATEST  WHERE")
    assert re.search(r"^ +800 B .* 50 +800 B .* walk  .*many_stacks\.c$", text, re.M)
    assert text.splitlines()[0].endswith("exact") and len(text.splitlines()[0]) == 200
    top.resize(80, 24)
    text = top.shows(r"^ +LIVE +GROWTH +A MINUTE +ALLOCS/S  WHERE$")
    assert text.splitlines()[0].endswith("exact") and text.splitlines()[-1].startswith("q quit")
    top.resize(30, 6)
    top.shows(r"\A.*exact\n(.*\n){4}.*q quit")
    top.resize(80, 24)
    top.shows(r"^ +LIVE +GROWTH +A MINUTE +ALLOCS/S  WHERE$")
    top.type("q")
    assert top.ends() == 0


@pytest.mark.parametrize("is_so_from_the_start", [True, False])
def test_a_terminal_of_any_size(stacks, terminal, is_so_from_the_start):
    top = terminal(says=(65535, 65535) if is_so_from_the_start else None)
    if not is_so_from_the_start:
        top.shows("many_stacks")
        top.say_size((65535, 65535))
    until(lambda: (top.read(), b"\x1b[600;" in top.raw)[1], "the keys in the last line that is used")
    top.say_size((0, 0))  # it does not say
    top.say_size((80, 24))
    top.shows(r"^q quit")
    top.type("q")
    assert top.ends() == 0


def test_dhatd_is_killed_and_comes_back(stacks, terminal, daemon):
    program, dhatd = stacks
    allocate(program, "alloc 50")
    top = terminal("--every", "0.1")
    top.shows(r"^ +800 B ")
    dhatd.kill()
    assert re.search(r"^ +800 B ", top.shows(r"dhatd does not answer any more: this is what was at \d\d:"), re.M)
    daemon("attach", "--pid", program.pid)
    allocate(program, "again 3")
    top.shows(r"^ +48 B +\+?\d+ .* walk  ")
    program.stop()
    top.shows(r"watched for .*, killed: signal 15")
    top.type("q")
    assert top.ends() == 0
    assert re.search(rb"top: many_stacks .*killed", top.raw[top.raw.rindex(b"\x1b[?1049l"):])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(stacks, terminal, number):
    allocate(stacks[0], "alloc 5")
    top = terminal()
    top.shows("walk")
    if number == signal.SIGINT:
        top.type("\x03")
    top.proc.send_signal(number)
    assert top.ends() == -number
    assert f"top: ended by {number.name}" in top.read()


def test_no_dhatd_is_left(stacks, terminal):
    top = terminal("--every", "0.1")
    top.shows("Nothing was allocated yet")
    stacks[1].stop()
    top.shows("does not answer any more")
    top.type("wq")
    assert top.ends() == 9 and "no dhatd answers at" in top.read()


def test_a_terminal_that_cannot(stacks, terminal):
    top = terminal(TERM="dumb")
    assert top.proc.wait(DEADLINE) == 2 and "TERM=dumb: --batc" in top.read()


def choose(screen, pid):
    """Select a process in the list of those that grow: it moves about."""
    def is_selected():
        screen.read()
        return any(screen.screen.buffer[y][0].reverse and screen.screen.display[y].split()[:1] == [str(pid)]
                   for y in range(24))
    until(lambda: is_selected() or screen.type("j"), f"process {pid} to be selected")


def test_a_process_is_chosen_and_attached(target, daemon, terminal, ctl):
    """Nothing is attached: the list of processes, what an attach would cost, and the attach; then over time."""
    daemon("serve")
    program = target("many_stacks")
    program.expect("ready")
    screen = terminal("--every", "0.3", TERM="vt100")  # pyte does not know how an xterm scrolls
    screen.shows(r"PID USER .* PROGRAM\n +\d+ ")
    screen.type("/many_st\r")
    screen.shows(rf"^ *{program.pid} root .* glibc +many_stacks$")
    choose(screen, program.pid)
    screen.type("\r")
    screen.shows(r"^  basis ")
    screen.type("n")
    screen.shows(r"PROGRAM$")
    choose(screen, program.pid)
    screen.type("\r")
    screen.shows(rf"^many_stacks \(pid {program.pid}\)\n  safe to attach")
    screen.type("y")
    screen.shows(rf"^many_stacks \(pid {program.pid}\), watched for .* exact")
    assert [t["target"]["pid"] for t in ctl("status", "--json").json()["targets"]] == [program.pid]
    allocate(program, "alloc 100")
    screen.shows(r" walk  targets/many_stacks\.c")
    screen.type("t")
    screen.shows(r"FROM +AT LEAST +CHANGE\n\d\d:\d\d:\d\d ")
    screen.type("qp")
    screen.shows(rf"^ *{program.pid} .* many_stacks, watched$")
    choose(screen, program.pid)
    screen.type("\r")
    screen.shows(r" walk  targets/many_stacks\.c")
    screen.type("q")
    until(lambda: (screen.read(), screen.proc.poll() is not None)[1], "dhatctl top to end")
    assert screen.proc.returncode == 0
