"""Is it mended? What a leaky service kept, judged on a later one."""
import pytest

from conftest import DEADLINE
from served import SESSION_BYTES, Served

REQUESTS = 500


@pytest.fixture
def profile(target, daemon, ctl, tmp_path):
    """profile(name, leak_one_in): a service's, after some load, as NAME.dhat; it runs on."""
    def make(name, leak_one_in):
        folder = tmp_path / name
        folder.mkdir()
        served = Served(target, folder, leak_one_in)
        daemon("attach", "--pid", served.pid, "--no-inventory", socket=folder / "s")
        served.start_load(connections=2, requests=REQUESTS // 2, pause_us=0)
        served.end_load()
        ctl("snapshot", "-o", tmp_path / f"{name}.dhat", socket=folder / "s", deadline=DEADLINE)
        return served
    return make


def fates(answer, name="remember_session"):
    """What became of the stacks with this function."""
    return [s for s in answer.json()["suspects"] if any(name in line for line in s["stack"])]


def test_a_leak_that_is_mended_and_one_that_is_not(profile, ctl, tmp_path):
    before = profile("before", 10)
    profile("mended", 1000000)
    profile("worse", 5)

    mended = ctl("verify", "before.dhat", "mended.dhat", "--filter", "remember_session", "--json")
    leak, = fates(mended)
    assert leak["fate"] == "gone" and not leak["is_exercised"]
    assert (leak["before"]["live_bytes"], leak["after"]["live_bytes"]) == (REQUESTS // 10 * SESSION_BYTES, 0)
    assert all(":" not in line for line in leak["stack"])  # no lines: they move when something is mended
    assert not mended.json()["is_one_watch"] and mended.json()["tolerance_percent"] == 10
    text = ctl("verify", "before.dhat", "mended.dhat", "--filter", "remember_session").out
    assert "1. gone: was 6.2 KiB (6,400 bytes) in 50 blocks" in text
    assert "has this code run?" in text and "1 gone, 0 smaller, 0 same, 0 worse" in text

    # twice as much in about the same time; were the times to differ, it would be told by rates, and as well be the same
    worse = ctl("verify", "before.dhat", "worse.dhat", "--filter", "remember_session", "--json", ok=False)
    assert worse.status == 16
    assert fates(worse)[0]["fate"] in (("same", "worse") if worse.json()["is_by_rate"] else ("worse",))
    assert fates(worse)[0]["after"]["live_bytes"] == 2 * fates(worse)[0]["before"]["live_bytes"]

    # the same process some requests later: of one watch bytes count, whatever the time
    before.start_load(connections=2, requests=REQUESTS // 2, pause_us=0)
    before.end_load()
    now = ctl("verify", "before.dhat", before.pid, "--json", socket=tmp_path / "before" / "s", ok=False)
    assert now.status == 16 and now.json()["is_one_watch"]
    assert [s["fate"] for s in fates(now)] == ["worse"]
    assert ctl("verify", "before.dhat", "before.dhat", ok=False).status == 16  # the same is not better
    assert ctl("verify", "worse.dhat", "before.dhat", ok=False).status == 2  # the older one comes first
