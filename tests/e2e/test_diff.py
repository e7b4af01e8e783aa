"""What has grown between two profiles: of one watch, of a file and now, and of two runs of a program; and as a file."""
import json
import re
import subprocess

import pytest

from conftest import BUILD, DEADLINE, TARGETS
from dhat_file import frame_message, write
from oracle import Profile
from served import SESSION_BYTES, Served


@pytest.fixture
def watched(target, daemon, ctl, tmp_path):
    """A service that forgets one session in ten requests; two profiles, 500 requests apart."""
    served = Served(target, tmp_path)
    daemon("attach", "--pid", served.pid)
    for name in "a", "b":
        served.start_load(connections=2, requests=250, pause_us=0)
        served.end_load()
        ctl("snapshot", "-o", tmp_path / f"{name}.dhat")
    return served


def test_growth_is_the_sessions_forgotten_between(watched, ctl, tmp_path):
    changes = ctl("diff", tmp_path / "a.dhat", tmp_path / "b.dhat", "--json").json()
    assert changes["is_one_watch"] and changes["seconds"] > 0
    most = changes["changes"][0]
    assert any("remember_session" in line for line in most["lines"])
    assert (most["bytes"], most["blocks"]) == (50 * SESSION_BYTES, 50)
    assert most["live_blocks_before"] == most["live_blocks_after"] - 50
    # D1: the rows' changes are the sums' change
    assert sum(c["bytes"] for c in changes["changes"]) == \
        changes["after"]["live_bytes"] - changes["before"]["live_bytes"]

    text = ctl("diff", tmp_path / "a.dhat", tmp_path / "b.dhat").out
    assert re.search(r"^What is live has grown by .*: from .* to ", text, re.M), text  # by the minute from a second on
    first = text.partition("   1. ")[2]
    assert re.match(rf"\+.*\({50 * SESSION_BYTES:,} bytes\) in \+50 blocks", first), text
    assert "remember_session" in first.partition("   2. ")[0]


@pytest.mark.parametrize("by", ["function", "line", "file", "object"])
def test_sums(watched, ctl, tmp_path, by):
    changes = ctl("diff", tmp_path / "a.dhat", tmp_path / "b.dhat", "--by", by, "--json").json()["changes"]
    assert changes[0]["bytes"] == 50 * SESSION_BYTES
    assert ("remember_session" if by == "function" else "service") in changes[0]["lines"][0]


def test_a_file_and_now(watched, ctl, tmp_path):
    watched.start_load(connections=2, requests=250, pause_us=0)
    watched.end_load()
    most = ctl("diff", tmp_path / "b.dhat", watched.pid, "--json").json()["changes"][0]
    assert most["blocks"] == 50
    assert ctl("diff", tmp_path / "a.dhat", "--json").json()["changes"][0]["blocks"] == 100


def test_nothing_has_changed(watched, ctl, tmp_path):
    text = ctl("diff", tmp_path / "b.dhat", tmp_path / "b.dhat").out
    assert "As much is live as before." in text and "   1. " not in text


def test_the_older_one_comes_first(watched, ctl, tmp_path):
    answer = ctl("diff", tmp_path / "b.dhat", tmp_path / "a.dhat", ok=False)
    assert answer.status == 2 and "give the older one first" in answer.err
    for wrong in ([], ["a.dhat", "b.dhat", "c.dhat"]):
        assert ctl("diff", *wrong, ok=False).status == 2


def test_two_runs_of_a_program(ctl, tmp_path):
    """Addresses differ, names do not: what is equal in both is no change."""
    for name, seconds in ("one", "3"), ("two", "6"):
        subprocess.run([BUILD / "dhatd", "run", "--socket", tmp_path / "s", "-o", tmp_path / f"{name}.dhat", "--",
                        TARGETS / "stacks_cxx", seconds], check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
    difference = ctl("diff", tmp_path / "one.dhat", tmp_path / "two.dhat", "--json").json()
    assert not difference["is_one_watch"]
    assert [c for c in difference["changes"] if c["bytes"] or c["blocks"]] == []
    assert difference["before"]["live_bytes"] == difference["after"]["live_bytes"] > 0


LEAK, CACHE, NEW = "load_session", "cache_page", "open_log"


@pytest.fixture
def two(tmp_path):
    """(before, after): a leak grows by 1,000,000 bytes, a cache shrinks by 300,000, a stack of 300 bytes is new."""
    def figures(live, blocks, total):
        return {"live_bytes": live, "live_blocks": blocks, "total_bytes": total, "total_blocks": blocks,
                "peak_bytes": live, "peak_blocks": blocks, "lifetimes_us": 1000 * blocks}

    frames = [frame_message(0x1000 * i, name, f"src/{name}.c", 10 * i)
              for i, name in enumerate((LEAK, CACHE, NEW, "main"), 1)]
    before, after = tmp_path / "before.dhat", tmp_path / "after.dhat"
    label = "[allocated before attach]"
    write(before, frames, [([1, 4], figures(1_700_000, 4_400, 1_700_000)), ([2, 4], figures(500_000, 50, 900_000)),
                           ([], figures(900_000, 5_700, 0), label)])
    write(after, frames, [([1, 4], figures(2_700_000, 6_400, 2_700_000)), ([2, 4], figures(200_000, 60, 950_000)),
                          ([3, 4], figures(300, 3, 400)), ([], figures(800_000, 5_000, 0), label)], taken_ns=190_000_000_000)
    return before, after


def test_blocks_from_before(two, ctl, tmp_path):
    """Of one watch it is told that some are gone; another watch has others of which nobody knows anything."""
    changes = ctl("diff", *two, "--json").json()["changes"]
    assert changes[-2]["lines"] == ["[allocated before attach]"] and changes[-2]["bytes"] == -100_000
    write(tmp_path / "other.dhat", [], [([], {"live_bytes": 5, "live_blocks": 1}, "[allocated before attach]")], pid=9,
          taken_ns=200_000_000_000)
    of_two_watches = ctl("diff", two[0], tmp_path / "other.dhat", "--json").json()["changes"]
    assert [c["bytes"] for c in of_two_watches] == [-500_000, -1_700_000]


def test_file_that_holds_no_less(two, ctl, tmp_path):
    """For DHAT's viewer: what has grown, and it is said how much is left out."""
    said = ctl("diff", *two, "-o", tmp_path / "d.json").out
    assert re.search(r"^What is live has grown by 586 KiB \(600,300 bytes\)", said, re.M), said
    assert re.search(r"^2 stacks have grown; written to .*/d.json$", said, re.M), said
    assert "What has shrunk is left out, 2 stacks by 391 KiB (400,000 bytes): json has no place for it" in said
    profile = Profile(tmp_path / "d.json")
    sums = profile.sums()
    assert (sums["eb"], sums["ebk"]) == (1_000_300, 2_013)
    assert profile.with_function(LEAK)["eb"] == 1_000_000 and profile.with_function(NEW)["ebk"] == 3
    assert profile.data["te"] == 100_000_000 and "[what has grown from 2023-11-14 22:14:50 to " in profile.data["cmd"]
    ctl("diff", *two, "-o", tmp_path / "d.folded")
    assert (tmp_path / "d.folded").read_text() == f"main;{LEAK} 1000000\nmain;{NEW} 300\n"
    ctl("diff", *two, "-o", tmp_path / "d.dhat")
    assert ctl("stats", tmp_path / "d.dhat", "--json").json()["totals"]["live_bytes"] == 1_000_300


def test_what_valgrind_s_tools_read(two, ctl, tmp_path):
    """What has grown; and the rest is said to be left out."""
    said = ctl("diff", *two, "-o", tmp_path / "d.massif").out
    assert "What has shrunk is left out, 2 stacks by 391 KiB (400,000 bytes): massif has no place for it" in said
    printed = subprocess.run(["ms_print", "--threshold=0", tmp_path / "d.massif"], capture_output=True, text=True,
                             check=True).stdout
    grown = re.findall(r"^(?:->|  )?[\d.]+% \(([\d,]+)B\)", printed, re.M)
    assert "1,000,300" in grown and "1,000,000" in grown and not re.search(r"-\d", "".join(grown)), printed
    said = ctl("diff", *two, "-o", tmp_path / "d.callgrind").out
    assert "callgrind has no place for it" in said
    printed = subprocess.run(["callgrind_annotate", "--auto=no", "--threshold=100", tmp_path / "d.callgrind"],
                             capture_output=True, text=True, check=True).stdout
    assert re.search(r"^\s*1,000,300 .*PROGRAM TOTALS", printed, re.M), printed
    assert re.search(rf"^\s*1,000,000 .*{LEAK}", printed, re.M), printed


def test_files_that_hold_both(two, ctl, tmp_path):
    said = ctl("diff", *two, "-o", tmp_path / "d.pb.gz").out
    assert "2 stacks have grown, 2 stacks have shrunk; written to" in said and "left out" not in said
    for name, path in zip(("before", "after"), two):
        ctl("export", path, "-o", tmp_path / f"{name}.pb.gz")
    # ours, and pprof's own of the two
    for argv in [tmp_path / "d.pb.gz"], [f"-diff_base={tmp_path / 'before.pb.gz'}", tmp_path / "after.pb.gz"]:
        top = subprocess.run(["go", "tool", "pprof", "-symbolize=none", "-top", "-nodefraction=0", "-unit=bytes", *argv],
                             capture_output=True, text=True, check=True).stdout
        flat = {name: int(number) for number, name in re.findall(r"^\s*(-?\d+)B? +[-\d.]+%.* (\S+)$", top, re.M)}
        assert (flat[LEAK], flat[CACHE], flat[NEW]) == (1_000_000, -300_000, 300), top

    ctl("diff", *two, "-o", tmp_path / "d.speedscope.json", "--metric", "total")
    data = json.loads((tmp_path / "d.speedscope.json").read_text())
    ends = {profile["name"]: profile["endValue"] for profile in data["profiles"]}
    assert (ends["live-bytes grown"], ends["live-bytes shrunk"]) == (1_000_300, 400_000)
    assert (ends["live-blocks grown"], ends["live-blocks shrunk"]) == (2_013, 700)
    assert all(weight > 0 for profile in data["profiles"] for weight in profile["weights"])
    assert data["profiles"][data["activeProfileIndex"]]["name"] == "total-bytes grown"

    ctl("diff", *two, "-o", tmp_path / "d.jsonl")
    objects = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert [o["type"] for o in objects] == ["difference"] + ["change"] * 4
    assert objects[0]["live_bytes"] == sum(o["live_bytes"] for o in objects[1:]) == 600_300


def test_file_and_list(two, ctl, tmp_path):
    """With --json the file is named; on the standard output it is alone; a wrong suffix is told first."""
    answer = ctl("diff", *two, "-o", tmp_path / "d.json", "--filter", LEAK, "--json").json()
    assert answer["file"] == str(tmp_path / "d.json") and len(answer["changes"]) == 1
    assert Profile(tmp_path / "d.json").sums()["eb"] == 1_000_000
    alone = ctl("diff", *two, "-o", "-", "--format", "folded").out
    assert alone == f"main;{LEAK} 1000000\nmain;{NEW} 300\n"
    refused = ctl("diff", "no.dhat", "none.dhat", "-o", tmp_path / "d.txt", ok=False)
    assert refused.status == 2 and ".pb.gz" in refused.err
