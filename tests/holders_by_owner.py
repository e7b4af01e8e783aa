"""make test-holders: the same judges on what people own blocks by: C++'s shared_ptr, Rust's Rc and Box, Tokio's tasks and
sessions, GLib's objects, and Python's.

Each kind is told by a function of its stack. LeakSanitizer is preloaded, since these programs are not built for it, and
asks at their end; Rust's cannot begin so (SIGSEGV), and a server that is preloaded neither. memcheck knows no jemalloc
that is linked in.
"""
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 120
MEMCHECK = {"still reachable": "held", "definitely lost": "lost", "indirectly lost": "lost", "possibly lost": "maybe lost"}


class Talk:
    """A program that makes its blocks at a line of input, and ends at the next."""

    def __init__(self, argv, env):
        self.argv, self.env = argv, env

    @contextlib.contextmanager
    def started(self, before=(), env=None):
        with subprocess.Popen([*before, *self.argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, env=os.environ | self.env | (env or {})) as self.proc:
            self.expect("ready")
            try:
                yield self.proc
            finally:
                self.proc.kill()

    def expect(self, word):
        for line in self.proc.stdout:
            if line.strip() == word:
                return
        raise EOFError

    def make(self):
        self.proc.stdin.write("\n")
        self.proc.stdin.flush()
        self.expect("made")

    def end(self):
        """What it said on stderr."""
        return self.proc.communicate("\n", PATIENCE)[1]


class Tokio(Talk):
    """The service: 500 pairs of sessions that hold each other, and 1,000 tasks that nobody waits for any more."""

    def expect(self, word):
        listening = re.match(r"listening (\d+)", self.proc.stdout.readline())
        if not listening:
            raise EOFError
        self.port = int(listening[1])

    def make(self):
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection, connection.makefile("r") as answers:
            for line, count in (("cycle 500", 500), ("forget 1000", 1000)):
                for _ in range(count):
                    connection.sendall(f"{line}\n".encode())
                    assert answers.readline() == "ok\n"


class Kind:
    """name: as the table says; function: of the stacks of its blocks; lost: in truth; blocks: how many there are, and of how
    many bytes each, where the function alone does not tell; at_least: the share of what is lost that ours has to say."""

    def __init__(self, name, function, lost, blocks, size=None, at_least=0.98):
        self.name, self.function, self.truth, self.blocks = name, function, "lost" if lost else "held", blocks
        self.size, self.at_least = size, at_least


def tokio_kinds(title, at_least=0.98):
    # a session is an Arc of 56 bytes, and what it has of 500
    return [Kind(f"{title}: sessions in cycles", r"requests::Session::open|<.*Session>::open", True, 2000, at_least=at_least),
            Kind(f"{title}: forgotten tasks", r"requests::forget_task", False, 2000)]


def cases(build):
    targets = build / "tests/targets"
    python = {"PYTHONMALLOC": "malloc", "G_SLICE": "always-malloc"}
    yield Talk([targets / "owners"], {}), ("LeakSanitizer", "memcheck"), [
        Kind("shared_ptr: Session", r"^make_session\b", True, 1000), Kind("shared_ptr: Peer", r"^make_peer\b", True, 1000),
        Kind("in a list of the registry", r"^make_shape\b", False, 200)]
    yield Talk([targets / "owners_rust"], {}), ("memcheck",), [
        Kind("Rc in cycles", r"owners_rust::make_node\b", True, 1000),
        Kind("Box<dyn Shape> in a Vec", r"owners_rust::make_(circle|square)\b", False, 200)]
    yield Talk(["/usr/bin/python3", Path(__file__).parent / "targets/owners.py"], python), ("LeakSanitizer", "memcheck"), [
        Kind("GObjects in cycles", r"^g_type_create_instance\b", True, 600, at_least=0.9),
        Kind("an extension's bytes", r"", True, 300, size=33 + 7000, at_least=0.9)]
    for program, runtime, others in (("system", "current", ("memcheck",)), ("system", "multi", ("memcheck",)),
                                     ("rjem", "current", ()), ("rjem", "multi", ())):
        # pointers stay in jemalloc's own memory: 75 to 90 % were called lost, and none of the rest held
        yield Tokio([targets / "tokio" / program, runtime], {}), others, tokio_kinds(
            f"Tokio, {runtime}{', jemalloc' if program == 'rjem' else ''}", 0.5 if program == "rjem" else 0.98)


# ---- the judges: {kind's name: {verdict: blocks}} -------------------------------------------------------------------

def ask_dhatd(build, tmp, program, kinds):
    socket_path, verdicts = tmp / "owner.sock", {}
    with program.started() as proc:
        dhatd = subprocess.Popen([build / "dhatd", "attach", "--pid", str(proc.pid), "--socket", socket_path],
                                 stderr=subprocess.DEVNULL)

        def ask(*words):
            return subprocess.run([build / "dhatctl", *words, "--json", "--socket", socket_path], capture_output=True, timeout=PATIENCE)
        try:
            until = time.monotonic() + PATIENCE
            while ask("stats").returncode or any(t["tables_pending"] for t in json.loads(ask("status").stdout)["targets"]):
                if time.monotonic() > until:
                    sys.exit("holders: dhatd does not attach")
                time.sleep(0.1)
            program.make()
            asked = ask("holds", "--by", "function", "--top", "1000", "--whole-names")
            if asked.returncode:
                sys.exit(f"holders: {asked.stderr.decode()}")
            told = json.loads(asked.stdout)
        finally:
            dhatd.terminate()
            dhatd.wait(PATIENCE)
    if told["holds"]["refusals"]:
        sys.exit(f"holders: lost is not said: {told['holds']['refusals']}")
    for row in told["rows"]:
        for kind in kinds:
            for verdict in "held", "unknown", "lost", "unseen":
                count, size = row[f"{verdict}_blocks"], row.get(f"{verdict}_bytes", 0)
                if count and (size == count * kind.size if kind.size else re.search(kind.function, row["name"])):
                    cell = verdicts.setdefault(kind.name, {})
                    cell[verdict] = cell.get(verdict, 0) + count
    return verdicts


def sort_records(records, kinds):
    """records: (blocks, bytes, verdict, names of functions)."""
    verdicts = {}
    for blocks, size, verdict, names in records:
        for kind in kinds:
            if size == blocks * kind.size if kind.size else any(re.search(kind.function, name) for name in names):
                cell = verdicts.setdefault(kind.name, {})
                cell[verdict] = cell.get(verdict, 0) + blocks
    return verdicts


def ask_leak_sanitizer(program, kinds):
    library = subprocess.run(["gcc", "-print-file-name=liblsan.so"], capture_output=True, text=True, check=True).stdout.strip()
    with program.started(env={"LD_PRELOAD": library, "LSAN_OPTIONS": "exitcode=0:fast_unwind_on_malloc=0"}):
        program.make()
        text = program.end()
    return sort_records([(int(blocks), int(size), "lost", re.findall(r"^ +#\d+ \S+ in (.*?)(?: \S+:\d+| \(\S+\))?$", stack, re.M))
                         for size, blocks, stack in re.findall(r"^(?:Direct|Indirect) leak of (\d+) byte\(s\) in (\d+) object.*\n"
                                                               r"((?: +#.*\n)*)", text, re.M)], kinds)


def ask_memcheck(tmp, program, kinds):
    prefix = tmp / "owner-vgdb"
    with program.started(["valgrind", "--leak-check=no", "--num-callers=40", f"--log-file={tmp / 'owner.txt'}",
                          f"--vgdb-prefix={prefix}"]) as proc:
        program.make()
        text = subprocess.run(["vgdb", f"--vgdb-prefix={prefix}", f"--pid={proc.pid}", "leak_check", "full", "reachable", "any"],
                              capture_output=True, text=True, timeout=PATIENCE).stdout
    records = re.findall(r"^==\d+== ([\d,]+)(?: \(.*?\))? bytes in ([\d,]+) blocks? (?:is|are) (still reachable|[a-z]+ lost) in loss "
                         r"record.*\n((?:==\d+==    (?:at|by) .*\n)*)", text, re.M)
    if not records:
        sys.exit(f"holders: memcheck says nothing: {text[:400]}")
    return sort_records([(int(blocks.replace(",", "")), int(size.replace(",", "")), MEMCHECK[what],
                          re.findall(r"0x[0-9A-F]+: (.*?)(?: \([^()]*\))?$", stack, re.M))
                         for size, blocks, what, stack in records], kinds)


def ask(build, tmp):
    """Of each kind: itself, and {judge: its verdicts; None: it cannot run there}."""
    for program, others, kinds in cases(build):
        told = {"holds": ask_dhatd(build, tmp, program, kinds), "LeakSanitizer": None, "memcheck": None}
        if "LeakSanitizer" in others:
            told["LeakSanitizer"] = ask_leak_sanitizer(program, kinds)
        if "memcheck" in others:
            told["memcheck"] = ask_memcheck(tmp, program, kinds)
        for kind in kinds:
            yield kind, {judge: verdicts and verdicts.get(kind.name, {}) for judge, verdicts in told.items()}
