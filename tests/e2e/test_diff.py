"""What has grown between two profiles: of one watch, of a file and now, and of two runs of a program."""
import re
import subprocess

import pytest

from conftest import BUILD, DEADLINE, TARGETS
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
