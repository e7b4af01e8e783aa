"""Targets whose code is looked at: each with a copy of libc of its own, so that no other process's
probes are in the same file, and a way to leave breakpoints in it."""
import os
import random
import re
import shutil
import subprocess
import time

from conftest import TARGETS, until
from oracle import code_differences

LIBC = "/lib/x86_64-linux-gnu/libc.so.6"


def private_libc(tmp_path):
    """The environment for a target, and the path of its libc."""
    directory = tmp_path / "lib"
    directory.mkdir(exist_ok=True)
    path = directory / "libc.so.6"
    shutil.copyfile(LIBC, path)
    path.chmod(0o755)
    return {"LD_LIBRARY_PATH": str(directory)}, str(path)


def functions(path, *options):
    """{name: file offset} of a file whose code lies at its addresses: libc's exported ones."""
    listed = subprocess.run(["/usr/bin/nm", *(options or ["-D"]), "--defined-only", path], check=True, capture_output=True, text=True)
    return {m[2]: int(m[1], 16) for m in re.finditer(r"^([0-9a-f]+) [TW] (\w+)", listed.stdout, re.M)}


def sites(ctl, pid, *names):
    """File offsets of the places that dhatd would probe of these functions."""
    probes = ctl("plan", "--pid", pid, "--json").json()["probes"]
    return [int(p["file_offset"]) for p in probes if p["function"] in names]


TRIES = 1000  # one of some ten leaves something; of how many, a loaded machine decides


def leave_breakpoints(target, pid, path, offsets):
    """Breakpoints at all of these places (each the only one in 8 bytes) that serve nobody. Whether one is left is a matter of
    microseconds, so it is tried until they are there; those of the other places are let go."""
    chance = random.Random(3)
    others = sorted(functions(path).values())[100:130]
    for _ in range(TRIES):
        tracer = target("leftover", pid, path, *others[:15], *offsets, *others[15:])
        tracer.expect("ready")
        tracer.say(f"die {chance.randrange(100, 8000)}")
        tracer.wait()
        until(lambda: not os.path.exists(f"/proc/{tracer.pid}"), "the tracer to be gone")
        left = set(code_differences(pid).get(path, []))
        if left & set(others):
            tracer = target("leftover", pid, path, *(left & set(others)))
            tracer.expect("ready")
            tracer.say("in peace")
            assert tracer.wait() == 0
        if set(offsets) <= left:
            return
        if left & set(offsets):
            tracer = target("leftover", pid, path, *(left & set(offsets)))
            tracer.expect("ready")
            tracer.say("in peace")
            tracer.wait()
    raise AssertionError(f"{TRIES} killed tracers left nothing")


ENOUGH_NS = 20_000_000  # of CPU time, however long a busy machine takes to give it


def pairs_and_cpu(pairs, ms):
    """How many it did in about so many milliseconds, and ns of CPU time by its own clock (clock_getcpuclockid)."""
    clock, said = ~pairs.pid << 3 | 2, len(pairs.out)
    before = time.clock_gettime_ns(clock)
    pairs.say(f"run {ms}")
    count = int(until(lambda: re.search(r"^(\d+) [\d.]+\n", pairs.out[said:], re.M), "it to have run")[1])
    return count, time.clock_gettime_ns(clock) - before


def pair_ns(pairs, ms=50):
    """What a malloc+free pair costs in the target `pairs`, ns of CPU time."""
    count = spent = 0
    while spent < ENOUGH_NS:
        more, ns = pairs_and_cpu(pairs, ms)
        count, spent = count + more, spent + ns
    return spent / count
