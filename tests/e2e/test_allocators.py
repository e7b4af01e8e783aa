"""One pattern through every allocator, however it is linked: totals, peak and residency to the byte.

The programs (tests/targets/allocators) say what they did: per function of the allocator, by the
rules of Valgrind's DHAT. dhatd attaches before the pattern begins.
"""
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT, TARGETS, until
from libcs import rpmalloc
from oracle import Profile, plain_name

PROGRAMS = TARGETS / "allocators"
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
JEMALLOC = LIBRARIES / "libjemalloc.so.2"
TCMALLOC = LIBRARIES / "libtcmalloc_minimal.so.4"
SCUDO = max(Path("/usr/lib").glob("llvm-*/lib/clang/*/lib/linux/libclang_rt.scudo_standalone-x86_64.so"))
MIMALLOC = (LIBRARIES / "libmimalloc.so").resolve()  # .so.2.0 in Debian 12, .so.3 in 13


class Row(NamedTuple):
    program: str
    allocators: str  # what status has to name, as a pattern for each, separated by blanks
    preload: Path = None
    arguments: tuple = ()

    def __str__(self):
        return self.program + (f"+{self.preload.name.partition('.')[0]}" if self.preload else "")


ROWS = [
    Row("glibc", "glibc"),
    Row("glibc-static", "glibc"),
    Row("musl", "musl"),
    Row("musl-static", "musl"),
    Row("jemalloc", "jemalloc"),
    Row("jemalloc-static", "jemalloc"),
    Row("jemalloc-fully-static", "jemalloc"),
    Row("jemalloc-je", "glibc jemalloc"),
    Row("jemalloc-rjem", "glibc jemalloc"),
    Row("jemalloc-duckdb", "glibc jemalloc"),  # a prefix that no table has
    Row("own", "own"),
    Row("cxx-own", "own"),
    Row("glibc", "jemalloc", JEMALLOC, ("-use_pvalloc",)),  # which jemalloc does not have
    Row("tcmalloc", "tcmalloc"),
    Row("tcmalloc-static", "tcmalloc"),
    Row("glibc", "tcmalloc", TCMALLOC),
    Row("mimalloc", "mimalloc"),
    Row("glibc", "mimalloc", MIMALLOC),
    Row("scudo-static", "scudo"),
    Row("glibc", "scudo", SCUDO),
    Row("cxx-scudo-static", "scudo"),
    Row("cxx-glibc", "scudo", SCUDO),
    Row("cxx-glibc", "glibc"),
    Row("cxx-glibc-static", "glibc"),
    Row("cxx-jemalloc", "jemalloc"),
    Row("cxx-jemalloc-static", "jemalloc"),
    Row("cxx-glibc", "jemalloc", JEMALLOC, ("-use_pvalloc",)),
    Row("cxx-tcmalloc", "tcmalloc"),
    Row("cxx-tcmalloc-static", "tcmalloc"),
    Row("cxx-glibc", "tcmalloc", TCMALLOC),
    Row("cxx-mimalloc", "mimalloc"),
    Row("cxx-glibc", "mimalloc", MIMALLOC),
]


def sums_of(process):
    """{function: sums} as the program says them; "all" and "peak" among them."""
    process.expect("^done")
    books = {}
    for name, *numbers in re.findall(r"^(\w+) (\d+) (\d+) (\d+) (\d+)$", process.out, re.M):
        books[name] = dict(zip(("tb", "tbk", "eb", "ebk"), map(int, numbers)))
    return books


def used_by(profile, name):
    """Sums over the points under a function of this name, or one that begins so."""
    return profile.sums(lambda p: any(plain_name(f.function) == name or (name == "use_" and f.function.startswith(name))
                                      for f in profile.frames(p)))


def pattern_sums(profile):
    """What the pattern allocated: points of functions, not blocks from before the attach."""
    return used_by(profile, "use_")


def check_books(profile, books):
    """Every function's points, and all of them together."""
    total = pattern_sums(profile)
    for name, book in books.items():
        if name.startswith("use_"):
            found = used_by(profile, name)
            assert {key: found[key] for key in book} == book, name
    assert {key: total[key] for key in books["all"]} == books["all"]
    assert (total["gb"], total["gbk"]) == (books["peak"]["tb"], books["peak"]["tbk"])
    # nothing but the pattern was allocated meanwhile
    assert profile.sums()["tb"] == books["all"]["tb"]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_matrix(row, daemon, ctl, tables, target, tmp_path):
    env = {"LD_PRELOAD": str(row.preload)} if row.preload else {}
    check_row(row, target(PROGRAMS / row.program, *row.arguments, env=env), daemon, ctl, tables, tmp_path)


RPMALLOC_FLAGS = "-O2 -g -fno-builtin -fno-optimize-sibling-calls -fno-ipa-icf -DWITH_RPMALLOC -pthread".split()


@pytest.mark.parametrize("row, kept", [(Row("rpmalloc-static", "rpmalloc"), ()),
                                       (Row("rpmalloc-beside-glibc", "glibc rpmalloc"), ("--wildcard", "-G", "rp*"))],
                         ids=["static", "beside glibc"])
def test_rpmalloc(row, kept, daemon, ctl, tables, target, tmp_path):
    """No release of Debian has it; as the others by its own names, and by malloc's or beside those of glibc."""
    place, archive, program = rpmalloc(), tmp_path / "librpmalloc.a", tmp_path / row.program
    sources = [ROOT / f"tests/targets/allocators/{name}.c" for name in ("matrix", "matrix_c", "matrix_rpmalloc")]
    # of newer glibcs only
    subprocess.run(["objcopy", "--redefine-sym", "__isoc23_strtol=strtol", *kept, place / "librpmalloc.a", archive], check=True)
    subprocess.run(["gcc", *RPMALLOC_FLAGS, "-I", place, "-o", program, *sources, archive], check=True)
    check_row(row, target(program), daemon, ctl, tables, tmp_path)


def check_row(row, process, daemon, ctl, tables, tmp_path):
    process.expect("^ready")
    daemon("attach", "--pid", process.pid)
    tables()
    process.say("")
    books = sums_of(process)

    ctl("snapshot", "-o", tmp_path / "held.json")
    held = Profile(tmp_path / "held.json")
    assert held.exact, held.reasons
    check_books(held, books)
    status = ctl("status").out
    for allocator in row.allocators.split():
        assert re.search(allocator, status), status

    process.say("")
    assert process.wait() == 0
    ctl("snapshot", "-o", tmp_path / "ended.json")
    ended = pattern_sums(Profile(tmp_path / "ended.json"))
    assert (ended["eb"], ended["ebk"]) == (0, 0)
    assert (ended["tb"], ended["tbk"]) == (books["all"]["tb"], books["all"]["tbk"])


def address_of(program, function):
    """Link-time address of a function."""
    out = subprocess.run(["nm", str(program)], capture_output=True, text=True, check=True).stdout
    return int(re.search(rf"^([0-9a-f]+) \w {function}$", out, re.M)[1], 16)


def test_pool_by_name(daemon, ctl, tables, target, tmp_path):
    """A program's own allocator, by the names of its functions."""
    pool = target(PROGRAMS / "pool")
    pool.expect("^ready")
    daemon("attach", "--pid", pool.pid, "--alloc", "pool:pool_take(size=arg2)",
           "--free", "pool:pool_give(ptr=arg2)", "--realloc", "pool:pool_change(ptr=arg2,size=arg3)")
    tables()
    pool.say("")
    books = sums_of(pool)
    ctl("snapshot", "-o", tmp_path / "pool.json")
    profile = Profile(tmp_path / "pool.json")
    assert profile.exact, profile.reasons
    check_books(profile, books)


def test_pool_by_address(daemon, ctl, target, tmp_path):
    """The same without symbols: totals are as exact, and places are addresses."""
    at = {name: address_of(PROGRAMS / "pool-static", name)
          for name in ("pool_take", "pool_give", "pool_change")}
    pool = target(PROGRAMS / "pool-static-stripped")
    pool.expect("^ready")
    daemon("attach", "--pid", pool.pid,
           "--alloc", f"pool-static-stripped+{at['pool_take']:#x}(size=arg2)",
           "--free", f"pool-static-stripped+{at['pool_give']:#x}(ptr=arg2)",
           "--realloc", f"pool-static-stripped+{at['pool_change']:#x}(ptr=arg2,size=arg3)")
    pool.say("")
    books = sums_of(pool)
    ctl("snapshot", "-o", tmp_path / "pool.json")
    profile = Profile(tmp_path / "pool.json")
    assert profile.exact, profile.reasons
    total = profile.sums(lambda p: p["tbk"] > 0)
    assert {key: total[key] for key in books["all"]} == books["all"]
    assert (total["gb"], total["gbk"]) == (books["peak"]["tb"], books["peak"]["tbk"])


def check_still_works(pool):
    pool.say("")
    pool.expect("^done")
    pool.say("")
    assert pool.wait() == 0


@pytest.mark.parametrize("program", ["pool", "pool-static-stripped"])
def test_address_inside_a_function(program, daemon, ctl, target):
    """A probe inside an instruction would end the program. By symbols, or by unwind entries alone."""
    at = address_of(PROGRAMS / program.removesuffix("-stripped"), "pool_give")
    pool = target(PROGRAMS / program)
    pool.expect("^ready")
    daemon("serve")
    for offset in range(1, 8):
        spec = f"{program}+{at + offset:#x}(ptr=arg2)"
        for command in ("plan", "attach"):
            answer = ctl(command, "--pid", pool.pid, "--free", spec, ok=False)
            assert answer.status == 2, f"{spec}: {answer.err}"  # DHAT_EXIT_USAGE
            assert spec in answer.err and f"begins at +{at:#x}" in answer.err, answer.err
    check_still_works(pool)


def test_address_of_which_nothing_tells(daemon, ctl, target, tmp_path):
    at = address_of(PROGRAMS / "pool-static", "pool_give")
    bare = tmp_path / "bare"
    subprocess.run(["objcopy", "-R", ".eh_frame", "-R", ".eh_frame_hdr", PROGRAMS / "pool-static-stripped", bare],
                   check=True)
    pool = target(bare)
    pool.expect("^ready")
    daemon("serve")
    answer = ctl("attach", "--pid", pool.pid, "--free", f"bare+{at:#x}(ptr=arg2)", ok=False)
    assert answer.status == 2 and "neither a symbol nor an unwind entry" in answer.err, answer.err
    check_still_works(pool)


def test_stripped_and_unnamed(daemon, target):
    """No symbol to go by: refused, and the way out is named."""
    pool = target(PROGRAMS / "pool-static-stripped")
    pool.expect("^ready")
    dhatd = daemon("attach", "--pid", pool.pid, wait=False)
    assert dhatd.wait() == 7  # DHAT_EXIT_NO_ALLOCATOR
    assert "--alloc" in dhatd.err
    check_still_works(pool)


@pytest.mark.parametrize("spec, said", [
    ("pool:pool_tkae(size=arg2)", "pool_tkae"),
    ("pond:pool_take(size=arg2)", "pond"),
    ("pool+0x10(size=arg2)", r"\+0x10"),
    ("pool:pool_take(bytes=arg2)", "size="),
])
def test_mistyped(spec, said, daemon, target):
    """A name that means nothing is said so; it is not an allocator that is never called."""
    pool = target(PROGRAMS / "pool")
    pool.expect("^ready")
    dhatd = daemon("attach", "--pid", pool.pid, "--alloc", spec, wait=False)
    assert dhatd.wait() == 2  # DHAT_EXIT_USAGE
    assert re.search(said, dhatd.err)


def test_new_strings(daemon, ctl, target, tmp_path):
    """Blocks whose size no argument tells are counted by what is in them; a path into a buffer is none."""
    process = target(PROGRAMS / "paths")
    process.expect("^ready")
    daemon("attach", "--pid", process.pid)
    process.say("")
    process.expect("^done")
    ctl("snapshot", "-o", tmp_path / "paths.json")
    profile = Profile(tmp_path / "paths.json")
    assert profile.exact, profile.reasons
    sums = profile.sums()
    assert (sums["tb"], sums["tbk"], sums["eb"], sums["ebk"]) == (80, 20, 74, 19)


def test_unknown_function(daemon, ctl, target, tmp_path):
    """A function of a newer version is told before and at the attach; called, it ends the word "exact"."""
    process = target(PROGRAMS / "newer")
    process.expect("^ready")
    daemon("serve")
    plan = ctl("plan", process.pid).out
    assert re.search(r"unknown function.*malloc_typed", plan, re.S)
    assert "malloc_usable_size" not in plan
    ctl("attach", "--pid", process.pid)
    status = ctl("status").out
    assert re.search(r"1 function of .*newer is not known to dhatd: malloc_typed;", " ".join(status.split())), status
    process.say("")
    process.expect("^known")
    ctl("snapshot", "-o", tmp_path / "known.json")
    known = Profile(tmp_path / "known.json")
    assert known.exact, known.reasons
    assert (known.sums()["tb"], known.sums()["tbk"]) == (1000, 10)
    process.say("")
    process.expect("^unknown")
    ctl("snapshot", "-o", tmp_path / "unknown.json")
    unknown = Profile(tmp_path / "unknown.json")
    assert not unknown.exact
    assert any(reason.startswith("3 calls of allocator functions that cannot be followed")
               for reason in unknown.reasons), unknown.reasons
    assert (unknown.sums()["tb"], unknown.sums()["tbk"]) == (1000, 10)


@pytest.mark.parametrize("options", [(), ("--link", "multi"), ("--link", "perf"), ("--no-return-probes",)],
                         ids=lambda options: "-".join(options).strip("-") or "best")
def test_free_within_free(options, daemon, tmp_path):
    """operator delete[] that calls free, and does more, is one free."""
    ran = daemon("run", *options, "-o", tmp_path / "run.json", "--", PROGRAMS / "cxx-own", "go", pattern=r"wrote")
    assert ran.wait() == 0
    profile = Profile(tmp_path / "run.json")
    assert profile.exact, profile.reasons
    books = {name: list(map(int, numbers)) for name, *numbers in
             re.findall(r"^(\w+) (\d+) (\d+) (\d+) (\d+)$", ran.out, re.M)}
    total = pattern_sums(profile)
    made = len([name for name in books if name.startswith("use_")])  # each is called once before, for 64 bytes
    assert (total["tb"], total["tbk"]) == (books["all"][0] + 64 * made, books["all"][1] + made)
    assert (total["eb"], total["ebk"]) == (0, 0)
    assert {c["name"]: c["value"] for c in profile.verdict["counters"]}["nested"] > 0


def test_names_and_paths_of_any_length(daemon, ctl, target, tmp_path):
    """status, plan and the profile show them whole, and a program that lies deep down is probed like another."""
    function = "take_" + "x" * 300
    folder = tmp_path / "/".join(["folder" * 20] * 6)
    folder.mkdir(parents=True)
    source, program = tmp_path / "deep.c", folder / "deep"
    source.write_text(f"""
        #include <stdio.h>
        static char pool[65536];
        __attribute__((noinline)) void *{function}(unsigned long size)
        {{
            static unsigned long used;
            used += size;
            return pool + used - size;
        }}
        int main(void)
        {{
            printf("ready\\n"); fflush(stdout);
            for (int c; (c = getchar()) != EOF;)
                if (c == '\\n') {{ {function}(100); printf("done\\n"); fflush(stdout); }}
            return 0;
        }}
    """)
    subprocess.run(["gcc", "-O1", "-o", program, source], check=True)
    process = target(program)
    process.expect("ready")
    options = ("--alloc", f"deep:{function}(size=arg1)", "--no-inventory")
    daemon("attach", "--pid", process.pid, *options)
    process.say("")
    process.expect("done")
    plan = ctl("plan", process.pid, *options, "--json").json()
    assert f"custom ({program})" in plan["target"]["allocators"]
    status = ctl("status", "--json").json()["targets"][0]
    assert [p["object"] for p in status["probes"] if p["function"] == function] == [str(program)]
    assert f"custom ({program})" in status["target"]["allocators"]
    ctl("snapshot", "-o", tmp_path / "deep.json")
    points = [p for p in Profile(tmp_path / "deep.json").points if p["tb"] == 100]
    assert len(points) == 1 and points[0]["tbk"] == 1


@pytest.mark.parametrize("how", ["reset", "destroy", "mib"])
def test_an_arena_that_is_taken_at_once_is_noticed(daemon, ctl, target, how):
    """jemalloc takes all of an arena's blocks without a free for any: nobody can tell which they were."""
    program = target(PROGRAMS / "arena_reset")
    program.expect("^ready$")
    daemon("attach", "--pid", program.pid)
    for line in ("fill", "stats", "purge", "decay"):
        program.say(line)
        program.expect(rf"^{line} 0$")
    profile = ctl("stats", "--json").json()
    assert profile["totals"]["live_blocks"] >= 1000
    assert profile["verdict"]["word"] == "exact", profile["verdict"]
    program.say(how)
    program.expect(rf"^{how} 0$")
    verdict = until(lambda: (v := ctl("stats", "--json").json()["verdict"])["word"] == "inexact" and v, "the verdict")
    assert verdict["reasons"] == ["1 reset of an arena by jemalloc's mallctl (or its destruction): blocks in it are "
                                  "shown live that are no more"]
