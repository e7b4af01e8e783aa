"""tests/run: what it counts is what there was."""
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest

from conftest import ROOT

LOADER = SourceFileLoader("tests_run", str(ROOT / "tests" / "run"))
RUNNER = module_from_spec(spec_from_loader("tests_run", LOADER))
LOADER.exec_module(RUNNER)

BEGUN = """[==========] {group}Running 4 test(s).
[ RUN      ] test_one
[       OK ] test_one
[ RUN      ] test_two
[  SKIPPED ] test_two
[ RUN      ] test_three
[  FAILED  ] test_three
[ RUN      ] test_four
"""
ENDED = """[==========] {group}4 test(s) run.
[  PASSED  ] 1 test(s).
[  SKIPPED ] {group}1 test(s), listed below:
[  SKIPPED ] test_two

 1 SKIPPED TEST(S)
[  FAILED  ] {group}1 test(s), listed below:
[  FAILED  ] test_three

 1 FAILED TEST(S)
"""


@pytest.mark.parametrize("group", ["", "tests: "], ids=["cmocka 1.1.5", "cmocka 1.1.7"])
def test_cmocka_programs_are_counted(group):
    """test_four never came back: its setup failed, or the program ended in it."""
    begun, ended = BEGUN.format(group=group), ENDED.format(group=group)
    assert RUNNER.count_cmocka(2, begun + ended) == (1, 2, 1)
    assert RUNNER.count_cmocka(-11, begun) == (1, 2, 1)
    # stderr comes first where stdout is a file
    assert RUNNER.count_cmocka(2, ended + begun) == (1, 2, 1)
    fine = "".join(line for line in (begun + ended).splitlines(True) if "FAILED" not in line
                   and "three" not in line and "four" not in line)
    assert RUNNER.count_cmocka(0, fine) == (1, 0, 1)
    assert RUNNER.count_cmocka(1, fine) == (1, 1, 1)  # all well, and yet a failure: of a sanitizer, say


def test_programs_without_cmocka_are_one_test():
    assert RUNNER.count_cmocka(0, "hello\n") == (1, 0, 0)
    assert RUNNER.count_cmocka(3, "hello\n") == (0, 1, 0)
