"""Profiles in DHAT JSON, ours and Valgrind's, read so that they can be compared."""
import json
import os
import re
import subprocess
from collections import defaultdict
from typing import NamedTuple

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

    def calls(self, point, sources):
        """Plain names of the functions compiled from one of the source files, innermost first."""
        return tuple(plain_name(f.function) for f in self.physical(point)
                     if re.sub(r":[\d:]+$", "", f.place).rpartition("/")[2] in sources)

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

    def by_calls(self, sources, depth=None):
        """{the innermost `depth` calls in these sources: sums}; points without any are left out."""
        result = defaultdict(lambda: dict.fromkeys(FIELDS, 0))
        for point in self.points:
            calls = self.calls(point, sources)[:depth]
            if calls:
                for field in FIELDS:
                    result[calls][field] += point[field]
        return dict(result)


def plain_name(function):
    """Without namespace, arguments and the compiler's variants: tools write these differently."""
    return function.replace("(anonymous namespace)::", "").partition("(")[0].partition(" [")[0]


def last_line_json(text):
    """The book that a target printed last."""
    return json.loads([line for line in text.splitlines() if line.startswith("{")][-1])


def book_sums(book, fields=FIELDS):
    """A target's book in the words of DHAT."""
    return {short: book[long] for long, short in BOOK.items() if long in book and short in fields}


def valgrind_environment():
    """The environment that a program sees under Valgrind, whose additions some programs copy. Its
    libraries change nothing where they are loaded without Valgrind."""
    done = subprocess.run(["valgrind", "-q", "--tool=dhat", "--dhat-out-file=/dev/null", "/usr/bin/env", "-0"],
                          env=ENVIRONMENT, capture_output=True, text=True, check=True, cwd="/")
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


def run_valgrind(argv, out, stdin=None, cwd=None):
    """Profile a program by Valgrind; its stdout and the profile."""
    done = subprocess.run(
        ["valgrind", "-q", "--tool=dhat", f"--dhat-out-file={out}", "--run-libc-freeres=no",
         "--run-cxx-freeres=no", "--num-callers=100", "--read-inline-info=no", *map(str, argv)],
        env=ENVIRONMENT, capture_output=True, stdin=stdin or subprocess.DEVNULL, cwd=cwd, timeout=120)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="replace"), Profile(out)


def code_differences(pid):
    """Places where the target's mapped code is not what the files say: {path: [file offsets]}.

    The file is read by read(2): the pages mapped into the target are the ones that probes change."""
    result = {}
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        lines = [line.split(maxsplit=5) for line in maps]
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in lines:
            if "x" not in line[1] or len(line) < 6 or not line[5].startswith("/"):
                continue
            start, end = (int(x, 16) for x in line[0].split("-"))
            offset, path = int(line[2], 16), line[5].strip()
            mapped = os.pread(memory.fileno(), end - start, start)
            with open(f"/proc/{pid}/map_files/{line[0]}", "rb", buffering=0) as file:
                original = os.pread(file.fileno(), end - start, offset).ljust(end - start, b"\0")
            if mapped != original:
                result[path] = [offset + i for i in range(end - start) if mapped[i] != original[i]]
    return result
