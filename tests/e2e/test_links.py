"""Every kind of probe link gives the same exact numbers."""
import pytest

from conftest import TARGETS
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


def test_links_that_see_one_thread_only_are_not_used(daemon, ctl, target, tmp_path):
    """Multi links of kernels 6.6 to 6.9: tried on a second thread of dhatd's own they see nothing.
    one_thread.so makes them so here; perf events see all threads."""
    old_kernel = {"LD_PRELOAD": str(TARGETS / "one_thread.so")}
    threads = target("thread_churn", "--gate", "--hold", "200")
    threads.expect("ready")
    for link in ("session", "multi"):
        refused = daemon("attach", "--pid", threads.pid, "--link", link, env=old_kernel, wait=False)
        assert refused.wait() == 5, refused.err
        assert f"this kernel's {link} links see one thread of a process only" in refused.err
        assert "--link perf" in refused.err
    daemon("attach", "--pid", threads.pid, "--no-inventory", env=old_kernel)
    threads.say("go")
    threads.expect("total_bytes")
    ctl("snapshot", "-o", tmp_path / "t.json")
    profile, book = Profile(tmp_path / "t.json"), last_line_json(threads.out)
    assert {probe["link"] for probe in profile.verdict["probes"]} == {"perf"}
    own = profile.allocated_in("thread_churn.c")
    assert own["tbk"] == book["total_blocks"] == 600 and own["tb"] == book["total_bytes"]
    assert own["ebk"] == book["live_blocks"] and own["eb"] == book["live_bytes"]
    assert profile.exact, profile.reasons
    threads.say("end")
    assert threads.wait() == 0
