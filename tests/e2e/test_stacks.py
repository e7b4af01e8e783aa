"""dhatd's stacks against libdw's unwinder, on live programs: see stacks.py."""
import json
import re
import signal
import subprocess
import time

import pytest
from conftest import BUILD, DEADLINE, TARGETS, until
from outermost import count
from stacks import PROGRAMS, Result, read_snapshot, run_live


@pytest.mark.parametrize("program", PROGRAMS)
def test_stacks_are_those_of_a_debugger(program):
    result = run_live(BUILD, program)
    assert len(result.sampled) == 399
    assert result.equal >= 0.995, (result.missing[0], result.nearest(result.missing[0]))
    assert result.complete >= 0.99, result.blocks


def test_a_deep_stack_keeps_both_ends(target, daemon, ctl, tmp_path):
    """recursion allocates 16 + N bytes at level N, once a round; what is left out, it knows how much that is."""
    depth, rounds = 2100, 3
    recursion = target("recursion", "--gate", "--hold", depth, rounds)
    recursion.expect("ready")
    daemon("attach", "--pid", recursion.pid)
    until(lambda: not ctl("status", "--json").json()["targets"][0]["tables_pending"], "the tables")
    recursion.say("go")
    recursion.expect("total_blocks")
    stats = ctl("stats", "--json", "--top", 10000, "--sort", "total").json()
    assert stats["verdict"]["exact"]
    depths, beyond = set(), []
    for point in stats["points"]:
        functions = [frame["locations"][0]["function"] for frame in point["frames"]]
        if functions[0] != "descend":
            continue
        if point["stop"] == "too deep":
            assert functions == ["descend"] * 63 + ["[more than 1,985 frames left out]"]
            beyond.append(point["total_blocks"])
            continue
        level = point["total_bytes"] // rounds - 16
        left_out = sum(frame["left_out"] for frame in point["frames"])
        assert (point["stop"], point["total_blocks"]) == ("complete", rounds)
        assert functions.count("descend") + left_out == level + 1  # one of each level
        assert functions[-1] == "_start"
        assert len(functions) == (128 if left_out else level + 5)
        if left_out:
            assert functions[63] == f"[{left_out:,} frame{'s' if left_out > 1 else ''} left out]"
        depths.add(level)
    assert depths == set(range(2044))  # four functions lie below the first level
    assert beyond == [rounds * (depth - 2044)]
    text = ctl("stats", "--sort", "total", "--top", 10000, "--depth", 0).out
    assert re.search(r"^ +descend .*\n +\[1,000 frames left out\]\n +descend ", text, re.M)
    ctl("snapshot", "-o", tmp_path / "x.json")
    exported = json.loads((tmp_path / "x.json").read_text())
    assert "[1,000 frames left out]" in exported["ftbl"]
    recursion.say("end")


def test_the_kernels_own_page_is_no_news(target, daemon, ctl):
    """At the first probe on a return the kernel maps a page of its own into the target. Were that taken for a change of
    its code, each address would have to be looked up again, which fails while the mappings are held."""
    program = target("many_stacks")
    program.expect("ready")
    dhatd = daemon("attach", "--pid", program.pid, "--no-inventory")
    until(lambda: not ctl("status", "--json").json()["targets"][0]["tables_pending"], "the tables")
    for number, line in enumerate(("alloc 200", "unrest", "grow", "alloc 200"), 1):
        if line == "unrest":
            dhatd.send_signal(signal.SIGSTOP)
        program.say(line)
        until(lambda: program.out.count("total_blocks") == number, line)
    dhatd.send_signal(signal.SIGCONT)
    stats = ctl("stats", "--json", "--top", 10000, "--sort", "total").json()
    walks = [point for point in stats["points"] if point["frames"][0]["locations"][0]["function"] == "walk"]
    assert sum(point["total_blocks"] for point in walks) == 400
    assert {point["stop"] for point in walks} == {"complete"}


def test_the_first_second_is_told_apart(target, daemon, ctl):
    """While tables are built stacks end early: those of then, and how many of them are whole, are two counters, which
    stand still once the second is over."""
    program = target("waves")
    program.expect("ready")
    daemon("attach", "--pid", program.pid, "--no-inventory")
    rounds = 0

    def counted():
        """(whole, all) of the first second, and of the whole time, after ten stacks more."""
        nonlocal rounds
        rounds += 1
        program.say("alloc 10 50")
        until(lambda: program.out.count("total_blocks") == rounds, "ten blocks")
        counters = {c["name"]: c["value"] for c in ctl("status", "--json").json()["targets"][0]["counters"]}
        every = sum(value for name, value in counters.items() if name.startswith("stop_"))
        return (counters["first_whole"], counters["first_stacks"]), (counters["stop_complete"], every)

    first, since = until(lambda: (lambda both: both[1][1] > both[0][1] and both)(counted()), "the second to be over")
    assert 0 <= first[0] <= first[1] and first[0] <= since[0]
    for _ in range(3):
        later, longer = counted()
        assert later == first
    assert longer[1] >= since[1] + 20
    assert longer[0] > first[0]  # whole ones come, once there are tables


@pytest.mark.parametrize("program", ("musl", "musl-static"))
def test_stacks_through_a_library_without_cfi_are_complete(program, tmp_path):
    """musl has no call frame information; what its instructions tell is enough (cfi_code.h)."""
    subprocess.run([BUILD / "dhatd", "run", "--socket", tmp_path / "s", "--output", tmp_path / "s.dhat", "--",
                    TARGETS / "allocators" / program], check=True, timeout=DEADLINE, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    result = Result([], read_snapshot(tmp_path / "s.dhat"))
    assert sum(result.blocks.values()) > 1000
    assert result.complete >= 0.99, result.blocks


def run(tmp_path, *argv):
    """The profile of a program's whole life."""
    subprocess.run([BUILD / "dhatd", "run", "--socket", tmp_path / "s", "--output", tmp_path / "p.json", "--", *argv],
                   check=True, timeout=DEADLINE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))


# Typed arrays, JSON and regular expressions lead from JavaScript into C++ and back.
JAVASCRIPT = """
const kept = [];
for (let i = 0; i < 1000; i++) {
    kept.push(new Uint8Array(1000 + i));
    JSON.parse(JSON.stringify({ a: i, b: [i, i + 1], c: "x".repeat(i % 100) }));
    [3, 1, 2].map((n) => new Float64Array(n * 100)).sort((a, b) => a.length - b.length);
}
"""


@pytest.mark.parametrize("argv,least", [
    ((TARGETS / "handoff", "1000"), 1), ((TARGETS / "allocators" / "musl-static",), 0.99),
    ((TARGETS / "recursion", "60", "1000"), 1),
    (("node", "-e", JAVASCRIPT), 0.99)],
    ids=("threads", "musl-static", "c", "node"))
def test_what_claims_to_be_whole_is(argv, least, tmp_path):
    """Node's builtins have no call frame information and move their return addresses about."""
    whole, early, false = count(run(tmp_path, *argv))
    assert not false
    assert whole > 500
    assert whole >= least * (whole + sum(early.values())), early


def strange_stacks(profile):
    """{way: frames}, of tests/targets/strange_code.c: each way has a size of its own, and ten blocks."""
    stacks = {}
    for point in profile["pps"]:
        way = point["tb"] // 10 - 1000
        assert point["tbk"] == 10 and way not in stacks, point
        stacks[way] = [profile["ftbl"][number].partition(": ")[2].partition(" ")[0] if ": " in
                       profile["ftbl"][number] else profile["ftbl"][number] for number in point["fs"]]
    return stacks


def test_code_that_no_compiler_makes(tmp_path):
    """What cannot be known is not made up: neither rbp = 0 nor words that look like a frame end or continue a stack."""
    profile = run(tmp_path, TARGETS / "strange_code")
    assert not count(profile)[2]
    stacks = strange_stacks(profile)
    assert len(stacks) == 4
    assert [len(stacks[way]) for way in (2, 3)] == [2, 2], stacks
    assert stacks[2][0] == "zero_rbp" and stacks[3][0] == "lying_rbp"
    # where all code keeps frame pointers they lead on, whatever was done to the return address
    assert stacks[1][:4] == ["builtin", "moves_return", "allocate", "main"] and stacks[1][-1] == "_start"
    # what stands behind a call of abort() is other code
    assert stacks[4][:3] == ["after_abort", "allocate", "main"] and stacks[4][-1] == "_start"


def test_a_caller_whose_code_was_never_touched(target, daemon, tables, ctl):
    """As in a fork of Chromium's zygote. That it calls is seen when its code has been read for that, a second or two later."""
    process = target("untouched_caller")
    process.expect("ready")
    daemon("attach", "--pid", process.pid, "--no-inventory")
    tables()

    def is_whole():
        time.sleep(0.1)
        process.say("go")
        process.expect("made")
        points = ctl("stats", "--json", "--top", 100).json()["points"]
        stacks = [[frame["locations"][0].get("function") for frame in point["frames"]] for point in points]
        return any(stack[:4] == ["make", "work", "untouched", "main"] and stack[-1] == "_start" for stack in stacks)
    until(is_whole, "a whole stack")


def test_stacks_are_whole_while_memory_is_mapped(target, daemon, tables, ctl):
    """The first allocation is no change of the code, so nothing has to be looked up that the process keeps locked."""
    process = target("busy_maps", "--gate", "--hold")
    process.expect("ready")
    dhatd = daemon("attach", "--pid", process.pid)
    tables()
    dhatd.send_signal(signal.SIGSTOP)  # it learns nothing new
    process.say("go")
    process.expect("total_blocks")
    dhatd.send_signal(signal.SIGCONT)
    points = ctl("stats", "--json", "--top", 1000).json()["points"]
    takes = [point for point in points if point["frames"][0]["locations"][0].get("function") == "take_inner"]
    assert sum(point["total_blocks"] for point in takes) == 2000
    assert {point["stop"] for point in takes} == {"complete"}  # several, where the compiler unrolls the loop (gcc 14)
    process.say("end")
