"""Our figures against Valgrind's DHAT and against the programs' own arithmetic, to the byte."""
import os

import pytest

from conftest import BUILD, SITES, TARGETS
from oracle import (FIELDS, NUMBERED, Profile, book_sums, last_line_json, run_valgrind, snapshot, valgrind_environment)

# Single-threaded programs of ours whose book Valgrind confirms. pvalloc is left out, which
# Valgrind 3.19 does not see; it has its own test below.
OURS = {
    "every_function": ["no-pvalloc"],
    "churn": ["60000", "500"],
    "recursion": ["60", "10"],
    "equal_peaks": [],
    "peak_sites": [],
    "size_classes": ["4194304"],
    "signals": ["200"],
    "big_live": ["100000"],
    "exceptions": ["60", "no-failing"],
}

SQL = """create table t(a, b);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000)
insert into t select i, i * i || 'x' from n;
create index x on t(b);
select count(*), sum(a), max(b) from t where b like '1%';
update t set b = b || b where a % 3 = 0;
select a % 7, count(*) from t group by 1 order by 2;"""

# Real programs from Debian's packages on fixed input.
REAL = {
    "sqlite3": ["/usr/bin/sqlite3", ":memory:", SQL],
    "jq": ["/usr/bin/jq", "-n", "[range(1500)|{a:.,b:(.*.|tostring)}]|group_by(.a%10)|map(length)"],
    "perl": ["/usr/bin/perl", "-e", "my %h; $h{$_ % 317} .= qq(x$_) for 1..5000;"
             "my $s = join q(,), map { length $h{$_} } sort keys %h; $s =~ s/1/one/g; print length $s;"],
    "gawk": ["/usr/bin/gawk", "BEGIN { for (i = 0; i < 5000; i++) a[i % 501] = a[i % 501] \"y\" i;"
             "n = asort(a, b); print n, length(b[1]), length(b[n]) }"],
    "xz": ["/usr/bin/xz", "-1", "-T1", "-c", "/usr/share/common-licenses/GPL-3"],
    "python3": [os.path.realpath("/usr/bin/python3"), "-S", "-E", "-s", "-c",
                "d = {i: str(i) * 3 for i in range(3000)}; print(sum(map(len, d.values())))"],
    "bash": ["/bin/bash", "--norc", "-c", "for i in {1..300}; do a[i]=x$i; done; echo ${#a[@]}"],
    "sed": ["/bin/sed", "-E", r"s/([a-z]+) ([a-z]+)/\2 \1/g", "/usr/share/common-licenses/GPL-3"],
}


@pytest.fixture(scope="module")
def environment():
    return valgrind_environment()


def run_dhatd(target, tmp_path, socket_path, environment, argv, *options):
    """Profile a program by a NUMBERED `dhatd run`; its stdout (bytes) and the profile."""
    out = tmp_path / "ours.json"
    process = target(*NUMBERED, "/usr/bin/env", "-i", "-C", "/", *[f"{k}={v}" for k, v in environment.items()],
                     BUILD / "dhatd", "run", "--socket", socket_path, "--output", out, *SITES, *options, "--",
                     *argv)
    assert process.wait(120) == 0, process.err
    return process.out_path.read_bytes(), Profile(out)


def as_table(profile, functions, depth=None):
    """A line a stack, which makes the message of a failed comparison readable."""
    return [f"{calls} {sums}" for calls, sums in sorted(profile.by_calls(functions, depth).items())]


@pytest.mark.parametrize("name", OURS)
def test_own_program_equals_valgrind(name, target, tmp_path, socket_path, environment):
    argv = [TARGETS / name, *OURS[name]]
    book, ours = run_dhatd(target, tmp_path, socket_path, environment, argv)
    book_again, theirs = run_valgrind(argv, tmp_path / "theirs.json")

    assert book == book_again
    assert ours.sums() == theirs.sums()
    if name != "exceptions":  # its runtime allocates, too
        assert ours.sums() == book_sums(last_line_json(book))
    assert ours.exact, ours.reasons
    sources = {f"{name}.c", f"{name}.cc"}
    # Valgrind's stacks end at the border of an alternate signal stack: the caller only, there
    depth = 1 if name == "signals" else None
    # tools differ in the line they give for inlined code, and so in the file: names from both
    functions = ours.functions_of(sources) | theirs.functions_of(sources)
    assert as_table(ours, functions, depth) == as_table(theirs, functions, depth)


@pytest.mark.parametrize("how", ["run", "attached"])
def test_stacks_at_the_peak_equal_the_programs_book(how, target, daemon, ctl, tmp_path, socket_path, environment):
    """What each site had when the heap was highest: in a file for the viewer, and in what is read back of it."""
    program = [TARGETS / "peak_sites"]
    if how == "run":
        printed, ours = run_dhatd(target, tmp_path, socket_path, environment, program)
    else:
        process = target(*program, "--gate", "--hold")
        process.expect("ready")
        daemon("attach", "--pid", process.pid, "--no-inventory")
        process.say("")
        process.expect("sites")
        printed, ours = process.out, snapshot(ctl, tmp_path, "ours.json")
    book = last_line_json(printed)
    assert ours.exact, ours.reasons
    assert ours.sums() == book_sums(book)
    assert book["peak_bytes"] > 1.2 * book["live_bytes"] and all(blocks for _, blocks in book["sites"][:6])
    rows = {row["function"]: [row["peak_bytes"], row["peak_blocks"]] for row in ctl(
        "stats", "--sort", "peak", "--by", "function", "--top", "100", "--json", tmp_path / "ours.json").json()["points"]}
    for number, site in enumerate(book["sites"]):
        points = [p for p in ours.points if ours.physical(p)[0].function == f"site_{number}"]
        # rows that had nothing then are not listed
        assert [sum(p["gb"] for p in points), sum(p["gbk"] for p in points)] == site == rows.get(f"site_{number}", [0, 0])


def test_numbers_of_processes_may_be_text(target, tmp_path, socket_path, environment):
    """Why the runs below are NUMBERED: each digit of bash's PPID is a byte."""
    sums = []
    for digits in "345":
        process = target(TARGETS / "numbered", digits, "/usr/bin/env", "-i", BUILD / "dhatd", "run", "--socket",
                         socket_path, "--output", tmp_path / "ours.json", "--", "/bin/bash", "--norc", "-c", ":")
        assert process.wait(120) == 0, process.err
        sums.append(Profile(tmp_path / "ours.json").sums())
    assert [s["eb"] - sums[0]["eb"] for s in sums] == [0, 1, 2]
    assert {s["tbk"] for s in sums} == {sums[0]["tbk"]}


@pytest.mark.parametrize("name", REAL)
def test_real_program_equals_valgrind(name, target, tmp_path, socket_path, environment):
    printed, ours = run_dhatd(target, tmp_path, socket_path, environment, REAL[name])
    printed_again, theirs = run_valgrind(REAL[name], tmp_path / "theirs.json")

    assert printed == printed_again
    assert theirs.sums()["tbk"] > 10
    assert ours.sums() == theirs.sums()
    if name == "python3":  # its small objects come from no malloc
        assert "CPython in python3" in ours.reasons[1]
        assert len(ours.reasons) == 2 and ours.reasons[0].startswith("exact for glibc"), ours.reasons
    else:
        assert ours.exact, ours.reasons


def test_pvalloc_counts_whole_pages(target, tmp_path, socket_path, environment):
    book, ours = run_dhatd(target, tmp_path, socket_path, environment, [TARGETS / "every_function"])
    assert ours.sums() == book_sums(last_line_json(book))
    assert ours.exact, ours.reasons


def test_static_program_by_its_own_book(target, tmp_path, socket_path, environment):
    book, ours = run_dhatd(target, tmp_path, socket_path, environment,
                           [TARGETS / "churn_static", "60000", "500"])
    assert ours.allocated_in("churn.c") == book_sums(last_line_json(book))
    assert ours.exact, ours.reasons


@pytest.mark.parametrize("name, source, argument", [("handoff", "handoff.c", "8000"),
                                                    ("thread_churn", "thread_churn.c", "2000")])
def test_threads_by_their_own_book(name, source, argument, target, tmp_path, socket_path, environment):
    """Blocks freed and resized by other threads. The peak of such a run is nobody's to know."""
    book, ours = run_dhatd(target, tmp_path, socket_path, environment, [TARGETS / name, argument])
    fields = ("tb", "tbk", "eb", "ebk")
    own = ours.allocated_in(source)
    assert {f: own[f] for f in fields} == book_sums(last_line_json(book), fields)
    assert ours.exact, ours.reasons


def test_same_run_twice_gives_the_same_profile(target, tmp_path, socket_path, environment):
    runs = []
    for directory in (tmp_path / "a", tmp_path / "b"):
        directory.mkdir()
        _, ours = run_dhatd(target, directory, socket_path, environment,
                            [TARGETS / "churn", "20000", "200"])
        runs.append((ours.sums(), as_table(ours, ours.functions_of({"churn.c"}))))
    assert runs[0] == runs[1]
    assert all(runs[0][0][field] for field in FIELDS)
