"""The target's code bytes: what others left there is found, told and removed."""
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from codebytes import TRIES, functions, leave_breakpoints, pair_ns, private_libc, sites
from conftest import BUILD, TARGETS, until
from oracle import code_differences


@pytest.fixture
def pairs(target, tmp_path):
    environment, libc = private_libc(tmp_path)
    process = target("pairs", 10, env=environment)
    process.libc = libc
    process.expect("ready")
    return process


def notes(ctl, pid):
    answer = ctl("status", "--pid", pid, "--json").json()
    return answer["targets"][0]["notes"]


def hazards(ctl, pid):
    return {h["name"]: h["detail"] for h in ctl("plan", "--pid", pid, "--json").json()["hazards"]}


def test_leftovers_are_told_and_repaired(pairs, daemon, ctl, target):
    daemon("serve")
    places = sites(ctl, pairs.pid, "malloc", "free")
    assert len(places) == 2
    before = pair_ns(pairs)
    assert "breakpoints" not in hazards(ctl, pairs.pid)
    leave_breakpoints(target, pairs.pid, pairs.libc, places)
    worse = pair_ns(pairs)
    assert worse > 10 * before, "leftovers cost nothing?"
    assert "2 in its code already (libc.so.6+0x" in hazards(ctl, pairs.pid)["breakpoints"]

    answer = ctl("repair", "--pid", pairs.pid)
    assert "2 breakpoints in its code: 2 removed, 0 of other tracers, 0 left alone" in answer.out
    assert f"libc.so.6+{min(places):#x}" in answer.out
    assert code_differences(pairs.pid) == {}
    assert pair_ns(pairs) < worse / 5
    assert "no breakpoint in its code" in ctl("repair", "--pid", pairs.pid).out
    assert "breakpoints" not in hazards(ctl, pairs.pid)


def test_repair_keeps_what_serves_another(pairs, ctl, target, daemon):
    """One place has a live tracer and another a leftover, and a third has both."""
    daemon("serve")
    malloc, free = sites(ctl, pairs.pid, "malloc", "free")
    leave_breakpoints(target, pairs.pid, pairs.libc, [malloc, free])
    live = target("leftover", pairs.pid, pairs.libc, malloc)
    live.expect("ready")
    answer = ctl("repair", "--pid", pairs.pid, "--json").json()
    assert (answer["removed"], answer["serving"], answer["left_alone"]) == (1, 1, 0)
    outcomes = {row["file_offset"]: row["outcome"] for row in answer["breakpoints"]}
    assert outcomes == {malloc: "serves another tracer", free: "removed"}
    assert code_differences(pairs.pid) == {pairs.libc: [malloc]}
    live.say("in peace")
    assert live.wait() == 0
    assert code_differences(pairs.pid) == {}


def test_leftover_on_a_nop_that_became_a_call(target, ctl, tmp_path):
    """From 6.18 on the kernel makes a call of an uprobe on a long nop; before it is an int3."""
    path = str(tmp_path / "nops")
    shutil.copy(TARGETS / "nops", path)
    names = functions(path, "-a")
    nops = target(path)
    nops.expect("ready")

    def code():
        maps = Path(f"/proc/{nops.pid}/maps").read_text(encoding="utf-8").splitlines()
        base = min(int(line.split("-")[0], 16) for line in maps if line.endswith(path))
        with open(f"/proc/{nops.pid}/mem", "rb", buffering=0) as memory:
            return os.pread(memory.fileno(), 5, base + names["probed"])

    live = target("leftover", nops.pid, path, names["probed"])
    live.expect("ready")
    nops.say("call")
    nops.expect("^[0-9.]+$")
    assert code()[0] in (0xe8, 0xcc)
    answer = ctl("repair", "--pid", nops.pid, "--json").json()
    assert [(row["file_offset"], row["outcome"]) for row in answer["breakpoints"]] == [
        (names["probed"], "serves another tracer")]
    assert code()[0] in (0xe8, 0xcc)
    live.say("in peace")
    live.wait()
    assert code() == bytes.fromhex("0f1f440000")
    chance = random.Random(5)
    for _ in range(TRIES):
        tracer = target("leftover", nops.pid, path, names["_init"], names["_start"], names["probed"], names["_fini"])
        tracer.expect("ready")
        nops.say("call")
        tracer.say(f"die {chance.randrange(100, 8000)}")
        tracer.wait()
        if code() != bytes.fromhex("0f1f440000"):
            break
    assert code() != bytes.fromhex("0f1f440000"), f"{TRIES} killed tracers left nothing"
    answer = ctl("repair", "--pid", nops.pid, "--json").json()
    assert {row["outcome"] for row in answer["breakpoints"]} == {"removed"}
    assert names["probed"] in [row["file_offset"] for row in answer["breakpoints"]]
    assert path not in code_differences(nops.pid)
    nops.say("call")
    assert nops.running


def test_attach_and_detach_sweep(pairs, daemon, ctl, target):
    daemon("serve")
    places = sites(ctl, pairs.pid, "malloc", "free")
    leave_breakpoints(target, pairs.pid, pairs.libc, places)
    ctl("attach", "--pid", pairs.pid)
    assert any(n.startswith("2 breakpoints that a tracer had left") for n in notes(ctl, pairs.pid)), notes(ctl, pairs.pid)
    # left at a place of our own and at another while we watch: both gone after the detach
    live = target("leftover", pairs.pid, pairs.libc, places[0])
    live.expect("ready")
    ctl("detach", "--pid", pairs.pid)
    assert code_differences(pairs.pid) == {pairs.libc: [places[0]]}
    assert any("1 breakpoint of another tracer" in n for n in notes(ctl, pairs.pid)), notes(ctl, pairs.pid)
    live.kill()
    until(lambda: code_differences(pairs.pid) == {}, "clean code")


def test_repair_leaves_a_debugged_process_alone(pairs, ctl, target):
    gdb = target("/usr/bin/gdb", "-q", "-batch", "-nx", "-ex", "set debuginfod enabled off", "-ex",
                 "break *calloc", "-p", pairs.pid, "-ex", "continue")
    until(lambda: code_differences(pairs.pid).get(pairs.libc), "gdb's breakpoint")
    inserted = code_differences(pairs.pid)
    answer = ctl("repair", "--pid", pairs.pid, ok=False)
    assert answer.status == 6
    assert "0 removed" in answer.out and "(gdb) traces it" in answer.out
    assert code_differences(pairs.pid) == inserted
    gdb.stop(signal.SIGINT)


def test_repair_without_a_process_or_rights(ctl, pairs):
    assert ctl("repair", "--pid", 2**22 - 3, ok=False).status == 3
    assert ctl("repair", ok=False).status == 2
    nobody = subprocess.run(["/usr/bin/setpriv", "--reuid", "65534", "--clear-groups", BUILD / "dhatd", "repair",
                             "--pid", str(pairs.pid)], capture_output=True, text=True)
    assert nobody.returncode == 4, nobody.stderr


# ---- debuggers -------------------------------------------------------------------------------------

class Gdb:
    """A debugger at a process, by lines on its stdin; the process runs on between them."""

    def __init__(self, target, pid):
        self.gdb = target("/usr/bin/gdb", "-q", "-nx", "-ex", "set debuginfod enabled off", "-ex",
                          "set pagination off", "-ex", "set confirm off", "-ex", "set mi-async on", "-p", pid)
        self.count = 0
        self.do()

    def do(self, *lines):
        self.count += 1
        for line in (*lines, f"echo done-{self.count}-\\n"):
            self.gdb.say(line)
        self.gdb.expect(f"done-{self.count}-$")

    def run(self, pid):
        self.do("continue &")
        until(lambda: state(pid) in "SR", "the process to run")

    def end(self):
        self.gdb.say("quit")
        self.gdb.wait()


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


def address(pid, path, offset):
    """Where a file offset of the process's code is mapped."""
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
        fields = line.split(maxsplit=5)
        start, end = (int(x, 16) for x in fields[0].split("-"))
        first = int(fields[2], 16)
        if fields[-1] == path and "x" in fields[1] and first <= offset < first + end - start:
            return start + offset - first
    raise AssertionError(f"{path} is not mapped at {offset:#x}")


def code_at(pid, path, offset):
    """The byte of the process's code there."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        return os.pread(memory.fileno(), 1, address(pid, path, offset))[0]


def counter(ctl, pid, name):
    counters = ctl("status", "--pid", pid, "--json").json()["targets"][0]["counters"]
    return next(int(c["value"]) for c in counters if c["name"] == name)


def verdict(ctl, pid):
    return ctl("status", "--pid", pid, "--json").json()["targets"][0]["verdict"]


def test_debugger_takes_our_probe_away(pairs, daemon, ctl, target):
    """gdb's breakpoint was there before us; when gdb takes it out, it writes back what it found
    there: our probe is gone."""
    dhatd = daemon("serve")
    malloc, free = sites(ctl, pairs.pid, "malloc", "free")
    gdb = Gdb(target, pairs.pid)
    gdb.do(f"break *{address(pairs.pid, pairs.libc, malloc)}")
    gdb.run(pairs.pid)
    until(lambda: code_at(pairs.pid, pairs.libc, malloc) == 0xcc, "gdb's breakpoint")
    ctl("attach", "--pid", pairs.pid, "--no-inventory")
    pair_ns(pairs)
    assert verdict(ctl, pairs.pid)["exact"]
    assert counter(ctl, pairs.pid, "allocs") > 0
    gdb.do("interrupt")
    until(lambda: code_at(pairs.pid, pairs.libc, malloc) != 0xcc, "gdb to take its breakpoint out")
    assert not verdict(ctl, pairs.pid)["exact"], "the probe is gone, and nobody has noticed"
    assert "1 probe taken out of the target's code" in verdict(ctl, pairs.pid)["reasons"][0]
    assert any(re.match(r"the probe on malloc \(libc.so.6\+0x[0-9a-f]+\) was gone at \d\d:\d\d:\d\d", n)
               for n in notes(ctl, pairs.pid)), notes(ctl, pairs.pid)
    assert code_at(pairs.pid, pairs.libc, malloc) != 0xcc  # not put back while gdb is there
    gdb.do("delete")
    gdb.end()
    until(lambda: code_at(pairs.pid, pairs.libc, malloc) == 0xcc, "the probe to be put back")
    until(lambda: any("was put back at" in n for n in notes(ctl, pairs.pid)), "status to say so")
    before = counter(ctl, pairs.pid, "allocs"), counter(ctl, pairs.pid, "frees")
    pair_ns(pairs)
    after = counter(ctl, pairs.pid, "allocs"), counter(ctl, pairs.pid, "frees")
    assert after[0] - before[0] >= 1500 and abs((after[0] - before[0]) - (after[1] - before[1])) < 20
    assert counter(ctl, pairs.pid, "taken_probes") == 1
    assert not verdict(ctl, pairs.pid)["exact"]
    ctl("detach", "--pid", pairs.pid)
    assert code_differences(pairs.pid) == {}
    pair_ns(pairs)
    assert dhatd.stop() == 0


def test_detach_waits_for_the_debugger(pairs, daemon, ctl, target):
    """gdb found our breakpoint where it put its own, and writes it back after our probe has gone."""
    dhatd = daemon("attach", "--pid", pairs.pid, "--no-inventory")
    malloc, free = sites(ctl, pairs.pid, "malloc", "free")
    gdb = Gdb(target, pairs.pid)
    gdb.do(f"break *{address(pairs.pid, pairs.libc, malloc)}")
    gdb.run(pairs.pid)
    refused = ctl("detach", "--pid", pairs.pid, ok=False)
    assert refused.status == 6
    assert re.search(r"gdb \(pid \d+\) debugs process", refused.err)
    dhatd.send_signal(signal.SIGINT)
    dhatd.expect_err("waiting for it to end")
    pair_ns(pairs)
    assert dhatd.running and code_at(pairs.pid, pairs.libc, malloc) == 0xcc
    gdb.do("interrupt")
    until(lambda: state(pairs.pid) == "t", "gdb to stop it")
    gdb.do("delete")
    gdb.end()
    assert dhatd.wait() == 0
    until(lambda: code_differences(pairs.pid) == {}, "clean code")
    pair_ns(pairs)
    assert pairs.running


def test_pages_given_back(target, daemon, ctl, tmp_path):
    """A process that gives its code pages back (MADV_DONTNEED) gets the file's: our probes are gone."""
    path = str(tmp_path / "drops_code")
    shutil.copy(TARGETS / "drops_code", path)
    program = target(path)
    program.expect("ready")
    daemon("attach", "--pid", program.pid, "--no-inventory")
    program.say("drop")
    program.expect("dropped")
    assert not verdict(ctl, program.pid)["exact"]
    until(lambda: any("was put back at" in n for n in notes(ctl, program.pid)), "the probes to be put back")
    until(lambda: counter(ctl, program.pid, "taken_probes") ==
          sum("was put back at" in n for n in notes(ctl, program.pid)), "all of them")
    before = counter(ctl, program.pid, "allocs")
    program.say("allocate 100")
    program.expect("allocated")
    assert counter(ctl, program.pid, "allocs") == before + 100


# ---- copies of the target's code -------------------------------------------------------------------

@pytest.fixture
def copier(target, tmp_path):
    """A static program of its own file, which can copy its code to anonymous memory."""
    path = str(tmp_path / "text_copied")
    shutil.copy(TARGETS / "text_copied", path)
    process = target(path)
    process.path = path
    process.expect("ready")
    return process


def executable_lines(pid):
    return [line for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines() if " r-xp " in line]


def test_copy_made_while_watched_is_mended(copier, daemon, ctl):
    dhatd = daemon("attach", "--pid", copier.pid, "--no-inventory")
    copier.say("allocate 10")
    copier.expect("allocated")
    copier.say(f"copy {copier.path}")
    copier.expect("copied")
    assert not any(copier.path in line for line in executable_lines(copier.pid))
    told = dhatd.expect_err(r"process \d+: the process has copied its own code while it was watched: (\d+) "
                            r"breakpoints of ours \((.+)\) in the copy .* (\d+) taken out\.")
    assert told[1] == told[3] and int(told[1]) >= 4 and "malloc" in told[2]
    assert any("has copied its own code" in n for n in notes(ctl, copier.pid))
    assert not verdict(ctl, copier.pid)["exact"]
    assert any("copied by the target" in r for r in verdict(ctl, copier.pid)["reasons"])
    copier.say("allocate 100")
    copier.expect("allocated\nallocated|allocated\ncopied\nallocated")
    assert counter(ctl, copier.pid, "allocs") == 10  # those of the copy are not counted
    dhatd.stop()
    copier.say("allocate 100")
    copier.proc.stdin.close()
    assert copier.wait() == 0


def test_copy_made_just_before_the_detach_is_mended(copier, daemon, ctl):
    """Long after the detach the copy's malloc is called: nobody is there any more."""
    dhatd = daemon("attach", "--pid", copier.pid, "--no-inventory")
    copier.say(f"copy {copier.path}")
    copier.expect("copied")
    assert dhatd.stop() == 0
    copier.say("allocate 100")
    copier.expect("allocated")
    copier.proc.stdin.close()
    assert copier.wait() == 0


def test_death_by_sigtrap_is_explained(copier, daemon, ctl):
    """A copy that is called at once cannot be mended in time."""
    dhatd = daemon("attach", "--pid", copier.pid, "--no-inventory")
    copier.say(f"both {copier.path}")
    assert copier.wait() == -signal.SIGTRAP
    dhatd.expect_err(r"it died by SIGTRAP\. .* in a copy of its code that it made while it was watched")
    until(lambda: any("it died by SIGTRAP" in n for n in notes(ctl, copier.pid)), "status to say so")


YOUNG_SECONDS = 5  # preflight_copies.c


def test_program_that_copies_its_code_at_its_start(target, daemon, ctl, tmp_path):
    """Its symbols tell. While it starts it is refused; later the copy has been made."""
    started = subprocess.run([BUILD / "dhatd", "run", "--socket", tmp_path / "run.sock", "--", TARGETS / "hugify"],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert started.returncode == 6
    assert "copies its own code at its start (__bolt_hugify_self)" in started.stderr
    assert "ready" not in started.stdout
    daemon("serve")
    answers = ()
    while not answers:
        began = time.monotonic()
        hugify = target("hugify")
        hugify.expect("ready")
        asked = [ctl(command, "--pid", hugify.pid, ok=False) for command in ("plan", "attach")]
        if time.monotonic() < began + YOUNG_SECONDS:  # else what was asked is not what it is like while it is young
            answers = asked
    assert answers[0].status == 6 and "copies its code (in the way)" in answers[0].out
    assert answers[1].status == 6
    until(lambda: ctl("plan", "--pid", hugify.pid, ok=False).status == 0, "the program to grow up")
    ctl("attach", "--pid", hugify.pid)
    hugify.say("end")
    assert hugify.wait() == 0


def test_environment_that_moves_code(target, daemon, ctl):
    daemon("serve")
    moved = target("text_copied", env={"HUGETLB_ELFMAP": "R"})
    moved.expect("ready")
    refused = ctl("attach", "--pid", moved.pid, ok=False)
    assert refused.status == 6 and "HUGETLB_ELFMAP" in refused.err
    unmoved = target("text_copied", env={"HUGETLB_ELFMAP": "no"})
    unmoved.expect("ready")
    ctl("attach", "--pid", unmoved.pid)


def test_code_that_may_be_copied_is_told(target, daemon, ctl, tmp_path):
    """node could: --use-largepages."""
    source = tmp_path / "may.c"
    source.write_text("""#include <stdlib.h>
#include <unistd.h>
void MapStaticCodeToLargePages(void) {}
int main(void) { free(malloc(10)); write(1, "ready\\n", 6); pause(); }""")
    subprocess.run(["/usr/bin/gcc", "-static", "-o", tmp_path / "may", source], check=True)
    may = target(str(tmp_path / "may"))
    may.expect("ready")
    daemon("serve")
    assert "(MapStaticCodeToLargePages)" in hazards(ctl, may.pid)["copies its code"]
    ctl("attach", "--pid", may.pid)
    assert any("can copy its own code to other memory" in n for n in notes(ctl, may.pid))


@pytest.mark.parametrize("memory", ["", "memfd", "parted"])
def test_an_allocator_that_was_copied_before(memory, daemon, ctl, target):
    """glibc beside it can be probed; what is in the copy cannot, and is not counted."""
    process = target(TARGETS / "allocators/text-copied-jemalloc")
    process.expect("ready")
    process.say(f"copy text-copied-jemalloc {memory}")
    process.expect("copied")
    daemon("attach", "--pid", process.pid)
    found = verdict(ctl, process.pid)
    assert found["word"] == "partial"
    assert any(re.search(r"what jemalloc.* in text-copied-jemalloc hands out is not counted", r) for r in found["reasons"])


def test_code_that_was_copied_before(copier, daemon, ctl):
    daemon("serve")
    copier.say(f"copy {copier.path}")
    copier.expect("copied")
    planned = ctl("plan", "--pid", copier.pid, ok=False)
    assert planned.status == 7 and re.search(r"copied code\s+\d+ KiB of .*text_copied are a copy", planned.out)
    refused = ctl("attach", "--pid", copier.pid, ok=False)
    assert refused.status == 7 and "it has copied its own code" in refused.err
