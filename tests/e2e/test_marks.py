"""What was allocated since a mark and still lives: block by block, and not two sums subtracted."""
import pytest

from conftest import until


@pytest.fixture
def waves(target):
    """Blocks on command, oldest freed first."""
    process = target("waves")
    process.expect("ready")
    return process


def tell(process, *commands):
    for command in commands:
        seen = process.out.count("\n")
        process.say(command)
        until(lambda: process.out.count("\n") > seen, f"the answer to {command}")


def listed(ctl, *args):
    """{name: (bytes, blocks)} of the only target."""
    target, = ctl("mark", *args, "--json").json()
    return {mark["name"]: (mark["live_bytes"], mark["live_blocks"]) for mark in target["marks"]}


def test_marks_are_listed_refused_and_removed(waves, daemon, ctl):
    daemon("attach", "--pid", waves.pid, "--no-inventory")
    assert "no marks" in ctl("mark").out
    tell(waves, "alloc 10 100")
    assert ctl("mark", "a", "--json").json()["message"] == f"process {waves.pid} is marked a"
    tell(waves, "free 4", "alloc 6 100")
    ctl("mark", waves.pid, "b")
    tell(waves, "alloc 3 1000")
    assert listed(ctl) == {"a": (3600, 9), "b": (3000, 3)}
    tell(waves, "free 8")  # the six others from before, and two of those since a
    assert listed(ctl, waves.pid) == {"a": (3400, 7), "b": (3000, 3)}
    assert "3.3 KiB (3,400 bytes) live in 7 blocks" in ctl("mark").out

    again = ctl("mark", "a", ok=False)
    assert again.status == 8 and "has a mark a already" in again.err
    for wrong in (["a", "b"], ["a.dhat"], ["x/y"], ["--remove", "a", "b"], ["x" * 64], ["a", "--all", waves.pid]):
        assert ctl("mark", *wrong, ok=False).status == 2, wrong
    unknown = ctl("mark", "--remove", "c", ok=False)
    assert unknown.status == 2 and "has no mark c; it has: a, b" in unknown.err
    assert ctl("mark", "c", waves.pid + 1, ok=False).status == 3
    ctl("mark", "--remove", "a")
    ctl("mark", "a", "--all")
    assert listed(ctl) == {"b": (3000, 3), "a": (0, 0)}

    for number in range(30):
        ctl("mark", f"m{number}")
    more = ctl("mark", "more", ok=False)
    assert more.status == 1 and "has 32 marks" in more.err
    ctl("detach", waves.pid)
    late = ctl("mark", "late", ok=False)
    assert late.status == 3 and "not watched any more" in late.err
    assert listed(ctl)["b"] == (3000, 3)
