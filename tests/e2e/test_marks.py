"""What was allocated since a mark and still lives: block by block, and not two sums subtracted."""
import re

import pytest

from conftest import until
from oracle import Profile


@pytest.fixture
def waves(target):
    """Blocks on command, oldest freed first."""
    process = target("waves")
    process.expect("ready")
    return process


def tell(process, *commands):
    for command in commands:
        seen = process.out.count("\n")
        process.say(command)
        until(lambda: process.out.count("\n") > seen, f"the answer to {command}")


def listed(ctl, *args):
    """{name: (bytes, blocks)} of the only target."""
    target, = ctl("mark", *args, "--json").json()
    return {mark["name"]: (mark["live_bytes"], mark["live_blocks"]) for mark in target["marks"]}


def test_marks_are_listed_refused_and_removed(waves, daemon, ctl):
    daemon("attach", "--pid", waves.pid, "--no-inventory")
    assert "no marks" in ctl("mark").out
    tell(waves, "alloc 10 100")
    assert ctl("mark", "a", "--json").json()["message"] == f"process {waves.pid} is marked a"
    tell(waves, "free 4", "alloc 6 100")
    ctl("mark", waves.pid, "b")
    tell(waves, "alloc 3 1000")
    assert listed(ctl) == {"a": (3600, 9), "b": (3000, 3)}
    tell(waves, "free 8")  # the six others from before, and two of those since a
    assert listed(ctl, waves.pid) == {"a": (3400, 7), "b": (3000, 3)}
    assert "3.3 KiB (3,400 bytes) live in 7 blocks" in ctl("mark").out
    assert re.search(r"^  marks +a \d\d:\d\d:\d\d, b \d\d:\d\d:\d\d$", ctl("status").out, re.M)

    again = ctl("mark", "a", ok=False)
    assert again.status == 8 and "has a mark a already" in again.err
    for wrong in (["a", "b"], ["a.dhat"], ["x/y"], ["--remove", "a", "b"], ["x" * 64], ["a", "--all", waves.pid]):
        assert ctl("mark", *wrong, ok=False).status == 2, wrong
    unknown = ctl("mark", "--remove", "c", ok=False)
    assert unknown.status == 2 and "has no mark c; it has: a, b" in unknown.err
    assert ctl("mark", "c", waves.pid + 1, ok=False).status == 3
    ctl("mark", "--remove", "a")
    ctl("mark", "a", "--all")
    assert listed(ctl) == {"b": (3000, 3), "a": (0, 0)}

    for number in range(30):
        ctl("mark", f"m{number}")
    more = ctl("mark", "more", ok=False)
    assert more.status == 1 and "has 32 marks" in more.err
    assert re.search(r"^  marks +m25 .*, m29 .*; 27 before\s+them: dhatctl mark$", ctl("status").out, re.M | re.S)
    ctl("detach", waves.pid)
    late = ctl("mark", "late", ok=False)
    assert late.status == 3 and "not watched any more" in late.err
    assert " before the end: 2.9 KiB (3,000 bytes) live in 3 blocks" in ctl("mark").out and " ago" not in ctl("mark").out
    assert " before the end" in ctl("status").out
    assert listed(ctl)["b"] == (3000, 3)


def sums(ctl, *args):
    """What a list says of all births, and of its rows."""
    answer = ctl(*args, "--json", "--top", "1000").json()
    rows = answer["points"]
    assert sum(row["born_bytes"] for row in rows) == answer["births"]["live_bytes"]
    assert sum(row["born_blocks"] for row in rows) == answer["births"]["live_blocks"]
    return answer["births"]["live_bytes"], answer["births"]["live_blocks"]


def test_since_a_mark_between_two_and_since_a_file(waves, daemon, ctl, tmp_path):
    """At one point blocks of all three times; at others only later ones."""
    daemon("attach", "--pid", waves.pid, "--no-inventory")
    tell(waves, "alloc 10 100")
    ctl("mark", "a")
    ctl("snapshot", "-o", tmp_path / "a.dhat")
    tell(waves, "free 10", "alloc 10 100", "paths 5 7")  # as much as before at the first point
    ctl("mark", "b")
    tell(waves, "alloc 3 1000", "free 2")
    assert sums(ctl, "stats", "--since", "a") == (8 * 100 + 5 * 7 + 3 * 1000, 16)
    assert sums(ctl, "stats", "--since", "b", waves.pid) == (3000, 3)
    assert sums(ctl, "diff", "a", "b") == (8 * 100 + 5 * 7, 13)
    assert "Allocated between a and b (" in ctl("diff", "a", "b").out
    assert ctl("stats", "--since", "b", "--by", "function", "--json").json()["points"][0]["function"] == "take"

    # a file keeps them
    ctl("snapshot", "-o", tmp_path / "b.dhat")
    tell(waves, "alloc 1 1")
    assert sums(ctl, "stats", "--since", "b", tmp_path / "b.dhat") == (3000, 3)
    assert sums(ctl, "diff", "a", "b", tmp_path / "b.dhat") == (8 * 100 + 5 * 7, 13)
    assert ctl("diff", "a", "b", tmp_path / "b.dhat", waves.pid, ok=False).status == 2

    # since a file: what diff says
    for since, diff in ([], [waves.pid]), ([tmp_path / "b.dhat"], [tmp_path / "b.dhat"]):
        ours = ctl("stats", "--since", tmp_path / "a.dhat", *since, "--json").json()
        theirs = ctl("diff", tmp_path / "a.dhat", *diff, "--json").json()
        assert ours["changes"] == theirs["changes"]
    changes = [(change["bytes"], change["blocks"]) for change in ours["changes"]]
    assert changes[0] == (8 * 100 + 3000 - 1000, 1) and sum(b for b, _ in changes[1:]) == 35

    assert ctl("diff", "b", "a", ok=False).status == 2
    assert "of a mark: dhatctl stats --since a, or dhatctl diff a LATER_MARK" in ctl("diff", "a", ok=False).err
    assert "which mark, or which file" in ctl("stats", "--since", "", ok=False).err
    unknown = ctl("stats", "--since", "c", ok=False)
    assert unknown.status == 2 and "there is no mark c; there are: a, b" in unknown.err


def test_births_as_a_file(waves, daemon, ctl, tmp_path):
    """The blocks that a list is of, alone, in whatever format; and nothing of them where they are not asked for."""
    daemon("attach", "--pid", waves.pid, "--no-inventory")
    tell(waves, "alloc 10 100")
    ctl("mark", "a")
    tell(waves, "free 4", "alloc 2 100", "paths 5 7")
    ctl("mark", "b")
    tell(waves, "alloc 3 1000", "free 2")
    said = ctl("diff", "a", "b", "-o", tmp_path / "ab.dhat").out
    assert "Allocated between a and b: 235 bytes in 7 blocks, 6 stacks; written to " in said
    ctl("stats", "--since", "a", "-o", tmp_path / "a.json")
    grown = Profile(tmp_path / "a.json")
    assert (grown.sums()["eb"], grown.sums()["ebk"]) == (3235, 10) == (grown.sums()["tb"], grown.sums()["gbk"])
    assert "what was allocated since a and lives" in grown.data["cmd"]
    again = ctl("stats", "--json", tmp_path / "ab.dhat").json()
    assert (again["totals"]["live_bytes"], again["totals"]["live_blocks"]) == (235, 7) and not again.get("marks")
    folded = ctl("diff", "a", "b", "-o", "-", "--format", "folded").out
    assert sum(int(line.rpartition(" ")[2]) for line in folded.splitlines()) == 235
    for suffix in "html", "pb.gz", "speedscope.json", "jsonl", "massif", "callgrind":
        ctl("diff", "a", "b", "-o", tmp_path / f"x.{suffix}")
    nothing = ctl("stats", "-o", tmp_path / "no.json", ok=False)
    assert nothing.status == 2 and "which blocks" in nothing.err and not (tmp_path / "no.json").exists()


def test_temporary_blocks(target, daemon, ctl):
    """Each pair of malloc and free is one: the program counts them, too."""
    pairs = target("pairs", "6")
    pairs.expect("ready")
    daemon("attach", "--pid", pairs.pid, "--no-inventory")
    pairs.say("run 20")
    count = int(until(lambda: re.search(r"^(\d+) [\d.]+$", pairs.out, re.M), "the number of pairs")[1])
    first = ctl("stats", "--temporary", "--by", "function", "--json").json()["points"][0]
    assert (first["function"], first["temporary_blocks"], first["total_blocks"]) == ("pair_loop", count, count)
    text = ctl("stats", "--temporary").out
    assert re.search(rf"^   1\. {count:,} of {count:,} blocks were temporary, 100.0%$", text, re.M), text
    assert re.search(rf"^{count:,} of [\d,]+ blocks were temporary \(\d+\.\d%\): freed within", text, re.M), text


def test_marks_of_several_processes(target, daemon, ctl):
    """What all have can be listed as one."""
    two = [target("waves"), target("waves")]
    for process in two:
        process.expect("ready")
    daemon("attach", "--pid", two[0].pid, "--no-inventory")
    ctl("attach", "--pid", two[1].pid, "--no-inventory")
    several = ctl("mark", "a", ok=False)
    assert several.status == 2 and "several processes are attached" in several.err
    ctl("mark", "--all", "a")
    ctl("mark", "own", two[1].pid)
    for count, process in enumerate(two, 1):
        tell(process, f"alloc {count} 10")
    merged, = ctl("stats", "--all", "--since", "a", "--by", "function", "--json").json()
    assert (merged["births"]["live_bytes"], merged["births"]["live_blocks"]) == (30, 3)
    assert merged["points"][0]["born_blocks"] == 3
    own = ctl("stats", "--all", "--since", "own", ok=False)
    assert own.status == 2 and "there is no mark own; all of the processes have: a" in own.err


def test_ages_lifetimes_and_sizes(waves, daemon, ctl, tmp_path):
    """Each live block has one age and one size, each block freed since the first mark one lifetime."""
    daemon("attach", "--pid", waves.pid, "--no-inventory")
    tell(waves, "alloc 10 100", "free 1")
    assert "counted from the first `dhatctl mark' on" in ctl("stats", "--ages").out
    ctl("mark", "a")
    tell(waves, "alloc 5 1000", "free 3", "paths 4 1025")

    def of_old():
        """Blocks: of a second and more; younger by the histogram, whose bound a second is; all."""
        answer = ctl("stats", "--older", "1s", "--ages", "--by", "function", "--json").json()
        row = next(iter(answer["points"]), {"born_blocks": 0, "live_ages": [], "live_blocks": 0})
        return row["born_blocks"], sum(row["live_ages"][:18]), row["live_blocks"], row

    until(lambda: of_old()[0] == 15, "all blocks to be a second old")
    tell(waves, "alloc 7 100", "free 6")  # the rest of the first ten, and of the five none
    old, young, live, row = of_old()
    assert old + young == live == 16 and old >= 9
    assert sum(row["dead_ages"]) == 3 + 6
    assert row["live_sizes"] == [0] * 7 + [7, 0, 0, 5, 4]  # 100 and 1000 bytes, and 1025

    ctl("snapshot", "-o", tmp_path / "x.dhat")
    kept = ctl("stats", tmp_path / "x.dhat", "--sizes", "--by", "function", "--json").json()["points"][0]
    assert kept["live_sizes"] == row["live_sizes"] and kept["dead_ages"] == row["dead_ages"]
    assert "Live blocks by size:" in ctl("stats", tmp_path / "x.dhat", "--sizes").out
    older = ctl("stats", "--older", "1s", "--ages", "--by", "function", "--json", tmp_path / "x.dhat").json()["points"][0]
    assert older["born_blocks"] == sum(older["live_ages"][18:]) >= old
    ctl("snapshot", "-o", tmp_path / "x.json")  # a format without them


def test_lifetimes_from_the_start(target, daemon, ctl, tmp_path):
    """Without a mark: each block that was freed has one; and the file says that it is of all of them."""
    waves = target("waves")
    waves.expect("ready")
    daemon("attach", "--pid", waves.pid, "--no-inventory", "--lifetimes")
    tell(waves, "alloc 10 100", "free 4", "alloc 2 100", "free 1")
    ctl("snapshot", "-o", tmp_path / "x.dhat")
    rows = ctl("stats", "--ages", "--by", "function", "--json", tmp_path / "x.dhat").json()["points"]
    assert [(sum(row["live_ages"]), sum(row["dead_ages"])) for row in rows] == [(7, 5)]
    assert ", and all those freed by the age that they had:" in ctl("stats", "--ages", tmp_path / "x.dhat").out


def test_ages_without_room(target, daemon, ctl):
    """Then a profile is to be had all the same."""
    waves = target("waves")
    waves.expect("ready")
    daemon("attach", "--pid", waves.pid, "--no-inventory", "--max-memory", "16M")
    for _ in range(20):  # the ring is as small as the rest: it is emptied in between
        tell(waves, "paths 250 1")
        ctl("stats", "--top", "1")
    none = ctl("stats", "--ages", ok=False)
    assert none.status == 1 and "no room for them (--max-memory)" in none.err
    # the longer it takes the more history each stack has, and the fewer blocks there is room for
    assert ctl("stats", "--json").json()["totals"]["total_bytes"] == 5000


def test_counts_agree_while_events_go_on(target, daemon, ctl):
    """Blocks are counted piece by piece; what comes and goes meanwhile is in the next profile."""
    busy = target("big_live", "--gate", "1000000")
    busy.expect("ready")
    daemon("attach", "--pid", busy.pid, "--no-inventory")
    ctl("mark", "a")
    busy.say("")

    def live():
        answer = ctl("stats", "--ages", "--no-names", "--top", "1000", "--json").json()
        totals, points = answer["totals"], answer["points"]
        for counts in "live_ages", "live_sizes":
            assert sum(sum(point[counts]) for point in points) == totals["live_blocks"]
        assert sum(sum(point["dead_ages"]) for point in points) == totals["total_blocks"] - totals["live_blocks"]
        assert answer["marks"][0]["live_blocks"] == totals["live_blocks"]
        return totals["live_blocks"]

    until(lambda: live() > 60000, "so many blocks that they are several pieces")
