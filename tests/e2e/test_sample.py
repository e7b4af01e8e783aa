"""--sample: estimates beside the programs' own books, what is refused, and what a build is told.

Bounds are seven standard errors, by the greatest variance that there can be (a total times the rate:
proto/profile/estimate.h, E3), and there are hundreds of sampled blocks in each figure: a false alarm is
rarer than one in 10^9.
"""
import json
import math
import shutil

import pytest
from conftest import TARGETS, until
from oracle import Profile
from test_allocators import JEMALLOC, PROGRAMS, sums_of
from test_inventory import held

RATE = 2048
EXACT, NOT_HOLDING, INEXACT = 0, 15, 13


def is_near(estimate, truth, rate=RATE):
    return abs(estimate - truth) < 7 * math.sqrt(truth * rate)


def counters(ctl):
    return {c["name"]: c["value"] for c in ctl("status", "--json").json()["targets"][0]["counters"]}


def book_of(process):
    return json.loads(process.expect(r"^(\{.*total_bytes.*\})$")[1])


def check_book(ctl, book):
    """Totals and what is live by the book; nothing lost, and said so."""
    stats = ctl("stats", "--json").json()
    totals = stats["totals"]
    assert stats["verdict"]["word"] == "sampled"
    assert "nothing was lost" in stats["verdict"]["reasons"][0]
    assert is_near(totals["total_bytes"], book["total_bytes"])
    assert is_near(totals["live_bytes"], book["live_bytes"])
    low, high = stats["live_bytes_interval"]
    assert low < totals["live_bytes"] < high
    counts = counters(ctl)
    assert not [c for c in stats["counters"] if c["is_loss"] and c["value"]]
    # most were drawn and not taken, on both ways
    assert counts["unsampled_allocs"] > counts["allocs"]
    assert counts["unsampled_frees"] > counts["frees"]
    return stats


@pytest.mark.parametrize("preload", [None, JEMALLOC], ids=["glibc", "jemalloc"])
def test_what_a_program_says_of_itself(daemon, ctl, target, preload):
    """Blocks that grow, shrink, come and go; of one thread, and the peak with them."""
    churn = target("churn", "--gate", "--hold", "40000", env={"LD_PRELOAD": str(preload)} if preload else {})
    churn.expect("ready")
    daemon("attach", "--pid", churn.pid, "--sample", "2KiB", "--no-inventory")
    churn.say("")
    book = book_of(churn)
    stats = check_book(ctl, book)
    # the highest of many estimates is not below what was there, and above it by chance
    assert book["peak_bytes"] - 7 * math.sqrt(book["peak_bytes"] * RATE) < stats["totals"]["peak_bytes"]
    assert stats["totals"]["peak_bytes"] < book["peak_bytes"] + 12 * math.sqrt(book["peak_bytes"] * RATE)
    assert {p["temporary_blocks"] for p in stats["points"]} == {None}


def test_blocks_that_go_from_thread_to_thread(daemon, ctl, target):
    """Made by one, resized by another, freed by a third; and the line that keeps them is found."""
    handoff = target("handoff", "--gate", "--hold", "8000")
    handoff.expect("ready")
    daemon("attach", "--pid", handoff.pid, "--sample", "2KiB", "--no-inventory")
    handoff.say("")
    check_book(ctl, book_of(handoff))
    rows = ctl("stats", "--json", "--by", "function").json()["points"]
    assert {row["function"] for row in rows[:2]} == {"make_parcel", "resize_parcel"}
    assert counters(ctl)["seen_twice"] == 0


@pytest.mark.parametrize("preload", [None, JEMALLOC], ids=["glibc", "jemalloc"])
def test_what_is_freed_leaves_nothing(daemon, ctl, target, tmp_path, preload):
    """All functions of an allocator: each block that was taken into the sample leaves it again."""
    process = target(PROGRAMS / "glibc", *(["-use_pvalloc"] if preload else []),
                     env={"LD_PRELOAD": str(preload)} if preload else {})
    process.expect("^ready")
    daemon("attach", "--pid", process.pid, "--sample", "1KiB", "--no-inventory")
    process.say("")
    books = sums_of(process)
    ctl("snapshot", "-o", tmp_path / "held.json")
    # a realloc is at its own stack, so functions are not told apart
    sums = Profile(tmp_path / "held.json").sums()
    assert is_near(sums["eb"], books["all"]["eb"], 1024)
    assert is_near(sums["tb"], books["all"]["tb"], 1024)
    process.say("")
    assert process.wait() == 0
    ctl("snapshot", "-o", tmp_path / "ended.json")
    ended = Profile(tmp_path / "ended.json")
    assert ended.sums()["eb"] == 0
    assert ended.verdict["verdict"] == "sampled" and not ended.losses()


def test_blocks_from_before_are_sampled_too(daemon, ctl, target):
    """Listed by the same law, in the set from then on: what is freed of them goes."""
    program = target("inventory", "fragmented")
    sizes = held(program)[2]
    daemon("attach", "--pid", program.pid, "--sample", "1KiB")
    stats = ctl("stats", "--json").json()
    assert stats["verdict"]["word"] == "sampled"
    assert is_near(stats["before_attach"]["live_bytes"], sum(sizes), 1024)
    assert any("are in the sample" in note for note in stats["notes"])
    program.say("f")  # free all
    until(lambda: ctl("stats", "--json").json()["totals"]["live_bytes"] == 0, "all blocks to be freed")


def test_a_free_that_was_missed_is_no_leak_for_long(daemon, ctl, target):
    """P3: who is handed the address of a sampled block ends it, be he drawn himself or not."""
    pool = target(PROGRAMS / "pool")
    pool.expect("^ready")
    daemon("attach", "--pid", pool.pid, "--sample", "4KiB", "--no-inventory",
           "--alloc", "pool:pool_take(size=arg2)")  # and nobody sees pool_give
    pool.say("")
    sums_of(pool)
    stats = ctl("stats", "--json").json()
    assert stats["verdict"]["word"] == "inexact"
    assert any("handed out again" in reason for reason in stats["verdict"]["reasons"])
    assert counters(ctl)["seen_twice"] > 100
    assert stats["totals"]["live_bytes"] < stats["totals"]["total_bytes"] / 4


def test_as_a_service_does_it(daemon, ctl, target, tmp_path):
    """A key of a section; a child that is followed has a sample of its own."""
    forks = target(shutil.copy(TARGETS / "forks", tmp_path), "--gate", "--hold", "3", "fork")
    forks.expect("ready")
    config = tmp_path / "dhatd.conf"
    config.write_text(f"[watch forks]\ncommand = ^{tmp_path}/forks\nsample = 4KiB\nfollow-fork = yes\n")
    daemon("serve", "--config", config)
    until(lambda: ctl("status", "--json").json()["targets"], "the section's process")
    forks.say("")
    forks.expect("total_bytes")
    targets = ctl("status", "--json").json()["targets"]
    assert {t["sample_bytes"] for t in targets} == {4096}
    assert "1 block per 4.0 KiB" in ctl("plan", "--pid", forks.pid, "--sample", "4KiB").out


def test_a_build_is_told_what_a_sample_can_tell(daemon, ctl, target, tmp_path):
    handoff = target("handoff", "--gate", "--hold", "5000")
    handoff.expect("ready")
    daemon("attach", "--pid", handoff.pid, "--sample", "16KiB", "--no-inventory")
    handoff.say("")
    live = book_of(handoff)["live_bytes"]
    assert ctl("assert", f"live.bytes < {10 * live}").out.count("ok ") == 1
    assert ctl("assert", f"live.bytes > {10 * live}", ok=False).status == NOT_HOLDING
    estimate = ctl("stats", "--json").json()["totals"]["live_bytes"]
    doubt = ctl("assert", f"live.bytes < {estimate}", ok=False)
    assert doubt.status == INEXACT and "cannot tell" in doubt.out
    assert "does not tell how many blocks" in ctl("assert", "live.blocks < 100000000", ok=False).out
    # what needs every block is refused, with the reason
    for command in ("holds", "pins"):
        refused = ctl(command, ok=False)
        assert refused.status == INEXACT and "watched by a sample" in refused.err
    # a profile that is compared with itself has changed by nothing, one of another sample by noise
    ctl("snapshot", "-o", tmp_path / "a.dhat")
    assert "As much is live" in ctl("diff", tmp_path / "a.dhat", tmp_path / "a.dhat").out
    assert "--sample 100" in ctl("attach", "--pid", handoff.pid, "--sample", "100", ok=False).err
