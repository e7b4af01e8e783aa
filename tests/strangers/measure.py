"""What dhatd says of a program, and what somebody else does who counts the same calls.

The other one is bpftrace, at the functions that a row names by their symbols. A program that runs to its end is run
once under each of the two. A program that serves is watched by both at the same time: the judge is read before and
after each reading of dhatd, so what dhatd counted in between lies between two figures that are known.
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from outermost import count

LIMIT_S = 300
ATTEMPTS = 4
PIECES = 4


@dataclass
class Seen:
    """What there is to be judged. Counts are of one and the same piece of work."""
    verdict: str = None  # of dhatd; None: it refused
    reasons: list = field(default_factory=list)  # that dhatd gives, or what it said when it refused
    blocks: int = 0  # that dhatd counted
    calls: tuple = None  # by bpftrace: at least, at most
    strays: int = 0  # frees of blocks that nobody saw allocated, in a piece of work: the fewest of some
    ours: int = None  # bytes that dhatd says are live
    theirs: int = None  # bytes that the program says are live
    stacks: object = None  # Stacks; None: there is no profile


def few_strays(row, blocks):
    return row.get("tolerance", 0.001) * max(blocks, 1)


def stops(counters):
    """(whole, all) of the stacks that were taken."""
    return counters["stop_complete"], sum(value for name, value in counters.items() if name.startswith("stop_"))


@dataclass
class Stacks:
    """Where the stacks of a profile end, in blocks; and of all that were taken, those of the first second."""
    whole: int  # at an entry point or a thread's start, as they claim
    early: dict  # by the reason that they give
    false: dict  # by the last frame: they claim to be whole, and end elsewhere
    first: tuple  # (whole, all) of the first second, in which tables are built
    since: tuple  # and of later; of what is attached to: of the watched piece of work, with all tables

    @classmethod
    def of(cls, profile):
        counters = {counter["name"]: counter["value"] for counter in profile["dhatd"]["counters"]}
        whole, every = stops(counters)
        first = counters.get("first_whole", 0), counters.get("first_stacks", 0)
        return cls(*count(profile), first, (whole - first[0], every - first[1]))

    def of_piece(self, before, after):
        """`since` is what was taken between two readings of the counters, when the tables are there."""
        (whole, every), (whole_before, every_before) = stops(after), stops(before)
        self.since = whole - whole_before, every - every_before
        return self

    @property
    def blocks(self):
        return self.whole + sum(self.early.values()) + sum(self.false.values())


def run(argv, folder, env=None):
    done = subprocess.run([str(a) for a in argv], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", timeout=LIMIT_S, check=False,
                          env={**os.environ, **(env or {})})
    return done.returncode, done.stdout, done.stderr


def until(condition, what, seconds=120):
    """The first true value of condition()."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise TimeoutError(f"{what}: not within {seconds} s")


# ---- the judge ----------------------------------------------------------------------------------------------------

def functions(path, pattern):
    """One name for each address of the functions whose names match."""
    lines = subprocess.run(["readelf", "-sW", path], capture_output=True, text=True, check=True).stdout.splitlines()
    symbols = [line.split() for line in lines if " FUNC " in line and " UND " not in line]
    found = {s[1]: s[7].partition("@")[0] for s in symbols if re.fullmatch(pattern, s[7].partition("@")[0])}
    assert found, (path, pattern)
    return sorted(found.values())


def places(truth):
    """[(file, function)] of [(file, pattern of names)]."""
    return [(Path(path), name) for path, pattern in truth for name in functions(path, pattern)]


def program_of(folder, counted, condition):
    """bpftrace's: one sum of the calls at these [(file, name or address)].

    realloc(NULL, n) of glibc goes to malloc, which counts."""
    links = {}
    for path, _ in counted:  # bpftrace cannot read an @ in a path
        link = links.setdefault(path, folder / f"truth-{len(links)}")
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    return " ".join(f"uprobe:{links[path]}:{name} /{condition}"
                    f"{' && arg0 != 0' if name == 'realloc' and path.name == 'libc.so.6' else ''}/ "
                    "{ @calls = count(); }" for path, name in counted)


def count_calls(folder, argv, truth, env=None):
    """How often the process calls these functions in all its life."""
    status, out, err = run(["bpftrace", "-q", "-e", program_of(folder, places(truth), "pid == cpid"),
                            "-c", " ".join(map(str, argv))], folder, env)
    match = re.search(r"@calls: (\d+)", out)
    assert status == 0 and match, (status, out[-500:], err[-500:])
    return int(match[1])


class Counter:
    """bpftrace at a running process; it prints its sum whenever it is asked."""

    def __init__(self, folder, pid, counted):
        self.out = open(folder / "counter.out", "w+", encoding="ascii", errors="replace")  # pylint: disable=R1732
        program = program_of(folder, counted, f"pid == {pid}") + ' BEGIN { @calls = count(); printf("ready\\n"); }'
        # --unsafe: an address in a file without symbols
        self.process = subprocess.Popen(["bpftrace", "-q", "--unsafe", "-p", str(pid), "-e", program], cwd=folder,
                                        stdin=subprocess.DEVNULL, stdout=self.out, stderr=subprocess.STDOUT)
        self.answers = 0
        until(lambda: "ready" in self._text(), "bpftrace")
        # all probes are there when it answers: it attaches first and listens to signals then
        self.read()

    def _text(self):
        assert self.process.poll() is None, Path(self.out.name).read_text(errors="replace")[-500:]
        return Path(self.out.name).read_text(errors="replace")

    def read(self):
        self.answers += 1
        self.process.send_signal(signal.SIGUSR1)
        until(lambda: len(re.findall(r"@calls: \d+\n", self._text())) >= self.answers, "bpftrace's sum")
        return int(re.findall(r"@calls: (\d+)\n", self._text())[-1])

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(LIMIT_S)
        self.out.close()


# ---- dhatd --------------------------------------------------------------------------------------------------------

def read_profile(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def live_bytes(profile, pattern):
    """In blocks that were handed out since the attach, below functions whose frame matches."""
    frames = {i for i, text in enumerate(profile["ftbl"]) if re.search(pattern, text)}
    before = {i for i, text in enumerate(profile["ftbl"]) if "[allocated before attach]" in text}
    return sum(point["eb"] for point in profile["pps"]
               if frames & set(point["fs"]) and not before & set(point["fs"]))


def profile_run(build, folder, argv, name, env=None):
    """A whole life under dhatd run: a Seen without a judge."""
    out = folder / "profiles" / f"{name}.json"
    out.unlink(missing_ok=True)
    _, _, said = run([build / "dhatd", "run", "--socket", folder / "s", "--output", out, "--", *argv], folder, env)
    if not out.exists():
        return Seen(reasons=[line for line in said.splitlines() if line.startswith("dhatd:")] or [said[-300:]])
    profile = read_profile(out)
    data = profile["dhatd"]
    return Seen(data["verdict"], data["reasons"], data["totals"]["total_blocks"], stacks=Stacks.of(profile))


class Attached:
    """dhatd at a running process."""

    def __init__(self, build, folder, pid, name):
        self.build, self.folder, self.name = build, folder, name
        self.log = open(folder / f"{name}.log", "w+", encoding="utf-8", errors="replace")  # pylint: disable=R1732
        self.process = subprocess.Popen([build / "dhatd", "attach", "--pid", str(pid), "--socket", folder / "s"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        self.is_refused = until(lambda: "answering" in self.said() or self.process.poll() is not None,
                                "dhatd attach") and "answering" not in self.said()

    def said(self):
        return Path(self.log.name).read_text(errors="replace")

    def _ask(self, *words):
        status, out, err = run([self.build / "dhatctl", *words, "--socket", self.folder / "s"], self.folder)
        assert status == 0, (words, err)
        return out

    def status(self):
        return json.loads(self._ask("status", "--json"))["targets"][0]

    def snapshot(self):
        out = self.folder / "profiles" / f"{self.name}.json"
        self._ask("snapshot", "--output", out)
        return read_profile(out)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(LIMIT_S)
        self.log.close()


def counter_value(status, name):
    return next((c["value"] for c in status["counters"] if c["name"] == name), 0)


GIVING = ("malloc", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc", "pvalloc", "valloc")


def found_places(status):
    """[(file, offset)] of what dhatd found by its code and takes for functions that hand out blocks.

    bpftrace 0.17 takes a number in a file without symbols for the offset in the file, not for an address, and where
    these differ it would put its breakpoint into the middle of something else."""
    return [(Path(p["object"]), hex(p["file_offset"] - (p["site_vaddr"] - p["function_vaddr"]))) for p in status["probes"]
            if "found by its code" in p["allocator"] and p["role"] in GIVING]


def attach(build, folder, row, program):
    """While it works, and again should what its code does not have shown: that is a matter of the moment."""
    is_busy = row.get("attach") == "busy"
    with program.busy() if is_busy else contextlib.nullcontext():
        for attempt in range(ATTEMPTS if is_busy else 1):
            if attempt:
                dhatd.stop()
            dhatd = Attached(build, folder, program.pid, row["name"])
            if dhatd.is_refused or not is_busy or found_places(dhatd.status()):
                break
    return dhatd


def watch(build, folder, row, program):
    """A program that serves: dhatd attaches while it works if the row says so, then one more piece of work is
    counted by both, from rest to rest."""
    truth = places([(folder / path, pattern) for path, pattern in row.get("truth", [])])
    with contextlib.ExitStack() as stack:
        stack.callback(program.end)  # of one that does not come up, too
        program.start()
        program.work()
        dhatd = attach(build, folder, row, program)
        stack.callback(dhatd.stop)
        if dhatd.is_refused:
            return Seen(reasons=dhatd.said().splitlines())
        program.work()
        until(lambda: not dhatd.status()["tables_pending"], "the unwind tables")
        truth += found_places(dhatd.status())
        counter = Counter(folder, program.pid, truth)
        stack.callback(counter.stop)

        own = [program.own()]
        calls, statuses, lives = [], [], []
        for i in range(2):
            if i:
                program.work()
            calls.append(counter.read())
            statuses.append(dhatd.status())
            calls.append(counter.read())
            profile = dhatd.snapshot()
            lives.append(live_bytes(profile, row.get("stack", ".")))
        own.append(program.own())

        def grown(name, before, after):
            return counter_value(after, name) - counter_value(before, name)
        blocks = [s["totals"]["total_blocks"] for s in statuses]
        has_own = own[0] is not None
        stacks = Stacks.of(profile).of_piece(*({c["name"]: c["value"] for c in s["counters"]} for s in statuses))
        strays = grown("unknown_frees", *statuses)
        # blocks from before the attach are freed once; a function that is missed gives some in each piece of work
        for _ in range(PIECES if row.get("attach") == "busy" else 0):
            if strays <= few_strays(row, blocks[1] - blocks[0]):
                break
            program.work()
            statuses.append(dhatd.status())
            strays = min(strays, grown("unknown_frees", *statuses[-2:]))
        return Seen(statuses[1]["verdict"]["word"], statuses[1]["verdict"]["reasons"], blocks[1] - blocks[0],
                    (calls[2] - calls[1], calls[3] - calls[0]), strays,
                    lives[1] - lives[0] if has_own else None, own[1] - own[0] if has_own else None, stacks)
