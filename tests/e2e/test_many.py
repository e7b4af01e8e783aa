"""Several targets of one daemon: none waits for another, and none is attached to twice."""
import os
import re
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import BUILD, until
from oracle import Profile, status_of

NOTE = b"\x04\x00\x00\x00\x14\x00\x00\x00\x03\x00\x00\x00GNU\x00"  # gABI: a build id of 20 bytes follows


def states(ctl):
    return {t["target"]["pid"]: t["target"]["state"] for t in ctl("status", "--json").json()["targets"]}


RING_BYTES = 4 << 20
ALLOC_BYTES, FREE_BYTES = 40, 32  # dhat_abi.h; the ring adds 8 each

HOLD_MAPPED = """
import mmap, sys
files = [open(path, "rb") for path in sys.argv[1:]]
kept = [mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
        for file in files]
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def large_libraries(tmp_path):
    """Copies of LLVM that no cache has a table of: building them takes seconds."""
    llvm = max(Path("/usr/lib").rglob("libLLVM*.so*"), key=lambda path: path.stat().st_size)
    copies = [tmp_path / f"large{i}.so" for i in range(4)]
    for copy in copies:
        shutil.copyfile(llvm, copy)
        with open(copy, "r+b") as file:
            at = file.read(1 << 20).find(NOTE)
            assert at > 0, f"{llvm} has no build id where one is looked for"
            file.seek(at + len(NOTE))
            file.write(os.urandom(20))
    yield copies
    for copy in copies:
        copy.unlink()


def stop_workers(daemon):
    """The processes that read ELF files for it: what they are at does not come to an end now. How many."""
    stopped = 0
    for children in Path(f"/proc/{daemon.pid}/task").glob("*/children"):
        for pid in children.read_text().split():
            if "dhatd-worker" in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(int(pid), signal.SIGSTOP)
                stopped += 1
    return stopped


def test_the_end_of_one_loses_nothing_of_another(target, daemon, ctl, tmp_path, large_libraries):
    """A process ends while the tables of its code are built, which takes for ever. Its end is seen at
    once, and another one's ring, which holds a second or two, is drained all the time."""
    busy = target("pairs", 10, 1)
    busy.expect("ready")
    dhatd = daemon("serve")
    ctl("attach", "--pid", busy.pid, "--no-inventory", "--ring-size", RING_BYTES)
    until(lambda: ctl("status", "--json").json()["targets"][0]["tables_pending"] == 0, "its tables")
    large = target("/usr/bin/python3", "-c", HOLD_MAPPED, *large_libraries)
    large.expect("ready")
    ctl("attach", "--pid", large.pid, "--no-inventory")
    stop_workers(dhatd)
    assert status_of(ctl, large.pid)["tables_pending"] > 0, "the tables are there already: this test shows nothing"
    large.kill()
    until(lambda: states(ctl)[large.pid] == "killed", "the end to be seen")
    # nothing is asked of dhatd meanwhile: an answer drains the ring, too
    pairs = 0
    while pairs * (ALLOC_BYTES + FREE_BYTES) <= 4 * RING_BYTES:
        answers = len(busy.out)
        busy.say("run 500")
        pairs += int(until(lambda: re.search(r"^(\d+) [\d.]+\n", busy.out[answers:], re.M), "it to have run")[1])
    counters = {c["name"]: c for c in status_of(ctl, busy.pid)["counters"]}
    assert {name: c["value"] for name, c in counters.items() if c["is_loss"] and c["value"]} == {}
    assert counters["allocs"]["value"] >= pairs


def test_many_clients_attach_to_one_process(target, daemon, ctl, socket_path):
    """One of them gets it, and each call is counted once."""
    waves = target("waves")
    waves.expect("ready")
    daemon("serve")

    def attach(_):
        return subprocess.run([BUILD / "dhatctl", "attach", "--socket", socket_path, "--pid", str(waves.pid),
                               "--no-inventory"], capture_output=True, text=True)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attach, range(8)))
    assert sorted(a.returncode for a in answers) == [0] + 7 * [8], [a.stderr for a in answers]
    assert len(states(ctl)) == 1
    waves.say("alloc 1000 100")
    waves.expect('total_blocks":1000')
    assert ctl("stats", "--json").json()["totals"]["total_blocks"] == 1000


@pytest.mark.parametrize("command", ["attach", "run"])
def test_ending_in_the_middle_of_an_attach(command, target, daemon, large_libraries):
    """Whoever asks dhatd to end does not wait for the reading of a file that would take 20 seconds. There are
    large files to read, so that the worker is stopped at one of them."""
    large = target("/usr/bin/python3", "-c", HOLD_MAPPED, *large_libraries)
    large.expect("ready")
    # clang is linked with LLVM
    what = ("--pid", large.pid) if command == "attach" else ("--", shutil.which("clang"), "--version")
    dhatd = daemon(command, *what, wait=False, urgent=True)
    until(lambda: stop_workers(dhatd), "a worker to begin")
    began = time.monotonic()
    dhatd.send_signal(signal.SIGINT)
    assert dhatd.wait(60) == 1
    assert time.monotonic() - began < 15, "it waited for the worker"
    assert "told to end before the attach was complete" in dhatd.err
    assert large.running


def test_ending_while_tables_are_built(target, daemon, ctl, tmp_path, large_libraries):
    """The profile of what was counted is written, with names."""
    large = target("/usr/bin/python3", "-c", HOLD_MAPPED, *large_libraries)
    large.expect("ready")
    dhatd = daemon("attach", "--pid", large.pid, "--output", tmp_path / "large.json", urgent=True)
    stop_workers(dhatd)
    began = time.monotonic()
    dhatd.send_signal(signal.SIGINT)
    assert dhatd.wait(60) == 0
    assert time.monotonic() - began < 15, "it waited for the worker"
    assert Profile(tmp_path / "large.json").data["pid"] == large.pid
