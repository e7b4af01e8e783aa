"""dhatd's stacks against libdw's unwinder, on live programs: see stacks.py."""
import subprocess

import pytest
from conftest import BUILD, TARGETS
from stacks import PROGRAMS, Result, read_snapshot, run_live


@pytest.mark.parametrize("program", PROGRAMS)
def test_stacks_are_those_of_a_debugger(program):
    result = run_live(BUILD, program)
    assert len(result.sampled) == 399
    assert result.equal >= 0.995, (result.missing[0], result.nearest(result.missing[0]))
    assert result.complete >= 0.99, result.blocks


@pytest.mark.parametrize("program", ("musl", "musl-static"))
def test_stacks_through_a_library_without_cfi_are_complete(program, tmp_path):
    """musl has no call frame information; what its instructions tell is enough (cfi_code.h)."""
    subprocess.run([BUILD / "dhatd", "run", "--socket", tmp_path / "s", "--output", tmp_path / "s.dhat", "--",
                    TARGETS / "allocators" / program], check=True, timeout=60, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    result = Result([], read_snapshot(tmp_path / "s.dhat"))
    assert sum(result.blocks.values()) > 1000
    assert result.complete >= 0.99, result.blocks
