"""A profile in each format, read by the programs it is meant for; their sums are ours."""
import json
import re
import subprocess

import pytest

from conftest import BUILD, DEADLINE, TARGETS
from oracle import Profile

METRICS = {"alloc_objects": "tbk", "alloc_space": "tb", "inuse_objects": "ebk", "inuse_space": "eb",
           "peak_objects": "gbk", "peak_space": "gb"}
# what flamegraph.pl takes a line for, and speedscope: a stack, a blank, a number
FOLDED = re.compile(r"^(.*) (\d+)$")


@pytest.fixture(scope="module")
def dhat(tmp_path_factory):
    """A .dhat file of a C++ program with overloads, templates and inlined functions."""
    path = tmp_path_factory.mktemp("formats") / "cxx.dhat"
    subprocess.run([BUILD / "dhatd", "run", "--socket", path.with_suffix(".sock"), "-o", path, "--",
                    TARGETS / "stacks_cxx", "3"], check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
    return path


def exported(ctl, dhat, suffix, *options):
    path = dhat.with_suffix(suffix)
    ctl("export", dhat, "-o", path, *options)
    return path


@pytest.fixture
def sums(ctl, dhat):
    return Profile(exported(ctl, dhat, ".json")).sums()


def pprof(*argv):
    done = subprocess.run(["go", "tool", "pprof", "-symbolize=none", *map(str, argv)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=True)
    return done.stdout


def total_of(top):
    """What pprof's text report calls the whole."""
    return int(re.search(r"of (-?\d+)B? total", top)[1])


def test_pprof(ctl, dhat, sums):
    """Go's own pprof accepts the file and finds our sums under its own names."""
    path = exported(ctl, dhat, ".pb.gz")
    raw = pprof("-raw", path)
    assert re.search(r"^inuse_space\b|inuse_space/bytes\[dflt\]", raw, re.M), raw[:600]
    for name, field in METRICS.items():
        unit = "bytes" if name.endswith("space") else "count"
        top = pprof("-top", "-nodecount=100000", "-nodefraction=0", f"-sample_index={name}", f"-unit={unit}", path)
        flat = sum(int(n) for n in re.findall(r"^\s*(\d+)B?\s+[\d.]+%\s+[\d.]+%\s+\d+B?\s", top, re.M))
        assert flat == sums[field], top[:1000]


def test_pprof_keeps_names_whole(ctl, dhat):
    """Template arguments and parameters stay, and inlined functions are told."""
    names = pprof("-top", "-nodecount=100000", "-nodefraction=0", "-sample_index=alloc_space",
                  exported(ctl, dhat, ".pb.gz"))
    shown = {frame.function for point in Profile(exported(ctl, dhat, ".json")).points
             for frame in Profile(exported(ctl, dhat, ".json")).frames(point)}
    whole = [name for name in shown if "(" in name or "<" in name]
    assert len(whole) > 5
    for name in whole:
        assert name in names, name
    assert "(inline)" in names


def test_pprof_difference(ctl, dhat):
    """A profile less itself is nothing: kinds of samples and periods agree."""
    path = exported(ctl, dhat, ".pb.gz")
    top = pprof("-top", "-sample_index=alloc_space", f"-diff_base={path}", path)
    assert re.search(r"of \d+\.?\d*\w* total", top)
    assert not re.search(r"^\s*-?[1-9][\d.]*\w*\s+[\d.]+%.*\d%", top, re.M), top


@pytest.mark.parametrize("metric,field", [("live", "eb"), ("total", "tb"), ("peak-blocks", "gbk"), (None, "eb")])
def test_folded(ctl, dhat, sums, metric, field):
    lines = exported(ctl, dhat, ".folded", *(["--metric", metric] if metric else [])).read_text().splitlines()
    matches = [FOLDED.match(line) for line in lines]
    assert all(matches) and sum(int(match[2]) for match in matches) == sums[field]
    stacks = [match[1].split(";") for match in matches]
    assert all(all(frames) for frames in stacks)
    if metric == "total":  # outermost first
        assert any(frames[0] == "_start" and frames.index("main") < len(frames) - 1 for frames in stacks)


def test_speedscope(ctl, dhat, sums):
    """Its own format, by its schema's rules; names of profiles are our metrics."""
    data = json.loads(exported(ctl, dhat, ".speedscope.json").read_text())
    fields = {"live-bytes": "eb", "live-blocks": "ebk", "peak-bytes": "gb", "peak-blocks": "gbk",
              "total-bytes": "tb", "total-blocks": "tbk"}
    assert {profile["name"] for profile in data["profiles"]} == set(fields)
    for profile in data["profiles"]:
        assert len(profile["samples"]) == len(profile["weights"])
        assert all(weight > 0 for weight in profile["weights"])
        assert sum(profile["weights"]) == profile["endValue"] == sums[fields[profile["name"]]]
        assert all(0 <= frame < len(data["shared"]["frames"]) for stack in profile["samples"] for frame in stack)


def test_jsonl(ctl, dhat, sums):
    objects = [json.loads(line) for line in exported(ctl, dhat, ".jsonl").read_text().splitlines()]
    assert [o["type"] for o in objects] == ["totals"] + ["point"] * (len(objects) - 1)
    assert sum(o["total_bytes"] for o in objects[1:]) == objects[0]["total_bytes"] == sums["tb"]
    assert len({o["stack_id"] for o in objects[1:]}) == len(objects) - 1


def test_massif(ctl, dhat, sums):
    """ms_print reads two trees, and each adds up: with no threshold the innermost frames are all there is. Around them
    is what was live at the end of each slot of the timeline, as far as it ends before t-end."""
    path = exported(ctl, dhat, ".massif")
    printed = subprocess.run(["ms_print", "--threshold=0", path], capture_output=True, text=True, check=True).stdout
    moments = re.findall(r"^ +\d+ +[\d,]+ +[\d,]+ +([\d,]+) +0 +0$", printed, re.M)
    timeline = json.loads(exported(ctl, dhat, ".jsonl").read_text().partition("\n")[0])["timeline"]
    moments = [int(n.replace(",", "")) for n in moments]
    peak, end = map(int, re.search(r"Detailed snapshots: \[(\d+) \(peak\), (\d+)\]", printed).groups())
    assert (moments.pop(end), moments.pop(peak)) == (sums["eb"], sums["gb"]), printed[:3000]
    assert moments == timeline["live_bytes"][:len(moments)]
    assert len(moments) in (len(timeline["live_bytes"]) - 1, len(timeline["live_bytes"]))
    for tree, field in zip(printed.split("(heap allocation functions)")[1:], ("gb", "eb"), strict=True):
        assert sum(int(n.replace(",", "")) for n in re.findall(r"^->[\d.]+% \(([\d,]+)B\)", tree, re.M)) == sums[field]
    assert re.search(r"main \(.*stacks_cxx.cc:\d+\)", printed)


def test_callgrind(ctl, dhat, sums):
    """callgrind_annotate's totals are ours, and what main has in all is what its stacks have."""
    path = exported(ctl, dhat, ".callgrind", "--metric", "total")
    events = ("TotalBytes", "LiveBytes", "LiveBlocks", "PeakBytes", "PeakBlocks", "TotalBlocks")
    fields = ("tb", "eb", "ebk", "gb", "gbk", "tbk")
    printed = subprocess.run(["callgrind_annotate", "--auto=no", "--inclusive=yes", "--threshold=100", path],
                             capture_output=True, text=True, check=True).stdout
    assert f"Events recorded:  {' '.join(events)}" in printed
    totals = re.search(r"^(.*)PROGRAM TOTALS$", printed, re.M)[1]
    assert [int(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:\(|  )", totals)] == [sums[f] for f in fields]
    main = re.search(r"^ *([\d,]+) \([^\n]*stacks_cxx\.cc:main$", printed, re.M)[1]
    assert int(main.replace(",", "")) == Profile(exported(ctl, dhat, ".json")).with_function("main")["tb"]


def test_chosen_stacks(ctl, dhat, sums):
    """What is chosen and what is left out are the whole; the file says that it is a part."""
    only, others = (Profile(exported(ctl, dhat, ".json", f"--{option}", "stacks_cxx.cc"))
                    for option in ("filter", "exclude"))
    assert {field: only.sums()[field] + others.sums()[field] for field in sums} == sums
    assert 0 < len(only.points) < len(only.points) + len(others.points)
    assert any(re.match(r"left out, as asked for: \d+ stacks, ", note) for note in others.verdict["notes"])
    # chosen while the names are there
    strangers = Profile(exported(ctl, dhat, ".json", "--exclude", "stacks_cxx.cc", "--redact"))
    assert strangers.sums() == others.sums() and "stacks_cxx" not in json.dumps(strangers.data)
    assert any(note.startswith("left out, as asked for: ") for note in strangers.verdict["notes"])
    refused = ctl("export", dhat, "-o", dhat.with_suffix(".part.dhat"), "--filter", "main", ok=False)
    assert refused.status == 2 and "keeps everything" in refused.err


def test_unknown_suffix_is_an_error(ctl, dhat):
    answer = ctl("export", dhat, "-o", dhat.with_suffix(".txt"), ok=False)
    assert answer.status == 2 and ".pb.gz" in answer.err and not dhat.with_suffix(".txt").exists()
