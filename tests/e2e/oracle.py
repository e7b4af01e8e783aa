"""Profiles in DHAT JSON, ours and Valgrind's, read so that they can be compared."""
import json
import os
import re
import subprocess
from collections import defaultdict
from typing import NamedTuple

from conftest import TARGETS

FIELDS = ("tb", "tbk", "gb", "gbk", "eb", "ebk")
BOOK = {"total_bytes": "tb", "total_blocks": "tbk", "peak_bytes": "gb", "peak_blocks": "gbk",
        "live_bytes": "eb", "live_blocks": "ebk"}
# What both runs get. Locale and hash seeds are fixed; HOME keeps personal settings out.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": "/nonexistent",
               "PYTHONHASHSEED": "0", "PERL_HASH_SEED": "0", "PERL_PERTURB_KEYS": "0"}


class Frame(NamedTuple):
    address: str
    function: str
    place: str


class Profile:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.data = json.load(file)
        self.points = self.data["pps"]
        self.verdict = self.data.get("dhatd", {})

    @property
    def exact(self):
        return self.verdict["exact"]

    @property
    def reasons(self):
        return self.verdict["reasons"]

    def losses(self):
        """{counter: value} of what makes the profile inexact."""
        return {c["name"]: c["value"] for c in self.verdict["counters"] if c.get("is_loss") and c.get("value")}

    def frames(self, point):
        """Innermost first."""
        frames = []
        for index in point["fs"]:
            text = self.data["ftbl"][index]
            match = re.fullmatch(r"0x([0-9A-Fa-f]+): (.*) \((.*?)\)", text)
            frames.append(Frame(*match.groups()) if match else Frame("", text, ""))
        return frames

    def physical(self, point):
        """One frame a call: of functions inlined into each other the one that has the code.

        The frames of one address are either such a group or, in a recursion, the group repeated.
        """
        result, frames = [], self.frames(point)
        while frames:
            address = frames[0].address
            run = next((i for i, f in enumerate(frames) if f.address != address), len(frames))
            group = list(dict.fromkeys(frames[:run]))
            result += [group[-1]] * (run // len(group))
            frames = frames[run:]
        return result

    def functions_of(self, sources):
        """Plain names of the functions that have code from one of the source files."""
        return {plain_name(frame.function) for point in self.points for frame in self.physical(point)
                if re.sub(r":[\d:]+$", "", frame.place).rpartition("/")[2] in sources}

    def calls(self, point, functions):
        """The plain names of these functions in the stack, innermost first."""
        names = (plain_name(frame.function) for frame in self.physical(point))
        return tuple(name for name in names if name in functions)

    def sums(self, select=lambda point: True):
        return {field: sum(p[field] for p in self.points if select(p)) for field in FIELDS}

    def with_function(self, name):
        """Sums over the points that have the function anywhere in their stack."""
        return self.sums(lambda p: any(f.function == name for f in self.frames(p)))

    def allocated_in(self, source):
        """Sums over the points whose innermost frame is of that source file."""
        def is_own(point):
            frames = self.frames(point)
            return bool(frames) and re.search(rf"(^|/){re.escape(source)}:\d", frames[0].place)
        return self.sums(is_own)

    def by_calls(self, functions, depth=None):
        """{the innermost `depth` calls of these functions: sums}; points without any are left out."""
        result = defaultdict(lambda: dict.fromkeys(FIELDS, 0))
        for point in self.points:
            calls = self.calls(point, functions)[:depth]
            if calls:
                for field in FIELDS:
                    result[calls][field] += point[field]
        return dict(result)


def snapshot(ctl, directory, name="snapshot.json", *args):
    """The profile now, in a file of this name; args go to dhatctl (--pid …)."""
    ctl("snapshot", "-o", directory / name, *args)
    return Profile(directory / name)


def plain_name(function):
    """Without namespace, arguments and the compiler's variants: tools write these differently."""
    return function.replace("(anonymous namespace)::", "").partition("(")[0].partition(" [")[0]


def last_line_json(text):
    """The book that a target printed last."""
    text = text.decode() if isinstance(text, bytes) else text
    return json.loads([line for line in text.splitlines() if line.startswith("{")][-1])


def book_sums(book, fields=FIELDS):
    """A target's book in the words of DHAT."""
    return {short: book[long] for long, short in BOOK.items() if long in book and short in fields}


def status_of(ctl, pid):
    """TargetStatus (dhat.proto) of a process, as a dict."""
    return next(s for s in ctl("status", "--json").json()["targets"] if s["target"]["pid"] == pid)


def states_of(ctl, pid):
    """What `dhatctl status` says of a process, "attached: ", "killed: signal 9 (SIGKILL)", …: one for
    each program it was."""
    targets = [status["target"] for status in ctl("status", "--json").json()["targets"]]
    return [f"{t['state']}: {t['state_detail']}" for t in targets if t["pid"] == pid]


def state_of(ctl, pid):
    """The latest of them; "" if it is no target."""
    return ([""] + states_of(ctl, pid))[-1]


def has_link(kind):
    """Whether this kernel has this kind of link, by its own list of types. (6.6 to 6.9 have a multi link that
    sees one thread only, which dhatd does not use: not asked for by the tests.)"""
    name = {"session": b"BPF_TRACE_UPROBE_SESSION\0", "multi": b"BPF_TRACE_UPROBE_MULTI\0", "perf": b"\0"}[kind]
    with open("/sys/kernel/btf/vmlinux", "rb") as types:
        return name in types.read()


def valgrind_environment():
    """The environment that a program sees under Valgrind, whose additions some programs copy. Its
    libraries change nothing where they are loaded without Valgrind."""
    done = subprocess.run(["valgrind", "-q", "--tool=dhat", "--dhat-out-file=/dev/null", "/usr/bin/env", "-0"],
                          env=ENVIRONMENT, capture_output=True, text=True, check=True, cwd="/")
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


# a process whose number has five digits: its children may keep that as text, as bash does (PPID)
NUMBERED = [str(TARGETS / "numbered"), "5"]


def run_valgrind(argv, out):
    """Profile a program by Valgrind, as a child of a NUMBERED process; its stdout (bytes) and the profile.

    Its standard descriptors are of the kinds that conftest.Process gives: python, for one, asks."""
    argv = [*NUMBERED, "/bin/sh", "-c", '"$@"; exit $?', "sh", "/usr/bin/valgrind", "-q", "--tool=dhat", f"--dhat-out-file={out}", "--run-libc-freeres=no",
            "--run-cxx-freeres=no", "--num-callers=100", "--read-inline-info=no", *map(str, argv)]
    printed, complained = out.with_suffix(".out"), out.with_suffix(".err")
    with open(printed, "wb") as stdout, open(complained, "wb") as stderr, subprocess.Popen(
            argv, env=ENVIRONMENT, cwd="/", stdin=subprocess.PIPE, stdout=stdout, stderr=stderr) as process:
        status = process.wait(120)
    assert status == 0, complained.read_text(errors="replace")
    return printed.read_bytes(), Profile(out)


def code_differences(pid):
    """Places where the target's mapped code is not what the files say: {path: [file offsets]}."""
    result = {}
    for path, offset, _ in differing_bytes(pid):
        result.setdefault(path, []).append(offset)
    return result


def code_addresses(pid):
    """The same, as addresses in the target."""
    return [address for _, _, address in differing_bytes(pid)]


def differing_bytes(pid):
    """(path, file offset, address) of each byte of code that is not as in its file.

    The file is read by read(2): the pages mapped into the target are the ones that probes change."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        lines = [line.split(maxsplit=5) for line in maps]
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in lines:
            if "x" not in line[1] or len(line) < 6 or not line[5].startswith("/"):
                continue
            start, end = (int(x, 16) for x in line[0].split("-"))
            offset, path = int(line[2], 16), line[5].strip()
            mapped = os.pread(memory.fileno(), end - start, start)
            with open(f"/proc/{pid}/map_files/{start:x}-{end:x}", "rb", buffering=0) as file:
                original = os.pread(file.fileno(), end - start, offset).ljust(end - start, b"\0")
            if mapped != original:
                yield from ((path, offset + i, start + i) for i in range(end - start) if mapped[i] != original[i])
