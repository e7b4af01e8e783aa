"""dhatctl rss: the rows sum up to what the kernel says, and name what dhatd knows."""
import re
from pathlib import Path

import pytest

from conftest import TARGETS, until

BLOCKS, BLOCK_BYTES = 20000, 1000
PROGRAM = f"""
import ctypes, sys
ctypes.CDLL(None).mlockall(7)  # MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT: others' want of memory takes none of it
def take():
    return [bytearray(b"x" * {BLOCK_BYTES}) for _ in range({BLOCKS})]
before = take()
print("ready", flush=True)
for line in sys.stdin:
    since = take()
    print("taken", flush=True)
"""


def kernel_rss(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Rss:\s+(\d+) kB", text, re.M).group(1)) * 1024


def rows_of(ctl):
    table = ctl("rss", "--json").json()
    assert sum(int(row["bytes"]) for row in table["rows"]) == table["rss_bytes"]
    return {row["name"]: int(row["bytes"]) for row in table["rows"]}, table


def test_rows_sum_up_to_the_kernels_figure(daemon, ctl, target):
    program = target("/usr/bin/python3", "-c", PROGRAM)
    program.expect("ready")
    daemon("attach", "--pid", program.pid)
    rows, table = rows_of(ctl)
    assert table["rss_bytes"] == kernel_rss(program.pid)
    assert rows["blocks from before"] >= BLOCKS * BLOCK_BYTES
    assert rows.get("live blocks", 0) < BLOCK_BYTES * 100
    program.say("more")
    program.expect("taken")
    rows, table = rows_of(ctl)
    assert table["rss_bytes"] == kernel_rss(program.pid)
    # a block is a kilobyte and a head of Python's; all of it was written to
    assert BLOCKS * BLOCK_BYTES <= rows["live blocks"] <= BLOCKS * BLOCK_BYTES * 1.2
    assert rows["blocks from before"] >= BLOCKS * BLOCK_BYTES
    assert rows["code"] > 1 << 20
    text = ctl("rss").out
    assert "\x1b" not in text
    assert re.search(r"100\.0% +resident memory", text)


def test_a_target_that_has_ended_has_none(daemon, ctl, target):
    program = target("/usr/bin/python3", "-c", PROGRAM)
    program.expect("ready")
    daemon("attach", "--pid", program.pid)
    program.proc.stdin.close()
    program.wait()

    def ended():
        answer = ctl("rss", ok=False)
        return answer if answer.status == 3 else None

    answer = until(ended, "the end of the target to be noticed")
    assert "dhatctl stats" in answer.err


ROWS = r"before (\d+) (\d+) since (\d+) (\d+)$"
LIB = "/usr/lib/x86_64-linux-gnu/"
# an allocator, the program, its environment, whether its heap can be read
ALLOCATORS = {
    "glibc": ("resident", None, True),
    "glibc, no list": ("resident", None, True),
    "jemalloc": ("resident", LIB + "libjemalloc.so.2", False),
    "mimalloc": ("resident", str(next(Path(LIB).glob("libmimalloc.so.[0-9]"))), False),
    "tcmalloc": ("resident", LIB + "libtcmalloc_minimal.so.4", False),
    "musl": ("allocators/resident-musl", None, False),
}


def reports(process, number):
    """Bytes and those in memory, of blocks from before and since, by the program's own page table."""
    def found():
        lines = re.findall(ROWS, process.out, re.M)
        return [int(figure) for figure in lines[number - 1]] if len(lines) >= number else None
    return until(found, f"report {number}")


def check(rows, figures, can_be_read):
    _, before, _, since = figures
    assert rows.get("live blocks", 0) == since
    if can_be_read:
        # from before also what libc has for itself, and rounding: 24 bytes a block, pages of large ones
        assert before <= rows["blocks from before"] <= before + 200000
        assert "not known" not in rows
    else:
        assert "blocks from before" not in rows and "free in the allocator" not in rows
        assert rows["not known"] >= before


@pytest.mark.parametrize("name", ALLOCATORS)
def test_what_is_called_live_is_in_memory(daemon, ctl, target, name):
    """To the byte, though much of it was never touched."""
    program, preloaded, can_be_read = ALLOCATORS[name]
    process = target(program if "/" not in program else TARGETS / program,
                     env={"LD_PRELOAD": preloaded} if preloaded else None)
    figures = reports(process, 1)
    assert figures[1] < 0.8 * figures[0]
    daemon("attach", "--pid", process.pid, *(["--no-inventory"] if "no list" in name else []))
    for number in (2, 3):
        process.say("more")
        figures = reports(process, number)
        rows, table = rows_of(ctl)
        assert table["rss_bytes"] == kernel_rss(process.pid)
        check(rows, figures, can_be_read)
        absent = re.search(r"of the [^ ]+ [^ ]+ that are live are not in memory", table["note"])
        assert absent, table["note"]


def test_from_the_start_nothing_is_from_before(daemon, ctl, tmp_path):
    """A heap that cannot be read, and yet all blocks are known."""
    dhatd = daemon("run", "--", TARGETS / "allocators/resident-musl")
    figures = reports(dhatd, 1)
    rows, table = rows_of(ctl)
    assert rows["live blocks"] == figures[1]
    assert [row["meaning"] for row in table["rows"] if row["name"] == "not known"] == [
        "this allocator's heap cannot be read: its own and free memory; thread stacks, mmap by the program"]
