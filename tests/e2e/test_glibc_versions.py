"""Heaps of newer glibcs than this machine's, to the byte: Debian's, from 13 on, and each program runs with one by
that one's own dynamic loader."""
import os
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, ROOT, TARGETS, until
from libcs import libcs
from test_inventory import held, profile

NEWEST = (2, 44)  # whose heap's layout is known


@pytest.fixture(scope="module")
def known():
    """At least Debian 13's, and one of those that have no fastbins."""
    found = [libc for libc in libcs() if libc.version <= NEWEST]
    assert (2, 41) in [libc.version for libc in found]
    assert any(libc.version >= (2, 43) for libc in found), [libc.name for libc in found]
    return found


def test_all_kinds_of_heaps_are_what_malloc_says(known, tmp_path):
    """inventory_judge, which has looked at this machine's glibc, looks at these."""
    for libc in known:
        place = tmp_path / libc.name.replace(" ", "-")
        shutil.copytree(libc.directory, place)
        libc.link(ROOT / "tests/targets/inventory_static.c", place / "inventory_static")
        done = subprocess.run([BUILD / "tests/judge/inventory_judge"], capture_output=True, text=True, timeout=600,
                              env=os.environ | {"DHATD_LIBC": str(place), "DHATD_BUILD": str(BUILD)})
        assert done.returncode == 0, f"{libc.name}:\n{done.stdout}{done.stderr}"
        assert len(re.findall(r"^\[       OK \]", done.stdout, re.M)) >= 23


CASES = [("fragmented", None), ("large", None), ("cached-in-threads", "glibc.malloc.tcache_max=4194303"),
         ("nothing-freed", None), ("madvised", None), ("fragmented", "glibc.malloc.hugetlb=2")]


@pytest.mark.parametrize("kind, tunables", CASES)
def test_live_bytes_are_what_the_process_holds(known, daemon, ctl, target, kind, tunables):
    for libc in known:
        program = target(*libc.command(TARGETS / "inventory", kind),
                         env={"GLIBC_TUNABLES": tunables} if tunables else None)
        _, _, sizes = held(program)
        dhatd = daemon("attach", "--pid", program.pid)
        before = profile(ctl)
        assert {probe["allocator"] for probe in before["probes"]} == {libc.name}
        libcs_own = before["totals"]["live_blocks"] - len(sizes)  # a vector for each thread's TLS
        assert 0 <= libcs_own <= 4 and (libcs_own == 0 or "threads" in kind)
        if not libcs_own:
            assert before["totals"]["live_bytes"] == sum(sizes)
        assert before["verdict"]["word"] == "exact", before["verdict"]
        program.say("f")  # free all
        until(lambda own=libcs_own: profile(ctl)["totals"]["live_blocks"] == own, "all blocks to be freed")
        after = profile(ctl)
        assert after["totals"]["freed_before_blocks"] == 0
        assert after["verdict"]["exact"], after["verdict"]
        assert dhatd.stop() == 0
        program.close()


@pytest.mark.parametrize("kind", ["fragmented", "large"])
def test_without_an_inventory_frees_tell_their_sizes(known, daemon, ctl, target, kind):
    for libc in known:
        program = target(*libc.command(TARGETS / "inventory", kind))
        _, _, sizes = held(program)
        dhatd = daemon("attach", "--pid", program.pid, "--no-inventory")
        program.say("f")
        until(lambda count=len(sizes): profile(ctl)["totals"]["freed_before_blocks"] == count, "frees of all blocks")
        assert profile(ctl)["totals"]["freed_before_bytes"] == sum(sizes)
        assert dhatd.stop() == 0
        program.close()


def test_result_sites_are_what_the_processor_finds(known):
    """result_judge, which has stopped at each site of this machine's glibc, stops at those of these."""
    for libc in known:
        done = subprocess.run([BUILD / "tests/judge/result_judge", "--libc", libc.directory], capture_output=True,
                              text=True, timeout=600, check=False)
        if libc.version >= (2, 43):  # malloc() jumps to what free() calls to make a thread's cache
            assert "has no result sites" in done.stdout
            continue
        assert done.returncode == 0, f"{libc.name}:\n{done.stdout}{done.stderr}"
        assert len(re.findall(r" 8000 calls of malloc\b.*: right$", done.stdout, re.M)) == 9, done.stdout
