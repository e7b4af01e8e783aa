"""dhatctl holds: each way of holding a block there is; what nothing holds; what is refused."""
import json
import re
from pathlib import Path

import pytest

from conftest import until

COUNT = 1000
LOST = {"lost_plain": COUNT, "lost_by_itself": COUNT, "lost_in_pairs": 2 * COUNT, "lost_list": COUNT,
        "lost_later": COUNT}
ROOTS = {"held_by_list": "global list", "held_inside": "global ring", "held_by_buckets": "global buckets",
         "held_by_end": "global ends", "held_with_low_tag": "global low_tags", "held_by_epoll": "epoll data",
         "held_in_blocks": "global tree", "held_by_register": "the registers of thread holders",
         "held_by_running_register": "the registers of thread holders",
         "held_by_stack": "the stack of thread holders"}


def holds_of(ctl, *options):
    told = ctl("holds", "--json", "--top", "1000", "--by", "function", *options).json()
    return told["holds"], {row["name"].split(" ")[0]: row for row in told["rows"]}


@pytest.fixture
def holders(daemon, ctl, target):
    program = target("holders")
    program.expect("ready")
    daemon("attach", "--pid", program.pid)
    program.say("make")
    program.expect("made")
    return program


def pss_of(pid):
    return int(re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])


def test_each_kind(holders, ctl, tmp_path):
    before = pss_of(holders.pid)
    whole, rows = holds_of(ctl)
    assert abs(pss_of(holders.pid) - before) <= 64  # its own doing: buffers of its line
    assert not whole["refusals"] and whole["scans"] >= 3
    for name, row in rows.items():
        lost, live = row["lost_blocks"], row["live_blocks"]
        if name.startswith("held"):
            assert row["held_blocks"] == live, (name, row)
        elif name.startswith("tagged"):
            assert row["unknown_blocks"] == live, (name, row)
        elif name.startswith("lost"):
            # a word left over on a stack may point to some
            assert live == LOST[name] and lost >= 0.98 * live and lost + row["unknown_blocks"] == live, (name, row)
    assert rows["lost_in_pairs"]["in_cycles_blocks"] == rows["lost_in_pairs"]["lost_blocks"]
    assert rows["lost_plain"]["in_cycles_blocks"] == rows["lost_plain"]["under_lost_blocks"] == 0
    assert rows["lost_list"]["under_lost_blocks"] == COUNT - 1
    for name, root in ROOTS.items():
        assert rows[name]["chains"][0]["root"] == root, (name, rows[name]["chains"])
    # those were freed by an address in a pipe, which nobody can see: the site is believed no more
    holders.say("free")
    holders.expect("freed")
    whole, rows = holds_of(ctl)
    assert int(whole["withdrawn_blocks"]) >= 0.98 * COUNT
    assert rows["lost_plain"]["lost_blocks"] >= 0.98 * COUNT
    assert rows.get("lost_later", {"lost_blocks": 0})["lost_blocks"] == 0
