"""dhatd ps: which processes grow, with rights and without."""
import json
import os
import pwd
import re
import shutil
import subprocess
import sys

import pytest

from conftest import BUILD, DEADLINE

GROWING = """import sys, time
kept = []
print("ready", flush=True)
while len(kept) < 40000:
    kept.append(bytearray(b"x" * 40_000))
    time.sleep(0.005)
sys.stdin.read()
"""


def ps(*args, dhatd=BUILD / "dhatd", **options):
    done = subprocess.run([str(a) for a in (dhatd, "ps", "--for", "0.3", "--top", "100000", *args)], capture_output=True,
                          text=True, timeout=DEADLINE, errors="replace", **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def row_of(process, text):
    return {row["pid"]: row for row in json.loads(text)["processes"]}[process.pid]


@pytest.fixture
def growing(target):
    process = target(sys.executable, "-c", GROWING, "--password=secret\x1b[2J", urgent=True)  # it has a turn in 0.3 s
    process.expect("ready")
    return process


def test_what_grows_is_found(growing, target):
    level = target("many_stacks")
    level.expect("ready")
    answer = ps("--json")
    row, other = row_of(growing, answer), row_of(level, answer)
    assert row["grown_bytes"] >= 400_000 and other["grown_bytes"] == 0
    assert row["bytes_a_minute"] == pytest.approx(row["grown_bytes"] * 60 / json.loads(answer)["seconds"], rel=0.01)
    assert row["rss_bytes"] > row["anonymous_bytes"] > row["grown_bytes"]
    assert (row["user"], row["allocator"], row["is_hidden"]) == ("root", "glibc", False)
    assert "--password=secret" in row["command"]
    grown = [each["grown_bytes"] for each in json.loads(answer)["processes"]]
    assert grown == sorted(grown, reverse=True)

    text = ps(env=os.environ | {"COLUMNS": "100"})
    assert re.search(rf"^ +{growing.pid} root .* \+[\d.]+ .iB +glibc +python3", text, re.M), text
    assert text.startswith("Watched for ") and "secret" not in text and "\x1b" not in text
    assert re.search(r"^\d+ processes: .* anonymous, .* in swap, .* a minute; \d+ began and \d+ ended", text, re.M)
    assert re.search(r"^Hint: `dhatd plan \d+'", text, re.M)


def test_without_rights(growing, target, public):
    """One's own processes are looked into; of others what everybody may know is told."""
    nobody = pwd.getpwnam("nobody")
    rights = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    mine = target("/usr/bin/sleep", "1000", **rights)
    dhatd = shutil.copy(BUILD / "dhatd", public)  # the checkout may be for root only
    answer = ps("--json", dhatd=dhatd, cwd=public, **rights)
    own, other = row_of(mine, answer), row_of(growing, answer)
    assert (own["allocator"], own["user"], own["is_hidden"]) == ("glibc", "nobody", False)
    assert (other["allocator"], other["is_hidden"]) == ("?", True) and other["grown_bytes"] >= 400_000
    assert re.search(r"^Note: \d+ of these cannot be looked into", ps(dhatd=dhatd, cwd=public, **rights), re.M)


def test_dhatctl_has_it_too(growing, ctl):
    """No dhatd answers; growth is that of the moment."""
    answer = ctl("ps", "--for", "0.3", "--top", "100000", "--json", socket="/nowhere")
    assert row_of(growing, answer.out)["grown_bytes"] >= 400_000
    wrong = ctl("ps", "1234", ok=False)
    assert wrong.status == 2 and "`dhatctl plan 1234'" in wrong.err
