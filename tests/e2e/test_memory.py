"""--max-memory: what is held for a target stays within it, and the verdict says what had to give."""
import re
from pathlib import Path

from conftest import until
from oracle import Profile, last_line_json

MIB = 1 << 20
LIMIT = 24 * MIB  # 11 of it the kernel's, with the ring
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
    daemon("attach", "--pid", process.pid, "--no-inventory", "--max-memory", "24M", "--ring-size", "8M")
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
    assert sums["ebk"] > LIMIT / 256, "a block takes some 64 bytes"
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


def kernels_word(pid):
    """What the maps of a process's descriptors take, as the kernel says; unwind tables, and the others."""
    maps = {}
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        found = dict(re.findall(r"^(map_type|map_id|memlock):\t(\d+)$", path.read_text(), re.M))
        if "map_id" in found:
            maps[found["map_id"]] = (found["map_type"], int(found["memlock"]))
    return sum(size for _, size in maps.values())


def test_the_kernels_part_is_counted(target, daemon, ctl):
    """As the kernel counts it; programs, which are not in its figure, are some 200 KB."""
    waves = target("waves")
    waves.expect("ready")
    dhatd = daemon("attach", waves.pid, "--no-inventory")
    target_status = until(lambda: next((t for t in ctl("status", "--json").json()["targets"]
                                        if not t["tables_pending"]), None), "the tables to be built")
    counted = target_status["memory_kernel_bytes"] + target_status["memory_table_bytes"]
    assert 0.97 * counted < kernels_word(dhatd.pid) + 200000 < 1.03 * counted
    assert target_status["memory_bytes"] == target_status["memory_accounts_bytes"] + counted
    assert target_status["memory_table_bytes"] == target_status["table_bytes"] > 0
    ctl("detach", "--pid", waves.pid)
    ended = ctl("status", "--json").json()["targets"][0]
    assert ended["memory_kernel_bytes"] == ended["memory_table_bytes"] == 0
    assert 0 < ended["memory_bytes"] == ended["memory_accounts_bytes"] < 4 * MIB


def test_a_ring_that_fits(target, daemon, ctl):
    """It is made smaller; one that was asked for is not, but refused, with the size that would do."""
    waves = target("waves")
    waves.expect("ready")
    dhatd = daemon("attach", waves.pid, "--max-memory", "16M", "--ring-size", "16M", wait=False)
    assert dhatd.wait() == 2
    said = re.search(r"--max-memory 16M is too little for a ring of 16.0 MiB .*it has to be (\d+M) at least", dhatd.err)
    dhatd = daemon("serve")
    assert ctl("attach", waves.pid, "--max-memory", "16M", "--ring-size", "16M", ok=False).status == 2
    ctl("attach", waves.pid, "--max-memory", said[1], "--ring-size", "16M")
    ctl("detach", "--pid", waves.pid)
    ctl("attach", waves.pid, "--max-memory", "16M", "--no-inventory")
    status = ctl("status", "--json").json()["targets"][0]
    assert status["ring_bytes"] == 4 * MIB
    assert any("the ring has 4.0 MiB" in note for note in status["notes"])
    assert status["verdict"]["word"] == "exact" and status["memory_bytes"] < 16 * MIB


def test_a_table_without_room(target, daemon, ctl):
    """Stacks give way before blocks: they end in the file whose table is too large, and what is counted stays exact."""
    places = "x86_64-linux-gnu", "llvm-*/lib"  # Debian 13's, Debian 12's
    library = max((path for place in places for path in Path("/usr/lib").glob(f"{place}/libLLVM*.so*")),
                  key=lambda path: path.stat().st_size)
    python = target("/usr/bin/python3", "-c", f"import ctypes, sys; ctypes.CDLL('{library}'); print('ready', flush=True);"
                                              "sys.stdin.read()")
    python.expect("ready")
    daemon("attach", python.pid, "--no-inventory", "--max-memory", "16M")
    status = until(lambda: next((t for t in ctl("status", "--json").json()["targets"]
                                 if not t["tables_pending"]), None), "the tables to be tried", 60)
    assert status["memory_bytes"] < 16 * MIB and 0 < status["memory_table_bytes"] <= 4 * MIB
    said = r"stacks end early in libLLVM\S+: its unwind table takes [\d.]+ MiB, and --max-memory leaves [\d.]+ MiB for tables"
    assert any(re.fullmatch(said, note) for note in status["notes"]), status["notes"]
    assert not [counter for counter in status["counters"] if counter["is_loss"] and counter["value"]]
