"""--anonymous: memory that the target maps itself, as a kind of program point of its own."""
import json

from conftest import until


def mmap_points(ctl, tmp_path):
    ctl("snapshot", "-o", tmp_path / "x.json")
    profile = json.loads((tmp_path / "x.json").read_text())
    names = profile["ftbl"]

    return [p for p in profile["pps"] if any(names[f] == "[mmap]" for f in p["fs"])], names


def test_anonymous_memory(daemon, ctl, target, tmp_path):
    process = target("anonymous")
    process.expect("ready")
    dhatd = daemon("attach", "--anonymous", "--no-inventory", "--pid", process.pid)
    process.say("go")
    book = json.loads(process.expect(r"^\{.*\}$")[0])
    points, names = mmap_points(ctl, tmp_path)
    assert sum(p["tb"] for p in points) == book["total_bytes"]
    assert sum(p["eb"] for p in points) == book["live_bytes"]
    assert any("map_cache" in names[f] for p in points for f in p["fs"])
    # malloc's own mapping is inside malloc
    assert ctl("stats", "--json").json()["totals"]["total_bytes"] >= book["total_bytes"] + (10 << 20)
    assert dhatd.stop() == 0


def test_mappings_given_back_in_part(daemon, ctl, target, tmp_path):
    """Head, tail, middle, over a border, by another mapping over it: what is left is right after each step, for
    the one who mapped it, and so is the sum of all."""
    process = target("anonymous_parts")
    process.expect("ready")
    daemon("attach", "--anonymous", "--no-inventory", "--pid", process.pid)
    steps = []
    while "all" not in steps:
        process.say("go")
        until(lambda: process.out.count("\n") > len(steps) + 1, "the next step")
        book = json.loads(process.out.splitlines()[-1])
        points, names = mmap_points(ctl, tmp_path)
        for function in ("map_first", "map_second", "map_third"):
            own = [p for p in points if any(function in names[f] for f in p["fs"])]
            assert sum(p["eb"] for p in own) == book[function], (book, function)
        assert sum(p["tb"] for p in points) == book["total"], book
        steps.append(book["step"])
    assert len(steps) == 10
    verdict = json.loads((tmp_path / "x.json").read_text())["dhatd"]
    assert verdict["exact"], verdict["reasons"]


def test_not_without_being_asked(daemon, ctl, target, tmp_path):
    process = target("anonymous")
    process.expect("ready")
    daemon("attach", "--pid", process.pid)
    process.say("go")
    process.expect(r"^\{.*\}$")
    assert mmap_points(ctl, tmp_path)[0] == []
