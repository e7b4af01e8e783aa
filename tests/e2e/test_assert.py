"""Conditions of a build: at the end of a program, on a file, on a process; and what others read of the results."""
import json
import re
import subprocess
import xml.etree.ElementTree as xml

import pytest

from conftest import BUILD, DEADLINE, TARGETS
from served import SESSION_BYTES, Served


@pytest.fixture
def run(tmp_path):
    """run(*options, program=…): `dhatd run` on it; its exit status, and what it and the program printed."""
    def start(*options, program):
        return subprocess.run([BUILD / "dhatd", "run", "--socket", tmp_path / "s", *options, "--", *program],
                              capture_output=True, text=True, cwd=tmp_path, timeout=DEADLINE,
                              stdin=subprocess.DEVNULL, check=False)
    return start


def churn(operations):
    return [TARGETS / "churn", str(operations), "50"]


def test_each_file_that_cannot_be_written_is_told(run, tmp_path, monkeypatch):
    """One that the profile's hides would be missed by the next run only."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "base").symlink_to("/dev/full")
    done = run("-o", "/dev/full", "--write-baseline", "base", program=churn(20))
    assert done.returncode == 10
    assert "dhatd: cannot write /dev/full: No space left" in done.stderr
    assert "dhatd: cannot write base: No space left" in done.stderr


def test_a_program_is_judged_when_it_ends(run, ctl, tmp_path):
    """The figures are those of its own book, to the byte and block."""
    done = run("--assert", "live.bytes == 0", "--assert", "total.blocks <= 1000000", "--junit", "heap.xml", "--github",
               "--write-baseline", "base.json", "-o", "a.dhat", program=churn(2000))
    assert done.returncode == 15, done.stderr
    book = json.loads(done.stdout)
    assert f"  FAILS live.bytes == 0: 8.9 KiB ({book['live_bytes']:,} bytes)\n" in done.stderr
    assert re.search(r"\n +1\. .* live in renew_cleared at targets/churn\.c:\d+\n +called by main at ", done.stderr)
    assert f"  ok    total.blocks <= 1000000: {book['total_blocks']:,} blocks\n" in done.stderr
    assert re.search(r"^::error file=\S*tests/targets/churn\.c,line=\d+,title=live\.bytes == 0::live\.bytes == 0: 8\.9",
                     done.stderr, re.M)

    suite = xml.parse(tmp_path / "heap.xml").getroot().find("testsuite")
    assert (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("errors")) == \
        ("dhatd.churn", "3", "1", "0")
    cases = {case.get("name"): case for case in suite}
    assert cases["live.bytes == 0"].find("failure").get("type") == "assertion"
    assert len(cases["total.blocks <= 1000000"]) == len(cases["the numbers can be trusted"]) == 0

    # the baseline was written, is small, and is of this very run
    baseline = (tmp_path / "base.json").read_text()
    assert {key: json.loads(baseline)["totals"][key] for key in book} == book
    assert '{"stack": ["grow (targets/churn.c)", "main (targets/churn.c)"], "live_bytes": ' in baseline
    assert "0x" not in baseline and len(baseline.splitlines()) == 11
    for conditions in (["growth == 0", "total.blocks <= baseline"], ["stack(/renew_/).total.blocks == baseline"]):
        assert ctl("assert", *conditions, "--baseline", "base.json", "a.dhat").status == 0


def test_against_a_baseline(run, ctl, tmp_path):
    """Another run, with more operations: what has grown since is guilty, by as much as the books say."""
    book = json.loads(run("--write-baseline", "base.json", program=churn(2000)).stdout)
    done = run("--assert", "growth <= 0", "--assert", "total.blocks <= baseline * 1.05", "--assert",
               "stack(/no_such_function/).growth == 0", "--baseline", "base.json", "-o", "b.dhat", program=churn(4000))
    after = json.loads(done.stdout)
    assert done.returncode == 15, done.stderr
    answer = ctl("assert", "total.blocks <= baseline * 1.05", "--baseline", "base.json", "--json", "b.dhat", ok=False)
    assert answer.status == 15
    ruling = answer.json()[0]["assertions"][0]
    assert (ruling["now"], ruling["baseline"]) == (after["total_blocks"], book["total_blocks"])
    assert not ruling["holds"] and len(ruling["guilty"]) == 3
    assert sum(row["now"] for row in ruling["guilty"]) == after["total_blocks"]
    assert "stack(/no_such_function/).growth == 0: 0 bytes; the baseline has 0 bytes; no stack has a name that matches" \
        in " ".join(done.stderr.split())  # wherever the lines are folded


def test_names_of_templates_in_xml(target, daemon, ctl, tmp_path):
    """Valid, whatever a function is called."""
    process = target("templates")
    process.expect("ready")
    daemon("attach", "--pid", process.pid, "--no-inventory")
    process.say("go")
    process.expect("done")
    answer = ctl("assert", "live.bytes == 0", "--junit", "t.xml", "--allow", "inexact", process.pid, ok=False)
    assert answer.status == 15
    text = xml.parse(tmp_path / "t.xml").find(".//failure").text
    assert re.search(r"live in acme::orders::pricing::v2::PriceCache<.*>::put<.*>.* at .*templates\.cc:\d+", text), text


def test_a_process_and_its_suppressions(target, daemon, ctl, tmp_path):
    served = Served(target, tmp_path)
    daemon("attach", "--pid", served.pid)
    served.start_load(connections=2, requests=250, pause_us=0)
    served.end_load()
    answer = ctl("assert", f"stack(/remember_session/).live.bytes == {50 * SESSION_BYTES}",
                 "stack(/handle_request/).live.blocks == 50", served.pid)
    assert answer.out.count("\n  ok ") == 2, answer.out
    (tmp_path / "known").write_text("# found long ago\nleak:remember_session\n")
    assert ctl("assert", "stack(/handle_request/).live.bytes == 0", "--suppressions", "known").status == 0
    wrong = ctl("assert", "stack(/remember_session/).live.byts == 0", ok=False)
    assert wrong.status == 2
    first, second = wrong.err.splitlines()
    assert first.index("live.byts") == second.index("^^^^^^^^^ no such figure; did you mean live.bytes?")


@pytest.mark.parametrize("program, status", [(["false"], 1), (["sh", "-c", "kill -9 $$"], 137), (["true"], 15)])
def test_a_program_that_fails_has_failed(run, program, status):
    assert run("--assert", "total.blocks == 123456789", program=program).returncode == status


def test_what_is_not_judged(run, daemon, tmp_path):
    """A profile that is not the one that was meant fails, and so does a condition that nothing can be found for."""
    done = run("--assert", "growth == 0", program=["touch", "started"])
    assert done.returncode == 2 and "which baseline?" in done.stderr
    done = run("--assert", "growth == 0", "--baseline", "none.json", program=["touch", "started"])
    assert done.returncode == 11 and not (tmp_path / "started").exists()
    dhatd = daemon("run", "--assert", "live.bytes == 0", "--", "sleep", "1000")
    assert dhatd.stop() == 1
    assert "sleep has not ended" in dhatd.err
