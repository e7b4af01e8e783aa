"""An allocator that is linked in statically, and stripped, beside glibc's: what it hands out cannot be
counted, and every answer says so. Judged by the same program with its symbols.
"""
import json

import pytest
from conftest import TARGETS
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


def test_texts_without_functions(daemon, ctl, target, tmp_path):
    process = target(STRIPPED)
    process.expect("^ready")
    dhatd = daemon("serve", pattern="answering")
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
