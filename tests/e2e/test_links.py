"""Every kind of probe link gives the same exact numbers."""
import pytest

from oracle import Profile, book_sums, last_line_json


@pytest.mark.parametrize("link", ["session", "multi", "perf"])
def test_link_counts_exactly(link, daemon, ctl, target, tmp_path):
    churn = target("churn", "--gate", "--hold", "40000", "300")
    churn.expect("ready")
    daemon("attach", "--pid", churn.pid, "--no-inventory", "--link", link)
    churn.say("go")
    churn.expect("total_bytes")
    ctl("snapshot", "-o", tmp_path / "l.json")
    profile = Profile(tmp_path / "l.json")
    assert profile.sums() == book_sums(last_line_json(churn.out))
    assert profile.exact, profile.reasons
    assert {probe["link"] for probe in profile.verdict["probes"]} == {link}
    churn.say("end")
    assert churn.wait() == 0


@pytest.mark.parametrize("link", ["session", "multi", "perf"])
def test_link_survives_forks(link, daemon, ctl, target, tmp_path):
    forks = target("forks", "--gate", "--hold", "50")
    forks.expect("ready")
    daemon("attach", "--pid", forks.pid, "--no-inventory", "--link", link)
    forks.say("go")
    forks.expect("total_bytes")
    ctl("snapshot", "-o", tmp_path / "f.json")
    book, profile = last_line_json(forks.out), Profile(tmp_path / "f.json")
    assert book["unharmed"] == book["children"] == 50
    assert profile.sums() == book_sums(book)
    assert profile.exact, profile.reasons
