"""tests/strangers/run: its judge lets nobody pass who says "exact" and is not. (The programs themselves are
fetched from outside: make test-strangers.)"""
import re
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest

from conftest import ROOT

LOADER = SourceFileLoader("strangers_run", str(ROOT / "tests" / "strangers" / "run"))
STRANGERS = module_from_spec(spec_from_loader("strangers_run", LOADER))
LOADER.exec_module(STRANGERS)
HIDDEN = {"name": "x", "hidden": "jemalloc", "least_bytes": 1000}


@pytest.mark.parametrize("row, verdict, reasons, blocks, total_bytes, calls, complaint", [
    ({}, "exact", [], 1000, 0, 1005, None),
    ({}, "exact", [], 270, 0, 1000, "exact"),  # operator new was missed
    ({}, "exact", [], 1200, 0, 1000, "exact"),  # counted twice
    ({}, "exact", [], 1000, 10**9, None, "exact"),  # nobody knows
    (HIDDEN, "exact", [], 48, 999, None, "exact"),
    (HIDDEN, "exact", [], 48, 1000, None, None),
    (HIDDEN, "partial", ["what jemalloc hands out is not counted"], 48, 999, None, None),
    (HIDDEN, "partial", ["something is not counted"], 48, 999, None, "jemalloc"),
    (HIDDEN, "inexact", [], 48, 999, None, "jemalloc"),
    (HIDDEN, "inexact", ["1 allocator came late"], 1000, 0, 1001, None),  # all is there but the very first
    ({}, "partial", [], 1000, 0, 1000, "without"),
    ({}, None, ["no"], 0, 0, None, "refused"),
    ({"refused": "static"}, None, ["is linked statically"], 0, 0, None, None),
    ({"refused": "Go"}, None, ["no known allocator"], 0, 0, None, "Go")])
def test_judge(row, verdict, reasons, blocks, total_bytes, calls, complaint):
    wrong = STRANGERS.judge(row, verdict, reasons, blocks, total_bytes, calls)
    assert (wrong is None) == (complaint is None), wrong
    assert complaint is None or re.search(complaint, wrong), wrong


def test_rows():
    """Each has a fixed version, and something to be judged by."""
    for row in STRANGERS.ROWS:
        assert all(re.fullmatch(r"(@[\w-]+/)?[\w-]+@\d+\.[\w.-]+", package) for package in row["packages"]), row
        assert row["truth"] or row.get("least_bytes") or row.get("refused"), row
        assert "least_bytes" not in row or row["hidden"], row
