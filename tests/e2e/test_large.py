"""Many stacks of many functions: none is lost, none is taken for another, each has its blocks. (How long that takes with
100,000 of them: make bench BENCH=scale.)"""
from oracle import Profile

STACKS, FEW = 10_000, 4_000


def test_each_stack_has_its_blocks(target, daemon, ctl, tables, tmp_path):
    program = target("large_heap")
    program.expect("ready")
    daemon("attach", "--pid", program.pid)
    tables()
    for name, line, blocks in ("a", f"live {STACKS} 3", 3 * STACKS), ("b", f"live {FEW} 2", 3 * STACKS + 2 * FEW):
        program.say(line)
        program.expect(f'"live_blocks":{blocks},')
        ctl("snapshot", "-o", tmp_path / f"{name}.dhat")
        ctl("export", tmp_path / f"{name}.dhat", "-o", tmp_path / f"{name}.json")
    points = [[point for point in Profile(tmp_path / f"{name}.json").points if point["ebk"] in (3, 5)] for name in "ab"]
    assert [len(found) for found in points] == [STACKS, STACKS]
    assert sum(point["ebk"] == 5 for point in points[1]) == FEW

    ctl("diff", tmp_path / "a.dhat", tmp_path / "b.dhat", "-o", tmp_path / "grown.json")
    grown = Profile(tmp_path / "grown.json")
    assert [point["ebk"] for point in grown.points] == [2] * FEW
    assert grown.sums()["eb"] == sum(2 * 16 + i % 64 + (i + 1) % 64 for i in range(FEW))
    assert "serve_request" in grown.frames(grown.points[0])[1].function
