"""An allocator that is linked in statically, and stripped, beside glibc's: what it hands out cannot be
counted, and every answer says so. Judged by the same program with its symbols.
"""
import json
import re
import resource
from pathlib import Path

import pytest
from conftest import TARGETS, until
from oracle import Profile
from test_allocators import address_of, sums_of

PROGRAMS = TARGETS / "allocators"
STRIPPED = PROGRAMS / "jemalloc-je-stripped"
JEMALLOCS = ("use_mallocx", "use_mallocx_aligned", "use_mallocx_in_place", "use_je_malloc",
             "use_je_calloc", "use_je_posix_memalign", "use_je_aligned_alloc")


def read_verdict(ctl, tmp_path):
    """The word, as JSON, a .dhat file, and the file for Valgrind's viewer have it: the same in all."""
    ctl("snapshot", "-o", tmp_path / "now.dhat")
    ctl("snapshot", "-o", tmp_path / "now.json")
    verdicts = [ctl("status", "--json").json()["targets"][0]["verdict"],
                ctl("stats", "--json").json()["verdict"],
                ctl("stats", "--json", tmp_path / "now.dhat").json()["verdict"]]
    block = json.loads((tmp_path / "now.json").read_text())["dhatd"]
    words = {v["word"] for v in verdicts} | {block["verdict"]}
    exact = {v["exact"] for v in verdicts} | {block["exact"]}
    assert len(words) == 1 and exact == {words == {"exact"}}
    assert all(v["reasons"] == block["reasons"] for v in verdicts)
    return words.pop(), block["reasons"]


# keeps 1,000 blocks that a Python takes from arenas of its own, and 100 that none does
KEEP = ("import sys; print('ready', flush=True); sys.stdin.readline();"
        "kept = [object() for _ in range(1000)] + [bytes(10000 + i) for i in range(100)];"
        "print('done', flush=True); sys.stdin.readline()")


@pytest.mark.parametrize("allocator, options, expected", (
    ("pymalloc", ("-S",), "partial"), ("malloc", ("-S",), "exact"), ("malloc", ("-X", "utf8", "-SI"), "partial")))
def test_a_runtime_with_arenas_of_its_own(allocator, options, expected, daemon, ctl, target, tmp_path):
    """Python's blocks are counted if it takes them from malloc; -I lets it ignore that it was told to."""
    python = target(Path("/usr/bin/python3"), *options, "-c", KEEP, env={"PYTHONMALLOC": allocator})
    python.expect("ready")
    daemon("serve")
    plan = ctl("plan", python.pid, "--json").json()
    ctl("attach", python.pid, "--no-inventory")
    python.say("go")
    python.expect("done")
    word, reasons = read_verdict(ctl, tmp_path)
    told = [h["detail"] for h in plan["hazards"] if h["name"] == "hidden allocator"]
    assert word == expected
    assert told == reasons[1:]
    blocks = Profile(tmp_path / "now.json").sums()["ebk"]
    if expected == "exact":
        assert not reasons and blocks >= 1100
    else:
        assert len(told) == 1 and "CPython in python3" in told[0] and "PYTHONMALLOC=malloc" in told[0]
        assert 100 <= blocks < 1000
    python.say("end")


def test_texts_without_functions(daemon, ctl, target, tmp_path):
    process = target(STRIPPED)
    process.expect("^ready")
    dhatd = daemon("serve")
    plan = ctl("plan", process.pid, "--json").json()
    assert plan["is_safe"] and plan["verdict"] == "safe to attach; the numbers will be partial"
    hazards = [h for h in plan["hazards"] if h["name"] == "hidden allocator"]
    assert len(hazards) == 1 and not hazards[0]["is_blocking"]
    said = ctl("attach", process.pid).out
    assert "; partial: exact for glibc 2." in said
    process.say("")
    books = sums_of(process)

    word, reasons = read_verdict(ctl, tmp_path)
    assert word == "partial"
    assert len(reasons) == 2
    assert reasons[0].startswith("exact for glibc 2.")
    for text in (hazards[0]["detail"], reasons[1], said):
        assert "what jemalloc 5.3.0 in jemalloc-je-stripped hands out is not counted" in text
        assert "--alloc 'jemalloc-je-stripped+0x" in text
    assert ctl("stats").out.startswith("PARTIAL: exact for glibc 2.")
    assert "  PARTIAL: exact for glibc" in ctl("status").out

    # the other part is exact: all that glibc handed out, and nothing of jemalloc's
    total = Profile(tmp_path / "now.json").sums(lambda p: p["tbk"] > 0)
    theirs = [book for name, book in books.items() if name in JEMALLOCS]
    assert len(theirs) == len(JEMALLOCS)
    expected = {key: books["all"][key] - sum(book[key] for book in theirs) for key in books["all"]}
    assert {key: total[key] for key in expected} == expected

    insisted = ctl("snapshot", "--exact", "-o", tmp_path / "exact.json", ok=False)
    assert insisted.status == 13
    assert "the numbers are partial: " in insisted.err
    assert not (tmp_path / "exact.json").exists()
    assert dhatd.stop() == 0
    assert "partial: what jemalloc 5.3.0 in jemalloc-je-stripped" in dhatd.err


def test_run_says_so_at_the_start(daemon, tmp_path):
    dhatd = daemon("run", "-o", tmp_path / "run.json", "--", STRIPPED, "go")
    dhatd.wait()
    profile = Profile(tmp_path / "run.json")
    assert profile.verdict["verdict"] == "partial" and not profile.exact
    attached, ended = dhatd.err.split("exited", 1)
    for text in (attached, ended):
        assert "partial: what jemalloc 5.3.0 in jemalloc-je-stripped hands out" in text


@pytest.mark.parametrize("program", ["jemalloc-je", "jemalloc-static", "tcmalloc-static", "mimalloc",
                                     "jemalloc-fully-static", "glibc"])
def test_found_by_name_is_not_hidden(program, daemon, ctl, target, tmp_path):
    process = target(PROGRAMS / program)
    process.expect("^ready")
    daemon("attach", "--pid", process.pid)
    assert read_verdict(ctl, tmp_path) == ("exact", [])
    assert ctl("plan", process.pid, "--json").json()["hazards"] == []
    ctl("snapshot", "--exact", "-o", tmp_path / "exact.json")


def test_named_by_a_person(daemon, ctl, target, tmp_path):
    """What the sentence advises: the addresses, from the twin with symbols. Then all is counted."""
    at = {name: f"{STRIPPED.name}+{address_of(PROGRAMS / 'jemalloc-je', name):#x}"
          for name in ("je_malloc", "je_calloc", "je_aligned_alloc", "je_realloc", "je_free",
                       "je_mallocx", "je_rallocx", "je_dallocx", "je_sdallocx")}
    # what has no form of its own as an option is left out
    process = target(STRIPPED, "-use_je_posix_memalign", "-use_mallocx_in_place")
    process.expect("^ready")
    daemon("attach", "--pid", process.pid,
           "--alloc", at["je_malloc"] + "(size=arg1)", "--alloc", at["je_mallocx"] + "(size=arg1)",
           "--alloc", at["je_calloc"] + "(count=arg1,size=arg2)",
           "--alloc", at["je_aligned_alloc"] + "(size=arg2)",
           "--realloc", at["je_realloc"] + "(ptr=arg1,size=arg2)",
           "--realloc", at["je_rallocx"] + "(ptr=arg1,size=arg2)",
           "--free", at["je_free"] + "(ptr=arg1)", "--free", at["je_dallocx"] + "(ptr=arg1)",
           "--free", at["je_sdallocx"] + "(ptr=arg1)")
    process.say("")
    books = sums_of(process)
    assert read_verdict(ctl, tmp_path) == ("exact", [])
    total = Profile(tmp_path / "now.json").sums(lambda p: p["tbk"] > 0)
    assert {key: total[key] for key in books["all"]} == books["all"]
    assert (total["gb"], total["gbk"]) == (books["peak"]["tb"], books["peak"]["tbk"])


@pytest.mark.parametrize("names", [("je_malloc", "je_free"), ("use_je_malloc", "use_je_calloc")], ids=["two of them", "a pool"])
def test_named_in_a_hurry(names, daemon, ctl, target, tmp_path):
    """A malloc and a free alone, or functions of something else in that file, are not the allocator: partial still."""
    at = [f"{STRIPPED.name}+{address_of(PROGRAMS / 'jemalloc-je', name):#x}" for name in names]
    process = target(STRIPPED)
    process.expect("^ready")
    daemon("attach", "--pid", process.pid, "--alloc", at[0] + "(size=arg1)", "--free", at[1] + "(ptr=arg1)")
    word, reasons = read_verdict(ctl, tmp_path)
    assert word == "partial" and any("hands out is not counted" in reason for reason in reasons), reasons


# ---- no texts: what the live process shows ---------------------------------------------------------

def target_status(ctl, pid):
    targets = ctl("status", "--json").json()["targets"]
    return next(t for t in targets if t["target"]["pid"] == pid)


def test_memory_of_nobody(daemon, ctl, target):
    """Memory without a block of glibc's, more than its heap, and it came since the attach."""
    heap, jit, own = target("mapped_heap", "150"), target("mapped_heap", "150", "code"), \
        target("mapped_heap", "20")
    daemon("serve")
    for process in (heap, jit, own):
        process.expect("^ready")
        ctl("attach", process.pid)
    for process in (heap, jit, own):  # a heap that is born meanwhile, by one that has no CPU then, is not whole
        until(lambda: not target_status(ctl, process.pid)["verdict"]["reasons"], "what was before to be listed")
        process.say("")
        process.expect("^mapped")

    def noticed():
        verdict = target_status(ctl, heap.pid)["verdict"]
        return verdict if verdict["word"] != "exact" else None

    def noted():
        return [n for n in target_status(ctl, jit.pid)["notes"] if "generates code" in n]

    verdict = until(noticed, "the memory to be noticed", 120)
    assert verdict["word"] == "partial" and not verdict["exact"]
    # as of the moment of the look, at which it may still have been coming
    assert 64 << 20 <= int(verdict["uncounted_bytes"]) < 160 << 20
    assert re.search(r"^[\d.]+ MiB of its memory are in mappings in which none of the probed", verdict["reasons"][1])
    # a runtime's own heap is told, and no reason against the numbers
    assert re.search(r"has [\d.]+ MiB of memory", until(noted, "the note", 120)[0])
    assert target_status(ctl, jit.pid)["verdict"]["reasons"] == []
    # too little to speak of
    assert target_status(ctl, own.pid)["verdict"]["reasons"] == []
    # what glibc handed out is right in all
    for process in (heap, jit, own):
        totals = target_status(ctl, process.pid)["totals"]
        assert (int(totals["total_bytes"]), int(totals["total_blocks"])) == (1000, 10)


def test_memory_of_nobody_that_was_there_before(daemon, ctl, target):
    """It need not grow: when all blocks from before are known, what has none of them shows."""
    heap, small = target("mapped_heap", "150", "early"), target("mapped_heap", "20", "early")
    daemon("serve")
    for process in (heap, small):
        process.expect("^ready")
        ctl("attach", process.pid)

    def verdict_of(process):
        verdict = target_status(ctl, process.pid)["verdict"]
        return verdict if verdict["reasons"] and "still being listed" not in str(verdict["reasons"]) else None

    verdict = until(lambda: verdict_of(heap), "the memory to be noticed", 120)
    assert verdict["word"] == "partial" and 145 << 20 < int(verdict["uncounted_bytes"]) < 160 << 20
    assert "none of the probed allocators has a block" in verdict["reasons"][1]
    assert target_status(ctl, small.pid)["verdict"]["reasons"] == []


def test_memory_of_somebody(daemon, ctl, target):
    """A block whose mapping was parted, as numpy parts those of its arrays (MADV_HUGEPAGE), has all of its parts; and of
    blocks that a sample has not recorded the memory is not nobody's."""
    nobody, advised, sampled = target("mapped_heap", "150"), target("mapped_heap", "150", "advised"), \
        target("mapped_heap", "150", "blocks")
    daemon("serve")
    for process, options in ((nobody, ()), (advised, ()), (sampled, ("--sample", "1G"))):
        process.expect("^ready")
        ctl("attach", process.pid, *options)
        until(lambda: "still being listed" not in str(target_status(ctl, process.pid)), "what was before to be listed")
    for process in (advised, sampled, nobody):
        process.say("")
        process.expect("^mapped")
    # it was the last to have its memory, and shows that all were looked at
    until(lambda: target_status(ctl, nobody.pid)["verdict"]["word"] == "partial", "the look", 120)
    assert target_status(ctl, advised.pid)["verdict"]["word"] == "exact"
    assert target_status(ctl, sampled.pid)["verdict"]["word"] == "sampled"


def test_recorded_memory_is_not_missed(daemon, ctl, target):
    """With --anonymous the same memory is in the profile."""
    process, other = target("mapped_heap", "150"), target("mapped_heap", "150")
    daemon("serve")
    for each in (process, other):
        each.expect("^ready")
    ctl("attach", process.pid, "--anonymous")
    ctl("attach", other.pid)
    for each in (process, other):
        each.say("")
        each.expect("^mapped")
    # the other one shows that it has been looked at
    until(lambda: target_status(ctl, other.pid)["verdict"]["word"] == "partial", "the look", 120)
    status = target_status(ctl, process.pid)
    assert status["verdict"]["word"] == "exact"
    assert int(status["totals"]["live_bytes"]) >= 150 << 20


@pytest.mark.parametrize("percent", [98, 40])
def test_frees_that_keep_coming(percent, daemon, ctl, target):
    """One of two functions that allocate is not probed: it shows, at the latest when more is freed than can have been
    there before."""
    missed, whole = target("lopsided", str(percent)), target("lopsided", str(percent))
    daemon("serve")
    for process, names in ((missed, ["take_front"]), (whole, ["take_front", "take_side"])):
        process.expect("^ready")
        ctl("attach", process.pid, "--free", "lopsided:give(ptr=arg1)",
            *(option for name in names for option in ("--alloc", f"lopsided:{name}(size=arg1)")))

    def noticed():
        verdict = target_status(ctl, missed.pid)["verdict"]
        return verdict if verdict["word"] != "exact" else None

    verdict = until(noticed, "the frees to be noticed", 180)
    assert verdict["word"] == "inexact"
    assert "of blocks that were never seen allocated, and they keep coming" in verdict["reasons"][0]
    until(lambda: int(target_status(ctl, whole.pid)["totals"]["total_blocks"]) > 10000, "the other's blocks")
    assert target_status(ctl, whole.pid)["verdict"]["word"] == "exact"


# ---- found by its code -----------------------------------------------------------------------------
#
# An attach looks for less than a second at what the functions do, so that who calls them has to have a turn in it.

CHURN_ROLES = {"je_malloc": "malloc", "je_mallocx": "malloc", "je_calloc": "calloc",
               "je_aligned_alloc": "memalign", "je_realloc": "realloc", "je_rallocx": "realloc",
               "je_free": "free", "je_sdallocx": "free"}


def totals_of(ctl, pid):
    totals = target_status(ctl, pid)["totals"]
    return [int(totals[key]) for key in ("total_bytes", "total_blocks", "live_bytes", "live_blocks")]


def unseen(verdict):
    """A function that nobody called during the attach and somebody calls later, as jemalloc does by the clock, ends the word
    exact, and is told."""
    return [reason for reason in verdict["reasons"] if "cannot be followed" in reason]


OLD_KERNEL = {"LD_PRELOAD": str(TARGETS / "one_thread.so")}  # it has perf links only


def found_by_code(ctl, pid):
    """Address in the file, role. Those that nobody called while they were tried are watched, and left out here."""
    probes = target_status(ctl, pid)["probes"]
    found = {int(p["function"][1:], 16): p["role"] for p in probes if "found by its code" in p["allocator"]}
    return {address: role for address, role in found.items() if role != "not known"}


def check_pattern(ctl, churn, pid):
    """What churn does after "quiet" is counted to the byte."""
    before = totals_of(ctl, pid)
    churn.say("")
    done = [int(n) for n in churn.expect(r"^done (\d+) (\d+) (\d+) (\d+)$").groups()]
    assert [a - b for a, b in zip(totals_of(ctl, pid), before)] == done


@pytest.mark.parametrize("link, env", [(None, {}), ("perf", {}), (None, OLD_KERNEL)], ids=["best", "perf", "only perf"])
def test_found_by_its_code(link, env, daemon, ctl, target):
    """Each function that the program uses, with its role, where nm finds it in the twin; then to the byte."""
    churn = target(PROGRAMS / "churn-je-stripped", urgent=True)
    churn.expect("^ready")
    dhatd = daemon("attach", "--pid", churn.pid, *(["--link", link] if link else []), env=env, urgent=True)
    assert "dhatd:   jemalloc 5.3.0, found by its code (" in dhatd.err
    assert {p["link"] for p in target_status(ctl, churn.pid)["probes"]} == ({"perf"} if link or env else {"session"})
    assert found_by_code(ctl, churn.pid) == {address_of(PROGRAMS / "churn-je", name): role
                                             for name, role in CHURN_ROLES.items()}
    churn.say("")
    churn.expect("^quiet")
    assert totals_of(ctl, churn.pid)[2:] == [0, 0]
    check_pattern(ctl, churn, churn.pid)
    verdict = target_status(ctl, churn.pid)["verdict"]
    assert verdict["word"] == ("inexact" if unseen(verdict) else "exact"), verdict
    assert len(verdict["reasons"]) == len(unseen(verdict))
    churn.say("")
    assert churn.wait() == 0


def test_a_function_that_was_not_seen_then_is_called(daemon, ctl, target):
    """Found later is not proven: that ends the word exact, by one call."""
    churn = target(PROGRAMS / "churn-je-stripped", "late", urgent=True)
    churn.expect("^ready")
    daemon("attach", "--pid", churn.pid, urgent=True)
    verdict = target_status(ctl, churn.pid)["verdict"]
    assert verdict["word"] == ("inexact" if unseen(verdict) else "exact"), verdict
    at = address_of(PROGRAMS / "churn-je", "je_posix_memalign")
    probes = target_status(ctl, churn.pid)["probes"]
    assert [p["role"] for p in probes if p["function"] == f"+{at:#x}"] == ["not known"]
    churn.say("")
    churn.expect("^quiet")
    verdict = target_status(ctl, churn.pid)["verdict"]
    assert verdict["word"] == "inexact"
    # itself, and perhaps what it calls inside
    assert re.match(r"\d calls? of allocator functions that cannot be followed", verdict["reasons"][0]), verdict


def test_not_tried_where_nothing_happens(daemon, ctl, target, tmp_path):
    """An idle process shows nothing of what its functions do: they stay unproven, and are named."""
    churn = target(PROGRAMS / "churn-je-stripped", "idle")
    churn.expect("^ready")
    daemon("attach", "--pid", churn.pid)
    word, reasons = read_verdict(ctl, tmp_path)
    assert word == "partial" and len(reasons) == 2
    assert re.search(r"what jemalloc 5\.3\.0 in churn-je-stripped hands out is not counted: .* is entered, most "
                     r"often first, at \+0x[0-9a-f]+, ", reasons[1])
    assert not [p for p in target_status(ctl, churn.pid)["probes"] if p["function"].startswith("+")]
    # and it is unharmed
    for line in ("quiet", "done"):
        churn.say("")
        churn.expect(f"^{line}")
    churn.say("")
    assert churn.wait() == 0


def is_late(verdict):
    """Counted, but not from its first block on: so it is said."""
    return verdict["word"] == "inexact" and any(
        "mapped and perhaps used before the probes were there: its first blocks are missing" in reason
        for reason in verdict["reasons"]) and not any("is not counted" in reason for reason in verdict["reasons"])


def test_found_by_its_code_after_the_start(daemon, ctl):
    """`dhatd run`: nothing can be tried before the program runs. Until then it is partial, and names it."""
    dhatd = daemon("run", "--", PROGRAMS / "churn-je-stripped")
    dhatd.expect("^ready")
    pid = ctl("status", "--json").json()["targets"][0]["target"]["pid"]
    assert "partial: what jemalloc 5.3.0 in churn-je-stripped hands out is not counted" in dhatd.err
    found = until(lambda: found_by_code(ctl, pid), "the functions to be found")
    assert found == {address_of(PROGRAMS / "churn-je", name): role for name, role in CHURN_ROLES.items()}
    dhatd.expect_err("jemalloc 5.3.0 in churn-je-stripped has been in use now, was found by its code, and is counted")
    assert is_late(target_status(ctl, pid)["verdict"]), target_status(ctl, pid)["verdict"]
    dhatd.say("")
    dhatd.expect("^quiet")
    check_pattern(ctl, dhatd, pid)
    dhatd.say("")
    assert dhatd.wait() == 0


PLUGIN = PROGRAMS / "churn-je-plugin-stripped.so"
# this jemalloc wants more of it than glibc keeps for plugins
ROOM = {"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=16384"}


@pytest.mark.parametrize("link", ["session", "perf"])
def test_found_by_its_code_in_a_late_library(link, daemon, ctl, target):
    host = target(PROGRAMS / "churn-host", PLUGIN, env=ROOM)
    host.expect("^host")
    daemon("attach", "--pid", host.pid, "--link", link)
    assert target_status(ctl, host.pid)["verdict"]["word"] == "exact"
    host.say("")
    host.expect("^ready")
    found = until(lambda: found_by_code(ctl, host.pid), "the functions to be found")
    twin = PROGRAMS / "churn-je-plugin.so"
    assert found == {address_of(twin, f"pic_{name}"): role for name, role in CHURN_ROLES.items()}
    assert is_late(target_status(ctl, host.pid)["verdict"]), target_status(ctl, host.pid)["verdict"]
    host.say("")
    host.expect("^quiet")
    check_pattern(ctl, host, host.pid)
    host.say("")
    assert host.wait() == 0


def test_a_late_library_that_may_not_be_probed(daemon, ctl, target):
    """It copies its code: to probe it would kill the program. What it hands out is missing, and that is told."""
    dhatd = daemon("run", "--", PROGRAMS / "churn-host", PROGRAMS / "churn-je-plugin-hugify.so", env=ROOM)
    dhatd.expect("^host")
    dhatd.say("")
    dhatd.expect("^ready")
    status = ctl("status", "--json").json()["targets"][0]
    assert status["verdict"]["word"] == "inexact", status["verdict"]
    assert any(re.search(r"churn-je-plugin-hugify.so.* could not be probed: .*copies its own code", n) for n in status["notes"])


def test_a_look_that_fails_is_taken_again(daemon, ctl, target):
    """dhatd has no descriptor left when a library comes: it is probed when there is one again, and late."""
    host = target(PROGRAMS / "churn-host", PROGRAMS / "churn-je-plugin.so", env=ROOM)
    host.expect("^host")
    dhatd = daemon("attach", "--pid", host.pid, "--link", "perf")
    until(lambda: target_status(ctl, host.pid)["verdict"]["word"] == "exact", "the word exact")
    limits = resource.prlimit(dhatd.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(dhatd.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    host.say("")
    host.expect("^ready")
    host.say("")
    host.expect("^quiet")
    resource.prlimit(dhatd.pid, resource.RLIMIT_NOFILE, limits)
    until(lambda: any("jemalloc" in p["allocator"] for p in target_status(ctl, host.pid)["probes"]), "the library's probes")
    assert target_status(ctl, host.pid)["verdict"]["word"] == "inexact"
    check_pattern(ctl, host, host.pid)


def test_not_found_while_nobody_uses_it(daemon, ctl, target, tmp_path):
    """Late, and idle: partial, with its name, until it is used."""
    host = target(PROGRAMS / "churn-host", PLUGIN, "idle", env=ROOM)
    host.expect("^host")
    dhatd = daemon("attach", "--pid", host.pid)
    run = daemon("run", "--", PROGRAMS / "churn-je-stripped", "idle", socket=tmp_path / "run.sock")
    run.expect("^ready")
    host.say("")
    host.expect("^ready")
    until(lambda: target_status(ctl, host.pid)["verdict"]["word"] != "exact", "the library to be noticed")
    for socket, name in ((None, PLUGIN.name), (tmp_path / "run.sock", "churn-je-stripped")):
        verdict = ctl("status", "--json", socket=socket).json()["targets"][0]["verdict"]
        assert verdict["word"] == "partial" and len(verdict["reasons"]) == 2, verdict
        assert f"what jemalloc 5.3.0 in {name} hands out is not counted: " in verdict["reasons"][1]
        assert "what its code does shows only in use; it is entered, most often first, at +0x" in verdict["reasons"][1]
    for process in (host, run):
        for line in ("quiet", "done"):
            process.say("")
            process.expect(f"^{line}")
        process.say("")
    assert host.wait() == 0 and run.wait() == 0
    assert dhatd.stop() == 0


def test_static_and_stripped(daemon, ctl, target):
    """Nothing has a name: still to the byte, if it is in use; and refused, unharmed, if it is not."""
    churn, idle = (target(PROGRAMS / "churn-je-static-stripped", *how, urgent=True) for how in ((), ("idle",)))
    daemon("serve", urgent=True)
    for process in (churn, idle):
        process.expect("^ready")
        # as an attach: of one that does nothing it will find nothing, of the other what is in use
        plan = ctl("plan", process.pid, "--json", ok=False).json()
        known = {"hidden allocator", "static and stripped"}
        assert {h["name"] for h in plan["hazards"]} == known | ({"idle"} if process is idle else set())
        assert plan["is_safe"] is (process is churn) and plan["exit_code"] == (7 if process is idle else 0)
        assert process is idle or plan["verdict"].endswith("; refused if what its code does proves no allocator")
    refused = ctl("attach", idle.pid, ok=False)
    assert refused.status == 7
    assert "what jemalloc" in refused.err and "is entered, most often first, at +0x" in refused.err
    ctl("attach", churn.pid)
    churn.say("")
    churn.expect("^quiet")
    check_pattern(ctl, churn, churn.pid)
    verdict = target_status(ctl, churn.pid)["verdict"]
    assert verdict["word"] == ("inexact" if unseen(verdict) else "partial") and len(verdict["reasons"]) == 2, verdict
    assert "should its C library have a malloc of its own" in verdict["reasons"][1]
    idle.say("")
    idle.expect("^quiet")
