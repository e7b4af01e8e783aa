"""Attaching to a service that is at work: nothing is lost, and nothing of us stays behind."""
import pytest

from conftest import until
from oracle import Profile, code_differences, snapshot
from served import SESSION_BYTES, Served

CYCLES = 100


@pytest.fixture
def served(target, tmp_path):
    return Served(target, tmp_path)


def test_figures_of_a_service_attached_under_load(served, daemon, ctl, tmp_path):
    served.start_load()
    until(lambda: served.requests() > 200, "requests before the attach")
    dhatd = daemon("attach", "--pid", served.pid, "--no-inventory")
    seen = served.requests()
    until(lambda: served.requests() > seen + 500, "requests after the attach")
    served.end_load()

    # at rest: from here on the service's own book has to be ours, to the byte
    book, before = served.book(), snapshot(ctl, tmp_path, "before.json")
    served.start_load(connections=4, requests=500, pause_us=0)
    served.end_load()
    book_after, after = served.book(), snapshot(ctl, tmp_path, "after.json")

    own_before, own_after = (p.allocated_in("service.c") for p in (before, after))
    for field, name in (("tb", "total_bytes"), ("tbk", "total_blocks"),
                        ("eb", "live_bytes"), ("ebk", "live_blocks")):
        assert own_after[field] - own_before[field] == book_after[name] - book[name], field
    assert after.exact, after.reasons
    leak, leak_before = (p.with_function("remember_session") for p in (after, before))
    assert leak["ebk"] - leak_before["ebk"] == 2000 // 10
    assert leak["eb"] == leak["ebk"] * SESSION_BYTES
    assert dhatd.stop() == 0
    assert served.quit() == 0


def test_attach_and_detach_a_hundred_times_under_load(served, daemon, ctl):
    assert code_differences(served.pid) == {}
    served.start_load()
    until(lambda: served.requests() > 200, "the load to start")
    daemon("attach", "--pid", served.pid, "--no-inventory")
    changed = code_differences(served.pid)
    assert any("libc" in path for path in changed), changed  # the check can see a probe

    for cycle in range(CYCLES):
        ctl("detach", "--pid", served.pid)
        until(lambda: code_differences(served.pid) == {}, f"clean code after detach {cycle}")
        seen = served.requests()
        ctl("attach", "--pid", served.pid, "--no-inventory")
        assert any("libc" in path for path in code_differences(served.pid))
        until(lambda seen=seen: served.requests() > seen, "requests to be served on")
    ctl("detach", "--pid", served.pid)

    answered = served.end_load()  # fails if one was lost
    assert answered == served.requests()
    until(lambda: code_differences(served.pid) == {}, "clean code at the end")
    assert served.quit() == 0


def test_a_detached_profile_stays_and_a_new_one_replaces_it(served, daemon, ctl, tmp_path):
    daemon("attach", "--pid", served.pid, "--no-inventory")
    served.start_load(connections=1, requests=100, pause_us=0)
    served.end_load()
    ctl("detach", "--pid", served.pid)
    kept = snapshot(ctl, tmp_path, "kept.json")
    assert kept.with_function("remember_session")["ebk"] == 10
    served.start_load(connections=1, requests=100, pause_us=0)
    served.end_load()
    assert snapshot(ctl, tmp_path, "still.json").sums() == kept.sums()

    ctl("attach", "--pid", served.pid, "--no-inventory")
    served.start_load(connections=1, requests=50, pause_us=0)
    served.end_load()
    assert snapshot(ctl, tmp_path, "fresh.json").with_function("remember_session")["ebk"] == 5


@pytest.mark.parametrize("number", [2, 15])
def test_signals_write_the_output_and_detach(number, served, daemon, tmp_path):
    out = tmp_path / "leak.json"
    dhatd = daemon("attach", "--pid", served.pid, "--no-inventory", "--output", out)
    served.start_load(connections=2, requests=200, pause_us=0)
    served.end_load()
    assert dhatd.stop(number) == 0
    assert code_differences(served.pid) == {}
    profile = Profile(out)
    assert profile.with_function("remember_session")["ebk"] == 40
    assert profile.exact, profile.reasons
    assert out.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir() if "leak" in p.name] == ["leak.json"]
