"""dhatd's stacks against libdw's unwinder, on live programs: see stacks.py."""
import pytest

from conftest import BUILD
from stacks import PROGRAMS, run_live


@pytest.mark.parametrize("program", PROGRAMS)
def test_stacks_are_those_of_a_debugger(program):
    result = run_live(BUILD, program)
    assert len(result.sampled) == 399
    assert result.equal >= 0.995, (result.missing[0], result.nearest(result.missing[0]))
    assert result.complete >= 0.99, result.blocks
