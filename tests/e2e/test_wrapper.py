"""`dhatd run` of what executes the program that is meant: it goes on there, from the first allocation."""
import json
import os
import re
import signal
import subprocess

import pytest

from conftest import BUILD, DEADLINE, TARGETS
from oracle import Profile, book_sums

SCRIPT = '#!/bin/sh\nword=$(echo two)\nexec "$@"\n'


@pytest.fixture
def run(tmp_path):
    """run(*options, program=…): what `dhatd run` of it said; w.sh is a wrapper there."""
    (tmp_path / "w.sh").write_text(SCRIPT)
    (tmp_path / "w.sh").chmod(0o755)

    def start(*options, program):
        return subprocess.run([BUILD / "dhatd", "run", "--socket", tmp_path / "s", *options, "--", *program],
                              capture_output=True, text=True, cwd=tmp_path, timeout=DEADLINE,
                              stdin=subprocess.DEVNULL, check=False)
    return start


@pytest.mark.parametrize("wrapper", [["./w.sh"], ["nice", "./w.sh", "env", "sh", "-c", 'exec "$0" "$@"']],
                         ids=["script", "nested"])
def test_the_program_is_counted_from_its_first_allocation_on(run, tmp_path, wrapper):
    done = run("-o", "x.json", program=[*wrapper, TARGETS / "churn", "500", "50"])
    assert done.returncode == 0, done.stderr
    profile = Profile(tmp_path / "x.json")  # of one program: there is one file
    assert profile.allocated_in("churn.c") == book_sums(json.loads(done.stdout.splitlines()[-1]))
    assert profile.exact, profile.reasons
    assert re.search(r"left out: .*\bsh, which soon executed", done.stderr), done.stderr
    assert not list(tmp_path.glob("x.*.json"))


def test_each_has_a_file_if_asked_for(run, tmp_path):
    done = run("-o", "x.dhat", "--follow-exec", program=["./w.sh", "sh", "-c", "exit 7"])
    assert done.returncode == 7, done.stderr
    assert len(list(tmp_path.glob("x.*.dhat"))) == 2
    assert "left out" not in done.stderr


def test_a_condition_is_judged_on_the_last_program(run):
    done = run("--assert", "total.blocks == 0", program=["./w.sh", "sh", "-c", "kill -9 $$"])
    assert done.returncode == 137 and "FAILS total.blocks == 0" in done.stderr, done.stderr


@pytest.mark.parametrize("condition, status", [([], 143), (["--assert", "live.bytes == 0"], 1)], ids=["run", "assert"])
def test_one_that_cannot_be_watched_is_waited_for(daemon, tmp_path, condition, status):
    dhatd = daemon("run", "-o", tmp_path / "x.json", *condition, "--", "sh", "-c", 'exec "$0"', TARGETS / "no_allocator",
                   wait=False)
    waiting = dhatd.expect_err(r"process (\d+) runs on, and is not watched; waiting for its end")
    assert re.search(r"was not followed: .*no_allocator", dhatd.err), dhatd.err
    os.kill(int(waiting[1]), signal.SIGTERM)
    assert dhatd.wait() == status
    assert (tmp_path / "x.json").exists()  # of the shell: all that there is
    assert ("sh has executed another program, which could not be watched" in dhatd.err) == bool(condition)


def test_one_that_ends_in_its_loader(run, tmp_path):
    (tmp_path / "libc.so.6").write_bytes(b"no library")
    done = run(program=["env", f"LD_LIBRARY_PATH={tmp_path}", "true"])
    assert done.returncode == 127, done.stderr
    assert "was not followed: true ended in its dynamic loader" in done.stderr, done.stderr


def test_processes_that_are_not_followed_are_counted(run):
    done = run(program=["./w.sh", "sh", "-c", "true & true & wait; exit 5"])
    assert done.returncode == 5
    assert "2 processes that it started were not watched: --follow-fork" in done.stderr, done.stderr
    done = run("--follow-fork", program=["sh", "-c", "true & wait"])
    assert "not watched" not in done.stderr


def test_blocks_with_headers_of_a_library_count_once(run, tmp_path):
    """Its free jumps to glibc's with another address than came: the block that holds the one that is freed."""
    done = run("-o", "x.json", program=["env", f"LD_PRELOAD={TARGETS / 'headers.so'}", TARGETS / "churn", "2000", "50"])
    profile = Profile(tmp_path / "x.json")
    assert profile.allocated_in("churn.c") == book_sums(json.loads(done.stdout.splitlines()[-1]))
    assert profile.exact, profile.reasons
    assert "malloc of headers.so" in done.stderr
