"""--max-memory: what dhatd keeps of a target stays within it, and the verdict says what had to give."""
from conftest import until
from oracle import Profile, last_line_json

MIB = 1 << 20
LIMIT = 16 * MIB
# one copy for a snapshot is within the limit; naming, the answer's frames and malloc's own are not
SLACK = 16 * MIB
CALM = 4 * MIB


def resident(ctl):
    return ctl("status", "--json").json()["daemon_rss_bytes"]


def order(process, line):
    lines = process.out.count("\n")
    process.say(line)
    until(lambda: process.out.count("\n") > lines, f"{line} to be done", 120)
    return last_line_json(process.out)


def attach(target, daemon, ctl, name):
    process = target(name)
    process.expect("ready")
    daemon("attach", "--pid", process.pid, "--no-inventory", "--max-memory", "16M", "--ring-size", "8M")
    return process, resident(ctl)


def settle(ctl, book):
    """All that the target did is counted (an answer drains the ring first); or was shed."""
    return ctl("status", "--json").json()


def test_blocks_stay_within_it(target, daemon, ctl, tmp_path):
    waves, before = attach(target, daemon, ctl, "waves")
    for _ in range(20):
        book = order(waves, "alloc 40000 16")
        settle(ctl, book)
    assert resident(ctl) - before < LIMIT + CALM
    ctl("snapshot", "-o", tmp_path / "s.json")
    profile = Profile(tmp_path / "s.json")
    lost = profile.losses()
    assert not profile.exact and set(lost) == {"blocks_refused"}, lost
    assert any("--max-memory" in reason for reason in profile.reasons), profile.reasons
    # totals are right, live ones are those that had room
    sums = profile.sums()
    assert (sums["tbk"], sums["tb"]) == (book["total_blocks"], book["total_bytes"])
    assert sums["ebk"] == book["live_blocks"] - lost["blocks_refused"]
    assert sums["ebk"] > LIMIT / 128, "a block takes some 64 bytes"
    # and what is freed makes room again
    order(waves, "free 800000")
    order(waves, "alloc 10 16")
    ctl("snapshot", "-o", tmp_path / "s.json")
    assert Profile(tmp_path / "s.json").sums()["ebk"] == 10


def test_stacks_stay_within_it(target, daemon, ctl, tmp_path):
    """200,000 stacks of some 30 frames would take 200 MB with the room for a copy."""
    process, before = attach(target, daemon, ctl, "many_stacks")
    for _ in range(40):
        book = order(process, "alloc 5000")
        settle(ctl, book)
    assert resident(ctl) - before < LIMIT + CALM
    for _ in range(2):  # the copy that has room kept can be had again and again
        ctl("snapshot", "-o", tmp_path / "s.json", "--no-names", deadline=120)
    assert resident(ctl) - before < LIMIT + SLACK
    profile = Profile(tmp_path / "s.json")
    assert not profile.exact
    assert profile.losses().keys() & {"stacks_refused", "lost_stack_blocks"}, profile.losses()
    assert any("--max-memory" in reason for reason in profile.reasons), profile.reasons
    sums = profile.sums()
    assert (sums["tbk"], sums["tb"]) == (book["total_blocks"], book["total_bytes"])
    assert sums["ebk"] == book["live_blocks"] - profile.losses().get("blocks_refused", 0)
    lost = profile.with_function("[stack lost]")["tbk"]
    assert 0 < lost < book["total_blocks"]
    # stacks that were known before still are
    order(process, "again 1000")
    ctl("snapshot", "-o", tmp_path / "s.json", "--no-names", deadline=120)
    assert Profile(tmp_path / "s.json").with_function("[stack lost]")["tbk"] == lost
