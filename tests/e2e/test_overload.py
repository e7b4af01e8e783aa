"""More events than can be taken: the losses are counted, the verdict says so, and no block is
reported as live that is not, but for frees that are counted as lost."""
import signal

import pytest

from conftest import until
from oracle import last_line_json, snapshot


@pytest.fixture
def waves(target):
    process = target("waves")
    process.expect("ready")
    return process


def command(waves, line):
    """Give an order and wait until it is carried out; the book."""
    lines = waves.out.count("\n")
    waves.say(line)
    until(lambda: waves.out.count("\n") > lines, f"{line} to be done")
    return last_line_json(waves.out)


def test_allocations_are_shed_before_frees(waves, daemon, ctl, tmp_path):
    """dhatd is stopped while the ring fills: beyond a mark allocations are given up, so that there
    is room for the frees of the blocks that were recorded."""
    dhatd = daemon("attach", "--pid", waves.pid, "--no-inventory", "--ring-size", "1M")
    dhatd.send_signal(signal.SIGSTOP)
    command(waves, "alloc 40000 100")
    book = command(waves, "free 2000")
    dhatd.send_signal(signal.SIGCONT)
    profile = snapshot(ctl, tmp_path)
    lost = profile.losses()
    recorded = profile.sums()["tbk"]
    assert not profile.exact
    assert lost["shed_allocs"] == 40000 - recorded > 0, lost
    assert "dropped_frees" not in lost and "dropped_allocs" not in lost, lost
    assert any("shed" in reason or "given up" in reason for reason in profile.reasons), profile.reasons
    # each of the 2,000 frees arrived; what is shown as live is a part of what is live
    assert profile.sums()["ebk"] == recorded - 2000
    assert profile.sums()["ebk"] <= book["live_blocks"]
    # and goes as it goes
    command(waves, "free 38000")
    assert snapshot(ctl, tmp_path).sums()["ebk"] == 0


def test_new_stacks_leave_room_for_frees(waves, daemon, ctl, tmp_path):
    """The same with a stack of its own for each allocation: the stacks, ten times as long as the
    rest, give way first, then the allocations, and the frees all arrive."""
    dhatd = daemon("attach", "--pid", waves.pid, "--no-inventory", "--ring-size", "1M")
    dhatd.send_signal(signal.SIGSTOP)
    command(waves, "paths 20000 100")
    book = command(waves, "free 2000")
    dhatd.send_signal(signal.SIGCONT)
    profile = snapshot(ctl, tmp_path)
    lost = profile.losses()
    recorded = profile.sums()["tbk"]
    assert not profile.exact
    assert lost["shed_allocs"] == 20000 - recorded > 0, lost
    assert "dropped_frees" not in lost and "dropped_allocs" not in lost, lost
    # an allocation without its stack is better than none: more were recorded than stacks have room
    assert 2000 < lost["dropped_stacks"] == lost["lost_stack_blocks"] < recorded, lost
    assert profile.sums()["ebk"] == recorded - 2000 <= book["live_blocks"]
    # the stacks that arrived are whole, and each is a point of its own
    with_stack = [p for p in profile.points if p["tbk"] and len(profile.frames(p)) > 17]
    assert len(with_stack) == recorded - lost["lost_stack_blocks"] > 500
    assert all(p["tbk"] == 1 for p in with_stack)
    # what was lost once is not lost for ever: by the same paths there is room again
    command(waves, "free 18000")
    assert snapshot(ctl, tmp_path).sums()["ebk"] == 0


def test_full_ring_counts_what_it_drops(waves, daemon, ctl, tmp_path):
    dhatd = daemon("attach", "--pid", waves.pid, "--no-inventory", "--ring-size", "64K")
    dhatd.send_signal(signal.SIGSTOP)
    command(waves, "alloc 20000 100")
    command(waves, "free 15000")
    dhatd.send_signal(signal.SIGCONT)
    profile = snapshot(ctl, tmp_path)
    lost, sums = profile.losses(), profile.sums()
    assert not profile.exact
    recorded, freed = sums["tbk"], 15000 - lost["dropped_frees"]
    assert recorded + lost["shed_allocs"] + lost.get("dropped_allocs", 0) == 20000
    assert 0 < recorded < 15000 and 0 < freed < 15000
    # the first of each arrived, in order: what was recorded and freed is the smaller of the two
    assert sums["ebk"] == recorded - min(recorded, freed)
    assert profile.verdict["totals"]["freed_before_blocks"] == freed - min(recorded, freed)
    assert any(f'{lost["dropped_frees"]:,} frees' in reason for reason in profile.reasons), profile.reasons


def test_addresses_used_again_after_lost_frees_are_no_leaks(waves, daemon, ctl, tmp_path):
    """A block whose free was lost is closed when its address is handed out again."""
    dhatd = daemon("attach", "--pid", waves.pid, "--no-inventory", "--ring-size", "64K")

    def allocate():
        for _ in range(10):  # as many as the ring takes, however late dhatd comes
            command(waves, "alloc 500 100")
            profile = snapshot(ctl, tmp_path)
        return profile

    assert allocate().sums()["ebk"] == 5000
    dhatd.send_signal(signal.SIGSTOP)
    command(waves, "free 5000")
    dhatd.send_signal(signal.SIGCONT)
    after_loss = snapshot(ctl, tmp_path)
    lost = after_loss.losses()["dropped_frees"]
    assert lost > 1000
    assert after_loss.sums()["ebk"] == lost  # none of them is live
    # the same 5,000 addresses, by malloc's own habit: those that are shown live already are closed
    profile = allocate()
    assert profile.sums()["ebk"] == 5000 and profile.sums()["eb"] == 500000
    assert profile.sums()["tbk"] == 10000
    assert profile.losses()["seen_twice"] == lost
    assert not profile.exact
    for _ in range(10):
        command(waves, "free 500")
        profile = snapshot(ctl, tmp_path)
    assert profile.sums()["ebk"] == 0
