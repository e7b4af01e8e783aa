"""A profile in each format, read by the programs it is meant for; their sums are ours."""
import html
import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from conftest import BUILD, DEADLINE, TARGETS, until
from oracle import Profile
from servers import free_port

METRICS = {"alloc_objects": "tbk", "alloc_space": "tb", "inuse_objects": "ebk", "inuse_space": "eb",
           "peak_objects": "gbk", "peak_space": "gb"}
# what speedscope takes a line for: a stack, a blank, a number
FOLDED = re.compile(r"^(.*) (\d+)$")
# and flamegraph.pl (41fee1f): a stack that ends in a number itself would be one side of a difference
FLAMEGRAPH = re.compile(r"^(.*)\s+?(\d+(?:\.\d*)?)$")
# Firefox Profiler's importer (df31314): a frame's function, file, line and column
FIREFOX = re.compile(r"^0x([0-9a-f]+): (.+) \((?:in )?(.+?)(?::(\d+))?(?::(\d+))?\)$", re.I)


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


def test_pprof_tree(ctl, dhat, sums):
    """By callers: what each function has by itself adds up to the same; the program gives the file its name."""
    tree = pprof("-tree", "-nodecount=100000", "-nodefraction=0", "-edgefraction=0", "-sample_index=alloc_space",
                 "-unit=bytes", exported(ctl, dhat, ".pb.gz"))
    nodes = re.findall(r"^\s*(\d+)B?\s+[\d.]+%\s+[\d.]+%\s+\d+B?\s+[\d.]+%\s+\|\s", tree, re.M)
    assert sum(map(int, nodes)) == sums["tb"] == total_of(tree), tree[:2000]
    assert re.search(r"^File: stacks_cxx$", tree, re.M)


def test_pprof_in_a_browser(ctl, dhat, sums):
    """Its web pages (-http) have the functions, and the sum."""
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen(["go", "tool", "pprof", "-symbolize=none", f"-http={address}", "-no_browser",
                               "-sample_index=alloc_space", "-unit=bytes", exported(ctl, dhat, ".pb.gz")],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        pages = {name: until(lambda name=name: page_of(f"http://{address}/ui/{name}"), name)
                 for name in ("flamegraph", "top", "peek?f=one_round")}
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # go starts it as a child
        server.wait(DEADLINE)
    for name, page in pages.items():
        assert "one_round" in page, name
    assert f"of {sums['tb']}B total" in html.unescape(pages["peek?f=one_round"]), pages["peek?f=one_round"][-2000:]


def page_of(address):
    try:
        # an opener without proxies: the server is on this machine
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=DEADLINE) as answer:
            return answer.read().decode()
    except urllib.error.URLError:
        return None


def test_pprof_keeps_names_whole(ctl, dhat):
    """Template arguments and parameters stay, and inlined functions are told."""
    names = pprof("-top", "-nodecount=100000", "-nodefraction=0", "-sample_index=alloc_space",
                  exported(ctl, dhat, ".pb.gz"))
    profile = Profile(exported(ctl, dhat, ".json"))
    shown = {frame.function for point in profile.points for frame in profile.frames(point)}
    whole = [name for name in shown if "(" in name or "<" in name]
    assert len(whole) > 5
    for name in whole:
        assert name in names, name
    assert "(inline)" in names


def test_pprof_mappings(ctl, dhat):
    """Each file with its build id, the program's first: pprof calls the profile by it."""
    raw = pprof("-raw", exported(ctl, dhat, ".pb.gz"))
    mappings = re.findall(r"^\d+: 0x\w+/0x\w+/0x\w+ (\S+) ([0-9a-f]+)", raw.partition("\nMappings")[2], re.M)
    assert Path(mappings[0][0]).name == "stacks_cxx"
    for path, build_id in mappings:
        notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
        assert f"Build ID: {build_id}\n" in notes, path
    assert len(mappings) >= 2


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
    assert all((found := FLAMEGRAPH.match(line)) and found.groups() == match.groups() and not FLAMEGRAPH.match(match[1])
               for line, match in zip(lines, matches))
    stacks = [match[1].split(";") for match in matches]
    assert all(all(frames) for frames in stacks)
    if metric == "total":  # outermost first
        assert any(frames[0] == "_start" and frames.index("main") < len(frames) - 1 for frames in stacks)


def test_firefox(ctl, dhat, sums):
    """By the rule of its importer each frame that has a place is one of ours, and the sums are those of its four threads.
    (Of paths that hold " (": tests/unit/proto/export/test_dhat_json.c.)"""
    profile = Profile(exported(ctl, dhat, ".json"))
    assert profile.data["dhatFileVersion"] == 2 and profile.data["mode"] in ("heap", "rust-heap")
    lines = [line for line in profile.data["ftbl"][1:] if not line.startswith("[")]
    for line in lines:
        address, function, file, *_ = FIREFOX.match(line).groups()
        assert int(address, 16) and not file.startswith("in ") and not re.search(r"\(in |:\d+$", function + file), line
    assert any(re.search("one_round", FIREFOX.match(line)[2]) for line in lines)
    assert {field: sum(point[field] for point in profile.data["pps"]) for field in ("tb", "gb", "eb")} == \
        {field: sums[field] for field in ("tb", "gb", "eb")}


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


def test_jsonl_read_back(ctl, dhat):
    """As a profile of its own: what it lacks is said, and nothing has changed."""
    lines = exported(ctl, dhat, ".jsonl")
    stats = ctl("stats", lines, "--json").json()
    assert stats["totals"]["total_blocks"] == ctl("stats", dhat, "--json").json()["totals"]["total_blocks"]
    assert "build ids" in stats["lacks"] and "read from JSON lines" in ctl("stats", lines).out
    difference = ctl("diff", dhat, lines, "--json").json()
    assert difference["is_one_watch"] and not [c for c in difference["changes"] if c["bytes"] or c["blocks"]]
    assert "cannot be judged" in ctl("verify", lines, dhat, ok=False).err


def test_stats_read_back(ctl, dhat, sums):
    """What stats --json prints: whole, it differs in nothing; what it does not list is one point, and nothing to judge."""
    whole, part = dhat.with_suffix(".whole.json"), dhat.with_suffix(".part.json")
    whole.write_text(ctl("stats", dhat, "--json", "--sort", "total", "--top", "100000").out)
    part.write_text(ctl("stats", dhat, "--json", "--top", "2").out)
    difference = ctl("diff", dhat, whole, "--json").json()
    assert difference["is_one_watch"] and not [c for c in difference["changes"] if c["bytes"] or c["blocks"]]
    for path in (whole, part):
        assert Profile(exported(ctl, path, ".dhat.json")).sums() | {"tl": 0, "mb": 0, "mbk": 0} == sums | {"tl": 0, "mb": 0,
                                                                                                           "mbk": 0}
        assert "what `dhatctl stats --json' printed" in ctl("stats", path).out
    assert "[stacks that were not listed]" in ctl("stats", part, "--sort", "total").out
    assert "lists some of the stacks only" in ctl("assert", "live.bytes > 0", part, ok=False).err
    assert ctl("assert", "live.bytes >= 0", "--allow", "inexact", whole).status == 0


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
