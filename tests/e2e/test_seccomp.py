"""Targets that the kernel kills at any system call outside their list. They must not notice us."""
import re

import pytest
from oracle import book_sums, has_link, last_line_json, snapshot, status_of


@pytest.mark.parametrize("returns", [[], ["--no-return-probes"]], ids=["", "exits"])
@pytest.mark.parametrize("link", ["", "session", "multi", "perf"])
@pytest.mark.parametrize("filters", ["list", "strict"])
def test_confined_target_lives(filters, link, returns, daemon, ctl, target, tmp_path):
    """Every kind of link, under an allow-list without the return probe's system call."""
    process = target("seccomp", filters, 2000)
    process.expect("^confined")
    daemon("serve")
    answer = ctl("attach", "--pid", process.pid, *(["--link", link] if link else []), *returns, ok=False)
    if link and not has_link(link):
        assert answer.status == 5, answer.err
        process.say("")
        process.say("")
        assert process.wait() == 0, "killed by its filter"
        return
    assert answer.status == 0, answer.err
    status = status_of(ctl, process.pid)
    # the hazard is named, with what was done about it
    assert any(re.search("1 seccomp filter.*(return probes|exits)", note) for note in status["notes"]) == \
        (filters == "list"), status["notes"]
    by = {p["returns_by"] for p in status["probes"] if p["role"] != "free"}
    assert not returns or by <= {"exit probes", "result sites"}
    process.say("")
    process.expect("total_bytes")
    profile = snapshot(ctl, tmp_path)
    ctl("detach", "--pid", process.pid)
    process.say("")
    assert process.wait() == 0, "killed by its filter"

    assert profile.exact, profile.reasons
    assert profile.with_function("take_block") == book_sums(last_line_json(process.out))
