"""dhatctl rss: the rows sum up to what the kernel says, and name what dhatd knows."""
import re
from pathlib import Path

from conftest import until

BLOCKS, BLOCK_BYTES = 20000, 1000
PROGRAM = f"""
import sys
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
