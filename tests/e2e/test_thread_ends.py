"""What glibc does when a thread ends: it frees what the thread's cache holds, blocks that the program
has freed before. No allocation was missed then; but frees of missed ones are not to hide there."""
from conftest import TARGETS
from oracle import Profile, book_sums, last_line_json

LIVE = ("tb", "tbk", "eb", "ebk")
IN_A_CACHE = 64 * 5 + 1  # last_threads.c: what each thread freed, and the cache itself


def run(daemon, tmp_path, *arguments):
    """A run from the first instruction on: the profile, {counter: value}, the program's own book."""
    dhatd = daemon("run", "--output", tmp_path / "r.json", "--", TARGETS / "last_threads", *arguments, wait=False)
    assert dhatd.wait() == 0
    profile = Profile(tmp_path / "r.json")
    return profile, {c["name"]: c["value"] for c in profile.verdict["counters"]}, last_line_json(dhatd.out)


def test_process_ends_while_threads_give_their_caches_back(daemon, tmp_path):
    """The process ends at any moment of it: some threads give back nothing, some a part. How far they
    get is chance (test_own_frees has every case); some runs are enough to meet two that were cut."""
    cut = 0
    for turn in range(30):
        profile, counters, book = run(daemon, tmp_path, 8)
        assert profile.exact, profile.reasons
        assert counters["unknown_frees"] == 0
        own = profile.allocated_in("last_threads.c")
        assert {f: own[f] for f in LIVE} == book_sums(book, LIVE)
        cut += counters["thread_cache_frees"] % IN_A_CACHE != 0
        if turn >= 3 and cut >= 2:
            break


def test_missed_allocations_do_not_hide_among_them(daemon, tmp_path):
    """Each thread's last frees are two small and two large blocks that were never seen allocated."""
    profile, counters, _ = run(daemon, tmp_path, 8, 2)
    assert not profile.exact
    assert counters["unknown_frees"] == 8 * (2 + 2)
    # the small ones went into the cache, and came out of it again
    assert counters["thread_cache_frees"] == 8 * (IN_A_CACHE + 2)
    assert any("32 frees of blocks that were never seen allocated" in r for r in profile.reasons), profile.reasons
