"""Targets that the kernel kills at any system call outside their list. They must not notice us."""
import re

import pytest
from oracle import Profile, book_sums, last_line_json


@pytest.mark.parametrize("link", ["", "session", "multi", "perf"])
@pytest.mark.parametrize("filters", ["list", "strict"])
def test_confined_target_lives(filters, link, daemon, ctl, target, tmp_path):
    """Every kind of link, under an allow-list without the return probe's system call."""
    process = target("seccomp", filters, 2000)
    process.expect("^confined")
    daemon("attach", "--pid", process.pid, *(["--link", link] if link else []))
    process.say("")
    process.expect("total_bytes")
    ctl("snapshot", "-o", tmp_path / "held.json")
    ctl("detach", "--pid", process.pid)
    process.say("")
    assert process.wait() == 0, "killed by its filter"

    profile = Profile(tmp_path / "held.json")
    assert profile.exact, profile.reasons
    assert profile.with_function("take_block") == book_sums(last_line_json(process.out))


def test_status_says_how_returns_are_seen(daemon, ctl, target):
    """The hazard is named, with what was done about it."""
    process = target("seccomp", "list", 10)
    process.expect("^confined")
    daemon("attach", "--pid", process.pid)
    (entry,) = ctl("status", "--json").json()["targets"]
    assert any(re.search("1 seccomp filter.*return probes", note) for note in entry["notes"]), entry["notes"]
