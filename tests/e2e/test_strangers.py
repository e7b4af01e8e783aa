"""tests/strangers: its judge lets nobody pass who says "exact" and is not. (The programs themselves are
fetched from outside: make test-strangers.)"""
import re
import sys

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "strangers"))
# pylint: disable=wrong-import-position
from judge import judge  # noqa: E402
from live import KINDS  # noqa: E402
from measure import Seen, Stacks, found_places, live_bytes  # noqa: E402
from rows import ROWS  # noqa: E402

LIVE = {"live": "lines"}
HIDDEN = {"hidden": "jemalloc", "verdict": "partial"}
BUSY = {"live": "biome", "attach": "busy", "hidden": "jemalloc", "verdict": "partial|inexact"}
OWN = {"live": "ruby", "own": "ObjectSpace", "own_tolerance": 0.01}
TOLD = ["what jemalloc hands out is not counted"]


@pytest.mark.parametrize("row, seen, complaint", [
    ({}, Seen("exact", [], 10000, (10005, 10005)), None),
    ({}, Seen("exact", [], 2700, (10000, 10000)), "7,300 blocks missing .73.00 %.: dhatd counted 2,700, bpftrace 10,000"),
    ({}, Seen("exact", [], 12000, (10000, 10000)), "2,000 blocks too many"),
    ({}, Seen("exact", [], 51, (48, 48)), None),  # two lives
    ({}, Seen("exact", [], 55, (48, 50)), "5 blocks too many"),
    ({}, Seen("exact", [], 10000, None), "nobody counted"),
    ({"tolerance": 0.02}, Seen("exact", [], 9700, (10000, 10100)), "300 blocks missing"),
    ({"tolerance": 0.02}, Seen("exact", [], 9850, (10000, 10100)), None),
    (LIVE, Seen("exact", [], 51, (48, 50)), "1 blocks too many"),  # one life, two counters
    (LIVE, Seen("exact", [], 50, (48, 50)), None),
    (HIDDEN, Seen("exact", [], 48, (48, 48)), "jemalloc hands out cannot be counted"),
    (HIDDEN, Seen("partial", TOLD, 48, (48, 48)), None),
    (HIDDEN, Seen("partial", TOLD, 20, (48, 48)), "28 blocks missing"),  # what is counted has to be right
    (HIDDEN, Seen("partial", ["something is not counted"], 48, (48, 48)), "without a word of jemalloc"),
    (HIDDEN, Seen("inexact", TOLD, 48, (48, 48)), "expected to be partial"),
    (BUSY, Seen("exact", [], 50000, (50000, 50000), 3), None),
    (BUSY, Seen("exact", [], 50000, (50000, 50000), 3000), "a function that hands out blocks is missed"),
    (BUSY, Seen("exact", [], 30000, (50000, 50000), 3), "20,000 blocks missing"),
    (BUSY, Seen("inexact", TOLD, 30000, (50000, 50000), 3), "20,000 blocks missing"),
    (OWN, Seen("exact", [], 10, (10, 10), 0, 99500, 100000), None),
    (OWN, Seen("exact", [], 10, (10, 10), 0, 90000, 100000), "10,000 bytes less .10.00 %.*ObjectSpace says 100,000"),
    (OWN, Seen("exact", [], 10, (10, 10), 0, 90000, 0), "bytes more"),
    ({}, Seen("partial", [], 10000, (10000, 10000)), "without"),
    ({"verdict": "inexact"}, Seen("inexact", ["1 came late"], 10000, (10001, 10001)), None),
    ({"verdict": "inexact"}, Seen("inexact", ["1 came late"], 5000, (10001, 10001)), "5,001 blocks missing"),
    ({}, Seen(None, ["no"]), "refused"),
    ({"refused": "static"}, Seen(None, ["is linked statically"]), None),
    ({"refused": "Go"}, Seen(None, ["no known allocator"]), "Go"),
    ({"refused": "Go"}, Seen("exact", [], 3, None), "not refused")])
def test_judge(row, seen, complaint):
    wrong = judge(row, seen)
    assert (wrong is None) == (complaint is None), wrong
    assert complaint is None or re.search(complaint, wrong), wrong


def test_live_bytes():
    """Those below the function, and of them those that came since the attach."""
    profile = {"ftbl": ["[root]", "0x1: rb_str_times (a.c:1)", "0x2: main", "[allocated before attach]"],
               "pps": [{"fs": [1, 2], "eb": 10}, {"fs": [2], "eb": 200}, {"fs": [3], "eb": 4000}]}
    assert live_bytes(profile, r"\brb_str_times\b") == 10
    assert live_bytes(profile, ".") == 210


def test_stacks():
    """By their last frames, and by the counters that come with them."""
    counters = {"stop_complete": 60, "stop_no_rule": 40, "first_stacks": 20, "first_whole": 5, "allocs": 100}
    profile = {"ftbl": ["[root]", "0x1: main (a.c:1)", "0x2: _start (in /a)", "[stack ends early: no rule]",
                        "0x3: Builtins_CallApiCallback (in /node)", "[allocated before attach]"],
               "pps": [{"fs": [1, 2], "tbk": 50}, {"fs": [1, 3], "tbk": 30}, {"fs": [1, 4], "tbk": 7}, {"fs": [5], "tbk": 0}],
               "dhatd": {"counters": [{"name": name, "value": value} for name, value in counters.items()]}}
    stacks = Stacks.of(profile)
    assert stacks == Stacks(50, {"no rule": 30}, {"Builtins_CallApiCallback (in /node)": 7}, (5, 20), (55, 80))
    assert stacks.blocks == 87
    later = counters | {"stop_complete": 90, "stop_no_rule": 41}
    assert Stacks.of(profile).of_piece(counters, later).since == (30, 31)
    wrong = judge({}, Seen("exact", [], 10000, (10000, 10000), stacks=stacks))
    assert "the stacks of 7 blocks claim to be whole, and end where nothing starts: 7 of them in Builtins_Call" in wrong
    stacks.false = {}
    assert judge({"whole": 68}, Seen("exact", [], 10000, (10000, 10000), stacks=stacks)) is None
    wrong = judge({"whole": 69}, Seen("exact", [], 10000, (10000, 10000), stacks=stacks))
    assert "68.75 % of the stacks are whole once tables are there: 69 % were wanted" in wrong
    assert judge({}, Seen("exact", [], 10000, (10000, 10000), stacks=stacks)) is None
    # none of none is no share
    stacks.since = (0, 0)
    assert "no stack came" in judge({"whole": 68}, Seen("exact", [], 10000, (10000, 10000), stacks=stacks))
    assert judge({}, Seen("exact", [], 10000, (10000, 10000), stacks=stacks)) is None


def test_found_places():
    """Of the functions, not of the probes; and of those that give, not of those that take."""
    site = {"object": "/x", "function_vaddr": 0x2000, "site_vaddr": 0x200a, "file_offset": 0x100a, "role": "malloc",
            "allocator": "jemalloc 5.3.0, found by its code"}
    places = found_places({"probes": [site, site | {"role": "free"}, site | {"allocator": "glibc 2.36"}]})
    assert [(str(path), at) for path, at in places] == [("/x", "0x1000")]


def test_rows():
    """Each has a fixed version, and something to be judged by."""
    assert len({row["name"] for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert all(re.fullmatch(r"(@[\w-]+/)?[\w-]+@\d+\.[\w.-]+", package) for package in row.get("packages", [])), row
        assert bool(row.get("truth")) != ("refused" in row), row
        assert row.get("live", "lines") in KINDS, row
        assert row.get("tolerance", 0) <= 0.02 and row.get("own_tolerance", 0) <= 0.02, row
        assert ("own_tolerance" not in row and "stack" not in row) or "own" in row, row
