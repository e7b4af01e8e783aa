"""Who allocates: threads by what they were called then, and the allocator."""
import re
import subprocess

import pytest
from conftest import until
from oracle import status_of

ROWS = {"early": (1000, 1), "worker-*": (900, 9), "first": (500, 1), "second": (700, 1)}


@pytest.fixture
def named(target, daemon, ctl):
    process = target("named_threads", "--gate", "--hold")
    process.expect("ready")
    daemon("attach", "--pid", process.pid)
    until(lambda: not status_of(ctl, process.pid)["tables_pending"], "the tables to be built")
    process.say("go")
    process.expect("total_bytes")
    return process


def test_threads_are_told_apart(named, ctl, tmp_path):
    rows = {row["thread"]: (row["live_bytes"], row["live_blocks"])
            for row in ctl("stats", "--by", "thread", "--json", "--top", "100").json()["points"]}
    assert ROWS.items() <= rows.items() and rows["named_threads"][1] >= 5
    assert re.search(r"^   2\. 1,000 bytes live in 1 block.*\n.*\n +early$", ctl("stats", "--by", "thread").out, re.M)
    listed = ctl("top", "--batch", "--count", "1", "--by", "thread", "--sort", "live").out
    assert re.search(r"^5 threads by live bytes", listed, re.M) and re.search(r" 900 B .* worker-\*$", listed, re.M)

    # Go's own pprof finds them by its labels
    path = tmp_path / "named.pb.gz"
    ctl("snapshot", "-o", path)
    for thread, (size, _) in ROWS.items():
        top = subprocess.run(["go", "tool", "pprof", "-symbolize=none", "-top", "-sample_index=inuse_space", "-unit=B",
                              f"-tagfocus=thread=^{re.escape(thread)}$", path], capture_output=True, text=True, check=True)
        assert re.search(rf"Showing nodes accounting for {size}B\b", top.stdout), top.stdout
    tags = subprocess.run(["go", "tool", "pprof", "-symbolize=none", "-tags", path], capture_output=True, text=True,
                          check=True).stdout
    assert re.search(r" allocator: Total .*\n +\S+ \(  100%\): glibc 2\.\d+$", tags, re.M), tags
