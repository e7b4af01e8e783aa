"""--anonymous: memory that the target maps itself, as a kind of program point of its own."""
import json


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


def test_not_without_being_asked(daemon, ctl, target, tmp_path):
    process = target("anonymous")
    process.expect("ready")
    daemon("attach", "--pid", process.pid)
    process.say("go")
    process.expect(r"^\{.*\}$")
    assert mmap_points(ctl, tmp_path)[0] == []
