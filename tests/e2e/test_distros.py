"""make test-distros keeps whole systems in a folder: what is removed is theirs, and nothing of this machine's."""
import os
import subprocess

import pytest

from conftest import ROOT

RUN = ROOT / "tests/distros/run"


def run(cache, *args):
    return subprocess.run([RUN, *args], env=os.environ | {"DHATD_DISTROS": str(cache)}, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)


def test_what_is_mounted_is_not_removed(tmp_path):
    cache, precious = tmp_path / "cache", tmp_path / "precious"
    (cache / "trixie/dev").mkdir(parents=True)
    (cache / "trixie/file").write_text("x")
    precious.mkdir()
    (precious / "file").write_text("x")
    subprocess.run(["mount", "--bind", precious, cache / "trixie/dev"], check=True)
    try:
        done = run(cache, "-r", "trixie")
        assert done.returncode == 1
        assert f"something is mounted below {cache}/trixie: not removed" in done.stderr
        assert (precious / "file").exists() and (cache / "trixie/file").exists()
    finally:
        subprocess.run(["umount", cache / "trixie/dev"], check=True)
    assert run(cache, "-r", "trixie").returncode == 0
    assert (precious / "file").exists() and not (cache / "trixie").exists()


@pytest.mark.parametrize("suite", ["", "../precious", "/", "trixie/..", "-x"])
def test_a_suite_is_a_word(suite, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "cache").mkdir()
    done = run(tmp_path / "cache", "-r", "--", suite)
    assert done.returncode != 0 and "no suite" in done.stderr
    assert (tmp_path / "precious").exists() and (tmp_path / "cache").exists()


def test_the_source_is_no_place_for_them():
    done = run(ROOT / "build", "-r", "trixie")
    assert done.returncode == 1 and "is in the source" in done.stderr
